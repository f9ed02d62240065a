// The catalogue of findings: every sentence an operator can meet, with its severity, whose move it is and the repair.
// Ids never change their meaning; a retired id stays listed. Sections cite RFCs and XEPs.

export type Severity = "bad" | "warn" | "info" | "unknown"
/** Whose move it is. `you`: who runs this program; `peer`: who runs the other server; `path`: something between. */
export type Party = "you" | "peer" | "path" | "resolver" | "nobody"

export interface Finding {
  readonly severity: Severity
  readonly party: Party
  /** What is the matter, in one sentence; details (names, dates) are added by who raises it. */
  readonly sentence: string
  /** What to do, or "nothing". */
  readonly repair: string
  readonly section: string
}

const finding = (severity: Severity, party: Party, sentence: string, repair: string, section: string): Finding => ({
  severity,
  party,
  sentence,
  repair,
  section,
})

export const findings = {
  // Finding the domain.
  "dns.no-srv-fallback": finding("info", "nobody", "no SRV record; the domain's own address and the service's usual port were used", "nothing", "RFC 6120 3.2.2"),
  "dns.srv-refused": finding("bad", "peer", "the domain says in DNS that it offers no such service (SRV target '.')", "publish an SRV record that names the server, if there is one", "RFC 6120 3.2.1"),
  "dns.servfail": finding("unknown", "resolver", "the DNS lookup failed", "ask again later; check the resolver and the domain's name servers", "RFC 7673 3.1"),
  "dns.bogus": finding("bad", "peer", "the DNS answer fails DNSSEC validation", "nothing if this was an attack; else the domain's owner must repair the signatures of its zone", "RFC 7673 3.1"),
  "dns.clock": finding("bad", "you", "every signature of the root zone is out of date or not valid yet, so this machine's clock is wrong", "set the clock, and keep it by NTP", "RFC 4035 5.3.1"),
  "dns.stripped": finding("bad", "you", "the resolvers pass no DNSSEC records on, so nothing can be validated", "name a resolver that passes them in federation.resolver.address, for instance unbound on 127.0.0.1; or write `dnssec: off`, which gives DANE up and leaves SRV and addresses unproven", "RFC 4035 3.2"),
  "dns.cannot-validate": finding("bad", "you", "the signatures of the root zone do not lead to the trust anchors", "name the right file in federation.resolver.anchors, or a resolver that does not change answers in federation.resolver.address", "RFC 4035 5"),
  "dns.unreachable": finding("bad", "you", "no resolver gives a usable answer for the root zone, so nothing can be validated", "check federation.resolver.address and the network; a gateway that starts before the network is there is started again by its service manager", "RFC 4035 4.3"),
  "dns.not-validating": finding("bad", "you", "the resolver that is to be trusted does not validate", "turn validation on in it (for unbound: the module `validator` and trust anchors), or write `dnssec: validate`", "RFC 6840 5.8"),
  "dns.nxdomain": finding("bad", "peer", "the domain does not exist in DNS", "check the spelling; publish the domain", "RFC 6120 3.2"),
  "dns.not-a-domain": finding("bad", "peer", "this is not a domain that can be federated with", "use the domain's usual form", "RFC 7622 3.2"),
  "dns.guarded": finding("bad", "you", "this is a special name or address, which is not connected to unless it is allowed", "allow it in federation.allow if it is meant", "RFC 6120 13.12"),
  "dns.target-unresolvable": finding("bad", "peer", "no SRV target has an address", "publish A or AAAA records for the SRV target", "RFC 6120 3.2.1"),
  "dns.no-server": finding("bad", "peer", "DNS names no server for this service of the domain: it has neither SRV records nor an address of its own", "publish an SRV record that names the server; or one with the target '.', if there is none", "RFC 6120 3.2.2"),
  // Reaching it.
  "reach.refused": finding("bad", "peer", "no address accepts connections", "start the server, open the port", "RFC 6120 3.3"),
  "reach.timeout": finding("unknown", "path", "no address answered in time", "check firewalls on the way", "RFC 6120 3.3"),
  "reach.no-route": finding("unknown", "path", "there is no way to the address from here", "ask from a machine that has IPv6 where the address is one, or with -4; check this machine's routes", "RFC 6120 3.3"),
  "reach.address-dead": finding("warn", "peer", "an address of the domain does not accept connections, though another one does", "start the server there, open the port, or take the address out of DNS", "RFC 6120 3.3"),
  "reach.ipv6-dead": finding("warn", "peer", "no IPv6 address of the domain accepts connections, though IPv4 does; some servers wait for it", "open the port for IPv6, or take the AAAA records out of DNS", "RFC 8305 5"),
  "reach.no-such-family": finding("bad", "peer", "the domain has no address of the family that was asked for", "publish A or AAAA records for the servers", "RFC 6120 3.2.1"),
  "reach.capped": finding("unknown", "you", "too many connections to this destination at once", "wait; raise limits if this is usual", "RFC 6120 13.12"),
  "reach.budget": finding("warn", "peer", "too much work was asked for on a stream or from a network without anything coming of it", "wait; if this is a server of yours, see why its claims fail", "RFC 6120 13.12"),
  // The stream.
  "stream.host-unknown": finding("bad", "peer", "the server does not serve this domain", "add the domain to the server, or correct the SRV record", "RFC 6120 4.9.3.6"),
  "stream.bad-xml": finding("bad", "peer", "the server sent XML that is not allowed on a stream", "report it to the makers of the server", "RFC 6120 11"),
  "stream.from-mismatch": finding("bad", "peer", "the stream says it is from another domain than was asked for", "correct the server's configuration of virtual hosts", "RFC 6120 4.7.1"),
  "stream.from-own-domain": finding("bad", "peer", "the server claims a domain that is hosted here", "nothing; somebody pretends to be you, or a domain is configured twice", "RFC 6120 4.9.3.9"),
  "stream.too-slow": finding("unknown", "path", "the negotiation did not end in time", "try again later", "RFC 6120 4.6"),
  "stream.too-much": finding("bad", "peer", "the server sends more than a negotiation has, and was not listened to any longer", "see what answers there; a server sends its header and features, and waits", "RFC 6120 13.12"),
  "stream.closed": finding("unknown", "peer", "the server ended the stream", "see its own words", "RFC 6120 4.4"),
  "stream.error": finding("bad", "peer", "the server ended the stream with an error", "see its own words", "RFC 6120 4.9"),
  "stream.too-many": finding("warn", "peer", "too many unfinished connections from one address", "wait", "RFC 6120 13.12"),
  // TLS.
  "tls.not-offered": finding("bad", "peer", "the server offers no TLS", "configure a certificate and STARTTLS", "RFC 7590 3.1"),
  "tls.not-required": finding("info", "peer", "the server offers TLS and does not ask for it", "require TLS for server-to-server streams", "RFC 7590 3.1"),
  "tls.handshake-failed": finding("bad", "peer", "the TLS handshake failed", "check protocol versions and the certificate with its key", "RFC 6120 5.4.3.2"),
  "tls.starttls-injection": finding("bad", "path", "bytes in clear follow the switch to TLS", "nothing; somebody on the path may be inserting data", "RFC 6120 5.4.3.3"),
  "tls.no-certificate": finding("bad", "you", "there is no certificate for this domain to show", "put one into a directory of certificates.dirs", "RFC 6120 13.7.1"),
  "tls.resumed": finding("bad", "peer", "the TLS session was resumed, which shows no certificate", "turn session resumption off for server-to-server streams", "RFC 8446 2.2"),
  // The certificate.
  "cert.none-shown": finding("bad", "peer", "the server showed no certificate", "configure it to present its certificate on outgoing streams, too", "RFC 6120 5.4.3.1"),
  "cert.expired": finding("bad", "peer", "the certificate has expired", "renew it", "RFC 5280 4.1.2.5"),
  "cert.expiring": finding("warn", "peer", "the certificate ends soon", "renew it", "RFC 5280 4.1.2.5"),
  "cert.differs": finding("info", "peer", "not all addresses show the same certificate", "nothing, if that is meant; else give every server the certificate that was renewed last", "RFC 7712 4.2"),
  "cert.not-yet-valid": finding("bad", "peer", "the certificate is not valid yet", "check both clocks", "RFC 5280 4.1.2.5"),
  "cert.self-signed": finding("bad", "peer", "the certificate is self-signed", "get one from an authority, or publish DANE or POSH", "RFC 6120 13.7.2"),
  "cert.unknown-root": finding("bad", "peer", "the certificate's chain ends in a root that is not known here", "use a publicly known authority, or add its root to federation.trust", "RFC 5280 6.1"),
  "cert.incomplete-chain": finding("bad", "peer", "an intermediate certificate is missing from the chain", "configure the full chain", "RFC 5246 7.4.2"),
  "cert.bad-signature": finding("bad", "peer", "a signature in the chain is wrong", "nothing; do not trust this server", "RFC 5280 6.1.3"),
  "cert.weak-key": finding("bad", "peer", "the chain uses a key or algorithm that is too weak or not supported", "use RSA of 2048 bits or more, ECDSA or Ed25519, with SHA-2", "RFC 9325 4"),
  "cert.client-only": finding("bad", "peer", "the certificate is not meant for servers (extended key usage or key usage)", "get one whose extended key usage has serverAuth", "RFC 5280 4.2.1.12"),
  "cert.server-only": finding("info", "nobody", "the certificate is for TLS servers only, which is accepted here; older ejabberd falls back to dialback", "nothing", "RFC 5280 4.2.1.12"),
  "cert.constraints": finding("bad", "peer", "an authority in the chain may not issue for these names", "get the certificate from an authority that may", "RFC 5280 4.2.1.10"),
  "cert.bad-chain": finding("bad", "peer", "the chain breaks a rule of certificate paths", "get a well-formed certificate chain", "RFC 5280 6.1"),
  "cert.malformed": finding("bad", "peer", "a certificate cannot be read", "replace it", "RFC 5280 4.1"),
  "cert.too-complex": finding("bad", "peer", "the chain needs more work to judge than is allowed", "send only the leaf and its intermediates", "RFC 5280 6"),
  // PKIX.
  "pkix.name-mismatch": finding("bad", "peer", "the certificate is not for this domain", "get a certificate that names the domain", "RFC 6120 13.7.2.1"),
  // DANE.
  "dane.no-tlsa": finding("info", "nobody", "the domain publishes no TLSA records", "nothing; publish TLSA records in a signed zone to use DANE", "RFC 7673 3.4"),
  "dane.not-signed": finding("info", "nobody", "DANE does not apply, because DNS is not signed all the way", "nothing; sign the zones of the domain and of its SRV targets to use DANE", "RFC 7673 3.1"),
  "dane.unusable": finding("warn", "peer", "none of the TLSA records can be used", "publish `3 1 1` records", "RFC 7671 10.3"),
  "dane.tlsa-bogus": finding("bad", "peer", "the TLSA answer fails DNSSEC validation, so this server must not be used", "nothing if this was an attack; else the owner of the host must repair the signatures of its zone", "RFC 7673 3.4"),
  "dane.tlsa-failed": finding("unknown", "resolver", "the TLSA lookup failed, so this server must not be used", "ask again later; check the resolver and the name servers of the host", "RFC 7673 3.4"),
  "dane.mismatch": finding("bad", "peer", "the certificate is not what the TLSA records promise", "publish the TLSA record of the certificate in use, or nothing if this was an attack", "RFC 7673 3.4"),
  "dane.name-mismatch": finding("bad", "peer", "the certificate is from the authority that the TLSA records name, but not for this domain or its server", "get a certificate that names the domain or the SRV target", "RFC 7671 10.2"),
  "dane.chain": finding("bad", "peer", "the certificate's chain to what the TLSA records name is not valid", "see the detail; renew the certificate or correct the chain", "RFC 7671 5.2"),
  "dane.client-mismatch": finding("bad", "peer", "the certificate is not what the domain's TLSA records for clients promise", "publish the TLSA record of the certificate that the server shows when it connects", "RFC 6698 4.1"),
  "dane.other-key": finding("info", "peer", "the certificate is not one that the domain's own servers promise in TLSA", "nothing; a server may connect with another key. Publish it at `_xmpp-server` below the domain to use DANE", "RFC 7712 5.1"),
  "dane.too-old": finding("unknown", "you", "what DNS said for DANE is too old, and could not be asked again in time", "check the resolver", "RFC 6698 8.2"),
  // POSH.
  "posh.not-published": finding("info", "nobody", "the domain publishes no POSH document", "nothing; publish `/.well-known/posh/xmpp-server.json` on the domain's web server to use POSH", "RFC 7711 3"),
  "posh.unreachable": finding("unknown", "path", "the web server that POSH asks cannot be reached", "ask again later; check its addresses and port 443", "RFC 7711 3"),
  "posh.guarded": finding("bad", "peer", "POSH leads to a name or address that this server must not connect to", "publish the document on a public web server; or allow the address in federation.allow if it is meant", "RFC 7711 10"),
  "posh.capped": finding("unknown", "you", "too many POSH documents are asked for at once", "wait", "RFC 7711 10"),
  "posh.too-slow": finding("bad", "peer", "the web server takes the request for the POSH document and does not answer in time", "check the web server", "RFC 7711 5"),
  "posh.tls-error": finding("bad", "peer", "the web server that POSH asks shows no valid certificate of its own name", "renew or correct the certificate of the web server", "RFC 7711 3"),
  "posh.http-error": finding("bad", "peer", "the web server answers neither with a POSH document nor that there is none", "correct the web server; 404 says that there is none", "RFC 7711 3"),
  "posh.redirect-insecure": finding("bad", "peer", "POSH leads on to something that is no https URL of a domain on port 443", "redirect or refer to an https URL", "RFC 7711 10"),
  "posh.too-many-redirects": finding("bad", "peer", "POSH leads on more than ten times", "redirect to the document itself", "RFC 7711 10"),
  "posh.delegation-loop": finding("bad", "peer", "POSH leads in a circle", "redirect or refer to the document itself", "RFC 7711 10"),
  "posh.reference-to-reference": finding("bad", "peer", "a POSH reference leads to another reference", "refer to the document with the fingerprints", "RFC 7711 3.2"),
  "posh.wrong-service": finding("bad", "peer", "POSH of the older form leads on to another service", "redirect to a path of the same service", "POSH prooftype draft 03"),
  "posh.too-large": finding("bad", "peer", "the POSH document is larger than is read", "publish the fingerprints of the certificates in use, and nothing else", "RFC 7711 10"),
  "posh.encoded": finding("bad", "peer", "the POSH document comes in a content coding that was not asked for", "serve it without gzip or another coding", "RFC 9110 12.5.3"),
  "posh.not-json": finding("bad", "peer", "what the web server calls a POSH document is no JSON text", "publish the document as JSON in UTF-8 without a byte order mark", "RFC 7711 3.1"),
  "posh.bad-json": finding("bad", "peer", "the POSH document is JSON of a form that POSH does not have", "see the detail; correct the document", "RFC 7711 3.1"),
  "posh.duplicate-member": finding("bad", "peer", "the POSH document has two members of one name, which readers would read differently", "write each member once", "RFC 8259 4"),
  "posh.both-url-and-fingerprints": finding("bad", "peer", "the POSH document has both fingerprints and a reference", "leave one of `url` and `fingerprints` out", "RFC 7711 3.1"),
  "posh.no-fingerprints": finding("bad", "peer", "the POSH document names no certificate", "publish the fingerprint of the certificate in use", "RFC 7711 3.1"),
  "posh.bad-expires": finding("bad", "peer", "the POSH document does not say in whole seconds how long it holds", "write `expires` as a whole number of seconds", "RFC 7711 3.1"),
  "posh.no-usable-hash": finding("bad", "peer", "the POSH document has no hash of a kind that is accepted here", "publish `sha-256` or `sha-512`", "RFC 7711 10"),
  "posh.bad-base64": finding("bad", "peer", "a fingerprint of the POSH document is not Base64 of a hash", "publish the Base64 of the hash's octets", "RFC 7711 3.1"),
  "posh.expired": finding("unknown", "peer", "the POSH document holds no longer", "publish the document with an `expires` above 0; ask again later", "RFC 7711 6"),
  "posh.mismatch": finding("bad", "peer", "the certificate is not one that the domain's POSH document lists", "publish the fingerprint of the certificate in use, or nothing if this was an attack", "RFC 7711 3.3"),
  "posh.weaker-hash": finding("bad", "peer", "the certificate fits only the weaker hash of a POSH descriptor, not its strongest", "publish hashes of one certificate in one descriptor", "RFC 7711 3.3"),
  // Authentication.
  "auth.external-refused": finding("warn", "peer", "the server refused our certificate in SASL EXTERNAL", "see its own words; dialback is tried instead", "XEP-0178 3"),
  "auth.external-not-offered": finding("warn", "peer", "the server does not offer SASL EXTERNAL for our certificate, so that only dialback is left", "let it ask for certificates and accept those for TLS servers; or show it one that it knows the authority of", "XEP-0178 3"),
  "auth.reverse-refused": finding("bad", "peer", "the server did not prove its domain when it connected to us", "see the detail; configure it to present its certificate on outgoing streams, too", "RFC 7712 4.1"),
  "auth.reverse-unseen": finding("unknown", "path", "the server did not connect to us", "check that DNS leads it to the address that is listened on", "RFC 7712 4.1"),
  "auth.no-way": finding("bad", "peer", "the server offers neither SASL EXTERNAL nor dialback", "ask it to accept your certificate", "RFC 6120 6"),
  "auth.dialback-invalid": finding("bad", "peer", "dialback: the domain's own server says that the key is wrong", "nothing if this was an attack; else check that SRV leads to the same server", "XEP-0220 2.2.2"),
  "auth.dialback-error": finding("bad", "peer", "dialback: the claim could not be verified", "see the detail", "XEP-0220 2.5"),
  "auth.dialback-refused": finding("bad", "peer", "dialback: the server did not accept our claim", "check that its DNS leads back to you", "XEP-0220 2.1.1"),
  "auth.dialback-timeout": finding("unknown", "peer", "dialback: no answer in time", "check that its DNS leads back to you; some servers say nothing when they cannot verify", "XEP-0220 2.1.1"),
  "auth.authzid": finding("bad", "peer", "SASL EXTERNAL asks for another identity than the stream's", "correct the server", "RFC 6120 6.3.8"),
  // Policy.
  "policy.level": finding("bad", "peer", "the proof is weaker than this server requires", "see the failed proofs", "RFC 7590 3.4"),
  "policy.exception-ended": finding("warn", "you", "an exception for this peer has ended", "renew it with a reason, or leave it", "RFC 7590 3.4"),
  "policy.ratchet": finding("bad", "peer", "the domain proves less than it has done so far, and nothing that DNSSEC signs says why", "nothing if this was an attack; else ask its operator, and write an override with a reason and an end under federation.ratchet.overrides", "RFC 7590 3.4"),
  "policy.ratchet-full": finding("warn", "you", "no further domain can be remembered by the level it reaches", "nothing; those that are remembered stay, and make room when they are not seen for 90 days", "RFC 7590 3.4"),
  "policy.memory-lost": finding("bad", "you", "what was remembered of other domains is lost, so that nothing holds them to the level they had", "find out why; the ratchet begins anew and binds again after a week", "RFC 7590 3.4"),
  "policy.switched-off": finding("info", "you", "a connection is no longer shared by what was switched off for this peer", "nothing; stanzas leave on a connection of their own", "XEP-0288 2.2"),
  "policy.clock": finding("warn", "you", "the clock was set back", "check time synchronisation", "RFC 5280 6"),
  // Prooftypes as such.
  "proof.unavailable": finding("unknown", "path", "a proof could not be obtained", "try again later", "RFC 7712 7"),
  "proof.not-presented": finding("info", "nobody", "the server showed no proof of this kind in the stream", "nothing; another proof may do", "RFC 7712 7"),
  "proof.not-valid": finding("bad", "peer", "the proof that was shown in the stream is not valid for it", "see the detail", "RFC 7712 7"),
  "proof.internal": finding("unknown", "you", "a prooftype failed in its own code", "report it with the log", "RFC 7712 7"),
  // Domains of our own, judged as their peers judge them.
  "own.no-proof": finding("bad", "you", "no proof holds for a domain hosted here, so peers that ask for one refuse it", "put its certificate into a folder of certificates.dirs, or publish DANE or POSH for the certificate it shows", "RFC 7712 4.2"),
  "own.refused": finding("bad", "you", "DNS promises another certificate than a domain hosted here shows, so peers that validate refuse it", "publish the TLSA record of the certificate in use", "RFC 7673 3.4"),
  "own.elsewhere": finding("warn", "you", "DNS leads peers of a domain hosted here to a port where this gateway does not listen", "correct its SRV records; nothing if a forwarder stands between", "RFC 6120 3.2.1"),
  "own.posh-unpublished": finding("warn", "you", "a POSH document is served here for a domain, and peers who ask for it do not get it", "let the web server of the domain lead to listen.posh or listen.posh_https, or refer to the host's document", "RFC 7711 3"),
  // The sender's side of a stanza.
  "route.foreign-target": finding("bad", "peer", "a stanza for a domain that is not hosted here", "nothing; this server does not relay", "RFC 6120 10.4"),
  "route.unproven-sender": finding("bad", "peer", "a stanza from a domain that was not proven on this stream", "nothing; the stream was closed", "RFC 6120 4.9.3.9"),
} as const satisfies Record<string, Finding>

export type FindingId = keyof typeof findings

/** The sentence with its detail and its id in brackets, as every text output shows it. */
export function findingSentence(id: FindingId, detail?: string): string {
  const { sentence } = findings[id]
  return detail === undefined || detail === "" ? `${sentence} [${id}]` : `${sentence}: ${detail} [${id}]`
}
