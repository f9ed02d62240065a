// The built-in prooftypes keep the contract of prooftypes.
import { dane } from "../../src/proof/dane.ts"
import { pkix } from "../../src/proof/pkix.ts"
import { posh } from "../../src/proof/posh.ts"
import type { AnyProoftype, ProofSubject } from "../../src/proof/prooftype.ts"
import type { Outcome } from "../../src/model/verdict.ts"
import { type ProofSituation, prooftypeContract } from "../contracts/prooftype.ts"
import { a, allUsages, clientTlsa, hostTlsa, never, outgoing, publicAnchors, shownBy, signedZone } from "./dane-support.ts"
import { withoutWeb } from "./proof-ports.ts"
import { documentOf, json, listing, nobody as listed, other, portsOf, redirect, scriptedWeb, type Web, webOf } from "./posh-support.ts"
import { bogus, failing, insecure, scripted, type Zone } from "./scripted-dns.ts"
import { day, issued, middle, now, own, publicRoot, strangerRoot, tlsa } from "./tlsa-support.ts"

const nobody = own({ names: {}, commonName: "nobody" })
const byPublic = issued(publicRoot, "a.example")
const private_ = issued(middle, "host.example")

async function situation(name: string, outcome: Outcome, role: ProofSubject["role"], zone: Zone, chain: readonly Uint8Array[]): Promise<ProofSituation> {
  const endpoint = role === "incoming" ? undefined : (await outgoing(zone, chain)).tried[0]?.endpoint
  return {
    name,
    outcome,
    subject: { source: a, service: "xmpp-server", role, endpoint },
    proof: shownBy(chain, role === "incoming" ? "tls-client" : "tls-server"),
    at: now,
    ports: () => ({ ...withoutWeb, anchors: publicAnchors, resolver: scripted(zone).resolver, at: now, signal: never }),
  }
}

const zoneOf = (named: Uint8Array, kind: string): Zone => signedZone({ [hostTlsa]: { records: [tlsa(named, kind)] } })

prooftypeContract(
  pkix,
  [
    await situation("a known authority", "proved", "outgoing", signedZone(), byPublic.chain),
    await situation("a known authority, incoming", "proved", "incoming", {}, byPublic.chain),
    await situation("an unknown authority", "refuted", "outgoing", signedZone(), issued(strangerRoot, "a.example").chain),
    await situation("another name", "refuted", "incoming", {}, issued(publicRoot, "b.example").chain),
    await situation("expired", "refuted", "outgoing", signedZone(), issued(publicRoot, "a.example", { notBefore: now - 90 * day, notAfter: now - day }).chain),
    await situation("no certificate", "absent", "incoming", {}, []),
  ],
  [publicAnchors],
)

prooftypeContract(
  dane,
  [
    await situation("DANE-EE", "proved", "outgoing", zoneOf(nobody.der, "3 1 1"), nobody.chain),
    await situation("DANE-TA at the target's name", "proved", "outgoing", zoneOf(middle.certificate.der, "2 0 1"), private_.chain),
    await situation("records for clients", "proved", "incoming", { [clientTlsa]: { records: [tlsa(nobody.der, "3 1 2")] } }, nobody.chain),
    await situation("a server's key, incoming", "proved", "incoming", zoneOf(nobody.der, "3 0 1"), nobody.chain),
    await situation("a mismatch", "refuted", "outgoing", zoneOf(own().der, "3 1 1"), byPublic.chain),
    await situation("a mismatch with records for clients", "refuted", "incoming", { [clientTlsa]: { records: [tlsa(own().der, "3 1 1")] } }, nobody.chain),
    await situation("another key than the servers'", "refuted", "incoming", zoneOf(own().der, "3 1 1"), nobody.chain),
    await situation("nothing published", "absent", "outgoing", signedZone(), byPublic.chain),
    await situation("an unsigned world", "absent", "outgoing", Object.fromEntries(Object.entries(zoneOf(nobody.der, "3 1 1")).map(([name, said]) => [name, insecure(said)])), nobody.chain),
    await situation("records bogus", "unavailable", "outgoing", signedZone({ [hostTlsa]: bogus }), nobody.chain),
    await situation("records for clients fail", "unavailable", "incoming", { [clientTlsa]: failing }, nobody.chain),
  ],
  [publicAnchors],
)

prooftypeContract(
  { ...allUsages, name: "dane" } as AnyProoftype,
  [
    await situation("PKIX-EE", "proved", "outgoing", zoneOf(byPublic.der, "1 1 1"), byPublic.chain),
    await situation("PKIX-TA", "proved", "outgoing", zoneOf(publicRoot.certificate.der, "0 0 1"), byPublic.chain),
    await situation("PKIX-EE without PKIX", "refuted", "outgoing", zoneOf(nobody.der, "1 1 1"), nobody.chain),
  ],
  [publicAnchors],
)

const posted = (name: string, outcome: Outcome, role: ProofSubject["role"], web: Web, chain: readonly Uint8Array[] = listed.chain): ProofSituation => ({
  name,
  outcome,
  subject: { source: a, service: "xmpp-server", role, endpoint: undefined },
  proof: shownBy(chain, role === "incoming" ? "tls-client" : "tls-server"),
  at: now,
  ports: () => portsOf(scriptedWeb(web)),
})

const hoster = { "hoster.example": { pages: { "/a.json": listing() } } }

prooftypeContract(
  posh,
  [
    posted("a document", "proved", "outgoing", webOf(listing())),
    posted("a document, incoming", "proved", "incoming", webOf(listing())),
    posted("behind a redirect", "proved", "outgoing", webOf(redirect("https://hoster.example/a.json"), hoster)),
    posted("behind a reference", "proved", "incoming", webOf(json({ url: "https://hoster.example/a.json", expires: 600 }), hoster)),
    posted("another certificate is listed", "refuted", "outgoing", webOf(json(documentOf(other.der)))),
    posted("another certificate is listed, incoming", "refuted", "incoming", webOf(json(documentOf(other.der)))),
    posted("nothing published", "absent", "outgoing", { "a.example": {} }),
    posted("no certificate shown", "absent", "incoming", webOf(listing()), []),
    posted("a broken document", "unavailable", "incoming", webOf(json([]))),
    posted("a web server that is down", "unavailable", "outgoing", { "a.example": { dial: "refused" } }),
  ],
  [publicAnchors],
)
