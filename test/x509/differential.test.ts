// Our path validation against OpenSSL's strict mode on generated chains. Whatever
// the two judge differently must be in exceptions.json with a reason; an exception that no longer happens fails too.

import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import { toPem } from "../../src/lab/certificate-authority.ts"
import { AnchorError, anchorSet } from "../../src/x509/anchors.ts"
import { validatePath } from "../../src/x509/path.ts"
import { peerMissing, peerUsed } from "../interop/peers-used.ts"
import { chainGenerator, type GeneratedChain, NOW, ODDITIES } from "./chain-generator.ts"

interface Exception {
  readonly oddity: string
  readonly ours: "accepted" | "refused"
  /** Whether a chain with nothing else odd about it is judged differently; false: only together with something else. */
  readonly alone: boolean
  readonly reason: string
}

interface Judgement {
  readonly accepted: boolean
  readonly why: string
}

const SEED = 7712
const COUNT = 2400
const OPENSSL = "openssl"

function judge(chain: GeneratedChain): Judgement {
  try {
    const result = validatePath({
      chain: chain.presented,
      anchors: anchorSet(chain.roots),
      at: NOW,
      purpose: "server",
      // OpenSSL's strict mode asks the profile of roots too.
      strictAnchors: true,
    })
    return { accepted: result.ok, why: result.ok ? "" : `${result.problem}: ${result.detail}` }
  } catch (error) {
    assert.ok(error instanceof AnchorError, String(error))
    return { accepted: false, why: error.message }
  }
}

function writeScript(folder: string, name: string, chains: readonly GeneratedChain[]): string {
  const lines = chains.map((chain) => {
    writeFileSync(join(folder, `${chain.id}.roots`), chain.roots.map(toPem).join(""))
    const [leaf, ...others] = chain.presented
    writeFileSync(join(folder, `${chain.id}.leaf`), toPem(leaf!))
    writeFileSync(join(folder, `${chain.id}.others`), others.map(toPem).join(""))
    const untrusted = others.length === 0 ? "" : `-untrusted ${chain.id}.others `
    // auth_level 2: no SHA-1, no RSA below 2048, as we have it.
    return (
      `echo "#${chain.id}"; ${OPENSSL} verify -x509_strict -purpose sslserver -auth_level 2 -attime ${NOW / 1000} ` +
      `-no-CApath -no-CAstore -CAfile ${chain.id}.roots ${untrusted}${chain.id}.leaf 2>&1`
    )
  })
  const path = join(folder, name)
  writeFileSync(path, [...lines, "exit 0", ""].join("\n"))
  return path
}

/** Runs a shell script to its end and gives what it printed; the limit only guards against a hang. */
function run(folder: string, script: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn("/bin/sh", [script], { cwd: folder, stdio: ["ignore", "pipe", "inherit"], timeout: 120_000 })
    const pieces: Buffer[] = []
    child.stdout.on("data", (piece: Buffer) => pieces.push(piece))
    child.once("error", reject)
    child.once("close", (code) =>
      code === 0 ? resolve(Buffer.concat(pieces).toString()) : reject(new Error(`${script} ended with ${code}`)),
    )
  })
}

async function askOpenssl(chains: readonly GeneratedChain[]): Promise<Map<number, Judgement>> {
  const folder = mkdtempSync(join(tmpdir(), "x509-differential-"))
  try {
    const half = Math.ceil(chains.length / 2)
    const scripts = [writeScript(folder, "one.sh", chains.slice(0, half)), writeScript(folder, "two.sh", chains.slice(half))]
    const printed = (await Promise.all(scripts.map((script) => run(folder, script)))).join("")
    return new Map(
      printed
        .split("#")
        .slice(1)
        .map((block) => [
          Number.parseInt(block, 10),
          { accepted: /^\d+\.leaf: OK$/m.test(block) && !block.includes("error"), why: /error \d+ at .*/.exec(block)?.[0] ?? block.trim() },
        ]),
    )
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

test(`${COUNT} generated chains: OpenSSL -x509_strict and we agree, but for the listed exceptions`, {
  skip: peerMissing("openssl"),
  timeout: 180_000,
}, async (t) => {
  const exceptions: Exception[] = JSON.parse(readFileSync(new URL("exceptions.json", import.meta.url), "utf8"))
  for (const { oddity, reason } of exceptions) assert.ok(oddity in ODDITIES && reason.length > 20, `exceptions.json: ${oddity}`)
  const generate = chainGenerator(SEED)
  const chains = Array.from({ length: COUNT }, (_, id) => generate(id))
  const ours = chains.map(judge)
  const theirs = await askOpenssl(chains)
  assert.equal(theirs.size, COUNT)

  const unexplained: string[] = []
  const unexpected: string[] = []
  const happened = new Set<Exception>()
  let bothAccept = 0
  let differences = 0
  for (const chain of chains) {
    const mine = ours[chain.id]!
    const other = theirs.get(chain.id)!
    const fitting = exceptions.filter(({ oddity }) => chain.oddities.includes(oddity))
    if (mine.accepted && other.accepted) bothAccept++
    if (mine.accepted !== other.accepted) {
      differences++
      const known = fitting.find((exception) => (exception.ours === "accepted") === mine.accepted)
      if (known === undefined)
        unexplained.push(`${chain.id} [${chain.oddities.join(" + ")}] ours: ${mine.why || "accepted"}; OpenSSL: ${other.why}`)
      else happened.add(known)
    } else if (chain.oddities.length === 1 && fitting.some(({ alone }) => alone)) {
      unexpected.push(`${chain.id} [${chain.oddities[0]}] is judged alike now`)
    }
  }
  peerUsed("openssl")
  t.diagnostic(`${COUNT} chains: ${bothAccept} accepted by both, ${differences} judged differently, all by ${exceptions.length} exceptions`)
  assert.deepEqual(unexplained, [])
  assert.deepEqual(unexpected, [])
  assert.deepEqual(
    exceptions.filter((exception) => !happened.has(exception)).map(({ oddity }) => oddity),
    [],
    "exceptions that did not happen",
  )
  // The corpus is worth something only if much of it is good and much of it is bad.
  assert.ok(bothAccept > COUNT / 5 && bothAccept < (COUNT * 4) / 5, `${bothAccept} of ${COUNT} accepted`)
  const used = new Set(chains.flatMap(({ oddities }) => oddities))
  assert.deepEqual(
    Object.keys(ODDITIES).filter((name) => !used.has(name)),
    [],
    "oddities never generated",
  )
})
