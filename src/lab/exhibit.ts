// An exhibit: a domain that stands in the lab to be looked at by `check`, with what is wrong with it and what is to be found (RFC 7712 4.2).
import type { FindingId, Severity } from "../model/findings.ts"
import type { RequiredLevel } from "../model/policy.ts"
import type { Service } from "../model/verdict.ts"
import type { NetworkAddress, TlsCredentials } from "../ports.ts"
import type { IssuedCertificate } from "./certificate-authority.ts"
import type { Internet } from "./internet.ts"
import { type PlainServerSpec, startPlainServer } from "./plain-server.ts"
import type { LabZone } from "./publish.ts"

/** How it is asked about, where that is not as usual. */
export interface ExhibitQuestion {
  /** `xmpp-server` unless given. */
  readonly service?: Service
  /** `authenticated` unless given. */
  readonly expect?: RequiredLevel
  readonly family?: 4 | 6
  /** Of the whole, ms. */
  readonly patience?: number
  /** As a domain of ours, which really logs in with this certificate. */
  readonly from?: { readonly domain: string; readonly credentials: TlsCredentials }
  /** Its server is pinged, and waited for here. */
  readonly reverse?: { readonly at: NetworkAddress; readonly patience: number }
}

/** What else than the lab's own is asked; what an exhibit needs to say of itself once it stands. */
export interface Standing {
  readonly question?: ExhibitQuestion
  /** Another resolver, with the anchors of its root, as DS records one a line. */
  readonly resolver?: { readonly at: NetworkAddress; readonly anchorText: string }
}

/** `none` and the federation levels; null: could not tell. */
export type ExhibitLevel = "none" | "permissive" | "verified" | "encrypted" | "authenticated" | null

export type SeenFinding = `${Severity} ${FindingId}`

export interface ExhibitSeen {
  /** Exit status of `check` for this domain alone: 0 as expected, 2 not, 3 could not tell. */
  readonly exit: number
  readonly level: ExhibitLevel
  /** Every finding with the severity it has here, in the order of the letters. */
  readonly findings: readonly SeenFinding[]
}

export interface Exhibit {
  readonly id: string
  readonly section: string
  /** What is wrong. */
  readonly title: string
  /** What to ask about. */
  readonly domain: string
  readonly expected: ExhibitSeen
  /** Puts it up; it stands as long as the lab does. */
  raise(net: Internet): Promise<Standing | undefined>
}

/** What nearly every domain lacks, which is no fault. */
const usual: readonly SeenFinding[] = ["info dane.no-tlsa", "info posh.not-published"]

/** What is seen of a domain that has neither TLSA records nor a POSH document. */
export function seen(level: ExhibitLevel, exit: number, ...findings: readonly SeenFinding[]): ExhibitSeen {
  return seenAlone(level, exit, ...findings, ...usual)
}

export function seenAlone(level: ExhibitLevel, exit: number, ...findings: readonly SeenFinding[]): ExhibitSeen {
  return { exit, level, findings: [...findings].sort() }
}

/** A server that negotiates and no more, published in DNS. */
export interface StandSpec extends Omit<PlainServerSpec, "domain" | "certificate"> {
  readonly domain: string
  /** One of the lab's authority for the domain unless given; null: none, and no TLS. */
  readonly certificate?: IssuedCertificate | null
  /** Of the certificate, for TLSA records about it; the lab's authority unless given. */
  readonly issuer?: Pick<IssuedCertificate, "der" | "key">
  readonly zone?: LabZone
}

/** Puts such a server up. @returns where it is */
export async function stand(net: Internet, spec: StandSpec): Promise<NetworkAddress> {
  const { domain, certificate: given, issuer, zone, ...rest } = spec
  const certificate = given === null ? undefined : (given ?? net.authority.issue({ names: { dns: [domain] } }))
  const server = await startPlainServer({ ...rest, domain, ...(certificate === undefined ? {} : { certificate }) })
  net.keep(server)
  net.publish({
    domain,
    service: spec.service ?? "xmpp-server",
    zone,
    s2s: server.at,
    transport: spec.directTls === true ? "direct-tls" : "starttls",
    // TLSA records without a certificate are of somebody else's.
    certificate: certificate ?? net.authority.certificate,
    issuer: issuer ?? net.authority.certificate,
  })
  return server.at
}

/** An exhibit that is one such server, at a domain named like itself. */
export function standing(id: string, section: string, title: string, expected: ExhibitSeen, spec: (net: Internet, domain: string) => Omit<StandSpec, "domain">, question?: ExhibitQuestion): Exhibit {
  const domain = `${id}.example`
  return {
    id,
    section,
    title,
    domain,
    expected,
    raise: async (net) => {
      await stand(net, { domain, ...spec(net, domain) })
      return question === undefined ? undefined : { question }
    },
  }
}
