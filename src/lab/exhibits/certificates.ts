// Exhibits whose certificate proves nothing, or soon will not: one for each way in which a chain can fail (RFC 5280 6, RFC 6120 13.7, RFC 9525).
import type { CertificateAuthority, IssuedCertificate, IssueOptions } from "../certificate-authority.ts"
import { selfSigned } from "../certificate-authority.ts"
import { type Exhibit, type SeenFinding, seen, stand, standing } from "../exhibit.ts"
import type { Internet } from "../internet.ts"
import { dialbackOffer, opens, type PlainServerSpec } from "../plain-server.ts"

const day = 86_400_000

type Made = (net: Internet, domain: string) => IssuedCertificate

/** A server that shows this certificate, which is no proof. */
function shows(id: string, section: string, title: string, finding: SeenFinding, certificate: Made, tls?: PlainServerSpec["tls"]): Exhibit {
  return standing(id, section, title, seen("encrypted", 2, finding), (net, domain) => ({ certificate: certificate(net, domain), ...(tls === undefined ? {} : { tls }) }))
}

const issued =
  (options: (net: Internet, domain: string) => IssueOptions): Made =>
  (net, domain) =>
    net.authority.issue({ names: { dns: [domain] }, ...options(net, domain) })

const below =
  (authority: (net: Internet) => CertificateAuthority, options: IssueOptions = {}): Made =>
  (net, domain) =>
    authority(net).issue({ names: { dns: [domain] }, ...options })

/** The leaf alone, as a server shows it that was given the wrong file. */
const alone = (certificate: IssuedCertificate): IssuedCertificate => ({ ...certificate, chain: [certificate.der], chainPem: certificate.pem })

const expired = shows("cert-expired", "RFC 5280 4.1.2.5", "the certificate has expired", "bad cert.expired", issued(({ authority: { now } }) => ({ notBefore: now - 40 * day, notAfter: now - 2 * day })))
const early = shows("cert-not-yet-valid", "RFC 5280 4.1.2.5", "the certificate begins tomorrow", "bad cert.not-yet-valid", issued(({ authority: { now } }) => ({ notBefore: now + day, notAfter: now + 40 * day })))
const own = shows("cert-self-signed", "RFC 6120 13.7.2", "the certificate is signed by itself", "bad cert.self-signed", (net, domain) => selfSigned({ names: { dns: [domain] }, now: net.authority.now }))
const unknown = shows("cert-unknown-root", "RFC 5280 6.1", "the certificate is of an authority that nobody knows", "bad cert.unknown-root", (net, domain) => net.stranger.issue({ names: { dns: [domain] } }))
const incomplete = shows("cert-incomplete-chain", "RFC 5246 7.4.2", "the intermediate certificate is not sent", "bad cert.incomplete-chain", (net, domain) => alone(below((net) => net.authority.intermediate())(net, domain)))
const forged = shows("cert-bad-signature", "RFC 5280 6.1.3", "one bit of the certificate's signature is wrong", "bad cert.bad-signature", issued(() => ({ mutate: { signature: "flip" } })))
const weak = shows("cert-weak-key", "RFC 9325 4", "the intermediate's key is RSA of 1024 bits", "bad cert.weak-key", below((net) => net.authority.intermediate({ algorithm: "rsa1024" })), { ciphers: "DEFAULT@SECLEVEL=0" })
const forClients = shows("cert-client-only", "RFC 5280 4.2.1.12", "the certificate is for TLS clients only", "bad cert.client-only", issued(() => ({ eku: ["clientAuth"] })))
const constrained = shows("cert-constraints", "RFC 5280 4.2.1.10", "the intermediate may issue for another domain only", "bad cert.constraints", below((net) => net.authority.intermediate({ nameConstraints: { permitted: { dns: ["elsewhere.example"] } } })))
const noAuthority = shows("cert-bad-chain", "RFC 5280 6.1", "an authority's own certificate stands in the place of a server's", "bad cert.bad-chain", issued(() => ({ ca: true })))
const malformed = shows("cert-malformed", "RFC 5280 4.2", "the certificate has one extension twice", "bad cert.malformed", issued(() => ({ mutate: { rewrite: (parts) => void parts.extensions.push(parts.extensions[0] as Buffer) } })))

const complex = shows("cert-too-complex", "RFC 5280 6", "a chain of ten intermediates", "bad cert.too-complex", (net, domain) => {
  let authority = net.authority.intermediate({ name: "Intermediate 1" })
  for (let at = 2; at <= 10; at += 1) authority = authority.intermediate({ name: `Intermediate ${at}` })
  return authority.issue({ names: { dns: [domain] } })
})

const wrongName = shows("pkix-wrong-name", "RFC 6120 13.7.2.1, RFC 9525 6", "a good certificate for another domain", "bad pkix.name-mismatch", (net) => net.authority.issue({ names: { dns: ["elsewhere.example"] } }))
const nameInSubject = shows("pkix-name-in-subject", "RFC 9525 2", "the domain stands in the subject alone, where nobody looks any more", "bad pkix.name-mismatch", (net, domain) => net.authority.issue({ commonName: domain, names: { email: [`hostmaster@${domain}`] } }))

const hosted: Exhibit = {
  id: "pkix-hosted",
  section: "RFC 7712 1, RFC 6120 13.7.2.1",
  title: "hosted: unsigned SRV leads to a server that has its host's name only, the common failure",
  domain: "pkix-hosted.example",
  expected: { ...seen("encrypted", 2, "bad pkix.name-mismatch"), findings: ["bad pkix.name-mismatch", "info dane.not-signed", "info posh.not-published"] },
  raise: async (net) => {
    await stand(net, {
      domain: "pkix-hosted.example",
      certificate: net.authority.issue({ names: { dns: ["pkix-landlord.example"] } }),
      zone: { signed: false, targets: [{ name: "xmpp.pkix-landlord.example" }] },
    })
    return undefined
  },
}

const ending = standing("cert-expiring", "RFC 5280 4.1.2.5", "the certificate ends in five days", seen("authenticated", 0, "warn cert.expiring"), (net, domain) => ({
  certificate: issued(({ authority: { now } }) => ({ notAfter: now + 5.5 * day }))(net, domain),
}))
const serverOnly = standing("cert-server-only", "RFC 5280 4.2.1.12", "the certificate is for TLS servers only, as public authorities issue them now", seen("authenticated", 0, "info cert.server-only"), (net, domain) => ({
  certificate: issued(() => ({ eku: ["serverAuth"] }))(net, domain),
}))

const differs: Exhibit = {
  id: "cert-differs",
  section: "RFC 7712 4.2",
  title: "two servers with a certificate each, and the second one's has expired",
  domain: "cert-differs.example",
  expected: seen("encrypted", 2, "bad cert.expired", "info cert.differs", "info dane.no-tlsa"),
  raise: async (net) => {
    const domain = "cert-differs.example"
    const first = await stand(net, { domain })
    const { now } = net.authority
    const certificate = net.authority.issue({ names: { dns: [domain] }, notBefore: now - 40 * day, notAfter: now - day })
    const second = await stand(net, { domain: `second.${domain}`, certificate, behind: opens(domain, dialbackOffer) })
    net.signed.zones.set(`_xmpp-server._tcp.${domain}`, { SRV: [[0, 0, first.port, `xmpp.${domain}`], [1, 0, second.port, `xmpp.second.${domain}`]] })
    return undefined
  },
}

export const certificateExhibits: readonly Exhibit[] = [
  expired,
  early,
  own,
  unknown,
  incomplete,
  forged,
  weak,
  forClients,
  constrained,
  noAuthority,
  malformed,
  complex,
  wrongName,
  nameInSubject,
  hosted,
  ending,
  serverOnly,
  differs,
]
