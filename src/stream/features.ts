// Stream features, advertised and read (RFC 6120 4.3.2; XEP-0220 2.4; XEP-0288; XEP-0478).
import { ProtocolError } from "../model/errors.ts"
import { ns } from "../model/namespaces.ts"
import { child, text, type XmlElement } from "../xml/element.ts"

export interface StreamFeatures {
  readonly starttls: { readonly required: boolean } | undefined
  readonly mechanisms: readonly string[]
  readonly dialback: { readonly errors: boolean } | undefined
  readonly bidi: boolean
  readonly pipelining: boolean
  /** The peer's largest stanza in octets, where it says (LIM-1). */
  readonly maxBytes: number | undefined
}

export interface OfferedFeatures {
  readonly starttls?: "required" | "optional"
  readonly external?: boolean
  /** Always with errors: a bare `<dialback/>` would say that we cannot handle them (DB-03). */
  readonly dialback?: boolean
  /** XEP-0288: both directions on one connection; its feature and its element have different namespaces (BIDI-1, BIDI-2). */
  readonly bidi?: boolean
}

export function featuresXml(offer: OfferedFeatures): string {
  let inner = ""
  if (offer.starttls !== undefined) {
    inner += `<starttls xmlns='${ns.tls}'>${offer.starttls === "required" ? "<required/>" : ""}</starttls>`
  }
  if (offer.external === true) inner += `<mechanisms xmlns='${ns.sasl}'><mechanism>EXTERNAL</mechanism></mechanisms>`
  if (offer.dialback === true) inner += `<dialback xmlns='${ns.dialbackFeature}'><errors/></dialback>`
  if (offer.bidi === true) inner += `<bidi xmlns='${ns.bidiFeature}'/>`
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
  const limits = child(element, "limits", ns.limits)
  const largest = limits === undefined ? undefined : child(limits, "max-bytes", ns.limits)
  const bytes = largest === undefined ? Number.NaN : Number(text(largest))
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
    maxBytes: Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined,
  }
}
