// Keys, keyrings and fake channels for the token prooftype.
import { generateKeyPairSync } from "node:crypto"
import { type Keyring, keyring, type KeySettings } from "../../examples/token-prooftype/keyring.ts"
import { type Domain, parseDomain } from "../../src/model/domain.ts"
import { ns } from "../../src/model/namespaces.ts"
import type { ServerProof } from "../../src/model/verdict.ts"
import type { Exchange, PresentationContext } from "../../src/proof/prooftype.ts"
import type { XmlElement } from "../../src/xml/element.ts"
import { XmlParser } from "../../src/xml/parser.ts"

export const at = Date.UTC(2026, 10, 20)
export const a = parseDomain("a.example")
export const b = parseDomain("b.example")
export const c = parseDomain("c.example")

export function pemPair(type: "ed25519" | "ed448" = "ed25519"): { readonly publicPem: string; readonly privatePem: string } {
  const { publicKey, privateKey } = type === "ed25519" ? generateKeyPairSync("ed25519") : generateKeyPairSync("ed448")
  return { publicPem: publicKey.export({ type: "spki", format: "pem" }).toString(), privatePem: privateKey.export({ type: "pkcs8", format: "pem" }).toString() }
}

const pairs = new Map<Domain, ReturnType<typeof pemPair>>([a, b, c].map((domain) => [domain, pemPair()]))

/** The key of a domain, as its owner or as the others have it. */
export function keyOf(domain: Domain, whose: "own" | "theirs"): KeySettings {
  const { publicPem, privatePem } = pairs.get(domain)!
  return { id: `${domain.slice(0, 1)}1`, domain, pem: whose === "own" ? privatePem : publicPem }
}

/** The keyring of the gateway of one domain, which knows all three. */
export function ringOf(ours: Domain): Keyring {
  return keyring([a, b, c].map((domain) => keyOf(domain, domain === ours ? "own" : "theirs")))
}

/** What both ends of one channel agree on. */
export function contextOf(more: Partial<PresentationContext> = {}): PresentationContext {
  return { presenter: "initiating", pair: { sender: a, target: b }, streamId: "stream-1", exporter: new Uint8Array(32).fill(7), at, ...more }
}

export function parse(xml: string): XmlElement {
  const parser = new XmlParser({})
  parser.push(Buffer.from(`<stream:stream xmlns='jabber:server' xmlns:stream='${ns.streams}'>${xml}`))
  const found: XmlElement[] = []
  for (let event = parser.next(); event !== undefined; event = parser.next()) if (event.kind === "element") found.push(event.element)
  return found[0]!
}

/** The token that this end presents, as the other end reads it. */
export function carried(from: Exchange, to: Exchange, sent: PresentationContext, received: PresentationContext = sent): unknown {
  const xml = from.present(sent)
  if (xml === undefined) throw new Error("nothing was presented")
  return to.read(parse(xml), received)
}

export function proofWith(said: unknown, presentedAs: ServerProof["presentedAs"] = "tls-client", more: Partial<ServerProof> = {}): ServerProof {
  const presented = said === undefined ? {} : { presented: { pair: { sender: a, target: b }, said: { token: said } } }
  return { chain: [], presentedAs, protocol: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256", serverName: undefined, alpn: undefined, ...presented, ...more }
}
