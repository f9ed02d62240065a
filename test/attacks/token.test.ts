// Attacks on a token that is bound to its channel (security.md 28): each works where one field is left out of what is signed,
// or one check is missing, and fails against ours.
import assert from "node:assert/strict"
import { test } from "node:test"
import { createTokenProoftype, signedOctets, type TokenProoftype } from "../../examples/token-prooftype/token-prooftype.ts"
import type { Domain } from "../../src/model/domain.ts"
import type { Outcome } from "../../src/model/verdict.ts"
import type { PresentationContext } from "../../src/proof/prooftype.ts"
import { referenceIdentity } from "../../src/proof/reference.ts"
import { a, at, b, c, carried, contextOf, proofWith, ringOf } from "../examples/token-support.ts"

/** One field is signed as if it were always the same. */
function without(field: "presenter" | "pair" | "streamId" | "exporter"): typeof signedOctets {
  const fixed: Partial<PresentationContext> = { presenter: "initiating", pair: { sender: a, target: a }, streamId: "", exporter: new Uint8Array(32) }
  return (context, expires) => signedOctets({ ...context, [field]: fixed[field] }, expires)
}

interface Replay {
  /** Whose token, and where it was shown. */
  readonly by: Domain
  readonly shown: PresentationContext
  /** Where the attacker passes it on, to whom, and as whose. */
  readonly to: Domain
  readonly passed: PresentationContext
  readonly as: Domain
}

function outcome({ by, shown, to, passed, as }: Replay, octets = signedOctets): Outcome {
  const [from, into] = [by, to].map((domain) => createTokenProoftype(ringOf(domain), octets)) as [TokenProoftype, TokenProoftype]
  const said = carried(from.exchange, into.exchange, shown, passed)
  const proof = proofWith(said, passed.presenter === "initiating" ? "tls-client" : "tls-server")
  return into.match(proof, ringOf(to), referenceIdentity({ source: as, service: "xmpp-server" }), at).outcome
}

const channelOne = new Uint8Array(32).fill(1)
const channelTwo = new Uint8Array(32).fill(2)

test("reflection: what B shows as the receiving server is sent back to it as the initiating one", () => {
  const shown = contextOf({ presenter: "receiving", exporter: channelOne })
  const replay: Replay = { by: b, shown, to: b, passed: { ...shown, presenter: "initiating" }, as: b }
  assert.equal(outcome(replay, without("presenter")), "proved")
  assert.equal(outcome(replay), "refuted")
})

test("another pair: a token for A and B is used on the same stream for A and C", () => {
  const shown = contextOf({ exporter: channelOne })
  const replay: Replay = { by: a, shown, to: b, passed: { ...shown, pair: { sender: a, target: c } }, as: a }
  assert.equal(outcome(replay, without("pair")), "proved")
  assert.equal(outcome(replay), "refuted")
})

test("two-session relay: A shows its token to an attacker, who shows it to B on a connection of his own, with the same stream id", () => {
  const shown = contextOf({ exporter: channelOne })
  const replay: Replay = { by: a, shown, to: b, passed: { ...shown, exporter: channelTwo }, as: a }
  assert.equal(outcome(replay, without("exporter")), "proved")
  assert.equal(outcome(replay), "refuted")
})

test("replay after a restart of the stream: the channel is the same, the stream is not", () => {
  const shown = contextOf({ exporter: channelOne, streamId: "before" })
  const replay: Replay = { by: a, shown, to: b, passed: { ...shown, streamId: "after" }, as: a }
  assert.equal(outcome(replay, without("streamId")), "proved")
  assert.equal(outcome(replay), "refuted")
})

test("replay after its end, and a token that never ends", () => {
  const shown = contextOf({ exporter: channelOne })
  const late: Replay = { by: a, shown, to: b, passed: { ...shown, at: at + 120_000 }, as: a }
  assert.equal(outcome(late), "refuted")
  assert.equal(outcome({ ...late, passed: { ...shown, at: at + 119_999 } }), "proved")
  // Signed by its owner for a year; the verifier looks at what is left.
  const year: Replay = { by: a, shown: { ...shown, at: at + 365 * 86_400_000 }, to: b, passed: shown, as: a }
  assert.equal(outcome(year), "refuted")
})

test("another domain: A's token says nothing about C, whoever shows it", () => {
  const shown = contextOf({ exporter: channelOne })
  assert.equal(outcome({ by: a, shown, to: b, passed: shown, as: c }), "refuted")
  assert.equal(outcome({ by: a, shown, to: b, passed: shown, as: a }), "proved")
})

/** Any protocol will do. */
const anyProtocol: TokenProoftype = (() => {
  const ours = createTokenProoftype(ringOf(b))
  return { ...ours, match: (proof, keys, reference, moment) => ours.match({ ...proof, protocol: "TLSv1.3" }, keys, reference, moment) }
})()

test("TLS 1.2: two connections may export the same octets, so a token there proves nothing", () => {
  const context = contextOf({ exporter: channelOne })
  const said = carried(createTokenProoftype(ringOf(a)).exchange, anyProtocol.exchange, context)
  const proof = proofWith(said, "tls-client", { protocol: "TLSv1.2" })
  const reference = referenceIdentity({ source: a, service: "xmpp-server" })
  assert.equal(anyProtocol.match(proof, ringOf(b), reference, at).outcome, "proved")
  assert.equal(createTokenProoftype(ringOf(b)).match(proof, ringOf(b), reference, at).outcome, "refuted")
})
