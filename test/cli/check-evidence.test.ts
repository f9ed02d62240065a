// What `check --evidence` writes: whole files of its own, over nobody's and through nobody's link, sealed on request (security.md 25).
import assert from "node:assert/strict"
import { generateKeyPairSync } from "node:crypto"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, test } from "node:test"
import { evidencePlace, keep } from "../../src/cli/check-evidence.ts"
import type { Inspection, InspectQuestion } from "../../src/inspect/question.ts"
import type { EvidenceFile } from "../../src/model/evidence.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { type Documented, documented } from "../docs/world.ts"
import { type Commands, commands, type Ended } from "./command.ts"

const folder = mkdtempSync(join(tmpdir(), "check-evidence-"))
const at = (name: string): string => join(folder, name)
const write = (name: string, text: string): string => {
  writeFileSync(at(name), text, { mode: 0o600 })
  return at(name)
}
const only = (name: string): string => join(at(name), readdirSync(at(name))[0] ?? "")
let lab: Documented
let one: Commands

before(async () => {
  lab = await documented(folder)
  one = await commands(folder, lab.environment)
})
after(async () => {
  await one.close()
  await lab.net.close()
  rmSync(folder, { recursive: true })
})

test("sealed with --seal, so that a change shows; without it one that fits does not", async () => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519")
  const key = write("seal.key", privateKey.export({ type: "pkcs8", format: "pem" }) as string)
  const name = write("seal.pub", publicKey.export({ type: "spki", format: "pem" }) as string)
  await one.run("check", "-q", "--evidence", at("sealed"), "--seal", key, "shop.example")
  await one.run("check", "-q", "--evidence", at("bare"), "shop.example")
  const judge = (file: string, ...more: readonly string[]): Promise<Ended> => one.run("judge", "--anchors", at("ca.pem"), "--dns-anchors", at("root.txt"), ...more, file)
  const good = await judge(only("sealed"), "--key", name)
  assert.equal(good.status, 0)
  assert.match(good.out, /nobody\s+has\s+changed\s+the\s+file\s+since/)
  for (const kept of ["sealed", "bare"]) {
    const file = JSON.parse(readFileSync(only(kept), "utf8")) as EvidenceFile
    writeFileSync(only(kept), JSON.stringify({ ...file, recorded: "2020-01-01T00:00:00.000Z" }))
  }
  assert.equal((await judge(only("sealed"), "--key", name)).status, 2)
  const bare = await judge(only("bare"))
  assert.equal(bare.status, 0)
  assert.match(bare.out, /The\s+file\s+is\s+unsealed/)
})

test("attack: links and files that lie there before us, and a folder that is a link", async () => {
  const { items } = JSON.parse(readFileSync(new URL("../evidence/pkix.json", import.meta.url), "utf8")) as EvidenceFile
  const started = "2030-01-01T00:00:00.000Z"
  const name = "2030-01-01T00-00-00-000Z-out-shop.example-xmpp-server"
  const inspection = { result: { started, service: "xmpp-server", level: "authenticated", findings: [] }, evidence: () => items } as unknown as Inspection
  const question: InspectQuestion = { domain: parseDomain("shop.example"), service: "xmpp-server", expect: "authenticated" }
  const victim = write("victim", "precious")
  mkdirSync(at("shared"))
  const laid = join(at("shared"), `${name}.evidence.json`)
  symlinkSync(victim, laid)
  // As files are usually written the link is followed.
  writeFileSync(laid, "lost")
  assert.equal(readFileSync(victim, "utf8"), "lost")

  writeFileSync(victim, "precious")
  const foreign = join(at("shared"), `${name}-2.evidence.json`)
  writeFileSync(foreign, "mine")
  const place = await evidencePlace(`${at("shared")}/`, undefined)
  await keep(place, question, inspection)
  await keep(place, question, inspection)
  assert.deepEqual([readFileSync(victim, "utf8"), readFileSync(foreign, "utf8")], ["precious", "mine"])
  assert.deepEqual(readdirSync(at("shared")).sort(), ["-2", "-3", "-4", ""].map((number) => `${name}${number}.evidence.json`).sort())
  for (const number of [3, 4]) {
    const path = join(at("shared"), `${name}-${number}.evidence.json`)
    assert.equal(statSync(path).mode & 0o777, 0o600)
    assert.equal((JSON.parse(readFileSync(path, "utf8")) as EvidenceFile).recorded, started)
  }

  symlinkSync(at("shared"), at("link"))
  for (const spelt of [at("link"), `${at("link")}/`]) {
    const { status, err } = await one.run("check", "-q", "--evidence", spelt, "shop.example")
    assert.equal(status, 64)
    assert.match(err, /is a link: name the folder itself/)
  }
})
