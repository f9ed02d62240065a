// Exhibits of what a domain's web server says for POSH: right, wrong, bad or not to be had (RFC 7711 3, 5, 6, 10; security.md 17).
import { type Exhibit, type SeenFinding, seenAlone, stand } from "../exhibit.ts"
import type { IssuedCertificate } from "../certificate-authority.ts"
import type { Internet, LabWebAnswer, LabWebHostSpec } from "../internet.ts"
import { digest, wellKnown } from "../scenes/posh-hosting.ts"

type Web = (domain: string, certificate: IssuedCertificate, net: Internet) => Omit<LabWebHostSpec, "host">

/** A hosted domain with a certificate of its host's name, and a web server that says something. */
function hosted(id: string, section: string, title: string, expected: Exhibit["expected"], web: Web, patience?: number): Exhibit {
  const domain = `${id}.example`
  return {
    id,
    section,
    title,
    domain,
    expected,
    raise: async (net) => {
      const certificate = net.authority.issue({ names: { dns: ["posh-landlord.example"] } })
      await stand(net, { domain, certificate })
      net.web({ host: domain, ...web(domain, certificate, net) })
      return patience === undefined ? undefined : { question: { patience } }
    },
  }
}

/** What it says proves nothing, and the host's certificate is for another domain. */
const says = (id: string, section: string, title: string, finding: SeenFinding, answer: LabWebAnswer | ((certificate: IssuedCertificate, domain: string) => LabWebAnswer)): Exhibit =>
  hosted(id, section, title, vain(finding), (domain, certificate) => ({ answers: { [wellKnown]: typeof answer === "function" ? answer(certificate, domain) : answer } }))

const noTlsa: SeenFinding = "info dane.no-tlsa"
const vain = (finding: SeenFinding): Exhibit["expected"] => seenAlone("encrypted", 2, "bad pkix.name-mismatch", noTlsa, finding)

const listing = ({ der }: Pick<IssuedCertificate, "der">): unknown => [{ "sha-256": digest(der), "sha-512": digest(der, "sha-512") }]
const document = (certificate: IssuedCertificate): LabWebAnswer => ({ json: { fingerprints: listing(certificate), expires: 3600 } })
const other = { der: Buffer.from("another") }

const good = hosted("posh-good", "RFC 7711 3.3", "the domain's document lists the host's certificate: proven, whatever names it has", seenAlone("authenticated", 0, "info pkix.name-mismatch", noTlsa), (_, certificate) => ({
  answers: { [wellKnown]: document(certificate) },
}))

const wrong = says("posh-mismatch", "RFC 7711 3.3", "the document lists another certificate", "bad posh.mismatch", () => ({ json: { fingerprints: listing(other), expires: 3600 } }))
const harmless: Exhibit = {
  id: "posh-mismatch-beside-pkix",
  section: "RFC 7712 4.2",
  title: "the document lists another certificate, and the one shown proves the domain by itself",
  domain: "posh-mismatch-beside-pkix.example",
  expected: seenAlone("authenticated", 0, "warn posh.mismatch", noTlsa),
  raise: async (net) => {
    const domain = "posh-mismatch-beside-pkix.example"
    await stand(net, { domain })
    net.web({ host: domain, answers: { [wellKnown]: { json: { fingerprints: listing(other), expires: 3600 } } } })
    return undefined
  },
}
const weaker = says("posh-only-weaker", "RFC 7711 3.3", "its sha-256 fits, its sha-512 is another certificate's", "bad posh.weaker-hash", ({ der }) => ({ json: { fingerprints: [{ "sha-256": digest(der), "sha-512": digest(other.der, "sha-512") }], expires: 3600 } }))
const expired = says("posh-ended", "RFC 7711 6", "the right document says `expires` 0", "unknown posh.expired", (certificate) => ({ json: { fingerprints: listing(certificate), expires: 0 } }))
const badExpires = says("posh-bad-expires", "RFC 7711 3.1", "`expires` is a text", "bad posh.bad-expires", (certificate) => ({ json: { fingerprints: listing(certificate), expires: "a day" } }))
const notJson = says("posh-not-json", "RFC 7711 3.1", "a page for people in its place", "bad posh.not-json", { body: "<!doctype html><title>Welcome</title>", headers: { "Content-Type": "text/html" } })
const badJson = says("posh-bad-json", "RFC 7711 3.1", "the fingerprints are no list", "bad posh.bad-json", { json: { fingerprints: "many", expires: 3600 } })
const twice = says("posh-duplicate-member", "RFC 8259 4", "two members of one name, which readers would read differently", "bad posh.duplicate-member", (certificate) => ({
  body: `{"fingerprints":${JSON.stringify(listing(other))},"fingerprints":${JSON.stringify(listing(certificate))},"expires":3600}`,
}))
const both = says("posh-both", "RFC 7711 3.1", "fingerprints and a reference at once", "bad posh.both-url-and-fingerprints", (certificate) => ({ json: { url: "https://posh-landlord.example/posh.json", fingerprints: listing(certificate), expires: 3600 } }))
const empty = says("posh-no-fingerprints", "RFC 7711 3.1", "the list is empty", "bad posh.no-fingerprints", { json: { fingerprints: [], expires: 3600 } })
const unknownHash = says("posh-no-usable-hash", "RFC 7711 10", "only a hash that is broken since long", "bad posh.no-usable-hash", { json: { fingerprints: [{ "sha-1": "2jmj7l5rSw0yVb/vlWAYkK/YBwk=" }], expires: 3600 } })
const noBase64 = says("posh-bad-base64", "RFC 7711 3.1", "the fingerprint stands in hexadecimal with colons", "bad posh.bad-base64", ({ der }) => ({
  json: { fingerprints: [{ "sha-256": Buffer.from(digest(der), "base64").toString("hex").replace(/..(?=.)/g, "$&:") }], expires: 3600 },
}))
const large = says("posh-too-large", "RFC 7711 10", "the right document, and a megabyte of blanks", "bad posh.too-large", (certificate) => ({ ...document(certificate), filler: 1_000_000 }))
const encoded = says("posh-encoded", "RFC 9110 12.5.3", "the right document comes compressed, though nobody asked for that", "bad posh.encoded", (certificate) => ({ ...document(certificate), gzip: true }))
const failing = says("posh-http-error", "RFC 7711 3", "the web server answers with 500", "bad posh.http-error", { status: 500 })
const insecure = says("posh-redirect-insecure", "RFC 7711 10", "it leads on to an http: URL, which anybody on the way could answer", "bad posh.redirect-insecure", { location: "http://posh-landlord.example/posh.json" })
const loop = says("posh-delegation-loop", "RFC 7711 10", "it leads to itself", "bad posh.delegation-loop", (_, domain) => ({ location: `https://${domain}${wellKnown}` }))
const far = hosted("posh-too-many-redirects", "RFC 7711 10", "it leads on eleven times", vain("bad posh.too-many-redirects"), (domain, certificate) => ({
  answers: Object.fromEntries(Array.from({ length: 13 }, (_, at) => [at === 0 ? wellKnown : `/${at}`, at === 12 ? document(certificate) : { location: `https://${domain}/${at + 1}` }])),
}))
const reference = hosted("posh-reference-to-reference", "RFC 7711 3.2", "a reference leads to another reference", vain("bad posh.reference-to-reference"), (domain) => ({
  answers: { [wellKnown]: { json: { url: `https://${domain}/first`, expires: 3600 } }, "/first": { json: { url: `https://${domain}/second`, expires: 3600 } } },
}))
const otherWeb = hosted("posh-tls-error", "RFC 7711 3", "the web server shows a certificate of another name", vain("bad posh.tls-error"), () => ({ certificate: "wrong-name" }))
const slow = hosted("posh-too-slow", "RFC 7711 5", "the web server takes the request, and does not answer", vain("bad posh.too-slow"), () => ({ answers: { [wellKnown]: { silent: true } } }), 6000)
const none = hosted("posh-none", "RFC 7711 3", "the web server has no document: the certificate alone decides", vain("info posh.not-published"), () => ({}))
const deadWeb: Exhibit = {
  id: "posh-unreachable",
  section: "RFC 7711 3",
  title: "the domain's web server breaks every connection off",
  domain: "posh-unreachable.example",
  expected: vain("unknown posh.unreachable"),
  raise: async (net) => {
    const domain = "posh-unreachable.example"
    await stand(net, { domain, certificate: net.authority.issue({ names: { dns: ["posh-landlord.example"] } }) })
    net.signed.zones.set(domain, { A: ["127.0.0.250"] })
    return undefined
  },
}
const guarded: Exhibit = {
  ...deadWeb,
  id: "posh-guarded",
  section: "RFC 7711 10",
  title: "the domain's web server has an address of a private network",
  domain: "posh-guarded.example",
  expected: vain("bad posh.guarded"),
  raise: async (net) => {
    const domain = "posh-guarded.example"
    await stand(net, { domain, certificate: net.authority.issue({ names: { dns: ["posh-landlord.example"] } }) })
    net.signed.zones.set(domain, { A: ["10.11.12.13"] })
    return undefined
  },
}

export const poshExhibits: readonly Exhibit[] = [
  good,
  wrong,
  harmless,
  weaker,
  expired,
  badExpires,
  notJson,
  badJson,
  twice,
  both,
  empty,
  unknownHash,
  noBase64,
  large,
  encoded,
  failing,
  insecure,
  loop,
  far,
  reference,
  otherWeb,
  slow,
  none,
  deadWeb,
  guarded,
]
