// Attacks on `judge` by whoever writes the file (security.md 9, 25): each works against a weakened copy and fails against ours.
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, test } from "node:test"
import { decodeMessage, encodeMessage } from "../../src/dns/message.ts"
import { typeNumbers } from "../../src/dns/records.ts"
import { SignedTree } from "../../src/lab/dns-signed-tree.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { groundOf } from "../../src/model/endpoint.ts"
import type { Evidence, EvidenceFile } from "../../src/model/evidence.ts"
import type { ReferenceIdentity } from "../../src/model/verdict.ts"
import { dane } from "../../src/proof/dane.ts"
import { reviveDane } from "../../src/proof/dane-material.ts"
import { type JudgeOptions, type Judgement, judge, readEvidenceFile } from "../../src/proof/judge.ts"
import { pkix } from "../../src/proof/pkix.ts"
import type { AnyProoftype } from "../../src/proof/prooftype.ts"
import { canonicalJson, sealEvidence, sealKeyFromSeed, sealKeyName } from "../../src/proof/seal.ts"
import { anchorSet } from "../../src/x509/anchors.ts"
import { imports, views } from "../architecture/source.ts"
import { match } from "../../src/proof/prove.ts"
import { a, outgoing, publicAnchors, shownBy, signedZone } from "../proof/dane-support.ts"
import { leaf, promise, record, records, resolverFor, validity, zones } from "../proof/signed-evidence.ts"
import { day, issued, now, own, publicRoot, strangerRoot } from "../proof/tlsa-support.ts"

const us = parseDomain("us.example")
const pair = { sender: us, target: a }
const claimed = { outcome: "proved", by: "", detail: "", until: now + day } as const

function fileOf(items: readonly unknown[]): EvidenceFile {
  const recorded = new Date(now).toISOString()
  return readEvidenceFile(JSON.stringify({ evidence: 1, tool: { name: "xmpp-dna", version: "0" }, recorded, direction: "out", pair, decision: "associated", level: "authenticated", finding: null, sentence: "", items }))
}
function judged(item: unknown, prooftypes: readonly AnyProoftype[] = [pkix, dane], more: Partial<JudgeOptions> = {}): Judgement {
  return judge(fileOf([item]), { prooftypes, anchors: [publicAnchors], ...more })
}

/** What was honestly recorded of a connection to a.example that showed this chain. */
function recordedPkix(chain: readonly Uint8Array[], at = now): Evidence {
  const subject = { source: a, service: "xmpp-server", role: "outgoing", endpoint: undefined } as const
  return match([{ prooftype: pkix, material: { anchors: publicAnchors } }], subject, shownBy(chain), at).evidence(pair)[0]!
}

/** What a judge makes of the file alone: the verdict is confirmed. */
const taken = ({ exit, items }: Judgement): boolean => exit === 0 && items[0]!.now?.outcome === "proved"

test("attack: forged anchors: the attacker's own root, named and brought along by the file", () => {
  const chain = [...issued(strangerRoot, a).chain, strangerRoot.certificate.der]
  const roots = anchorSet([strangerRoot.certificate.der])
  const item = { ...recordedPkix(chain), verdict: { ...claimed, by: "pkix" }, material: { anchors: { digest: roots.digest, count: 1, pem: strangerRoot.certificate.pem } } }
  const believing: AnyProoftype = { ...pkix, revive: () => ({ material: { anchors: roots } }) }
  assert.ok(taken(judged(item, [believing])), "red: whoever takes anchors from the file")
  const { items, exit } = judged(item)
  assert.deepEqual([items[0]!.result, exit], ["cannot-judge", 3])
  assert.match(items[0]!.sentence, /trust anchors .* are not known here/)
  const honest = judged({ ...item, material: { anchors: { digest: publicAnchors.digest, count: 1 } } })
  assert.deepEqual([honest.items[0]!.result, honest.exit], ["different", 2], "under our own anchors it is no proof")
})

test("attack: forged reference: the file says which names were looked for", () => {
  const item = recordedPkix(issued(publicRoot, "attacker.example").chain)
  const accept: ReferenceIdentity["accept"] = [{ type: "DNS-ID", value: "attacker.example", because: "source" }]
  const forged = { ...item, reference: { ...item.reference, accept }, verdict: { ...claimed, by: "pkix" } }
  const believing: AnyProoftype = { ...pkix, match: (proof, material, reference, at) => pkix.match(proof, material as never, { ...reference, accept: forged.reference.accept }, at) }
  assert.ok(taken(judged(forged, [believing])), "red: whoever reads the reference")
  assert.deepEqual([judged(forged).items[0]!.result, judged(forged).exit], ["different", 2])
  const delegated = { ...forged, reference: { ...item.reference, accept: [{ ...accept[0], because: "secure-delegation" }] } }
  assert.deepEqual([judged(delegated).items[0]!.result, judged(delegated).exit], ["cannot-judge", 3])
})

test("attack: another's proof: a file that names one domain, and holds the proof of another", () => {
  const options = { prooftypes: [pkix], anchors: [publicAnchors] }
  const honest = fileOf([recordedPkix(issued(publicRoot, a).chain)])
  assert.deepEqual([judge(honest, options).exit, judge(honest, options).decision.result], [0, "supported"])
  const victims = [{ sender: us, target: "victim.example" }, { sender: "victim.example", target: a }, undefined]
  for (const victim of victims) {
    const { exit, items, decision } = judge(readEvidenceFile(JSON.stringify({ ...honest, pair: victim })), options)
    assert.equal(items[0]!.result, "same", "red: whoever asks the items alone")
    assert.deepEqual([exit, decision.result], [2, "contradicted"])
    assert.match(decision.sentence, /none of its proofs is about/)
  }
  assert.equal(judge({ ...honest, direction: "in" }, options).exit, 2, "nor is the proof of whom we connected to one of who connected to us")
})

test("attack: backdated: an expired certificate, recorded today, moved to a time when it was good", () => {
  const key = sealKeyFromSeed(new Uint8Array(32).fill(3))
  const ended = recordedPkix(issued(publicRoot, a, { notBefore: now - day / 2, notAfter: now - day / 4 }).chain)
  assert.equal(ended.verdict.outcome, "refuted")
  const honest = { ...fileOf([ended]), decision: "refused", level: null } as const
  const sealed = sealEvidence(honest, key)
  const at = new Date(now - day / 3).toISOString()
  const backdated = JSON.stringify({ ...sealed, recorded: at, decision: "associated", level: "authenticated", items: [{ ...ended, at, verdict: { ...claimed, by: "pkix" } }] })
  const options = { prooftypes: [pkix], anchors: [publicAnchors] }
  const { seal: _, ...bare } = JSON.parse(backdated) as EvidenceFile
  const unsealed = judge(readEvidenceFile(JSON.stringify(bare)), options)
  assert.ok(taken(unsealed), "red: without a seal nothing shows it")
  assert.match(unsealed.items[0]!.sentence, /if these recorded facts are true: .*the time of recording/, "and that is what is said")
  assert.match(unsealed.seal.sentence, /unsealed: changes that fit together would not show/)
  const named = { ...options, sealKeys: [sealKeyName(key)] }
  assert.equal(judge(readEvidenceFile(backdated), options).exit, 2, "the broken seal is seen without a key")
  assert.equal(judge(readEvidenceFile(backdated), named).exit, 2)
  assert.equal(judge(readEvidenceFile(JSON.stringify(bare)), named).exit, 3, "nor may it be taken off")
  const stranger = sealEvidence(bare as EvidenceFile, sealKeyFromSeed(new Uint8Array(32).fill(4)))
  assert.equal(judge(readEvidenceFile(JSON.stringify(stranger)), named).exit, 3, "nor be another's")
  const good = judge(readEvidenceFile(JSON.stringify(sealed)), named)
  assert.deepEqual([good.exit, good.sealed, good.items[0]!.result], [0, true, "same"])
})

describe("dropped NSEC: absence without its proof", () => {
  // The domain's SRV leads to its host. An old server's TLSA record still stands beside the domain's own address.
  const old = own()
  const tree = new SignedTree({ validity, zones: zones(undefined, { ...records, "a.example": { A: ["127.0.0.9"] }, "_5269._tcp.a.example": promise(old.der), "_5269._tcp.host.example": promise(leaf.der) }) })
  const dnsAnchors = [tree.anchors()]
  const without = (wire: readonly string[], types: readonly number[]): string[] =>
    wire.map((text) => {
      const message = decodeMessage(Buffer.from(text, "base64"))
      const [answers, authorities] = [message.answers, message.authorities].map((section) => section.filter(({ type }) => !types.includes(type)))
      return Buffer.from(encodeMessage({ ...message, answers: answers!, authorities: authorities! })).toString("base64")
    })
  /** As if there were no SRV record, so that the old server's record counts (security.md 6). */
  const forge = async (): Promise<unknown> => {
    const resolver = resolverFor(tree)
    const [plain, direct, address, none, tlsa] = await Promise.all([
      resolver.resolve("_xmpp-server._tcp.a.example", "SRV", {}),
      resolver.resolve("_xmpps-server._tcp.a.example", "SRV", {}),
      resolver.resolve("a.example", "A", {}),
      resolver.resolve("a.example", "AAAA", {}),
      resolver.resolve("_5269._tcp.a.example", "TLSA", {}),
    ])
    const stripped = { ...groundOf(plain), outcome: "no-data", wire: without(plain.wire ?? [], [typeNumbers.SRV, typeNumbers.NSEC]) }
    const [honest] = await record("outgoing", { of: tree })
    const material = {
      ...(honest!.material as object),
      endpoint: { via: "fallback", target: a, port: 5269, delegation: "secure", addresses: "secure" },
      grounds: [stripped, groundOf(direct), groundOf(address), groundOf(none)],
      tlsa: [{ ...groundOf(tlsa), of: "server", base: a, port: 5269, records: tlsa.records, problem: null }],
    }
    const chain = old.chain.map((der) => Buffer.from(der).toString("base64"))
    return { ...honest, pair, proof: { ...honest!.proof, chain }, material, verdict: { ...claimed, by: "dane" } }
  }

  test("attack: an SRV record is hidden, so that a forgotten TLSA record proves the attacker's server", async () => {
    const item = await forge()
    const believing: AnyProoftype = { ...dane, revive: (material, known) => reviveDane(material, known) }
    assert.ok(taken(judged(item, [believing], { dnsAnchors })), "red: whoever takes the word for the absence")
    const { items, exit } = judged(item, [dane], { dnsAnchors })
    assert.deepEqual([items[0]!.result, exit], ["cannot-judge", 3])
    assert.match(items[0]!.sentence, /messages for _xmpp-server\._tcp\.a\.example SRV do not show it to be secure/)
  })

  test("attack: with the messages away altogether it is the recorder's word, and never called signed", async () => {
    const item = (await forge()) as { material: { grounds: Record<string, unknown>[] } }
    delete item.material.grounds[0]!["wire"]
    const { items } = judged(item, [dane], { dnsAnchors })
    const [absence] = items[0]!.facts.filter(({ fact }) => fact.includes("_xmpp-server._tcp.a.example SRV no-data"))
    assert.equal(absence?.mark, "attested")
    assert.match(items[0]!.sentence, /if these recorded facts are true: .*_xmpp-server\._tcp\.a\.example SRV no-data/)
  })
})

test("attack: nesting bomb: brackets that bring a reader down are counted before anything reads them", () => {
  const bomb = `{"evidence":1,"items":${"[".repeat(200_000)}${"]".repeat(200_000)}}`
  assert.throws(() => canonicalJson(JSON.parse(bomb)), RangeError, "red: whoever parses first and walks then")
  const before = performance.now()
  assert.throws(() => readEvidenceFile(bomb), /nested deeper than 32/)
  assert.ok(performance.now() - before < 1000)
})

test("attack: forged conclusion: honest items under a heading that they do not carry", () => {
  const item = recordedPkix(own().chain)
  assert.equal(item.verdict.outcome, "refuted")
  const { items, decision, exit } = judged(item)
  assert.equal(items[0]!.result, "same", "red: whoever looks at the items alone calls the file supported")
  assert.deepEqual([decision.result, exit], ["contradicted", 2])
  const refused = judge({ ...fileOf([item]), decision: "refused", level: null }, { prooftypes: [pkix], anchors: [publicAnchors] })
  assert.deepEqual([refused.decision.result, refused.exit], ["not-judged", 0])
})

test("attack: a binding refutation beside a proof: the file's own proofs, weighed, do not authenticate", async () => {
  const good = issued(publicRoot, a)
  const { tried } = await outgoing(signedZone({ "_5269._tcp.host.example TLSA": { records: [{ usage: 3, selector: 1, matching: 1, association: "00".repeat(32) }] } }), good.chain)
  const subject = { source: a, service: "xmpp-server", role: "outgoing", endpoint: tried[0]!.endpoint } as const
  const proven = match([{ prooftype: pkix, material: { anchors: publicAnchors } }, { prooftype: dane, material: tried[0]!.material }], subject, shownBy(good.chain), now)
  assert.equal(proven.combined.outcome, "stop")
  const { items, decision, exit } = judge(fileOf(proven.evidence({ sender: a, target: a })), { prooftypes: [pkix, dane], anchors: [publicAnchors] })
  assert.deepEqual([items.map(({ result }) => result), decision.result, exit], [["same", "same"], "contradicted", 2])
})

test("judged evidence creates nothing: what `judge` is made of cannot reach associations, memories or the network", () => {
  const root = join(import.meta.dirname, "../..")
  const seen = new Set<string>()
  const queue = ["src/proof/judge.ts", "src/proof/registry.ts"]
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (seen.has(path)) continue
    seen.add(path)
    for (const { specifier, typeOnly } of imports(views(readFileSync(join(root, path), "utf8")))) {
      if (!typeOnly && specifier.startsWith(".")) queue.push(join(path, "..", specifier))
    }
  }
  assert.ok(seen.size > 30, String(seen.size))
  assert.deepEqual([...seen].filter((path) => !/^src\/(?:model|dns|x509|proof)\//.test(path)), [])
})
