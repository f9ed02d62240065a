// Exhibits of what DNS says: nothing, no, nobody knows, or what cannot be believed; and what TLSA records promise (RFC 6120 3.2, RFC 4035, RFC 7673, RFC 7671).
import { type Exhibit, type SeenFinding, seen, seenAlone, stand, standing } from "../exhibit.ts"
import { selfSigned, toPem } from "../certificate-authority.ts"
import type { Internet } from "../internet.ts"
import { startLabDns } from "../lab-dns.ts"
import type { LabTlsa, LabZone } from "../publish.ts"

const srvOf = (domain: string): string => `_xmpp-server._tcp.${domain}`

/** Nothing but records, or what the name server does wrong. */
function records(id: string, section: string, title: string, expected: Exhibit["expected"], set: (net: Internet, domain: string) => void): Exhibit {
  const domain = `${id}.example`
  return {
    id,
    section,
    title,
    domain,
    expected,
    raise: async (net) => {
      set(net, domain)
      return undefined
    },
  }
}

const nobody = records("dns-nxdomain", "RFC 6120 3.2", "there is no such domain", seenAlone("none", 2, "bad dns.nxdomain"), () => undefined)
const noService = records("dns-srv-refused", "RFC 6120 3.2.1", "the domain says that it has no such service", seenAlone("none", 2, "bad dns.srv-refused"), ({ signed }, domain) => {
  signed.zones.set(srvOf(domain), { SRV: [[0, 0, 0, "."]] })
})
const servfail = records("dns-servfail", "RFC 7673 3.1", "the name server fails", seenAlone(null, 3, "unknown dns.servfail"), ({ dns }, domain) => dns.misbehave(srvOf(domain), "servfail"))
const unresolvable = records("dns-target-unresolvable", "RFC 6120 3.2.1", "the server that SRV names has no address", seenAlone("none", 2, "bad dns.target-unresolvable"), ({ signed }, domain) => {
  signed.zones.set(srvOf(domain), { SRV: [[0, 0, 5269, `xmpp.${domain}`]] })
})
const unnamed = records("dns-no-server", "RFC 6120 3.2.2", "the domain is there, and neither SRV nor an address says where its server is", seenAlone("none", 2, "bad dns.no-server"), ({ signed }, domain) => {
  signed.zones.set(`www.${domain}`, { A: ["127.0.0.1"] })
})
const guarded = records("dns-guarded", "RFC 6120 13.12", "the address is one of a private network", seenAlone(null, 3, "unknown dns.guarded"), ({ signed }, domain) => {
  signed.zones.set(srvOf(domain), { SRV: [[0, 0, 5269, `xmpp.${domain}`]] })
  signed.zones.set(`xmpp.${domain}`, { A: ["10.11.12.13"] })
})

const bogus = standing("dns-bogus", "RFC 7673 3.1", "the signatures of the SRV records are wrong", seenAlone("none", 2, "bad dns.bogus"), () => ({ zone: { bogusSrv: true } }))

/** A good server, and beside it a target that is lost. */
function besides(id: string, title: string, finding: SeenFinding, spoil: (net: Internet, host: string) => void): Exhibit {
  const domain = `${id}.example`
  return {
    id,
    section: "RFC 6120 3.2.1",
    title,
    domain,
    expected: seen("authenticated", 0, finding),
    raise: async (net) => {
      const { port } = await stand(net, { domain })
      net.signed.zones.set(srvOf(domain), { SRV: [[0, 0, port, `xmpp.${domain}`], [1, 0, port, `second.${domain}`]] })
      spoil(net, `second.${domain}`)
      return undefined
    },
  }
}

const lostTarget = besides("dns-second-lost", "the second server that SRV names has no address", "warn dns.target-unresolvable", () => undefined)
const bogusTarget = besides("dns-second-bogus", "the address of the second server fails DNSSEC validation", "warn dns.bogus", ({ signed }, host) => {
  signed.zones.set(host, { A: ["127.0.0.1"] })
  signed.zones.spoil(host, "A")
})
const failingTarget = besides("dns-second-fails", "the address of the second server cannot be asked for", "warn dns.servfail", ({ dns }, host) => dns.misbehave(host, "servfail", "A"))
const guardedTarget = besides("dns-second-guarded", "the second server has an address of a private network", "warn dns.guarded", ({ signed }, host) => signed.zones.set(host, { A: ["10.11.12.13"] }))

/** Where the port is the one that stands in RFC 6120; another machine of the loopback network for each lab. */
const fallback: Exhibit = {
  id: "dns-no-srv",
  section: "RFC 6120 3.2.2",
  title: "no SRV records: the domain's own address and port 5269",
  domain: "dns-no-srv.example",
  // The domain's address is now its web server's, too, which is none.
  expected: seenAlone("authenticated", 0, "info dane.no-tlsa", "info dns.no-srv-fallback", "info posh.unreachable"),
  raise: async (net) => {
    const domain = "dns-no-srv.example"
    const { address } = await atUsualPort(net, domain)
    net.signed.zones.set(srvOf(domain), undefined)
    net.signed.zones.set(domain, { A: [address] })
    return undefined
  },
}

async function atUsualPort(net: Internet, domain: string): Promise<{ readonly address: string }> {
  for (let last = 1; ; last += 1) {
    try {
      return await stand(net, { domain, at: { address: `127.52.69.${last}`, port: 5269 } })
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined
      // Where loopback is one address only, its port is the one there is.
      if (code === "EADDRNOTAVAIL") return await stand(net, { domain, at: { address: "127.0.0.1", port: 5269 } })
      // Another lab has this one.
      if (code !== "EADDRINUSE" || last === 250) throw error
    }
  }
}

const clock: Exhibit = {
  id: "dns-clock",
  section: "RFC 4035 5.3.1",
  title: "every signature from the root down has ended: it is this machine's clock that is wrong",
  domain: "dns-clock.example",
  expected: seenAlone(null, 3, "unknown dns.clock"),
  raise: async (net) => {
    const former = await startLabDns(net.clock.now() - 30 * 86_400_000)
    net.keep(former)
    former.zones.set(srvOf("dns-clock.example"), { SRV: [[0, 0, 5269, "xmpp.dns-clock.example"]] })
    const { address, port } = former.honest
    return { resolver: { at: { address, port }, anchorText: former.zones.anchorText } }
  },
}

const stripped: Exhibit = {
  id: "dns-stripped",
  section: "RFC 4035 4.3",
  title: "the resolver keeps the signatures to itself: nothing of what it says can be believed",
  domain: "dns-stripped.example",
  expected: seenAlone(null, 3, "unknown dns.stripped"),
  raise: async (net) => {
    const own = await startLabDns(net.clock.now())
    net.keep(own)
    own.strips = true
    own.zones.set(srvOf("dns-stripped.example"), { SRV: [[0, 0, 5269, "xmpp.dns-stripped.example"]] })
    const { address, port } = own.stripping
    return { resolver: { at: { address, port }, anchorText: own.zones.anchorText } }
  },
}

const ee: LabTlsa = { usage: 3, selector: 1, matching: 1 }
const posh: SeenFinding = "info posh.not-published"

function promising(domain: string, ...tlsa: readonly LabTlsa[]): LabZone {
  return { targets: [{ name: `xmpp.${domain}`, tlsa }] }
}

const good = standing("good", "RFC 7712 4.2", "nothing is wrong: a certificate of a known authority, and signed DNS that promises it", seenAlone("authenticated", 0, posh), (_, domain) => ({ zone: promising(domain, ee) }))
const daneAlone = standing("dane-self-signed", "RFC 7671 5.1", "signed by itself, and signed DNS promises it: proven", seenAlone("authenticated", 0, "info cert.self-signed", posh), (net, domain) => ({
  certificate: selfSigned({ names: { dns: [domain] }, now: net.authority.now }),
  zone: promising(domain, ee),
}))
const stale = standing("dane-mismatch", "RFC 7673 3.4", "a good certificate, and TLSA records that still promise the former key", seenAlone("none", 2, "bad dane.mismatch", posh), (_, domain) => ({ zone: promising(domain, { ...ee, of: "stale" }) }))
const unusable = standing("dane-unusable", "RFC 7671 10.3", "TLSA records of a usage that is not for this (PKIX-EE)", seenAlone("authenticated", 0, "warn dane.unusable", posh), (_, domain) => ({ zone: promising(domain, { usage: 1, selector: 1, matching: 1 }) }))
const bogusTlsa = standing("dane-tlsa-bogus", "RFC 7673 3.4", "the signatures of the TLSA records are wrong", seenAlone("none", 2, "bad dane.tlsa-bogus"), (_, domain) => ({ zone: { targets: [{ name: `xmpp.${domain}`, tlsa: [ee], bogusTlsa: true }] } }))

const failingTlsa: Exhibit = {
  id: "dane-tlsa-failed",
  section: "RFC 7673 3.4",
  title: "the TLSA records cannot be asked for, so that they may hide a promise",
  domain: "dane-tlsa-failed.example",
  expected: seenAlone(null, 3, "unknown dane.tlsa-failed"),
  raise: async (net) => {
    const { port } = await stand(net, { domain: "dane-tlsa-failed.example" })
    net.dns.misbehave(`_${port}._tcp.xmpp.dane-tlsa-failed.example`, "servfail")
    return undefined
  },
}

/** Its authority is sent with the chain, as a digest of it needs (RFC 7671 5.2.2). */
function byAuthority(id: string, section: string, title: string, finding: SeenFinding, names: (domain: string) => readonly string[], ended: boolean): Exhibit {
  const domain = `${id}.example`
  return standing(id, section, title, seenAlone("none", 2, finding, "bad cert.unknown-root", posh), (net) => {
    const { now } = net.authority
    const leaf = net.stranger.issue({ names: { dns: names(domain) }, ...(ended ? { notBefore: now - 9 * 86_400_000, notAfter: now - 86_400_000 } : {}) })
    const { certificate } = net.stranger
    return { certificate: { ...leaf, chainPem: leaf.chainPem + toPem(certificate.der) }, issuer: certificate, zone: promising(domain, { usage: 2, selector: 0, matching: 1, of: "issuer" }) }
  })
}

const otherName = byAuthority("dane-name-mismatch", "RFC 7671 10.2", "of the authority that TLSA names, and for another domain", "bad dane.name-mismatch", () => ["elsewhere.example"], false)
const brokenChain = byAuthority("dane-chain", "RFC 7671 5.2", "of the authority that TLSA names, and expired", "bad dane.chain", (domain) => [domain], true)

export const dnsExhibits: readonly Exhibit[] = [
  good,
  nobody,
  noService,
  servfail,
  unresolvable,
  unnamed,
  guarded,
  bogus,
  lostTarget,
  bogusTarget,
  failingTarget,
  guardedTarget,
  fallback,
  clock,
  stripped,
  daneAlone,
  stale,
  unusable,
  bogusTlsa,
  failingTlsa,
  otherName,
  brokenChain,
]
