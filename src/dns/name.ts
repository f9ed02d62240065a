// Domain names as DNS has them: lists of labels that are octets, never text (RFC 1035 2.3, 3.1; RFC 4343; RFC 4034 6.1).
import { Buffer } from "node:buffer"

export type Label = Uint8Array

/** An absolute name; no labels is the root. Labels have 1 to 63 octets, the whole at most 255 on the wire. */
export interface DnsName {
  readonly labels: readonly Label[]
}

/** A name or message that breaks RFC 1035; `message` is a sentence without the name of a peer. */
export class DnsFormatError extends Error {
  override readonly name = "DnsFormatError"
}

export const rootName: DnsName = { labels: [] }
export const maxNameOctets = 255
export const maxLabelOctets = 63

/** Octets on the wire, uncompressed, the final zero included. */
export function wireLength(name: DnsName): number {
  let octets = 1
  for (const label of name.labels) octets += label.length + 1
  return octets
}

/** @throws DnsFormatError for an empty or over-long label or name */
export function makeName(labels: readonly Label[]): DnsName {
  const name = { labels }
  for (const label of labels) {
    if (label.length === 0) throw new DnsFormatError("a name has an empty label")
    if (label.length > maxLabelOctets) throw new DnsFormatError(`a label has ${label.length} octets; ${maxLabelOctets} are the limit`)
  }
  if (wireLength(name) > maxNameOctets) throw new DnsFormatError(`a name has more than ${maxNameOctets} octets`)
  return name
}

function asciiLabel(text: string): Label {
  const label = new Uint8Array(text.length)
  for (let index = 0; index < text.length; index += 1) label[index] = text.charCodeAt(index)
  return label
}

const plainText = /^[A-Za-z0-9_.-]+$/

/**
 * Reads presentation form (RFC 1035 5.1): `\.` and `\DDD` escapes, a final dot or none, always taken as absolute.
 *
 * @param text ASCII; U-labels must have become A-labels before (DANE-28)
 * @throws DnsFormatError
 */
export function nameFromText(text: string): DnsName {
  if (text === "." || text === "") return rootName
  // No octet takes more than four characters.
  if (text.length > maxNameOctets * 4) throw new DnsFormatError("the text of a name is too long")
  // Nearly all names, in one step a label.
  if (plainText.test(text)) return makeName((text.endsWith(".") ? text.slice(0, -1) : text).split(".").map(asciiLabel))
  const labels: Label[] = []
  let label: number[] = []
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index)
    if (code > 0x7e || code < 0x20) throw new DnsFormatError("the text of a name may hold printable ASCII only")
    if (code === 0x2e) {
      labels.push(Uint8Array.from(label))
      label = []
    } else if (code === 0x5c) {
      const digits = /^\d{3}/.exec(text.slice(index + 1, index + 4))
      const octet = digits === null ? text.charCodeAt(index + 1) : Number(digits[0])
      if (!(octet <= 255) || (digits === null && !(octet > 0x20 && octet < 0x7f && !(octet >= 0x30 && octet <= 0x39)))) {
        throw new DnsFormatError("a backslash in the text of a name escapes nothing")
      }
      label.push(octet)
      index += digits === null ? 1 : 3
    } else label.push(code)
  }
  if (label.length > 0) labels.push(Uint8Array.from(label))
  return makeName(labels)
}

const mustEscape = new Set([...'\\."();@$'].map((mark) => mark.charCodeAt(0)))

/** Where the text of a name is put together: string by string it would be hundreds of pieces. */
const scratch = Buffer.alloc(maxNameOctets + 1)

/** Whether the octet stands for itself in presentation form. */
const printsAsItself = Uint8Array.from({ length: 256 }, (_, octet) => Number(octet > 0x20 && octet < 0x7f && !mustEscape.has(octet)))

/** The labels with dots between them, when no octet needs an escape. */
function plainTextOf({ labels }: DnsName, lower = false): string | undefined {
  let at = 0
  for (const label of labels) {
    if (at + label.length + 1 > scratch.length) return undefined
    for (let index = 0; index < label.length; index += 1) {
      const octet = label[index]!
      if (printsAsItself[octet] === 0) return undefined
      scratch[at] = lower ? lowerOctet(octet) : octet
      at += 1
    }
    scratch[at] = 0x2e
    at += 1
  }
  return scratch.toString("latin1", 0, at - 1)
}

/** Presentation form without final dot, letter case kept; "." for the root. Reversible by nameFromText. */
export function nameToText(name: DnsName): string {
  if (name.labels.length === 0) return "."
  const plain = plainTextOf(name)
  if (plain !== undefined) return plain
  let text = ""
  for (const [index, label] of name.labels.entries()) {
    if (index > 0) text += "."
    for (const octet of label) {
      if (octet <= 0x20 || octet >= 0x7f) text += `\\${String(octet).padStart(3, "0")}`
      else text += mustEscape.has(octet) ? `\\${String.fromCharCode(octet)}` : String.fromCharCode(octet)
    }
  }
  return text
}

/** The same in lower case. */
export function lowerNameText(name: DnsName): string {
  return name.labels.length === 0 ? "." : (plainTextOf(name, true) ?? nameToText(lowerName(name)))
}

/** ASCII letters only are folded (RFC 4343 3); every other octet stays. */
export function lowerOctet(octet: number): number {
  return octet >= 0x41 && octet <= 0x5a ? octet + 0x20 : octet
}

export function lowerName(name: DnsName): DnsName {
  return { labels: name.labels.map((label) => label.map(lowerOctet)) }
}

/** Equal exactly where the names are the same in DNS: the lower-case wire form, one character an octet. For maps. */
export function nameKey(name: DnsName): string {
  const octets = wireLength(name) - 1
  const room = octets <= scratch.length ? scratch : Buffer.alloc(octets)
  let at = 0
  for (const label of name.labels) {
    room[at] = label.length
    at += 1
    for (let index = 0; index < label.length; index += 1, at += 1) room[at] = lowerOctet(label[index]!)
  }
  return room.toString("latin1", 0, at)
}

function sameLabel(a: Label, b: Label): boolean {
  if (a.length !== b.length) return false
  for (let index = 0; index < a.length; index += 1) {
    if (lowerOctet(a[index]!) !== lowerOctet(b[index]!)) return false
  }
  return true
}

export function sameName(a: DnsName, b: DnsName): boolean {
  return a.labels.length === b.labels.length && a.labels.every((label, index) => sameLabel(label, b.labels[index]!))
}

/** Equal octet by octet, letter case included; what 0x20 asks of an answer. */
export function identicalName(a: DnsName, b: DnsName): boolean {
  if (!sameName(a, b)) return false
  for (let index = 0; index < a.labels.length; index += 1) {
    const [label, other] = [a.labels[index]!, b.labels[index]!]
    for (let at = 0; at < label.length; at += 1) if (label[at] !== other[at]) return false
  }
  return true
}

/** True for the name itself and everything below it. */
export function isAtOrBelow(name: DnsName, ancestor: DnsName): boolean {
  const extra = name.labels.length - ancestor.labels.length
  return extra >= 0 && ancestor.labels.every((label, index) => sameLabel(label, name.labels[index + extra]!))
}

/** The name with its first label removed; the root stays the root. */
export function parentName(name: DnsName): DnsName {
  return { labels: name.labels.slice(1) }
}

/**
 * DNAME substitution (RFC 6672 2.2): replaces the ancestor at the end of the name by the target.
 *
 * @throws DnsFormatError when the outcome is longer than a name may be
 */
export function substituteSuffix(name: DnsName, ancestor: DnsName, target: DnsName): DnsName {
  return makeName([...name.labels.slice(0, name.labels.length - ancestor.labels.length), ...target.labels])
}

function compareLabels(a: Label, b: Label): number {
  const shared = Math.min(a.length, b.length)
  for (let index = 0; index < shared; index += 1) {
    const difference = lowerOctet(a[index]!) - lowerOctet(b[index]!)
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

/** Canonical DNS order (RFC 4034 6.1): by label from the right, unsigned octets, lower case. */
export function compareNames(a: DnsName, b: DnsName): number {
  const shared = Math.min(a.labels.length, b.labels.length)
  for (let back = 1; back <= shared; back += 1) {
    const difference = compareLabels(a.labels[a.labels.length - back]!, b.labels[b.labels.length - back]!)
    if (difference !== 0) return difference
  }
  return a.labels.length - b.labels.length
}
