// Distinguished names and GeneralNames (RFC 5280 4.1.2.4, 4.2.1.6; SRVName RFC 4985 2; XmppAddr RFC 6120 13.7.1.4).

import type { Buffer } from "node:buffer"
import { contextTag, DerReader, readObjectIdentifier, readText, TAG } from "./der.ts"
import { CertificateError } from "./errors.ts"

const XMPP_ADDR = "1.3.6.1.5.5.7.8.5"
const SRV_NAME = "1.3.6.1.5.5.7.8.7"
export const EMAIL_ADDRESS = "1.2.840.113549.1.9.1"

/** One attribute of a relative distinguished name. */
export interface Attribute {
  readonly type: string
  /** The text, or undefined where the value is no well-formed string. */
  readonly text: string | undefined
  /** The encoded value. */
  readonly encoded: Buffer
}

/** A Name, kept as it stands: chaining compares encodings byte by byte, as CAs must copy them (RFC 5280 4.1.2.4). */
export interface DistinguishedName {
  readonly encoded: Buffer
  readonly rdns: readonly (readonly Attribute[])[]
}

export interface TextName<Type extends string> {
  readonly type: Type
  readonly text: string
}

/** One entry of subjectAltName, or the base of a name constraint. */
export type GeneralName =
  | TextName<"dns">
  | TextName<"srv">
  | TextName<"xmppAddr">
  | TextName<"email">
  | TextName<"uri">
  | { readonly type: "ip"; readonly octets: Buffer }
  | { readonly type: "directory"; readonly name: DistinguishedName }
  /** `form`: otherName with its type-id, or the tag of a form nobody uses (x400Address, ediPartyName, registeredID). */
  | { readonly type: "other"; readonly form: string }

export function readName(encoded: Buffer, what: string): DistinguishedName {
  const outer = new DerReader(encoded)
  const list = outer.inside(TAG.sequence, what)
  outer.end(what)
  const rdns: Attribute[][] = []
  while (!list.done) {
    const set = list.inside(TAG.set, what)
    const attributes: Attribute[] = []
    do {
      const pair = set.inside(TAG.sequence, what)
      const type = readObjectIdentifier(pair.expect(TAG.objectIdentifier, what), what)
      const value = pair.any()
      pair.end(what)
      attributes.push({ type, text: readText(value), encoded: value.whole })
    } while (!set.done)
    rdns.push(attributes)
    if (rdns.length > 64 || attributes.length > 16) throw new CertificateError("limit", `${what} has too many parts`)
  }
  return { encoded, rdns }
}

function ia5(contents: Buffer, what: string): string {
  const text = readText({ tag: TAG.ia5String, contents, whole: contents })
  if (text === undefined) throw new CertificateError("name", `${what} is not ASCII`)
  return text
}

function readOtherName(contents: Buffer, what: string): GeneralName {
  const reader = new DerReader(contents)
  const form = readObjectIdentifier(reader.expect(TAG.objectIdentifier, what), what)
  const explicit = reader.inside(contextTag(0, true), what)
  const value = explicit.any()
  explicit.end(what)
  reader.end(what)
  // A name of another string type than its form has is nobody's identity: it stays `other`, and is never matched.
  const text = readText(value)
  if (text !== undefined && form === SRV_NAME && value.tag === TAG.ia5String) return { type: "srv", text }
  if (text !== undefined && form === XMPP_ADDR && value.tag === TAG.utf8String) return { type: "xmppAddr", text }
  return { type: "other", form }
}

/** Reads one GeneralName. In constraints an iPAddress is an address and a mask, so its length is checked by the caller. */
export function readGeneralName(reader: DerReader, what: string): GeneralName {
  const { tag, contents } = reader.any()
  switch (tag) {
    case 0xa0:
      return readOtherName(contents, what)
    case 0x81:
      return { type: "email", text: ia5(contents, `${what}: rfc822Name`) }
    case 0x82:
      return { type: "dns", text: ia5(contents, `${what}: dNSName`) }
    case 0xa4:
      return { type: "directory", name: readName(contents, `${what}: directoryName`) }
    case 0x86:
      return { type: "uri", text: ia5(contents, `${what}: URI`) }
    case 0x87:
      return { type: "ip", octets: contents }
    case 0xa3:
    case 0xa5:
    case 0x88:
      return { type: "other", form: `tag ${tag & 0x1f}` }
    default:
      throw new CertificateError("name", `${what}: no GeneralName has the tag 0x${tag.toString(16)}`)
  }
}

/** Text from a stranger made fit for a terminal: everything but printable ASCII is escaped, and it is cut at 100 characters. */
export function shown(text: string): string {
  const cut = text.length > 100 ? `${text.slice(0, 100)}...` : text
  return cut.replace(/[^\x20-\x7e]/gu, (mark) => `\\u{${mark.codePointAt(0)!.toString(16)}}`)
}

const SHORT: Readonly<Record<string, string>> = {
  "2.5.4.3": "CN",
  "2.5.4.6": "C",
  "2.5.4.7": "L",
  "2.5.4.8": "ST",
  "2.5.4.10": "O",
  "2.5.4.11": "OU",
  [EMAIL_ADDRESS]: "emailAddress",
}

/** A Name for people: `CN=Lab Root, O=Lab`, at most four parts. */
export function nameText(name: DistinguishedName): string {
  if (name.rdns.length === 0) return "(no subject)"
  const parts = name.rdns.flat().map(({ type, text }) => `${SHORT[type] ?? type}=${text === undefined ? "?" : shown(text)}`)
  return parts.reverse().slice(0, 4).join(", ")
}

/** One attribute in the form in which RFC 5280 7.1 compares: case and runs of white space do not count. */
function comparable({ type, text, encoded }: Attribute): string {
  return text === undefined
    ? `${type}#${encoded.toString("hex")}`
    : `${type}=${text.normalize("NFKC").toLowerCase().trim().replace(/\s+/g, " ")}`
}

const comparableParts = new WeakMap<DistinguishedName, readonly string[]>()

function partsOf(name: DistinguishedName): readonly string[] {
  const known = comparableParts.get(name)
  if (known !== undefined) return known
  const parts = name.rdns.map((rdn) => rdn.map(comparable).sort().join("\u0000"))
  comparableParts.set(name, parts)
  return parts
}

/** Whether `base` is a prefix of `name`, part by part, compared as RFC 5280 7.1 says. */
export function isWithin(name: DistinguishedName, base: DistinguishedName): boolean {
  if (base.rdns.length > name.rdns.length) return false
  const parts = partsOf(name)
  return partsOf(base).every((part, index) => part === parts[index])
}
