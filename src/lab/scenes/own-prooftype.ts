// Scenes with a prooftype that the operator brought along at run time: neither PKIX nor DNS nor HTTPS says who anybody is
// (RFC 7712 7; S9.1).
import type { IssuedCertificate } from "../certificate-authority.ts"
import type { Internet, ServerSpec } from "../internet.ts"
import type { Scene } from "../scene.ts"
import type { AnyProoftype, Prooftype } from "../../proof/prooftype.ts"
import { delivered, failed, provenBy, refusedBySender, refusedWith } from "./expectations.ts"

/** What was read out over the telephone: the certificate of a domain, in this lab or another one that runs beside it. */
const book = new Map<string, Uint8Array>()
const entry = (anchors: string, domain: string): string => `${anchors} ${domain}`

/** The domain is proved by the very certificate that is in the book. The four things that a prooftype declares (RFC 7712 7): */
const telephone: Prooftype<"telephone", Uint8Array | null> = {
  name: "telephone",
  // (1) and (2): a certificate is shown, and has to be the same octets.
  match: ({ chain: [shown] }, known, _reference, at) => {
    const by = "telephone"
    if (known === null) return { outcome: "absent", by, finding: "cert.none-shown", detail: "nobody has called" }
    if (shown !== undefined && Buffer.from(shown).equals(known)) return { outcome: "proved", by, detail: "certificate as read out", until: at + 3_600_000 }
    return { outcome: "refuted", by, finding: "cert.self-signed", detail: "another certificate was read out" }
  },
  // (3): it is in the book or it is not.
  obtain: ({ source }, { anchors }) => book.get(entry(anchors.digest, source)) ?? null,
  atHand: true,
  // (4): DNS has nothing to do with it.
  needsSecureDns: false,
  binding: () => false,
  record: (known) => (known === null ? null : Buffer.from(known).toString("base64")),
  revive: (recorded) => ({ material: typeof recorded === "string" ? Buffer.from(recorded, "base64") : null }),
  facts: () => [],
}

export const telephoned: readonly AnyProoftype[] = [telephone]

/** Reads a certificate out to everybody in this lab. */
function call({ anchors }: Internet, domain: string, { der }: Pick<IssuedCertificate, "der">): void {
  book.set(entry(anchors.digest, domain), der)
}

const [bell, reed, hum] = ["bell.example", "reed.example", "hum.example"]
const callers = (domain: string): ServerSpec => ({ domain, what: "self-signed; knows the prooftype", certificate: { from: "self" }, prooftypes: telephoned })

const alone = (domain: string): string => `the certificate of CN=${domain} is self-signed and not among the trusted ones`
/** Judged again by a program that does not have the prooftype: that it cannot say. */
const says = (domain: string): readonly string[] => [...failed(domain, "cert.self-signed"), `telephone for ${domain}: cannot be judged by itself`]

const ownProoftype: Scene = {
  id: "own-prooftype",
  section: "RFC 7712 7",
  title: "a prooftype of the operator's own, each way: certificates that were read out beforehand",
  cast: [callers(bell), callers(reed), callers(hum)],
  expected: {
    [`${bell} -> ${reed}`]: delivered(provenBy(says(reed)), provenBy(says(bell))),
    [`${reed} -> ${bell}`]: delivered(provenBy(says(bell)), provenBy(says(reed))),
    [`${bell} -> ${hum}`]: refusedWith(says(hum), refusedBySender(hum, "cert.self-signed", alone(hum))),
    "proved by": ["telephone"],
  },
  play: async ({ net, server, exchange }) => {
    call(net, bell, server(bell).certificate)
    call(net, reed, server(reed).certificate)
    net.note(`What ${hum} shows is not what was read out.`)
    call(net, hum, net.selfSigned([hum]))
    const there = await exchange(bell, reed)
    const back = await exchange(reed, bell)
    const proofs = [bell, reed].flatMap((domain) => server(domain).events).flatMap((event) => (event.kind === "associated" ? [event.association.verdict.by] : []))
    return { [`${bell} -> ${reed}`]: there, [`${reed} -> ${bell}`]: back, [`${bell} -> ${hum}`]: await exchange(bell, hum), "proved by": [...new Set(proofs)] }
  },
}

export const ownProoftypeScenes: readonly Scene[] = [ownProoftype]
