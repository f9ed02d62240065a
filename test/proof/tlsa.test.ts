// TLSA records: usability, digest agility, and matching of every usage, selector and matching type (DANE-15 to DANE-25).
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import * as der from "../../src/lab/der-writer.ts"
import { generateKey, selfSigned } from "../../src/lab/certificate-authority.ts"
import type { TlsaRecord } from "../../src/model/dns-answer.ts"
import { matchTlsa, selectTlsa, type TlsaPolicy, type TlsaQuestion } from "../../src/proof/tlsa.ts"
import { anchorSet } from "../../src/x509/anchors.ts"
import { day, issued, middle, names, now, own, publicRoot, root, spoilt, strangerRoot, tlsa } from "./tlsa-support.ts"

const all: TlsaPolicy = { usages: [3, 2, 1, 0], digests: [2, 1] }
const publicAnchors = anchorSet([publicRoot.certificate.der])

function ask(records: readonly TlsaRecord[], chain: readonly Uint8Array[], more: Partial<TlsaQuestion> = {}): string {
  const result = matchTlsa(selectTlsa(records, all).usable, { chain, accept: names("a.example"), at: now, anchors: publicAnchors, ...more })
  return result.matched ? result.detail : result.reason
}

const everyKind = [3, 2, 1, 0].flatMap((usage) => [0, 1].flatMap((selector) => [0, 1, 2].map((matching) => `${usage} ${selector} ${matching}`)))

test("every usage, selector and matching type fits what it was made of, and nothing else (DANE-24)", () => {
  const sub = publicRoot.intermediate({ commonName: "Public Middle" })
  for (const kind of everyKind) {
    const usage = Number(kind[0])
    const leaf = usage === 3 ? own() : usage === 2 ? issued(middle, "a.example") : issued(sub, "a.example")
    const authority = usage === 2 ? middle : sub
    const named = usage % 2 === 1 ? leaf.der : authority.certificate.der
    const record = tlsa(named, kind)
    assert.match(ask([record], leaf.chain), new RegExp(`-(EE|TA) ${kind}`), kind)
    if (kind !== "2 0 0" && kind !== "0 0 0") assert.equal(ask([spoilt(record)], leaf.chain), spoiltReason(kind), `${kind} with one digit changed`)
    const other = usage % 2 === 1 ? issued(strangerRoot, "a.example") : issued(strangerRoot.intermediate({ commonName: "Elsewhere" }), "a.example")
    assert.notEqual(ask([record], other.chain).slice(0, 4), "DANE", `${kind} with another chain`)
    assert.notEqual(ask([record], other.chain).slice(0, 4), "PKIX", `${kind} with another chain`)
  }
})

/**
 * A whole key of an authority that is not in the chain is searched for, and no path leads there. (In a whole certificate of
 * an authority the last digit is of a signature that nobody needs: the record itself is what is believed.)
 */
function spoiltReason(kind: string): string {
  return kind === "2 1 0" || kind === "0 1 0" ? "chain" : "mismatch"
}

test("DANE-15: with DANE-EE neither names nor dates, purposes, constraints, signature nor issuer count", () => {
  const leaves = [
    own({ names: {}, commonName: "nobody" }),
    own({ names: { dns: ["b.example"] } }),
    own({ notBefore: now - 90 * day, notAfter: now - day }),
    own({ notBefore: now + day, notAfter: now + 90 * day }),
    own({ eku: ["clientAuth"] }),
    own({ eku: ["serverAuth"] }),
    own({ eku: ["emailProtection"], keyUsage: ["cRLSign"] }),
    own({ ca: true }),
    own({ mutate: { signature: "flip" } }),
    own({ extensions: [{ oid: "1.3.6.1.4.1.55555.1", critical: true, value: der.nullValue() }] }),
    issued(strangerRoot, "a.example"),
  ]
  for (const [index, leaf] of leaves.entries()) {
    for (const kind of ["3 1 1", "3 0 1", "3 1 2", "3 0 0", "3 1 0"]) assert.equal(ask([tlsa(leaf.der, kind)], leaf.chain), `DANE-EE ${kind}`, `${index} ${kind}`)
  }
})

test("DANE-15: a key is found in a certificate that is no good for anything else", () => {
  // A GeneralizedTime that no profile allows, two equal extensions: our reader of whole certificates refuses them.
  const odd = own({
    mutate: {
      rewrite: (parts) => {
        parts.extensions.push(parts.extensions[0]!)
      },
    },
  })
  assert.equal(ask([tlsa(odd.der, "3 1 1")], [odd.der]), "DANE-EE 3 1 1")
  assert.equal(ask([tlsa(odd.der, "3 0 1")], [odd.der]), "DANE-EE 3 0 1")
  assert.equal(ask([tlsa(own().der, "3 1 1")], [odd.der]), "mismatch")
  assert.equal(ask([tlsa(own().der, "3 1 1")], [Buffer.from("3000", "hex")]), "mismatch")
  assert.equal(ask([tlsa(own().der, "3 1 1")], [new Uint8Array(0)]), "mismatch")
})

test("DANE-EE looks at the leaf alone, DANE-TA never at it", () => {
  const leaf = issued(middle, "a.example")
  assert.equal(ask([tlsa(middle.certificate.der, "3 1 1")], leaf.chain), "mismatch")
  assert.equal(ask([tlsa(leaf.der, "2 1 1")], leaf.chain), "mismatch")
  const selfMade = own()
  assert.equal(ask([tlsa(selfMade.der, "2 1 1")], [selfMade.der]), "mismatch")
  assert.equal(ask([tlsa(selfMade.der, "2 1 1")], [selfMade.der, selfMade.der]), "chain", "a leaf shown twice is no authority either")
})

const authorityCases: [what: string, expected: string, records: () => TlsaRecord[], chain: () => readonly Uint8Array[], more?: Partial<TlsaQuestion>][] = [
  ["anchor in the chain, by certificate", "DANE-TA 2 0 1", () => [tlsa(root.certificate.der, "2 0 1")], () => [...issued(root, "a.example").chain, root.certificate.der]],
  ["anchor in the chain, by key", "DANE-TA 2 1 2", () => [tlsa(root.certificate.der, "2 1 2")], () => [...issued(root, "a.example").chain, root.certificate.der]],
  ["anchor is an intermediate, the root absent", "DANE-TA 2 1 1", () => [tlsa(middle.certificate.der, "2 1 1")], () => issued(middle, "a.example").chain],
  ["anchor above an intermediate", "DANE-TA 2 0 2", () => [tlsa(root.certificate.der, "2 0 2")], () => [...issued(middle, "a.example").chain, root.certificate.der]],
  ["anchor absent, as a hash: cannot be found", "mismatch", () => [tlsa(root.certificate.der, "2 0 1")], () => issued(middle, "a.example").chain],
  ["anchor absent, whole: 2 0 0", "DANE-TA 2 0 0", () => [tlsa(root.certificate.der, "2 0 0")], () => issued(middle, "a.example").chain],
  ["anchor absent, its key whole: 2 1 0", "DANE-TA 2 1 0", () => [tlsa(root.certificate.der, "2 1 0")], () => issued(middle, "a.example").chain],
  ["key whole, signs the leaf itself", "DANE-TA 2 1 0", () => [tlsa(root.certificate.der, "2 1 0")], () => issued(root, "a.example").chain],
  ["key whole, of somebody else", "chain", () => [tlsa(strangerRoot.certificate.der, "2 1 0")], () => issued(root, "a.example").chain],
  ["certificate whole, of somebody else", "chain", () => [tlsa(strangerRoot.certificate.der, "2 0 0")], () => issued(root, "a.example").chain],
  ["another name", "name", () => [tlsa(middle.certificate.der, "2 1 1")], () => issued(middle, "b.example").chain],
  ["no names", "name", () => [tlsa(middle.certificate.der, "2 1 1")], () => middle.issue({ names: {}, commonName: "a.example" }).chain],
  ["the name of the SRV target where it counts", "DANE-TA 2 1 1", () => [tlsa(middle.certificate.der, "2 1 1")], () => issued(middle, "host.example").chain, { accept: names("a.example", "host.example") }],
  ["expired leaf", "chain", () => [tlsa(middle.certificate.der, "2 1 1")], () => issued(middle, "a.example", { notBefore: now - 90 * day, notAfter: now - day }).chain],
  ["leaf not yet valid", "chain", () => [tlsa(middle.certificate.der, "2 1 1")], () => issued(middle, "a.example", { notBefore: now + day }).chain],
  ["key whole, expired leaf (DANE-18)", "chain", () => [tlsa(root.certificate.der, "2 1 0")], () => issued(root, "a.example", { notBefore: now - 90 * day, notAfter: now - day }).chain],
  ["leaf for clients only", "chain", () => [tlsa(middle.certificate.der, "2 1 1")], () => issued(middle, "a.example", { eku: ["clientAuth"] }).chain],
  ["forged leaf", "chain", () => [tlsa(middle.certificate.der, "2 1 1")], () => issued(middle, "a.example", { mutate: { signature: "flip" } }).chain],
  ["the anchor shown above a stranger's leaf", "chain", () => [tlsa(root.certificate.der, "2 0 1")], () => [...issued(strangerRoot, "a.example").chain, root.certificate.der]],
  ["a private authority that keeps no profile", "DANE-TA 2 1 1", () => [tlsa(middle.certificate.der, "2 1 1")], () => issued(middle, "a.example", { authorityKeyId: null }).chain],
]

for (const [what, expected, records, chain, more] of authorityCases) {
  test(`DANE-17, DANE-18: ${what}`, () => {
    const said = ask(records(), chain(), more ?? {})
    assert.equal(said.split(",")[0], expected)
  })
}

test("DANE-19: constraints of the authority in the record hold", () => {
  const narrow = root.intermediate({ commonName: "Narrow", pathLength: 0 })
  const below = narrow.intermediate({ commonName: "Below" })
  const deep = issued(below, "a.example")
  assert.equal(ask([tlsa(narrow.certificate.der, "2 0 1")], deep.chain), "chain", "path length")
  assert.equal(ask([tlsa(narrow.certificate.der, "2 0 0")], deep.chain.slice(0, 2)), "chain", "path length, the authority absent")
  assert.match(ask([tlsa(below.certificate.der, "2 0 1")], deep.chain), /^DANE-TA/)
  const fenced = root.intermediate({ commonName: "Fenced", nameConstraints: { permitted: { dns: ["b.example"] } } })
  assert.equal(ask([tlsa(fenced.certificate.der, "2 0 1")], issued(fenced, "a.example").chain), "chain", "name constraints")
  assert.equal(ask([tlsa(fenced.certificate.der, "2 0 0")], issued(fenced, "a.example").chain.slice(0, 1)), "chain", "name constraints, the authority absent")
  // A key has no constraints, where only the key was published and nothing else was shown.
  assert.match(ask([tlsa(fenced.certificate.der, "2 1 0")], issued(fenced, "a.example").chain.slice(0, 1)), /^DANE-TA/)
  assert.equal(ask([tlsa(fenced.certificate.der, "2 1 0")], issued(fenced, "a.example").chain), "chain", "shown, its certificate counts")
  const old = root.intermediate({ commonName: "Old", notBefore: now - 90 * day, notAfter: now - day })
  assert.equal(ask([tlsa(old.certificate.der, "2 0 1")], issued(old, "a.example").chain), "chain", "an expired authority")
  const noAuthority = own({ names: {}, commonName: "End" })
  const forgedBelow = selfSigned({ now, names: { dns: ["a.example"] } })
  assert.equal(ask([tlsa(noAuthority.der, "2 0 1")], [forgedBelow.der, noAuthority.der]), "chain", "an end certificate is no authority")
})

test("DANE-20: PKIX-EE needs the match and PKIX", () => {
  const good = issued(publicRoot, "a.example")
  const kind = "1 1 1"
  assert.match(ask([tlsa(good.der, kind)], good.chain), /^PKIX-EE/)
  const self = own()
  assert.equal(ask([tlsa(self.der, kind)], [self.der]), "chain", "self-signed")
  const old = issued(publicRoot, "a.example", { notBefore: now - 90 * day, notAfter: now - day })
  assert.equal(ask([tlsa(old.der, kind)], old.chain), "chain", "expired")
  const wrong = issued(publicRoot, "b.example")
  assert.equal(ask([tlsa(wrong.der, kind)], wrong.chain), "name")
  assert.equal(ask([tlsa(good.der, kind)], issued(publicRoot, "a.example").chain), "mismatch", "PKIX alone")
  assert.equal(ask([tlsa(good.der, kind)], good.chain, { anchors: undefined }), "chain", "without anchors")
})

test("DANE-21: PKIX-TA needs PKIX and an authority named in the records on the way", () => {
  const sub = publicRoot.intermediate({ commonName: "Public Sub" })
  const leaf = issued(sub, "a.example")
  for (const kind of ["0 0 1", "0 1 1", "0 1 0", "0 0 0"]) {
    assert.match(ask([tlsa(publicRoot.certificate.der, kind)], leaf.chain), /^PKIX-TA/, `${kind}: the local root`)
    assert.match(ask([tlsa(sub.certificate.der, kind)], leaf.chain), /^PKIX-TA/, `${kind}: an intermediate shown`)
  }
  // The record names the root, and an intermediate below it is locally trusted, the root is not.
  const pinned = { anchors: anchorSet([sub.certificate.der]) }
  assert.match(ask([tlsa(publicRoot.certificate.der, "0 0 1")], [...leaf.chain, publicRoot.certificate.der], pinned), /^PKIX-TA/)
  assert.equal(ask([tlsa(publicRoot.certificate.der, "0 0 1")], leaf.chain, pinned), "mismatch", "a root that is nowhere")
  const privately = issued(middle, "a.example")
  assert.equal(ask([tlsa(middle.certificate.der, "0 1 1")], privately.chain), "chain", "DANE alone is not enough")
  assert.equal(ask([tlsa(publicRoot.certificate.der, "0 0 1")], privately.chain), "chain")
  assert.equal(ask([tlsa(strangerRoot.certificate.der, "0 0 1")], [...leaf.chain, strangerRoot.certificate.der]), "chain", "PKIX alone is not enough")
  assert.equal(ask([tlsa(sub.certificate.der, "0 1 1")], issued(sub, "b.example").chain), "name")
})

test("one record that fits is enough, whatever stands beside it", () => {
  const leaf = issued(middle, "a.example")
  const wrong = [spoilt(tlsa(leaf.der, "3 1 1")), spoilt(tlsa(leaf.der, "3 0 1")), tlsa(strangerRoot.certificate.der, "2 0 1"), tlsa(leaf.der, "1 1 1")]
  assert.match(ask([...wrong, tlsa(middle.certificate.der, "2 1 1")], leaf.chain), /^DANE-TA 2 1 1/)
  assert.equal(ask([...wrong, tlsa(leaf.der, "3 1 1")], leaf.chain), "DANE-EE 3 1 1")
  assert.equal(ask(wrong, leaf.chain), "chain")
})

test("DANE-EE has no end of its own, an authority's match ends with the first certificate", () => {
  const leaf = issued(middle, "a.example", { notAfter: now + 3 * day })
  const at = (record: TlsaRecord) => {
    const result = matchTlsa(selectTlsa([record]).usable, { chain: leaf.chain, accept: names("a.example"), at: now })
    return result.matched ? result.until : undefined
  }
  assert.equal(at(tlsa(leaf.der, "3 1 1")), Number.POSITIVE_INFINITY)
  assert.equal(at(tlsa(middle.certificate.der, "2 1 1")), now + 3 * day)
})

const good = own()
const unusable: [what: string, record: TlsaRecord, reason: string][] = [
  ["unknown usage", { ...tlsa(good.der, "3 1 1"), usage: 77 }, "usage"],
  ["private usage", { ...tlsa(good.der, "3 1 1"), usage: 255 }, "usage"],
  ["usage that is switched off", tlsa(good.der, "1 1 1"), "usage-off"],
  ["unknown selector", { ...tlsa(good.der, "3 1 1"), selector: 2 }, "selector"],
  ["unknown matching type", { ...tlsa(good.der, "3 1 1"), matching: 3 }, "matching"],
  ["SHA-256 of 31 octets", { ...tlsa(good.der, "3 1 1"), association: "00".repeat(31) }, "length"],
  ["SHA-256 of 33 octets", { ...tlsa(good.der, "3 1 1"), association: "00".repeat(33) }, "length"],
  ["SHA-512 of 32 octets", { ...tlsa(good.der, "3 1 2"), association: "00".repeat(32) }, "length"],
  ["nothing", { ...tlsa(good.der, "3 1 1"), association: "" }, "malformed"],
  ["no hexadecimal", { ...tlsa(good.der, "3 1 1"), association: `${"0".repeat(63)}x` }, "malformed"],
  ["half an octet", { ...tlsa(good.der, "3 1 1"), association: "0".repeat(63) }, "malformed"],
  ["a certificate that is none", { ...tlsa(good.der, "3 0 0"), association: "3003020101" }, "malformed"],
  ["a certificate cut short", { ...tlsa(good.der, "2 0 0"), association: tlsa(good.der, "2 0 0").association.slice(0, -2) }, "malformed"],
  ["a key that is none", { ...tlsa(good.der, "3 1 0"), association: "3000" }, "malformed"],
  ["a certificate where a key belongs", { ...tlsa(good.der, "3 1 0"), association: tlsa(good.der, "3 0 0").association }, "malformed"],
]

for (const [what, record, reason] of unusable) {
  test(`DANE-22: unusable: ${what}`, () => {
    const { usable, unusable: left } = selectTlsa([record])
    assert.deepEqual([usable.length, left.map((each) => each.reason)], [0, [reason]])
  })
}

test("DANE-23: for each usage and selector only the strongest digest counts, and whole content", () => {
  const leaf = own()
  const [one, two] = [tlsa(leaf.der, "3 1 1"), tlsa(leaf.der, "3 1 2")]
  assert.equal(ask([one, spoilt(two)], leaf.chain), "mismatch", "the weaker digest fits and does not count")
  assert.equal(ask([spoilt(one), two], leaf.chain), "DANE-EE 3 1 2")
  assert.equal(ask([one, spoilt(tlsa(leaf.der, "3 0 2"))], leaf.chain), "DANE-EE 3 1 1", "another selector is another matter")
  assert.equal(ask([one, spoilt(tlsa(leaf.der, "2 1 2"))], leaf.chain), "DANE-EE 3 1 1", "and so is another usage")
  assert.equal(ask([tlsa(leaf.der, "3 1 0"), spoilt(two)], leaf.chain), "DANE-EE 3 1 0", "whole content is no digest")
  assert.equal(ask([one, { ...two, association: two.association.slice(2) }], leaf.chain), "DANE-EE 3 1 1", "an unusable record outranks none")
  const selection = selectTlsa([one, two, two])
  assert.deepEqual([selection.usable.length, selection.outranked.length], [1, 1], "duplicates count once")
  const weakFirst: TlsaPolicy = { usages: [3], digests: [1, 2] }
  assert.deepEqual(selectTlsa([one, two], weakFirst).usable.map(({ matching }) => matching), [1], "the order is a setting")
  assert.deepEqual(selectTlsa([one, two], { usages: [3], digests: [1] }).unusable.map(({ reason }) => reason), ["matching"])
})

test("an absurd number of authorities is refused, in bounded time", () => {
  const key = generateKey()
  const leaf = issued(root, "a.example")
  const keys = Array.from({ length: 70 }, (_, index) => {
    const spki = Buffer.from(key.spki)
    spki[spki.length - 1] = index
    return { usage: 2, selector: 1, matching: 0, association: spki.toString("hex") }
  })
  const began = performance.now()
  assert.equal(ask(keys, leaf.chain), "chain")
  assert.equal(ask([...keys, tlsa(root.certificate.der, "2 1 0")], leaf.chain), "chain", "not even where one of them is right")
  assert.ok(performance.now() - began < 2000)
})

test("whatever the records are: nothing throws, nothing fits that was not made of the chain", () => {
  const leaf = issued(middle, "a.example")
  const octet = fc.integer({ min: 0, max: 255 })
  const few = fc.integer({ min: 0, max: 4 })
  const record = fc.record({
    usage: fc.oneof(few, octet),
    selector: fc.oneof(few, octet),
    matching: fc.oneof(few, octet),
    association: fc.oneof(
      fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes).toString("hex")),
      fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString("hex")),
      fc.constantFrom(...[leaf.der, middle.certificate.der].map((bytes) => Buffer.from(bytes).subarray(3).toString("hex"))),
      fc.string({ maxLength: 20 }),
    ),
  })
  fc.assert(
    fc.property(fc.array(record, { maxLength: 6 }), (records) => {
      const result = matchTlsa(selectTlsa(records, all).usable, { chain: leaf.chain, accept: names("a.example"), at: now, anchors: publicAnchors })
      assert.equal(result.matched, false)
    }),
    { numRuns: 300 },
  )
})
