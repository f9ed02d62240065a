// What the commands print with --json fits the published schemas, and has no member that they do not name; one document, on mistakes too.
import assert from "node:assert/strict"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, describe, it } from "node:test"
import { type Inspector, inspector } from "../inspect/support.ts"
import { faultsOf } from "../json-schema.ts"
import { type Ended, together } from "./command.ts"

const root = join(import.meta.dirname, "../..")
const published = (name: string): Record<string, unknown> => JSON.parse(readFileSync(join(root, `schema/${name}.json`), "utf8"))
const folder = mkdtempSync(join(tmpdir(), "schemas-"))
const at = (name: string): string => join(folder, name)

function fits(name: string, text: string): void {
  assert.deepEqual(faultsOf(published(name), JSON.parse(text), { closed: true }), [], `${name}: ${text.slice(0, 500)}`)
}

let lab: Inspector
let network: string[]

before(async () => {
  lab = await inspector()
  const { net } = lab
  await net.addServer({ domain: "chat.example", zone: { targets: [{ name: "xmpp.chat.example", tlsa: [{ usage: 3, selector: 1, matching: 1 }] }] } })
  await net.addServer({ domain: "shop.example", certificate: { from: "lab", names: ["landlord.example"] }, zone: { signed: false, targets: [{ name: "xmpp.landlord.example" }] } })
  net.dns.misbehave("_xmpp-server._tcp.mute.example", "servfail")
  writeFileSync(at("ca.pem"), net.authority.certificate.pem)
  writeFileSync(at("root.txt"), net.signed.zones.anchorText)
  for (const name of ["one", "two"]) writeFileSync(at(`${name}.pem`), net.authority.issue({ names: { dns: ["x.host.example"] } }).chainPem)
  network = ["--resolver", `${net.dns.address}:${net.dns.port}`, "--dns-anchors", at("root.txt"), "--ca-file", at("ca.pem"), "--allow", "127.0.0.0/8", "--allow", "::1/128", "--allow", "example", "--https-port", String(net.webAt.port)]
})

after(async () => {
  await lab.close()
  rmSync(folder, { recursive: true })
})

// Each is a process of its own, which mostly waits.
describe("outputs", { concurrency: true }, () => {
  it("of check, and the evidence it keeps", async () => {
    const domains = ["chat.example", "shop.example", "mute.example", "nobody.example"]
    const [whole, lines] = (await together([
      ["check", ...network, "--json", "--service", "both", "--evidence", at("kept"), ...domains],
      ["check", ...network, "--jsonl", ...domains],
    ], folder)) as [Ended, Ended]
    assert.deepEqual([whole.status, lines.status], [2, 2])
    fits("check", whole.out)
    const each = lines.out.trimEnd().split("\n")
    assert.equal(each.length, domains.length)
    for (const line of each) fits("check-line", line)
    const kept = readdirSync(at("kept"))
    assert.ok(kept.length >= 2)
    for (const file of kept) fits("evidence", readFileSync(join(at("kept"), file), "utf8"))
  })

  it("of watch, posh, tlsa and dns", async () => {
    const asks = network.slice(0, network.indexOf("--https-port"))
    const { address, port } = lab.net.dns
    const place = ["--host", "x.host.example"]
    const lines: readonly (readonly [schema: string, status: number, line: readonly string[]])[] = [
      ["watch", 0, ["watch", ...network, "--rounds", "1", "--jsonl", "shop.example"]],
      ["posh", 0, ["posh", at("one.pem"), "--json"]],
      ["posh", 0, ["posh", at("one.pem"), "--instructions", "caddy", "--for", "shop.example", "--json"]],
      ["posh-verify", 2, ["posh", "verify", ...network, "chat.example", "--cert", at("one.pem"), "--json"]],
      ["tlsa", 0, ["tlsa", ...place, at("one.pem"), at("two.pem"), "--json"]],
      ["mistake", 3, ["tlsa", "--for", "mute.example", ...asks.filter((_, index) => ![4, 5].includes(index)), at("one.pem"), "--json"]],
      ["tlsa-rollover", 0, ["tlsa", "rollover", ...place, "--current", at("one.pem"), "--next", at("two.pem"), "--authoritative", `${address}:${port}`, ...asks, "--json"]],
      ["dns", 0, ["dns", "shop.example", "--server", "x.host.example", "--client", "none", "--cert", at("one.pem"), "--caa", "ca.example", "--json"]],
    ]
    const ended = await together(lines.map(([, , line]) => line), folder)
    lines.forEach(([schema, status, line], index) => {
      const { out, err, status: got } = ended[index] as Ended
      assert.equal(got, status, `${line.join(" ")}: ${out}${err}`)
      assert.notEqual(out, "", line.join(" "))
      for (const each of schema === "watch" ? out.trimEnd().split("\n") : [out]) fits(schema, each)
    })
  })

  it("of lab: the list, and what was played", async () => {
    const [list, played] = (await together([["lab", "--list", "--json"], ["lab", "--once", "--json", "no-client-certificate", "wrong-name"]], folder)) as [Ended, Ended]
    fits("lab-list", list.out)
    fits("lab", played.out)
    assert.equal(played.status, 0)
  })

  it("of judge, explain and schema, and of mistakes", async () => {
    const evidence = (name: string): string => join(root, "test/evidence", name)
    const anchors = ["--anchors", evidence("roots.pem"), "--anchors", evidence("posh-roots.pem")]
    const altered = JSON.parse(readFileSync(evidence("pkix.json"), "utf8"))
    altered.items[0].verdict = { outcome: "refuted", by: "pkix", finding: "cert.expired", detail: "" }
    writeFileSync(at("altered.json"), JSON.stringify(altered))
    const named = (words: string) => (line: readonly string[]): readonly string[] => [words, ...line]
    const judged = [...["pkix", "dane-mismatch", "dane-not-signed", "posh-redirect", "posh-not-published"].map((name) => [...anchors, evidence(`${name}.json`)]), [...anchors, at("altered.json")], [evidence("pkix.json")]]
    const explained = [["dane.mismatch"], ["unsupported", "certificate", "purpose"], ["--list"], ["qwertz"]]
    const mistaken = [["check"], ["check", "not a domain"], ["check", "--expect", "love", "a.example"], ["explain"], ["judge", at("none.json")], ["posh", at("none.pem")], ["tlsa"]]
    const lines = [...judged.map(named("judge")), ...explained.map(named("explain")), ...mistaken]
    const ended = await together([...lines.map((line) => [...line, "--json"]), ["schema"], ["schema", "check"], ["schema", "chek"]], folder)
    lines.forEach((line, index) => {
      const { status, out } = ended[index] as Ended
      fits(status === 64 ? "mistake" : (line[0] ?? ""), out)
    })
    const results = ended.slice(0, judged.length).map(({ out }) => (JSON.parse(out) as { items: { result: string }[] }).items[0]?.result)
    assert.deepEqual([...new Set(results)].sort(), ["cannot-judge", "different", "same"])
    assert.deepEqual(ended.slice(judged.length, lines.length).map(({ status }) => status), [0, 0, 0, 3, ...mistaken.map(() => 64)])

    const [list, one, wrong] = ended.slice(lines.length) as [Ended, Ended, Ended]
    assert.deepEqual(list.out.trimEnd().split("\n").map((line) => `${line.split(" ")[0]}.json`).sort(), readdirSync(join(root, "schema")).sort())
    assert.equal(one.out, readFileSync(join(root, "schema/check.json"), "utf8"))
    assert.equal(wrong.err, 'xmpp-dna: there is no schema "chek". Did you mean check? `xmpp-dna schema` lists them.\n')
    assert.deepEqual([list.status, one.status, wrong.status], [0, 0, 64])
  })
})
