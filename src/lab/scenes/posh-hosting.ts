// What scenes about POSH share: a domain that shows its host's certificate, a peer that asks for a document, and what both conclude.
import { createHash } from "node:crypto"
import type { FindingId } from "../../model/findings.ts"
import type { Internet, LabServer, LabWebAnswer, ServerSpec } from "../internet.ts"
import type { EndGot, ExchangeGot } from "../scene.ts"
import { delivered, failed, proved, provenBy } from "./expectations.ts"

/** Where a domain's document is asked for (POSH-02). */
export const wellKnown = "/.well-known/posh/xmpp-server.json"
/** Draft 03 had another place (POSH3-1). */
export const wellKnownOlder = "/.well-known/posh._xmpp-server._tcp.json"

/** The hosted domain: its server has a certificate of the host's name and none of its own. */
export function hosted(domain: string, host: string): ServerSpec {
  return { domain, what: `shows ${host}'s certificate`, certificate: { from: "lab", names: [host] } }
}

/** Where all have one address, the lab's web is there already. */
export const ownWeb = (address: string): string => (address === "127.0.0.1" ? "[::1]" : address)

/** The same on a gateway that publishes the document itself, for the name of the host, and can be given another certificate (security.md 20). */
export function publishing(domain: string, host: string): ServerSpec {
  return {
    ...hosted(domain, host),
    what: `shows and publishes for ${host}`,
    zone: { targets: [{ name: host }] },
    picksCertificate: true,
    configure: (settings, { address, webPort }) => ({
      ...settings,
      listen: { ...(settings["listen"] as object), posh_https: [`${ownWeb(address)}:${webPort}`] },
      domains: (settings["domains"] as readonly object[]).map((each) => ({ ...each, certificate: host })),
    }),
  }
}

export function asking(domain: string, more: Partial<ServerSpec> = {}): ServerSpec {
  return { domain, what: "asks for PKIX, then for POSH", proofs: ["pkix", "posh"], ...more }
}

export type Hash = "sha-256" | "sha-384" | "sha-512"

export function digest(der: Uint8Array, hash: Hash = "sha-256"): string {
  return createHash(hash.replace("-", "")).update(der).digest("base64")
}

/** The document of fingerprints for what a server shows. */
export function fingerprints({ certificate: { der } }: LabServer, expires = 86_400): LabWebAnswer {
  return { json: { fingerprints: [{ "sha-256": digest(der), "sha-512": digest(der, "sha-512") }], expires } }
}

export interface HostedStage {
  readonly net: Internet
  /** Of the hosted domain. */
  readonly server: LabServer
}

/** The web server of the domain itself, with this answer at the well-known place. */
export function publishes({ net, server: { domain } }: HostedStage, answer: LabWebAnswer): void {
  net.web({ host: domain, answers: { [wellKnown]: answer } })
}

export const poshProved = (domain: string): readonly string[] => [`posh for ${domain}: proved`]
export const poshSays = (domain: string, finding: FindingId, outcome = "unavailable"): readonly string[] => [`posh for ${domain}: ${outcome} [${finding}]`]

/** This end holds a document in which the hosted domain names the certificate of its host; PKIX alone would refuse it. */
export const provenByPosh = (domain: string): EndGot => provenBy([...failed(domain, "pkix.name-mismatch"), ...poshProved(domain)])

/** The peer connects to the hosted domain. */
export const toHosted = (peer: string, domain: string): ExchangeGot => delivered(provenByPosh(domain), provenBy(proved(peer)))
/** The hosted domain connects to the peer. */
export const fromHosted = (domain: string, peer: string): ExchangeGot => delivered(provenBy(proved(peer)), provenByPosh(domain))
