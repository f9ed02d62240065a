// Stream features, advertised and read (RFC 6120 4.3.2; XEP-0198 2; XEP-0220 2.4; XEP-0288; XEP-0478).
import { ProtocolError } from "../model/errors.ts"
import { ns } from "../model/namespaces.ts"
import { child, text, type XmlElement } from "../xml/element.ts"
import { limitsXml, noLimits, type PeerLimits, readLimits } from "./limits.ts"
import { managementFeature, offersManagement } from "./management-elements.ts"

export interface StreamFeatures {
  readonly starttls: { readonly required: boolean } | undefined
  readonly mechanisms: readonly string[]
  readonly dialback: { readonly errors: boolean } | undefined
  readonly bidi: boolean
  readonly pipelining: boolean
  /** Stream management, which is offered after authentication only (SM-1). */
  readonly management: boolean
  /** What the peer accepts, where it says (LIM-1). */
  readonly limits: PeerLimits
}

/** Of a peer that sends none. */
export const noFeatures: StreamFeatures = { starttls: undefined, mechanisms: [], dialback: undefined, bidi: false, pipelining: false, management: false, limits: noLimits }

export interface OfferedFeatures {
  readonly starttls?: "required" | "optional"
  readonly external?: boolean
  /** Always with errors: a bare `<dialback/>` would say that we cannot handle them (DB-03). */
  readonly dialback?: boolean
  /** XEP-0288: both directions on one connection; its feature and its element have different namespaces (BIDI-1, BIDI-2). */
  readonly bidi?: boolean
  /** XEP-0305: bytes behind an authentication are for the stream after it. */
  readonly pipelining?: boolean
  readonly management?: boolean
  readonly limits?: PeerLimits
  /** Elements of prooftypes that show their proof in the stream. */
  readonly presented?: string
}

export function featuresXml(offer: OfferedFeatures): string {
  let inner = ""
  if (offer.starttls !== undefined) {
    inner += `<starttls xmlns='${ns.tls}'>${offer.starttls === "required" ? "<required/>" : ""}</starttls>`
  }
  if (offer.external === true) inner += `<mechanisms xmlns='${ns.sasl}'><mechanism>EXTERNAL</mechanism></mechanisms>`
  if (offer.dialback === true) inner += `<dialback xmlns='${ns.dialbackFeature}'><errors/></dialback>`
  if (offer.bidi === true) inner += `<bidi xmlns='${ns.bidiFeature}'/>`
  if (offer.pipelining === true) inner += `<pipelining xmlns='${ns.pipelining}'/>`
  if (offer.management === true) inner += managementFeature
  if (offer.limits !== undefined) inner += limitsXml(offer.limits)
  inner += offer.presented ?? ""
  return inner === "" ? "<stream:features/>" : `<stream:features>${inner}</stream:features>`
}

/** @throws ProtocolError when the element is something else */
export function readFeatures(element: XmlElement): StreamFeatures {
  if (element.ns !== ns.streams || element.name !== "features") {
    throw new ProtocolError("bad-format", `<${element.name}/> where features are due`)
  }
  const starttls = child(element, "starttls", ns.tls)
  const mechanisms = child(element, "mechanisms", ns.sasl)
  const dialback = child(element, "dialback", ns.dialbackFeature)
  return {
    starttls: starttls === undefined ? undefined : { required: child(starttls, "required", ns.tls) !== undefined },
    mechanisms:
      mechanisms === undefined
        ? []
        : mechanisms.children.flatMap((node) =>
            typeof node !== "string" && node.ns === ns.sasl && node.name === "mechanism" ? [text(node).trim()] : [],
          ),
    dialback: dialback === undefined ? undefined : { errors: child(dialback, "errors", ns.dialbackFeature) !== undefined },
    bidi: child(element, "bidi", ns.bidiFeature) !== undefined,
    pipelining: child(element, "pipelining", ns.pipelining) !== undefined,
    management: offersManagement(element),
    limits: readLimits(element),
  }
}
