// An example of a prooftype that is neither PKIX nor DNS nor HTTPS (RFC 7712 7; security.md 28): a token, signed with a key that
// two operators agreed on, and bound to the very TLS channel, stream, direction and domain pair it is shown on.
// Outside of this repository the types come from "xmpp-dna".
import { sign, verify } from "node:crypto"
import type { Instant, ReferenceIdentity, ServerProof, Verdict } from "../../src/model/verdict.ts"
import type { Exchange, PresentationContext, Prooftype } from "../../src/proof/prooftype.ts"
import type { XmlElement } from "../../src/xml/element.ts"
import type { Keyring } from "./keyring.ts"

export const tokenNamespace = "urn:example:token-prooftype:0"
/** Labels for private use begin so (RFC 5705 4). */
export const tokenExporterLabel = "EXPERIMENTAL-xmpp-dna-token-prooftype-0"
const contextString = "xmpp-dna example token prooftype 0"

/** A token that claims to hold for longer is refused, ms. */
export const longestLife = 300_000
/** Ours hold so long, which leaves clocks some room to differ, ms. */
const ourLife = 120_000
/** What was shown is believed for this long, ms; then the stream is opened anew and shows another one. */
export const believedFor = 12 * 3_600_000
const signatureOctets = 64

/** Off unless a program passes it on; its material is the keyring, which is at hand. */
export type TokenProoftype = Prooftype<"token", Keyring> & { readonly exchange: Exchange }

/** What is kept of a token: neither the signature nor the exported octets (security.md 27). */
interface Shown {
  readonly key: string
  readonly presenter: PresentationContext["presenter"]
  /** Ms since 1970. */
  readonly received: Instant
  readonly expires: Instant | null
  /** The signature fits this channel, stream, direction and pair. */
  readonly valid: boolean
}

/** Every field behind its length: no two different lists make the same octets. */
export function signedOctets({ presenter, pair, streamId, exporter }: PresentationContext, expires: Instant): Buffer {
  const fields = [contextString, presenter, pair.sender, pair.target, streamId, exporter, String(expires)]
  return Buffer.concat(
    fields.flatMap((field) => {
      const octets = typeof field === "string" ? Buffer.from(field) : field
      const length = Buffer.alloc(4)
      length.writeUInt32BE(octets.length)
      return [length, octets]
    }),
  )
}

function exchangeWith(keys: Keyring, octets: typeof signedOctets): Exchange {
  return {
    namespace: tokenNamespace,
    exporterLabel: tokenExporterLabel,
    advertisement: `<token xmlns='${tokenNamespace}'/>`,

    present(context) {
      const { presenter, pair, at } = context
      const [ours, theirs] = presenter === "initiating" ? [pair.sender, pair.target] : [pair.target, pair.sender]
      const key = keys.byDomain(ours).find(({ privateKey }) => privateKey !== undefined)
      // Nothing for strangers: only who is in the keyring could read it.
      if (key?.privateKey === undefined || keys.byDomain(theirs).length === 0) return undefined
      const expires = Math.floor(at) + ourLife
      const signature = sign(null, octets(context, expires), key.privateKey).toString("base64")
      return `<token xmlns='${tokenNamespace}' key='${key.id}' expires='${expires}'>${signature}</token>`
    },

    read(element, context): Shown {
      const key = attribute(element, "key")
      const expires = readInstant(attribute(element, "expires"))
      const known = keys.byId(key)
      const signature = readSignature(element)
      // The context is ours: a token of another channel, stream, direction or pair is signed over other octets.
      const valid = known !== undefined && expires !== undefined && signature !== undefined && verify(null, octets(context, expires), known.publicKey, signature)
      return { key: key.slice(0, 64), presenter: context.presenter, received: context.at, expires: expires ?? null, valid }
    },
  }
}

function attribute(element: XmlElement, name: string): string {
  return element.attributes.find((each) => each.name === name && each.ns === "")?.value ?? ""
}

function readInstant(text: string): Instant | undefined {
  return /^[1-9][0-9]{0,15}$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined
}

function readSignature({ children }: XmlElement): Buffer | undefined {
  const [text] = children
  if (children.length !== 1 || typeof text !== "string") return undefined
  const octets = Buffer.from(text.trim(), "base64")
  return octets.length === signatureOctets && octets.toString("base64") === text.trim() ? octets : undefined
}

/** As `read` made it, or as a file of evidence says it; undefined for anything else. */
function shownIn({ presented }: ServerProof): Shown | undefined {
  const said = (presented as { said?: Record<string, unknown> } | null | undefined)?.said?.["token"]
  if (typeof said !== "object" || said === null) return undefined
  const { key, presenter, received, expires, valid } = said as Record<string, unknown>
  const initiating = presenter === "initiating"
  if (typeof key !== "string" || (!initiating && presenter !== "receiving") || typeof received !== "number" || typeof valid !== "boolean") return undefined
  if (expires !== null && typeof expires !== "number") return undefined
  return { key, presenter: initiating ? "initiating" : "receiving", received, expires, valid }
}

function match(proof: ServerProof, keys: Keyring, { source }: ReferenceIdentity, at: Instant): Verdict {
  const by = "token"
  const refuted = (detail: string): Verdict => ({ outcome: "refuted", by, finding: "proof.not-valid", detail })
  const shown = shownIn(proof)
  if (shown === undefined) return { outcome: "absent", by, finding: "proof.not-presented", detail: "" }
  if (proof.protocol !== "TLSv1.3") return refuted(`a token needs TLS 1.3, and this is ${proof.protocol}`)
  // What a server shows is the receiving side's, and the other way round: a token sent back proves nobody.
  if ((shown.presenter === "receiving") !== (proof.presentedAs === "tls-server")) return refuted("the token was made for the other direction")
  const key = keys.byId(shown.key)
  if (key === undefined) return refuted(`the key ${JSON.stringify(shown.key)} is not in the keyring`)
  if (key.domain !== source) return refuted(`the key ${key.id} speaks for ${key.domain}, not for ${source}`)
  if (!shown.valid) return refuted(`the signature of ${key.id} does not fit this stream`)
  if (shown.expires === null || shown.expires <= shown.received) return refuted("the token had ended when it was shown")
  if (shown.expires > shown.received + longestLife) return refuted("the token claims to hold for more than five minutes")
  const until = shown.received + believedFor
  if (at >= until || at < shown.received - longestLife) return { outcome: "unavailable", by, finding: "proof.unavailable", detail: "the token was shown too long ago" }
  return { outcome: "proved", by, detail: `signed with the key ${key.id}`, until }
}

/**
 * The prooftype, for the `prooftypes` of a gateway.
 *
 * @param keys what the operators agreed on; where it holds a private key, tokens are shown for that domain
 * @param octets what is signed; only for tests that show what happens when something is left out
 */
export function createTokenProoftype(keys: Keyring, octets = signedOctets): TokenProoftype {
  return {
    name: "token",
    exchange: exchangeWith(keys, octets),
    atHand: true,
    needsSecureDns: false,
    obtain: () => keys,
    match,
    // Who shows no token, or a wrong one, may have another proof.
    binding: () => false,
    record: ({ digest, size }) => ({ keyring: { digest, keys: size } }),
    revive(recorded) {
      const digest = (recorded as { keyring?: { digest?: unknown } } | null)?.keyring?.digest
      if (typeof digest !== "string") return { cannotJudge: "the evidence does not name its keyring" }
      // security.md 25: only the keyring of this installation counts, never what a file brings along.
      return digest === keys.digest ? { material: keys } : { cannotJudge: `the keyring ${digest.slice(0, 16)}… is not the one here` }
    },
    facts: ({ digest, size }) => [
      ["keys", String(size)],
      ["keyring", digest],
    ],
    rests: () => [{ fact: "the signature fitted the TLS channel, the stream and the direction it was shown on", mark: "attested" }],
  }
}
