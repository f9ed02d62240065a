// The one decision about further pairs on a stream, as a table (RFC 7712 4.4; N13, DB-31, DB-32, BIDI-4, BIDI-5; security.md 3).
import assert from "node:assert/strict"
import { test } from "node:test"
import type { Association } from "../../src/model/association.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { type CarrierFacts, mayCarry, type Standing } from "../../src/federation/piggyback.ts"
import type { Hosting, StreamUses } from "../../src/federation/contract.ts"
import { noLimits } from "../../src/stream/limits.ts"
import { associationWith } from "./ratchet-support.ts"

const [a, b, c, d] = ["a.example", "b.example", "c.example", "d.example"].map((name) => parseDomain(name)) as [Domain, Domain, Domain, Domain]
type Domain = ReturnType<typeof parseDomain>
const shown = { certificatePem: "one", keyPem: "" }
const proof = associationWith("out", b, "authenticated").proof
const facts: CarrierFacts = { name: "s", role: "initiated", id: "id", epoch: 1, errors: true, credentials: shown, proof, endpoint: undefined, limits: noLimits }
const nothing: Standing = { basis: undefined, peer: undefined, inverse: false }
const all: StreamUses = { bidi: true, piggyback: true, streamManagement: true, pipelining: true }
const basis: Association = associationWith("out", b, "authenticated")
const peer: Association = associationWith("in", b, "authenticated")

function hosting(changes: Partial<Hosting> = {}, uses: Partial<StreamUses> = {}): Hosting {
  return { hosts: (name: Domain) => name === a || name === c, credentials: () => shown, dialback: true, uses: () => ({ ...all, ...uses }), ...changes } as unknown as Hosting
}

const pair = { sender: c, target: b }
const other = { certificatePem: "other", keyPem: "" }
const rows: readonly (readonly [what: string, how: string, facts: Partial<CarrierFacts>, standing: Partial<Standing>, hosting?: Hosting, asked?: { sender: Domain; target: Domain }])[] = [
  ["a further sender to a target that is proven", "assertion", {}, { basis }],
  ["a further target", "supposition", {}, {}],
  ["our certificate for the sender is another", "not", {}, { basis }, hosting({ credentials: () => other })],
  ["the same certificate, read anew", "assertion", {}, { basis }, hosting({ credentials: () => ({ ...shown }) })],
  ["no certificate for the sender at all", "assertion", {}, { basis }, hosting({ credentials: () => undefined })],
  ["no certificate was shown, and there is one", "not", { credentials: undefined }, { basis }],
  ["the peer does not advertise errors", "not", { errors: false }, { basis }],
  ["no TLS", "not", { proof: undefined }, { basis }],
  ["no id to make keys of", "not", { id: "" }, { basis }],
  ["piggybacking is off for the peer", "not", {}, { basis }, hosting({}, { piggyback: false })],
  ["dialback is off", "not", {}, { basis }, hosting({ dialback: false })],
  ["the target is ours", "not", {}, { basis }, hosting(), { sender: c, target: a }],
  ["the sender is not ours", "not", {}, { basis }, hosting(), { sender: d, target: b }],
  ["remembered to take no further sender", "not", {}, { basis, refuses: (way) => way === "assertion" }],
  ["remembered to be no further target", "not", {}, { refuses: (way) => way === "supposition" }],
  ["what is remembered about the other way", "assertion", {}, { basis, refuses: (way) => way === "supposition" }],
  ["accepted: the pair back was granted", "inverse", { role: "accepted" }, { peer, inverse: true }],
  ["accepted: the pair back, where piggybacking is off", "inverse", { role: "accepted" }, { peer, inverse: true }, hosting({}, { piggyback: false })],
  ["accepted: another sender of ours to whom was granted, remembered to advertise errors", "assertion-back", { role: "accepted", errors: false }, { peer, errors: true }],
  ["accepted: another sender of ours, nothing known of errors", "not", { role: "accepted" }, { peer }],
  ["accepted: another sender of ours, remembered not to advertise errors", "not", { role: "accepted" }, { peer, errors: false }],
  ["accepted: a domain that was claimed and not granted", "not", { role: "accepted" }, {}],
  ["accepted: bidi is off for the peer", "not", { role: "accepted" }, { peer, inverse: true }, hosting({}, { bidi: false })],
  ["accepted: never a further target", "not", { role: "accepted" }, { basis }],
]
for (const [what, how, changed, standing, host = hosting(), asked = pair] of rows)
  test(`${what}: ${how}`, () => {
    assert.equal(mayCarry({ ...facts, ...changed }, asked, host, { ...nothing, ...standing }).how, how)
  })
