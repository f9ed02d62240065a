// What scenes expect, in the words of the findings: the same few endings come again and again.
import { type FindingId, findingSentence } from "../../model/findings.ts"
import type { EndGot, ExchangeGot } from "../scene.ts"

const nothing: EndGot = { level: null, by: null, external: null, finding: null, sentence: null, evidence: [] }

export const proved = (domain: string): readonly string[] => [`pkix for ${domain}: proved`]
export const failed = (domain: string, finding: FindingId, outcome = "refuted"): readonly string[] => [`pkix for ${domain}: ${outcome} [${finding}]`]

/** This end holds a proof of the peer, found on the stream itself. */
export function byCertificate(peer: string, external: EndGot["external"]): EndGot {
  return { ...nothing, level: "authenticated", by: "certificate", external, evidence: proved(peer) }
}

/** The sender was content with encryption to whatever address DNS named. */
export function byDns(peer: string, finding: FindingId): EndGot {
  return { ...nothing, level: "encrypted", by: "dns", evidence: failed(peer, finding) }
}

/** The receiver asked the sender's own server; what it rests on is the evidence about that server. */
export function byDialback(evidence: readonly string[]): EndGot {
  return { ...nothing, level: "encrypted", by: "dialback", evidence }
}

export function delivered(sender: EndGot, receiver: EndGot): ExchangeGot {
  return { message: "delivered", bounce: null, sender, receiver }
}

/** Both ends authenticated each other by certificate. */
export function mutual(sender: string, receiver: string): ExchangeGot {
  return delivered(byCertificate(receiver, "accepted"), byCertificate(sender, "accepted"))
}

function bounced(finding: FindingId, detail: string, evidence: readonly string[], receiver: EndGot): ExchangeGot {
  const sentence = findingSentence(finding, detail)
  return { message: "bounced", bounce: { condition: "remote-server-timeout", text: sentence }, sender: { ...nothing, finding, sentence, evidence }, receiver }
}

/** This end refuses the peer's certificate, in its own words. */
export function refusing(peer: string, finding: FindingId, detail: string): EndGot {
  return { ...nothing, finding, sentence: findingSentence(finding, detail), evidence: failed(peer, finding) }
}

/** The receiver refuses the sender's certificate at once, and says so in a stream error that the sender passes on. */
export function refusedByReceiver(sender: string, finding: FindingId, detail: string): ExchangeGot {
  return bounced("stream.error", `not-authorized, "${findingSentence(finding)}"`, [], refusing(sender, finding, detail))
}

/** The sender refuses the receiver's certificate, and says so in a stream error. */
export function refusedBySender(receiver: string, finding: FindingId, detail: string, told?: EndGot): ExchangeGot {
  const heard = { ...nothing, finding: "stream.error" as const, sentence: findingSentence("stream.error", `not-authorized, "${findingSentence(finding)}"`) }
  return bounced(finding, detail, failed(receiver, finding), told ?? heard)
}

/** Nothing was shown, and the receiver takes nothing less: its words come as the answer to dialback. */
export function refusedDialback(sender: string): ExchangeGot {
  const receiver = { ...nothing, finding: "cert.none-shown", sentence: findingSentence("cert.none-shown"), evidence: failed(sender, "cert.none-shown", "absent") }
  return bounced("auth.dialback-refused", findingSentence("cert.none-shown"), [], receiver)
}

/** What dialback found is less than the receiver needs: its words come as the answer to dialback. */
export function tooWeakByDialback(detail: string): ExchangeGot {
  const receiver = { ...nothing, finding: "policy.level" as const, sentence: findingSentence("policy.level", detail) }
  return bounced("auth.dialback-refused", findingSentence("policy.level"), [], receiver)
}

/** What an end's evidence says of DANE. */
export const daneProved = (domain: string): readonly string[] => [`dane for ${domain}: proved`]
export const daneSays = (domain: string, finding: FindingId, outcome = "absent"): readonly string[] => [`dane for ${domain}: ${outcome} [${finding}]`]

/** An end that validates holds the peer's proof, with the evidence of every prooftype it asked. */
export function provenBy(evidence: readonly string[]): EndGot {
  return { ...nothing, level: "authenticated", by: "certificate", external: "accepted", evidence }
}

/** Stopped before anything was connected to, so the other end hears nothing. */
export function stoppedBySender(finding: FindingId, detail: string, evidence: readonly string[] = []): ExchangeGot {
  return bounced(finding, detail, evidence, nothing)
}

/** Refused by an end that asked more than one prooftype. */
export function refusedWith(evidence: readonly string[], way: ExchangeGot, by: "sender" | "receiver" = "sender"): ExchangeGot {
  return { ...way, [by]: { ...way[by], evidence } }
}

/** Ports, keys and digests are other ones in every lab; in what a scene expects they are words. */
export function withoutNumbers(way: ExchangeGot): ExchangeGot {
  const plain = (text: string | null): string | null =>
    text === null
      ? null
      : text
          .replace(/_\d+\._tcp/g, "_PORT._tcp")
          .replace(/\b[0-9a-f]{64}\b/g, "DIGEST")
          .replace(/\bkey \d+/g, "key TAG")
  const end = (got: EndGot): EndGot => ({ ...got, sentence: plain(got.sentence) })
  const bounce = way.bounce === null ? null : { ...way.bounce, text: plain(way.bounce.text) ?? "" }
  return { ...way, bounce, sender: end(way.sender), receiver: end(way.receiver) }
}
