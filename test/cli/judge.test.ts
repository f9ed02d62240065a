// `judge` as its user meets it: the verdict, the difference, the seal and what may be said, on 80 columns (security.md 25, 26).
import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, test } from "node:test"
import { fileURLToPath } from "node:url"
import type { EvidenceFile } from "../../src/model/evidence.ts"
import { sealEvidence, sealKeyFromSeed, sealKeyName } from "../../src/proof/seal.ts"

const command = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))
const golden = fileURLToPath(new URL("../evidence/", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "judge-"))
after(() => rmSync(folder, { recursive: true }))

const key = sealKeyFromSeed(new Uint8Array(32).fill(7))
const keyFile = join(folder, "seal.pem")
writeFileSync(keyFile, key.export({ format: "pem", type: "pkcs8" }), { mode: 0o600 })
const sealed = sealEvidence(JSON.parse(readFileSync(join(golden, "pkix.json"), "utf8")) as EvidenceFile, key)
function written(name: string, file: unknown): string {
  writeFileSync(join(folder, name), JSON.stringify(file))
  return join(folder, name)
}
const path = written("sealed.json", sealed)

function judge(...args: readonly string[]): Promise<{ readonly status: number; readonly out: string }> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [command, "judge", "--anchors", join(golden, "roots.pem"), ...args], { timeout: 20_000 }, (error, out, err) => {
      if (error !== null && typeof error.code !== "number") return reject(error)
      if (err !== "") return reject(new Error(err))
      resolve({ status: error === null ? 0 : Number(error.code), out })
    })
  })
}

test("the same verdict, sealed, as documented", async () => {
  const { status, out } = await judge("--key", keyFile, path)
  assert.equal(status, 0)
  const page = readFileSync(fileURLToPath(new URL("../../docs/evidence.md", import.meta.url)), "utf8")
  assert.ok(page.includes(`refusal.json\n${out}\`\`\``), `docs/evidence.md shows:\n${out}`)
})

test("each way a file can fail has its words and its status", async () => {
  const rows: readonly (readonly [string, readonly string[], number, RegExp])[] = [
    ["another moment: the difference is shown", ["--at", "2040-01-01", path], 2, /OTHER VERDICT[\s\S]*recorded {2}proved until 2036-\S+\n {2}now {7}refuted \[cert\.expired\]: the certificate of CN=a\.example expired/],
    ["its end", ["--at", "2040-01-01", path], 2, /The evidence\s+does not support what was recorded\./],
    ["tampered", [written("tampered.json", { ...sealed, sentence: "another one" })], 2, /The seal is broken: the file was changed after it was sealed\./],
    ["sealed by whoever", [path], 0, /which --key does not name:\s+whoever changed the file may have sealed it/],
    ["sealed by somebody else", ["--key", sealKeyName(sealKeyFromSeed(new Uint8Array(32))), path], 3, /key\s+that\s+was\s+named\s+did\s+not\s+seal\s+it/],
    ["unsealed", [join(golden, "pkix.json")], 0, /The file is unsealed: changes that fit\s+together would not show\./],
    ["the seal taken off", ["--key", keyFile, join(golden, "pkix.json")], 3, /whether\s+it\s+was\s+changed\s+cannot\s+be\s+told/],
    ["roots that are not here", [join(golden, "posh-direct.json")], 3, /cannot judge\n[\s\S]*name their file with\s+--anchors[\s\S]*Not everything could be judged/],
  ]
  const ended = await Promise.all(rows.map(async (row) => ({ row, ...(await judge(...row[1])) })))
  for (const { row, status, out } of ended) {
    assert.equal(status, row[2], `${row[0]}: ${out}`)
    assert.match(out, row[3], row[0])
    for (const line of out.split("\n")) assert.ok(line.length <= 80 || !line.trim().includes(" "), line)
  }
})

test("--json says the same to machines", async () => {
  const { status, out } = await judge("--json", "--key", keyFile, "--at", "2040-01-01", path)
  const said = JSON.parse(out) as Record<string, unknown> & { items: Record<string, unknown>[] }
  assert.deepEqual([status, said["exit"], said["sealed"], said["decision"]], [2, 2, true, { result: "contradicted", sentence: "The file says that the domain was authenticated; its proofs do not." }])
  assert.deepEqual(Object.keys(said.items[0]!).sort(), ["at", "claim", "facts", "from", "now", "prooftype", "recorded", "result", "sentence", "source"])
})
