// Server dialback: keys (XEP-0185, XEP-0220 3; KEY-1 to KEY-3) and the elements both roles exchange (XEP-0220 2).
import { createHash, createHmac, createSecretKey, type KeyObject, timingSafeEqual } from "node:crypto"
import { type DomainPair, pairKey } from "../model/association.ts"
import { type Domain, tryDomain } from "../model/domain.ts"
import type { StanzaErrorCondition } from "../model/errors.ts"
import { ns } from "../model/namespaces.ts"
import type { Clock, Random } from "../ports.ts"
import { attr, text, type XmlElement } from "../xml/element.ts"
import { escapeAttribute, escapeText } from "../xml/serialise.ts"

/**
 * The key for one stream and pair.
 *
 * @param secret of the authoritative network; hashed first, and the *hexadecimal text* is the HMAC key (KEY-2)
 * @param receiving the target domain
 * @param originating the sender domain
 * @param id of the receiving server's latest response header (CORE-15, DB-12)
 */
export function dialbackKey(secret: Uint8Array, receiving: Domain, originating: Domain, id: string): string {
  return keyWith(hmacKey(secret), receiving, originating, id)
}

function hmacKey(secret: Uint8Array): KeyObject {
  return createSecretKey(createHash("sha256").update(secret).digest("hex"), "ascii")
}

function keyWith(key: KeyObject, receiving: Domain, originating: Domain, id: string): string {
  return createHmac("sha256", key).update(`${receiving} ${originating} ${id}`).digest("hex")
}

/** How long a key may be asked about after it was made, ms; longer than any peer waits. */
const keyLifetime = 10 * 60 * 1000
const keysAtOnce = 20_000

/**
 * Our keys: made for streams we opened, and vouched for only while we remember having made them, so that nobody can use
 * us to compute keys (DB-24).
 */
export class KeyRing {
  readonly #key: KeyObject
  readonly #clock: Clock
  readonly #issued = new Map<string, number>()

  constructor(random: Random, clock: Clock) {
    // KEY-3: made at start; one process needs to tell it to nobody.
    this.#key = hmacKey(random.bytes(32))
    this.#clock = clock
  }

  /** A key for the pair on the stream with this id, remembered until `forget` or ten minutes have gone. */
  issue(pair: DomainPair, id: string): string {
    // A Map keeps insertion order, so the first entries are the oldest.
    const now = this.#clock.monotonic()
    for (const [entry, made] of this.#issued) {
      if (now - made < keyLifetime && this.#issued.size < keysAtOnce) break
      this.#issued.delete(entry)
    }
    this.#issued.set(entryOf(pair, id), now)
    return keyWith(this.#key, pair.target, pair.sender, id)
  }

  forget(pair: DomainPair, id: string): void {
    this.#issued.delete(entryOf(pair, id))
  }

  /** Whether we made this key for this pair and stream; compared in constant time (DB-25). */
  vouches(pair: DomainPair, id: string, key: string): boolean {
    const made = this.#issued.get(entryOf(pair, id))
    if (made === undefined || this.#clock.monotonic() - made > keyLifetime) return false
    const right = Buffer.from(keyWith(this.#key, pair.target, pair.sender, id), "ascii")
    const given = Buffer.from(key, "utf8")
    return right.length === given.length && timingSafeEqual(right, given)
  }
}

function entryOf(pair: DomainPair, id: string): string {
  return `${pairKey(pair)} ${id}`
}

export type DialbackAnswer = "valid" | "invalid" | "error"

export interface DialbackElement {
  readonly kind: "result" | "verify"
  /** Both as the element has them: for a request the sender is `from`, for an answer it is `to`. */
  readonly from: Domain
  readonly to: Domain
  readonly id: string | undefined
  /** Undefined for a request. An unknown type is kept, to be ignored. */
  readonly type: string | undefined
  readonly key: string
  /** The condition inside `<error/>`, for answers of type error. */
  readonly condition: string | undefined
  readonly words: string | undefined
}

export function isDialback(element: XmlElement): boolean {
  return element.ns === ns.dialback && (element.name === "result" || element.name === "verify")
}

/**
 * Reads `db:result` or `db:verify`. Addresses must be bare domains (security.md 23: a local part or a resource is refused).
 *
 * @returns undefined when an address is missing or is not a domain
 */
export function readDialback(element: XmlElement): DialbackElement | undefined {
  const from = tryDomain(attr(element, "from") ?? "")
  const to = tryDomain(attr(element, "to") ?? "")
  if (from === undefined || to === undefined) return undefined
  const error = element.children.find((node): node is XmlElement => typeof node !== "string" && node.name === "error")
  let condition: string | undefined
  let words: string | undefined
  for (const node of error?.children ?? []) {
    if (typeof node === "string" || node.ns !== ns.stanzaErrors) continue
    if (node.name === "text") words = text(node).slice(0, 500)
    else condition ??= node.name
  }
  return {
    kind: element.name === "result" ? "result" : "verify",
    from,
    to,
    id: attr(element, "id"),
    type: attr(element, "type"),
    key: text(element).trim(),
    condition,
    words,
  }
}

export function resultRequestXml(pair: DomainPair, key: string): string {
  return `<db:result from='${escapeAttribute(pair.sender)}' to='${escapeAttribute(pair.target)}'>${escapeText(key)}</db:result>`
}

/** From the target to the sender's authoritative server; `id` of our response header on the asserting stream (DB-12). */
export function verifyRequestXml(pair: DomainPair, id: string, key: string): string {
  return `<db:verify from='${escapeAttribute(pair.target)}' to='${escapeAttribute(pair.sender)}' id='${escapeAttribute(id)}'>${escapeText(key)}</db:verify>`
}

export interface DialbackErrorDetail {
  readonly condition: StanzaErrorCondition
  readonly words?: string
}

/** DB-30: which type goes with which condition (RFC 6120 8.3.3). */
const errorTypes: Partial<Record<StanzaErrorCondition, string>> = {
  "item-not-found": "cancel",
  "remote-server-not-found": "cancel",
  "remote-server-timeout": "wait",
  "policy-violation": "modify",
  "not-authorized": "auth",
  forbidden: "auth",
  "not-acceptable": "modify",
  "resource-constraint": "wait",
}

function errorXml({ condition, words }: DialbackErrorDetail): string {
  const said = words === undefined ? "" : `<text xmlns='${ns.stanzaErrors}' xml:lang='en'>${escapeText(words)}</text>`
  return `<error type='${errorTypes[condition] ?? "cancel"}'><${condition} xmlns='${ns.stanzaErrors}'/>${said}</error>`
}

/** The answer to `db:result`: addresses swapped (DB-21). */
export function resultAnswerXml(pair: DomainPair, answer: DialbackAnswer, error?: DialbackErrorDetail): string {
  const addresses = `from='${escapeAttribute(pair.target)}' to='${escapeAttribute(pair.sender)}' type='${answer}'`
  return error === undefined ? `<db:result ${addresses}/>` : `<db:result ${addresses}>${errorXml(error)}</db:result>`
}

/** The answer to `db:verify`: addresses swapped, the same id (DB-23). `asked` has the request's own from and to. */
export function verifyAnswerXml(
  asked: { readonly from: Domain; readonly to: Domain; readonly id: string },
  answer: DialbackAnswer,
  error?: DialbackErrorDetail,
): string {
  const addresses = `from='${escapeAttribute(asked.to)}' to='${escapeAttribute(asked.from)}' id='${escapeAttribute(asked.id)}' type='${answer}'`
  return error === undefined ? `<db:verify ${addresses}/>` : `<db:verify ${addresses}>${errorXml(error)}</db:verify>`
}
