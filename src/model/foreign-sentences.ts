// Sentences of other servers and of their TLS libraries, in their logs and stream errors, and what each means (RFC 6120 4.9.3, 13.7.2;
// XEP-0178, XEP-0220). A table: what stands first is the more telling, since one line may hold a cause and the frame around it.
import type { FindingId, Party } from "./findings.ts"

export interface ForeignSentence {
  /** The words as the product writes them; `*` stands for what changes. Compared without regard to case and spaces. */
  readonly says: string
  readonly product: string
  readonly versions: string
  /** In whose log it is seen, or by whom it is said. */
  readonly seen: string
  readonly means: string
  /** Whose move it is, seen from who has the line in the log. */
  readonly party: Party
  readonly action: string
  /** The finding of the catalogue that is the same; null where there is none. */
  readonly finding: FindingId | null
}

type Meaning = readonly [says: string, means: string, party: Party, action: string, finding: FindingId | null]

const of = (product: string, versions: string, seen: string, meanings: readonly Meaning[]): ForeignSentence[] =>
  meanings.map(([says, means, party, action, finding]) => ({ says, product, versions, seen, means, party, action, finding }))

/** How Prosody ends each of its sentences about a certificate; what it means, the repair by whose certificate it is, and since when it says so. */
const prosodyReasons: readonly (readonly [words: string, means: string, repair: string, finding: FindingId, since?: string])[] = [
  ["has an expired certificate chain", "an intermediate or root certificate of the chain has expired", "replace the chain by the one that the authority hands out now", "cert.expired", "13.0"],
  ["has expired", "the certificate has expired", "renew it, and make the server read the new one", "cert.expired"],
  ["is self-signed", "the certificate is signed by its own key", "get one from an authority, or publish DANE or POSH", "cert.self-signed"],
  ["does not match any DANE TLSA records", "DNS promises another key than the certificate has", "publish the TLSA record of the certificate in use", "dane.mismatch", "13.0"],
  ["is not trusted", "the chain leads to no authority that is known there: a missing intermediate certificate, an unknown root, or one not valid yet", "show the full chain (fullchain.pem), from a publicly known authority", "cert.unknown-root"],
  ["is not valid for this name", "the certificate is good, for other names than the XMPP domain", "get a certificate that names the domain, or publish DANE or POSH", "pkix.name-mismatch"],
  ["could not be validated", "no certificate was shown, or nothing was there to check it with", "configure the server to show its certificate on the connections it makes, too", "cert.none-shown"],
]

const prosodyCertificates: ForeignSentence[] = prosodyReasons.flatMap(([words, means, repair, finding, since = "0.12"]) => [
  ...of("Prosody", `${since} and later`, "the stream error it sends, and the log of the server that gets it", [[`Your server's certificate ${words}`, `${means}; it is yours that Prosody complains of`, "you", repair, finding]]),
  ...of("Prosody", `${since} and later`, "its own log and the errors of its users; it is the other server's certificate", [
    [`because its certificate ${words}`, `${means}, and s2s_secure_auth asks for a good one`, "peer", `ask its operator: ${repair}`, finding],
    [`Remote server's certificate ${words}`, `${means}, and s2s_secure_auth asks for a good one`, "peer", `ask its operator: ${repair}`, finding],
  ]),
])

/** Before 0.12 Prosody did not say what is wrong with a certificate, and had other words for what cannot be reached. */
const olderProsody = of("Prosody", "0.9 to 0.11", "its errors to users, the stream errors it sends, and the log of the server that gets them", [
  ["Your server's certificate is invalid, expired, or not trusted by *", "Prosody does not accept the certificate of your server and does not say why: its dates, its chain or its names", "you", "see what others make of your certificate: `xmpp-dna check YOUR-DOMAIN`", "auth.external-refused"],
  ["Connecting failed", "no address of the domain could be connected to; the reason may follow", "peer", "see at which step: `xmpp-dna check`", "reach.timeout"],
])

/** OpenSSL's words for the results of a path validation, as Prosody (debug), ejabberd and others pass them on. */
const openssl = of("OpenSSL", "1.1 and 3", "logs of servers that hand its words on: ejabberd, Prosody at level debug, Metronome", [
  ["unsupported certificate purpose", "the peer's library wants the purpose clientAuth in your certificate; public authorities stopped putting it there in 2026", "peer", "the peer: upgrade (ejabberd 25.07 or later accepts it). You meanwhile: let it fall back to dialback; a new certificate does not help", "cert.server-only"],
  ["unsuitable certificate purpose", "the peer's library wants the purpose clientAuth in your certificate; public authorities stopped putting it there in 2026", "peer", "the peer: upgrade (ejabberd 25.07 or later accepts it). You meanwhile: let it fall back to dialback; a new certificate does not help", "cert.server-only"],
  ["self-signed certificate in certificate chain", "the chain ends in a root that is not known to the one who judges", "peer", "use a publicly known authority, or give the one who judges its root", "cert.unknown-root"],
  ["self signed certificate in certificate chain", "the chain ends in a root that is not known to the one who judges", "peer", "use a publicly known authority, or give the one who judges its root", "cert.unknown-root"],
  ["self-signed certificate", "the certificate is signed by its own key", "peer", "get one from an authority, or publish DANE or POSH", "cert.self-signed"],
  ["self signed certificate", "the certificate is signed by its own key", "peer", "get one from an authority, or publish DANE or POSH", "cert.self-signed"],
  ["certificate has expired", "the certificate, or one above it, has expired", "peer", "renew it, and make the server read the new one", "cert.expired"],
  ["certificate is not yet valid", "the certificate begins in the future", "peer", "check both clocks", "cert.not-yet-valid"],
  ["unable to get local issuer certificate", "the authority that issued the certificate is not at hand: a missing intermediate certificate, or an unknown root", "peer", "show the full chain (fullchain.pem)", "cert.incomplete-chain"],
  ["unable to get issuer certificate", "a certificate of the chain has no issuer at hand", "peer", "show the full chain (fullchain.pem)", "cert.incomplete-chain"],
  ["unable to verify the first certificate", "the server shows its own certificate alone, without the one that issued it", "peer", "show the full chain (fullchain.pem)", "cert.incomplete-chain"],
  ["certificate signature failure", "a certificate was not signed by the key that it names", "peer", "show the right chain; do not trust this one", "cert.bad-signature"],
  ["hostname mismatch", "the certificate names other hosts", "peer", "get a certificate that names the domain", "pkix.name-mismatch"],
  ["key too small", "a key of the chain is too short", "peer", "use RSA of 2048 bits or more, ECDSA or Ed25519", "cert.weak-key"],
  ["md too weak", "a signature of the chain uses a hash that is too weak", "peer", "get a certificate with SHA-2", "cert.weak-key"],
  ["permitted subtree violation", "an authority of the chain may not issue for this name", "peer", "get the certificate from one that may", "cert.constraints"],
  ["excluded subtree violation", "an authority of the chain may not issue for this name", "peer", "get the certificate from one that may", "cert.constraints"],
])

/** Codes of Node's TLS, seen by programs written with it. */
const node = of("Node", "20 and later", "programs that run on it: xmpp.js, bots, bridges", [
  ["INVALID_PURPOSE", "Node's server wants clientAuth in a client's certificate; it says the same of one that is self-signed, so this must not be taken for harmless", "you", "judge the certificate yourself, without Node's opinion", "cert.server-only"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "the certificate is signed by its own key", "peer", "get one from an authority, or publish DANE or POSH", "cert.self-signed"],
  ["SELF_SIGNED_CERT_IN_CHAIN", "the chain ends in a root that is not known here", "peer", "use a publicly known authority", "cert.unknown-root"],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "the server shows its own certificate alone", "peer", "show the full chain (fullchain.pem)", "cert.incomplete-chain"],
  ["UNABLE_TO_GET_ISSUER_CERT", "a certificate of the chain has no issuer at hand", "peer", "show the full chain (fullchain.pem)", "cert.incomplete-chain"],
  ["CERT_HAS_EXPIRED", "the certificate has expired", "peer", "renew it", "cert.expired"],
  ["CERT_NOT_YET_VALID", "the certificate begins in the future", "peer", "check both clocks", "cert.not-yet-valid"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "the certificate names other hosts", "peer", "get a certificate that names the domain", "pkix.name-mismatch"],
  ["ECONNREFUSED", "nothing listens at that address and port", "peer", "start the server, open the port", "reach.refused"],
  ["ETIMEDOUT", "no answer from that address", "path", "check firewalls on the way", "reach.timeout"],
])

const ejabberd = of("ejabberd", "17.12 and later", "its own log", [
  ["Peer provided no SASL mechanisms; most likely it doesn't accept our certificate", "the other server offers no login by certificate, which Prosody does when it does not like yours; without mod_s2s_dialback nothing is left", "you", "see what others make of your certificate: `xmpp-dna check YOUR-DOMAIN`; meanwhile enable mod_s2s_dialback", "auth.external-not-offered"],
  ["Certificate host name mismatch", "the certificate of the other server does not name its XMPP domain", "peer", "ask its operator for a certificate that names the domain", "pkix.name-mismatch"],
  ["Failed to get peer certificate", "the other server showed no certificate when it connected", "peer", "ask its operator to show one on outgoing connections; dialback is tried instead", "cert.none-shown"],
  ["Remote domain is not an IDN hostname", "the domain that was to be reached cannot be written in DNS", "you", "check the spelling of the address", "dns.not-a-domain"],
  ["Peer doesn't support STARTTLS", "the other server offers no TLS, and s2s_use_starttls requires it", "peer", "ask its operator to configure a certificate", "tls.not-offered"],
  ["STARTTLS is disabled in local configuration", "the other server wants TLS, and s2s_use_starttls is off here", "you", "set s2s_use_starttls to required or optional", "tls.not-offered"],
  ["Use of STARTTLS required", "who connected sent something before TLS, and TLS is required", "peer", "the one who connects has to use STARTTLS", "tls.not-offered"],
  ["DNS lookup failed: non-existing domain", "DNS says that there is no such domain", "peer", "check the spelling", "dns.nxdomain"],
  ["DNS lookup failed", "no usable answer from DNS; ejabberd asks for SRV and then for addresses", "resolver", "ask again later; check the resolver and the name servers of the domain", "dns.servfail"],
  ["Connection failed: connection refused", "nothing listens at the addresses of the domain", "peer", "its operator: start the server, open the port", "reach.refused"],
  ["Connection failed: connection timed out", "no answer from the addresses of the domain", "path", "check firewalls on the way, IPv6 first", "reach.timeout"],
  ["Connection failed: timeout", "no answer from the addresses of the domain", "path", "check firewalls on the way, IPv6 first", "reach.timeout"],
  ["Connection failed: no route to host", "there is no way to the addresses of the domain, often because this machine has no IPv6", "path", "check routes; outgoing_s2s_families can leave IPv6 out", "reach.no-route"],
  ["Connection failed: network is unreachable", "there is no way to the addresses of the domain, often because this machine has no IPv6", "path", "check routes; outgoing_s2s_families can leave IPv6 out", "reach.no-route"],
  ["Connection failed: connection closed", "the other server closed the connection without a word", "peer", "see its log; `xmpp-dna check` shows at which step", "stream.closed"],
  ["Stream reset by peer", "the other server ended the stream without naming an error; ejabberd itself does so when it does not like a certificate", "peer", "see its log; `xmpp-dna check` shows at which step", "stream.closed"],
  ["invalid dialback key", "the server that DNS names for the sender says that the key is not its own", "peer", "check that SRV leads to the same server, and that all its nodes share one secret", "auth.dialback-invalid"],
  ["Got stray dialback packet", "an answer to a question that was not asked; it is ignored", "peer", "nothing, if it stays at a few", "auth.dialback-error"],
  ["unexpected dialback result", "the answer to a dialback key is none that there is", "peer", "ask its operator which server it is", "auth.dialback-error"],
  ["Trying s2s dialback authentication with non-RFC compliant server", "the other server declares no dialback, and it is tried all the same", "peer", "nothing", null],
  ["No certificate found matching *", "a hosted domain has no certificate", "you", "add one to certfiles", "tls.no-certificate"],
  ["Stream queue is overloaded", "more stanzas wait for that server than are kept", "you", "see why nothing goes out to it", null],
  ["Host unknown", "the other server does not serve the domain that was asked for", "peer", "check the spelling and its SRV records", "stream.host-unknown"],
])

const prosody = of("Prosody", "0.11 and later", "its own log, and errors to its users", [
  ["No certificate provided by *", "the other server showed no certificate", "peer", "ask its operator to show one on outgoing connections, too", "cert.none-shown"],
  ["Encrypted server-to-server communication is required but was not *", "the other server offers or uses no TLS, and s2s_require_encryption asks for it", "peer", "its operator: configure a certificate, allow TLS", "tls.not-offered"],
  ["No SASL EXTERNAL offer and Dialback doesn't seem to be enabled", "the other server does not take your certificate, and offers no dialback", "you", "see what others make of your certificate: `xmpp-dna check YOUR-DOMAIN`", "auth.no-way"],
  ["No viable authentication method offered", "the other side does not take your certificate, and offers no dialback", "you", "see what others make of your certificate: `xmpp-dna check YOUR-DOMAIN`", "auth.no-way"],
  ["authoritative server for * denied the key", "the server that DNS names for the sender says that the key is not its own", "peer", "check that its SRV records lead to the same server", "auth.dialback-invalid"],
  ["Asked to verify a dialback key that was incorrect. An imposter is claiming to be *", "another server asked whether a key is yours, and it is not: somebody claims your domain, or a second server of yours has another secret", "you", "set dialback_secret to the same on all servers of the domain; else find out who it was", "auth.dialback-invalid"],
  ["dialback authentication failed", "the other server did not accept your key: where its DNS led to, nobody vouched for it", "you", "check that DNS leads others to this server", "auth.dialback-refused"],
  ["tried to connect to *, which we don't serve", "a server asked for a domain that is not configured here, for a MUC service often", "you", "add the host or component, or correct the SRV records", "stream.host-unknown"],
  ["This host does not serve *", "the server does not know the domain that was asked for", "peer", "its operator: add the host or component, or correct the SRV records", "stream.host-unknown"],
  ["Server-to-server communication is disabled for this host", "the domain does not federate", "peer", "nothing, if it is meant; else load mod_s2s for it", null],
  ["Attempt to connect from a host we serve", "a server says that it is a domain of this very server: a domain configured twice, or somebody who pretends", "you", "look for a second server with the same domain", "stream.from-own-domain"],
  ["Attempt to authenticate as a host we serve", "a server says that it is a domain of this very server: a domain configured twice, or somebody who pretends", "you", "look for a second server with the same domain", "stream.from-own-domain"],
  ["New stream 'from' attribute does not match original", "a server changed its name after TLS began", "peer", "report it to the makers of the other server", "stream.from-mismatch"],
  ["No stream features to offer", "who connected did not say for which domain", "peer", "the one who connects has to write `to` into its header", "stream.error"],
  ["Destroying incomplete session * due to inactivity", "a negotiation stood still for too long", "path", "see at which step: `xmpp-dna check`", "stream.too-slow"],
  ["unable to resolve service", "neither SRV records nor addresses were found, or none could be connected to", "peer", "check the spelling and the DNS of the domain: `xmpp-dna check`", "dns.target-unresolvable"],
  ["s2s connection attempt failed: connection refused", "nothing listens at the address that was tried", "peer", "its operator: start the server, open the port", "reach.refused"],
  ["Received invalid XML from remote server", "what came is not well-formed, or longer than is allowed", "peer", "report it to the makers of the other server", "stream.bad-xml"],
  ["XML stanza is too big", "a stanza is longer than the other side takes", "peer", "send less at once; s2s_stanza_size_limit in Prosody, max_stanza_size in ejabberd", "stream.error"],
  ["TLS negotiation with * failed", "the TLS handshake failed", "peer", "check protocol versions and the certificate with its key", "tls.handshake-failed"],
  ["No TLS context available for *", "Prosody could not load a certificate for the host; the reason stands where it started", "you", "check `certificate` and the permissions: prosodyctl check certs", "tls.no-certificate"],
  ["SSL/TLS: Failed to load '*'", "a certificate or key file cannot be read", "you", "check the path and the permissions; renewals often write files that only root can read", "tls.no-certificate"],
])

const openfire = of("Openfire", "4.7 and later", "its own log, and errors it sends", [
  ["Plaintext detected on a new connection that is was started in DirectTLS mode", "an SRV record `_xmpps-server` leads to a port where TLS does not begin at once", "peer", "its operator: correct the SRV record, or serve TLS at once on that port", "tls.handshake-failed"],
  ["Direct TLS negotiation failed", "the TLS handshake failed", "peer", "check protocol versions and the certificate with its key", "tls.handshake-failed"],
  ["StartTLS negotiation failed", "the TLS handshake failed; Openfire ends it there when it does not like a certificate", "peer", "check the certificate and its chain: `xmpp-dna check`", "tls.handshake-failed"],
  ["TLS is mandatory, but was not established", "the other side offers no TLS, and it is required", "peer", "configure a certificate and STARTTLS", "tls.not-offered"],
  ["Cannot create a plain socket connection with any applicable remote host", "no address of the domain accepts connections, or DNS has none", "peer", "its operator: start the server, open the port, check DNS", "reach.refused"],
  ["Unable to authenticate the connection: SASL authentication failed (and dialback is not available)", "the certificate of the other server does not hold for its domain, and dialback is off", "peer", "see what is wrong with it: `xmpp-dna check`", "policy.level"],
  ["exhausted all options (not trying dialback as a fallback", "the certificate did not do, and dialback is off here", "you", "see what others make of your certificate: `xmpp-dna check YOUR-DOMAIN`", "auth.no-way"],
  ["Dialback has been disabled by configuration", "dialback is off, and nothing else was left", "you", "use a certificate that names the domain", "auth.no-way"],
  ["Server Dialback can be negotiated only after the connection has been encrypted", "the other side tried dialback without TLS", "peer", "it has to use TLS", "tls.not-offered"],
  ["Remote domain is not accessible according to our configuration", "federation is off, or the domain is on the list of those that are blocked", "you", "see Server to Server in the administration console", null],
  ["Remote domain is not allowed to establish a connection to this server", "the other side has you on the list of those that are blocked, or federates with some only", "peer", "ask its operator", null],
  ["Service not hosted here", "the server does not know the domain that was asked for", "peer", "its operator: correct the SRV records or the name of the domain", "stream.host-unknown"],
  ["Incoming session already exists", "the other side takes one connection from each domain, and has one", "peer", "wait until the older one ends; its operator can allow several", null],
  ["No server available for verifying key of remote server", "to verify your key the other side looked for your server in DNS, and reached none", "you", "check that DNS leads others to this server, and the port is open", "auth.dialback-error"],
  ["Key verification did not complete", "to verify your key the other side asked the server that DNS names for you, and got no answer", "you", "check that DNS leads others to this server", "auth.dialback-error"],
  ["Authoritative server failed", "to verify your key the other side asked the server that DNS names for you, and failed", "you", "check that DNS leads others to this server", "auth.dialback-error"],
])

/** Where what stands in an RFC is said, and not the words of one product. */
export const anyServer = "every server"

/** Conditions that every server uses, where no words came with them. */
const conditions = of(anyServer, "RFC 6120", "stream errors, SASL failures and errors to users", [
  ["host-unknown", "the server does not serve the domain that was asked for", "peer", "check the spelling and the SRV records", "stream.host-unknown"],
  ["host-gone", "the domain is no longer served there", "peer", "check the SRV records", "stream.host-unknown"],
  ["remote-connection-failed", "the server could not reach the one it has to ask (for dialback)", "you", "check that DNS leads others to you", "auth.dialback-error"],
  ["remote-server-not-found", "the domain was not found in DNS, or could not be connected to", "peer", "check the spelling: `xmpp-dna check`", "dns.nxdomain"],
  ["remote-server-timeout", "the domain was found, and no connection came about", "peer", "see at which step: `xmpp-dna check`", "reach.timeout"],
  ["not-well-formed", "what was sent is no XML", "you", "report it to the makers of the server that sent it", "stream.bad-xml"],
  ["restricted-xml", "XML that is not allowed on a stream: a comment, an entity, a document type", "you", "report it to the makers of the server that sent it", "stream.bad-xml"],
  ["improper-addressing", "a `from` or `to` is missing or is no address", "you", "report it to the makers of the server that sent it", "stream.error"],
  ["invalid-from", "a stanza from a domain that was not proven on the stream", "you", "prove the domain first; else a fault of the server that sent it", "route.unproven-sender"],
  ["connection-timeout", "nothing came for too long", "path", "see at which step: `xmpp-dna check`", "stream.too-slow"],
  ["resource-constraint", "the server has no room for this now, or you asked for too much", "you", "wait", "reach.budget"],
  ["policy-violation", "a rule of the server forbids it: no TLS, too large, blocked; its words say more", "you", "see its words", "stream.error"],
  ["unsupported-stanza-type", "the server does not understand what was sent; Prosody says so to dialback for a domain it does not serve", "you", "check the domain that was asked for", "stream.error"],
  ["system-shutdown", "the server is being stopped", "peer", "wait", "stream.closed"],
  ["invalid-authzid", "the login names another domain than the stream", "you", "report it to the makers of the server that sent it", "auth.authzid"],
  ["not-authorized", "the server does not accept the proof that it got; its words say more", "you", "see its words; `xmpp-dna check YOUR-DOMAIN` shows what others see of you", "auth.external-refused"],
])

/** Sentences around a reason that another one tells: each counts only where the reason is not known. */
const frames: ForeignSentence[] = [
  ...of("ejabberd", "17.12 and later", "its own log", [
    ["Retrying with s2s dialback authentication", "the login by certificate was refused; the line before says why", "you", "see the reason in the line before; messages go through by dialback", "auth.external-refused"],
    ["Failed to secure inbound s2s connection", "TLS with a server that connected failed; the reason follows", "peer", "see the reason", "tls.handshake-failed"],
    ["TLS failed: *", "the TLS handshake failed; the reason follows", "peer", "see the reason; check protocol versions and the certificate with its key", "tls.handshake-failed"],
    ["Failed inbound s2s EXTERNAL authentication *", "a server that connected could not prove its domain by its certificate; the reason follows", "peer", "see the reason; dialback comes next", "auth.reverse-refused"],
    ["Failed outbound s2s EXTERNAL authentication *", "the other server refused your certificate; its words follow", "you", "see its words; dialback comes next", "auth.external-refused"],
    ["Failed inbound s2s dialback authentication *", "a server that connected could not prove its domain by dialback; the reason follows", "peer", "see the reason", "auth.dialback-error"],
    ["Failed outbound s2s dialback authentication *", "the other server did not accept your dialback key; its words follow", "you", "check that DNS leads it back to you", "auth.dialback-refused"],
    ["Failed to establish outbound s2s connection *: authentication failed; bouncing for * seconds", "no way to prove yourself was left; until the time is over messages are returned at once", "you", "the lines before say what was tried; `xmpp-dna check` tries it again at once", "auth.no-way"],
    ["Failed to establish outbound s2s connection *; bouncing for * seconds", "the connection failed for the reason that follows; until the time is over messages are returned at once", "peer", "see the reason; `xmpp-dna check` tries it again at once", "stream.closed"],
  ]),
  ...of("Prosody", "0.11 and later", "its own log, and errors to its users", [
    ["No fallback from SASL EXTERNAL failure, giving up", "the other server refused your certificate, and dialback is off here or there", "you", "see its words in the line before; enable mod_dialback meanwhile", "auth.external-refused"],
    ["Could not authenticate to remote server", "the other server refused your certificate, and nothing else is left", "you", "see its words in the log; enable mod_dialback meanwhile", "auth.external-refused"],
    ["SASL EXTERNAL failed, falling back to dialback", "the other server refused your certificate; dialback is tried", "you", "see its words in the line before; messages may still go through", "auth.external-refused"],
    ["SASL EXTERNAL with * failed: *", "the other server refused your certificate; its words follow", "you", "see its words; dialback comes next", "auth.external-refused"],
    ["s2s connection attempt failed: *", "an address of the domain could not be connected to; the reason follows", "path", "see the reason; others may answer", "reach.address-dead"],
    ["certificate chain validation result: invalid", "the chain of the other server does not hold; the next lines say at which depth", "peer", "see the lines after it", "cert.bad-chain"],
    ["Sending error replies for * queued stanzas because of failed outgoing connection to *", "messages are returned; the lines before say why the connection failed", "peer", "see the lines before", "stream.closed"],
    ["Server-to-server connection failed: *", "how Prosody begins the errors it returns to users; the reason follows", "peer", "see the reason", "stream.closed"],
  ]),
  ...of("Prosody", "0.9 to 0.11", "its own log, and errors to its users", [
    ["Forbidding insecure connection to/from *", "the certificate of the other server does not do, and s2s_secure_auth asks for a good one; which of its dates, chain or names it is, is not said", "peer", "see what is wrong with it: `xmpp-dna check`", "policy.level"],
    ["Failed in all attempts to connect to *", "neither an address of the domain nor any other of its servers could be connected to, or DNS names none", "peer", "see at which step: `xmpp-dna check`", "reach.timeout"],
  ]),
  ...of("Openfire", "4.7 and later", "its own log", [
    ["Unable to encrypt and authenticate connection: Exhausted all options", "neither the certificate nor dialback worked", "you", "see what others make of your certificate: `xmpp-dna check YOUR-DOMAIN`", "auth.no-way"],
    ["Unable to create a new session: Dialback (as a fallback) failed", "neither TLS nor dialback worked", "you", "the lines before say why; check that DNS leads others to this server", "auth.dialback-refused"],
    ["Unable to authenticate: Fail to create new session", "no connection came about; the lines before say why", "peer", "see the lines before", "stream.closed"],
  ]),
]

export const foreignSentences: readonly ForeignSentence[] = [...prosodyCertificates, ...olderProsody, ...openssl, ...node, ...ejabberd, ...prosody, ...openfire, ...conditions, ...frames]
