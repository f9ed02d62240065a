// Scenes in which a certificate proves nothing and a proof is needed: both ends say why, the sender's component hears it.
import type { FindingId } from "../../model/findings.ts"
import type { LabCertificate } from "../internet.ts"
import type { Got, Scene, Stage } from "../scene.ts"
import { refusedByReceiver, refusedBySender, refusing } from "./expectations.ts"

const alone = (domain: string): string => `the certificate of CN=${domain} is self-signed and not among the trusted ones`
/** Both judge, both refuse: the sender first, the receiver on the header that comes with the sender's refusal. */
const selfSignedWay = (sender: string, receiver: string) =>
  refusedBySender(receiver, "cert.self-signed", alone(receiver), refusing(sender, "cert.self-signed", alone(sender)))

const selfSigned: Scene = {
  id: "self-signed-refused",
  section: "RFC 6120 13.7.2",
  title: "both self-signed where a proof is needed: refused",
  cast: [
    { domain: "one.example", what: "self-signed; needs a proof", certificate: { from: "self" } },
    { domain: "two.example", what: "self-signed; needs a proof", certificate: { from: "self" } },
  ],
  expected: {
    "one.example -> two.example": selfSignedWay("one.example", "two.example"),
    "two.example -> one.example": selfSignedWay("two.example", "one.example"),
  },
  play: ({ exchange }) => bothWays(exchange, "one.example", "two.example"),
}

async function bothWays(exchange: Stage["exchange"], one: string, other: string): Promise<Got> {
  return { [`${one} -> ${other}`]: await exchange(one, other), [`${other} -> ${one}`]: await exchange(other, one) }
}

interface Fault {
  readonly id: string
  readonly section: string
  readonly title: string
  readonly bad: string
  readonly good: string
  readonly what: string
  readonly certificate: LabCertificate
  readonly finding: FindingId
  readonly detail: string
}

/** A server whose certificate is at fault, with one that is in order, each way. */
function faulty({ id, section, title, bad, good, what, certificate, finding, detail }: Fault): Scene {
  return {
    id,
    section,
    title,
    cast: [
      { domain: bad, what, certificate },
      { domain: good, what: "certificate of the Lab CA" },
    ],
    expected: { [`${bad} -> ${good}`]: refusedByReceiver(bad, finding, detail), [`${good} -> ${bad}`]: refusedBySender(bad, finding, detail) },
    play: ({ exchange }) => bothWays(exchange, bad, good),
  }
}

const expired = faulty({
  id: "expired",
  section: "RFC 5280 4.1.2.5",
  title: "the certificate has expired: refused, and both ends say so",
  bad: "old.example",
  good: "new.example",
  what: "Lab CA, expired",
  certificate: { from: "lab", notBefore: Date.UTC(2024, 0, 1), notAfter: Date.UTC(2024, 11, 31) },
  finding: "cert.expired",
  detail: "the certificate of CN=old.example expired at 2024-12-31T00:00:00Z",
})
const wrongName = faulty({
  id: "wrong-name",
  section: "RFC 6120 13.7.2.1, RFC 9525 6",
  title: "a good certificate for another name: refused, and both ends say so",
  bad: "odd.example",
  good: "fit.example",
  what: "Lab CA, for else.example",
  certificate: { from: "lab", names: ["else.example"] },
  finding: "pkix.name-mismatch",
  detail: "the certificate is for else.example, wanted odd.example",
})
const unknownRoot = faulty({
  id: "unknown-root",
  section: "RFC 5280 6.1",
  title: "a certificate of a CA that nobody knows: refused, and both ends say so",
  bad: "far.example",
  good: "kin.example",
  what: "certificate of an unknown CA",
  certificate: { from: "stranger" },
  finding: "cert.unknown-root",
  detail:
    "the certificate of CN=far.example was issued by CN=Other CA, whose certificate was not sent and is not among the trusted roots (1 known here) (if it is an intermediate, the server must send it)",
})

export const refusalScenes: readonly Scene[] = [selfSigned, expired, wrongName, unknownRoot]
