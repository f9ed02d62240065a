// The same facts in the words of other programs: the table of docs/check-comparison.md, row by row, against a real Prosody
// (RFC 6120 13.7.2, RFC 7673, RFC 7711). testssl takes ten seconds of CPU a host, so one row is asked of it, and all with XMPP_DNA_TESTSSL=all.
import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { after, test } from "node:test"
import { type Case, type CheckWorld, checkWorld, domainOf, told } from "./check-world.ts"
import { temporaryFolder } from "./peers/process.ts"
import { type Prosody, startProsody } from "./peers/prosody.ts"
import { peerMissing, peerUsed } from "./peers-used.ts"
import { createWorld } from "./world.ts"

const world = await createWorld()
const folder = temporaryFolder("comparison")
after(async () => {
  await world.end()
  rmSync(folder, { recursive: true })
})

/** The rows of the table: case, then a cell for each program; the last column says why. */
function documented(): ReadonlyMap<string, readonly string[]> {
  const text = readFileSync(join(import.meta.dirname, "../../docs/check-comparison.md"), "utf8")
  const cells = (line: string): string[] => line.split("|").slice(1, -1).map((cell) => cell.trim().replaceAll("`", ""))
  return new Map(text.split("\n").flatMap((line) => (/^\| [a-z0-9-]+ \|/.test(line) ? [[cells(line)[0]!, cells(line).slice(1)] as const] : [])))
}

interface Ended {
  readonly out: string
  readonly killed: boolean
}

/** Ends with what was said; how a program ends is not asked, for each has its own idea of that. */
function run(program: string, args: readonly string[], timeout: number, environment: Readonly<Record<string, string>> = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(program, args, { timeout, maxBuffer: 1 << 22, env: { ...process.env, ...environment } }, (error, out, err) => resolve({ out: `${out}${err}`, killed: error?.killed === true }))
    child.stdin?.on("error", () => undefined) // it may have ended already
    child.stdin?.end()
  })
}

/** `-starttls xmpp-server`, the roots and the name given by hand; with TLSA the records, too, which it does not look for. */
async function openssl(domain: string, { address, port }: Prosody["s2s"], roots: string, tlsa: readonly string[]): Promise<string> {
  const dane = tlsa.flatMap((record, index) => [...(index === 0 ? ["-dane_tlsa_domain", domain, "-dane_ee_no_namechecks"] : []), "-dane_tlsa_rrdata", record])
  const name = tlsa.length > 0 ? [] : ["-verify_hostname", domain]
  const { out, killed } = await run("openssl", ["s_client", "-starttls", "xmpp-server", "-name", domain, "-connect", `${address}:${port}`, "-servername", domain, "-CAfile", roots, ...name, ...dane, "-brief"], 3000)
  if (killed) return "waits"
  return /^Verification(?: error)?: (.*)$/m.exec(out)?.[1] ?? "no handshake"
}

/** What the configuration says, not what is shown: the server need not run. */
async function prosodyctl(config: string): Promise<(domain: string) => string> {
  const { out } = await run("/usr/bin/prosodyctl", ["--config", config, "check", "certs"], 20_000)
  const said = new Map<string, string[]>()
  let of: string[] | undefined
  for (const line of out.split("\n")) {
    const host = /^Checking certificate for (\S+)$/.exec(line)?.[1]
    if (host !== undefined) said.set(host, (of = []))
    else if (/^ {4}\S/.test(line) && !line.includes("client connections")) of?.push(line.trim().replace(/ to \S+\.$/, "").replace(/\.$/, ""))
  }
  return (domain) => {
    const found = said.get(domain)
    return found === undefined ? "no such host" : found.length === 0 ? "nothing" : found.join("; ")
  }
}

async function testssl(domain: string, address: string, roots: string): Promise<string> {
  const file = join(folder, `${domain}.json`)
  await run("/usr/bin/testssl", ["--quiet", "--color", "0", "--nodns", "none", "--assume-http", "--ssl-native", "--ip", address, "--add-ca", roots, "-S", "--jsonfile", file, `${domain}:5270`], 120_000, { HEADER_MAXSLEEP: "1" })
  const found = JSON.parse(readFileSync(file, "utf8")) as { id: string; finding: string }[]
  const of = (id: string): string => found.find((each) => each.id === id)?.finding.replace(/\.$/, "") ?? "not told"
  return `${of("cert_chain_of_trust")}; ${/^Ok/.test(of("cert_trust")) ? "name ok" : "name does not match"}`
}

async function tlsaOf(staged: CheckWorld, name: Case): Promise<readonly string[]> {
  const { proofs } = await staged.look(name)
  const facts = proofs.find(({ proof }) => proof === "dane")?.facts ?? []
  return facts.flatMap(([, value]) => [...value.matchAll(/; (\d \d \d [0-9a-f]+)/g)].map(([, record]) => record!))
}

test("docs/check-comparison.md", { skip: peerMissing("prosody", "openssl") }, async (t) => {
  const staged = await checkWorld(world)
  const { net, address, domains } = staged
  const roots = join(folder, "roots.pem")
  writeFileSync(roots, net.authority.certificate.pem)
  const server = await startProsody({ address, domains, dns: net.dns, caPem: net.authority.certificate.pem, secureAuth: false, dialback: true, directTls: true })
  world.add(server)
  const rows = documented()
  assert.deepEqual([...rows.keys()].filter((name) => !staged.expected.some(([known]) => known === name)), [])
  assert.ok(rows.size >= 10, String(rows.size))
  // The slowest begins first.
  const asked = [...rows].filter(([name, cells]) => cells[2] !== "–" && (process.env["XMPP_DNA_TESTSSL"] === "all" || name === "expired"))
  const bySlowest = peerMissing("testssl") === false ? Promise.all(asked.map(([name]) => testssl(domainOf(name as Case), address, roots))) : undefined
  const configured = await prosodyctl(server.config)
  for (const [name, [check, byOpenssl, byTestssl, byProsodyctl, why]] of rows)
    await t.test(name, async () => {
      const domain = domainOf(name as Case)
      const result = await staged.look(name as Case)
      const tlsa = name.startsWith("dane-") ? await tlsaOf(staged, name as Case) : []
      assert.equal(tlsa.length, name.startsWith("dane-") ? 1 : 0)
      assert.deepEqual([told(result), await openssl(domain, server.s2s, roots, tlsa), configured(domain)], [check, byOpenssl, byProsodyctl])
      assert.ok((why ?? "") !== "" && (byTestssl ?? "") !== "")
    })

  await t.test("prosodyctl check dns says of the address that nobody answers at that it is not this machine's", async () => {
    const { out } = await run("/usr/bin/prosodyctl", ["--config", server.config, "check", "dns"], 20_000)
    assert.match(out, /xmpp\.dead-ipv6\.example AAAA record points to unknown address ::1/)
  })

  await t.test("testssl", { skip: peerMissing("testssl") }, async () => {
    assert.deepEqual(await bySlowest, asked.map(([, cells]) => cells[2]))
    peerUsed("testssl")
  })
  peerUsed("prosody")
  peerUsed("openssl")
})
