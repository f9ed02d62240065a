// Proofs that are shown in the stream itself (RFC 7712 7; security.md 28): our prooftypes' elements out, the peer's in, each tied
// to this channel, this stream and this pair. TLS 1.3 only, and only towards those who say that they read them.
import type { DomainPair } from "../model/association.ts"
import { ProtocolError } from "../model/errors.ts"
import type { Instant, Presented, ServerProof } from "../model/verdict.ts"
import type { TlsFacts } from "../ports.ts"
import type { AnyProoftype, Exchange, PresentationContext } from "../proof/prooftype.ts"
import type { XmlElement } from "../xml/element.ts"

/** Elements read on one stream: each costs a signature's verification, before anything is proved. */
const mostElements = 8

/** What the TLS handshake must be asked for beforehand; spread into its options. */
export function exporterOptions(prooftypes: readonly AnyProoftype[]): { readonly exporterLabels?: readonly string[] } {
  const labels = prooftypes.flatMap(({ exchange }) => (exchange === undefined ? [] : [exchange.exporterLabel]))
  return labels.length === 0 ? {} : { exporterLabels: labels }
}

/** One stream on which proofs may be shown. Lives as long as its negotiation: it holds what must not be kept (security.md 27). */
export class Presentation {
  readonly #exchanges: readonly (readonly [name: string, exchange: Exchange, exporter: Uint8Array])[]
  readonly #pair: DomainPair
  readonly #streamId: string
  #read = 0

  /**
   * @param pair from the initiating server's domain to the receiving one's
   * @param streamId of the receiving server's latest header
   */
  constructor(prooftypes: readonly AnyProoftype[], { exporters }: TlsFacts, pair: DomainPair, streamId: string) {
    this.#pair = pair
    this.#streamId = streamId
    this.#exchanges = prooftypes.flatMap(({ name, exchange }) => {
      const exporter = exchange === undefined ? undefined : exporters?.get(exchange.exporterLabel)
      return exchange === undefined || exporter === undefined ? [] : [[name, exchange, exporter] as const]
    })
  }

  /** Below the features of the receiving server: its proofs, and which ones it reads. */
  offered(at: Instant): string {
    return this.#exchanges.map(([, exchange, exporter]) => exchange.present(this.#context("receiving", exporter, at)) ?? exchange.advertisement).join("")
  }

  /** Before the initiating server authenticates: its proofs, where the other's features have an element of the kind. */
  answered(features: XmlElement | undefined, at: Instant): string {
    const spoken = this.#exchanges.filter(([, { namespace }]) => features !== undefined && elementOf(features, namespace) !== undefined)
    return spoken.map(([, exchange, exporter]) => exchange.present(this.#context("initiating", exporter, at)) ?? "").join("")
  }

  /** Whether this element shows a proof of a kind that is in use. */
  reads({ ns }: XmlElement): boolean {
    return this.#exchanges.some(([, { namespace }]) => namespace === ns)
  }

  /** What the receiving server showed below its features, beside its certificate. */
  inFeatures(proof: ServerProof, features: XmlElement | undefined, at: Instant): ServerProof {
    const said = this.#exchanges.flatMap(([name, exchange, exporter]) => {
      const element = features === undefined ? undefined : elementOf(features, exchange.namespace)
      // An element without anything in it says that proofs are read.
      const empty = element === undefined || (element.attributes.length === 0 && element.children.length === 0)
      return empty ? [] : [[name, exchange.read(element, this.#context("receiving", exporter, at))] as const]
    })
    return said.length === 0 ? proof : { ...proof, presented: { pair: this.#pair, said: Object.fromEntries(said) } }
  }

  /**
   * What the initiating server shows in this element, beside what it showed before; of each kind the last one counts.
   *
   * @throws ProtocolError after too many
   */
  inElement(proof: ServerProof, element: XmlElement, at: Instant): ServerProof {
    const found = this.#exchanges.find(([, { namespace }]) => namespace === element.ns)
    if (found === undefined) return proof
    this.#read += 1
    if (this.#read > mostElements) throw new ProtocolError("policy-violation", `more than ${mostElements} proofs shown on one stream`)
    const [name, exchange, exporter] = found
    const said = { ...proof.presented?.said, [name]: exchange.read(element, this.#context("initiating", exporter, at)) }
    return { ...proof, presented: { pair: this.#pair, said } satisfies Presented }
  }

  /** Somebody could still prove himself here without a certificate. */
  get possible(): boolean {
    return this.#exchanges.length > 0
  }

  #context(presenter: PresentationContext["presenter"], exporter: Uint8Array, at: Instant): PresentationContext {
    return { presenter, pair: this.#pair, streamId: this.#streamId, exporter, at }
  }
}

function elementOf(features: XmlElement, namespace: string): XmlElement | undefined {
  return features.children.find((node): node is XmlElement => typeof node !== "string" && node.ns === namespace)
}

/** The proof as it stands for this pair: what was shown for one pair says nothing about another. */
export function proofFor(proof: ServerProof, { sender, target }: DomainPair): ServerProof {
  const { presented, ...bare } = proof
  return presented === undefined || (presented.pair.sender === sender && presented.pair.target === target) ? proof : bare
}
