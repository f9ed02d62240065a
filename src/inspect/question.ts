// What an inspection is asked and what it may use (types, and the domain that asks where nobody else does; RFC 2606 2).
import type { Domain } from "../model/domain.ts"
import { parseDomain } from "../model/domain.ts"
import type { Endpoint } from "../model/endpoint.ts"
import type { Evidence } from "../model/evidence.ts"
import type { FindingId } from "../model/findings.ts"
import type { RequiredLevel } from "../model/policy.ts"
import type { ReachPolicy } from "../model/reach.ts"
import type { Instant, ServerProof, Service } from "../model/verdict.ts"
import type { TlsCredentials } from "../ports.ts"
import type { AnchorSet } from "../x509/anchors.ts"
import type { Discovery, DiscoveryOverride, DiscoveryReport } from "../discovery/discover.ts"
import type { AnyProoftype } from "../proof/prooftype.ts"
import type { Obtained, Proven } from "../proof/prove.ts"
import type { GatewayResolver, unableFindings } from "../gateway/dns-ability.ts"
import type { FederationPorts } from "../federation/contract.ts"
import type { Opened } from "../federation/associate.ts"
import type { Keys } from "./keys.ts"
import type { DomainResult, EndpointResult } from "./report.ts"

/** Says that it asks for itself alone; no server can connect back to it. */
export const nobodysDomain: Domain = parseDomain("check.invalid")

export interface InspectQuestion {
  readonly domain: Domain
  readonly service: Service
  /** What the domain is expected to reach. */
  readonly expect: RequiredLevel
  /** A domain of ours; with its certificate we really log in, and end the stream then. */
  readonly from?: { readonly domain: Domain; readonly credentials?: TlsCredentials }
  /** Instead of where DNS leads. */
  readonly connect?: DiscoveryOverride
  /** Addresses of the other family are left out. */
  readonly family?: 4 | 6
  /** Whoever asks runs the domain: what is its operator's move is `you`. */
  readonly own?: boolean
  /** A certificate that ends sooner is worth a warning, ms; 14 days unless given. */
  readonly expiryWarning?: number
  /** Certificates are judged as of this moment; DNS is of now. Now unless given. */
  readonly at?: Instant
  /** Endpoints at a time; 4 unless given. */
  readonly concurrency?: number
  /** For all of it and for one endpoint, ms; 30 s and 10 s unless given. */
  readonly times?: { readonly total: number; readonly endpoint: number }
}

/** The machine, and whom it believes. `dial` and `https` guard what they reach (security.md 17). */
export interface InspectPorts extends FederationPorts {
  /** Where it can say whether it is able to validate, it is asked that before a domain is called bogus. */
  readonly resolver: GatewayResolver
  readonly anchors: AnchorSet
  readonly reach: ReachPolicy
  readonly prooftypes: readonly AnyProoftype[]
}

export interface Inspection {
  readonly result: DomainResult
  /** What the verdicts rest on, of every endpoint that came to TLS; made when asked for. */
  evidence(): readonly Evidence[]
  /** Those that were shown, and those that are announced. */
  keys(): Keys
}

/** Why nothing that DNS says can be judged here, whatever domain is asked about. */
export type UnableFinding = (typeof unableFindings)[keyof typeof unableFindings]

/** What was found, less the addresses of another family than was asked for. */
export type Found = Discovery | { readonly outcome: "not-found" | "unavailable"; readonly finding: "reach.no-such-family" | UnableFinding; readonly detail: string; readonly report: DiscoveryReport }

export interface Trouble {
  readonly finding: FindingId
  readonly detail: string
}

/** What came of one endpoint. */
export interface Climb {
  readonly service: Service
  readonly endpoint: Endpoint
  readonly steps: EndpointResult["steps"]
  readonly ms: number
  /** In clear; of STARTTLS only. */
  readonly before: Opened | undefined
  readonly proof: ServerProof | undefined
  /** Behind TLS. */
  readonly after: Opened | undefined
  /** Without a proof the material alone was judged. */
  readonly proven: Proven | undefined
  readonly obtained: readonly Obtained[]
  readonly login: EndpointResult["login"]
  /** Why it ended before features behind TLS. */
  readonly trouble: Trouble | undefined
  /** It showed its proof, and then said why it does not go on with us: that is about us. */
  readonly sentAway: Trouble | undefined
}
