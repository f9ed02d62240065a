// A domain as the whole program knows it: A-labels, lower case, no final dot (security.md 23, CORE-27, RFC 7622 3.2).
import { decodePunycode } from "./punycode.ts"

/** Made only here: A-label form, lower case, no dot at the end, at least one label, never an IP literal. */
export type Domain = string & { readonly __brand: "Domain" }

export type DomainProblem =
  | "empty"
  | "too-long"
  | "empty-label"
  | "label-too-long"
  | "character"
  | "hyphen"
  | "mapping"
  | "a-label"
  | "ip-literal"
  | "numeric"

/** Why a text is no domain; `message` is a sentence that names the text. */
export class DomainError extends Error {
  override readonly name = "DomainError"
  readonly problem: DomainProblem
  constructor(problem: DomainProblem, message: string) {
    super(message)
    this.problem = problem
  }
}

export type JidProblem = "too-long" | "local-part" | "resource"

/** Why a text is no address, apart from its domain (that is a DomainError). */
export class JidError extends Error {
  override readonly name = "JidError"
  readonly problem: JidProblem
  constructor(problem: JidProblem, message: string) {
    super(message)
    this.problem = problem
  }
}

export interface Jid {
  readonly local?: string
  readonly domain: Domain
  readonly resource?: string
}

const maxDomainOctets = 1023
const maxPartOctets = 1023
/** RFC 1035 2.3.4: 255 octets on the wire are 253 characters without the final dot. */
const maxNameLength = 253
const plainDomain = /^(?=.{1,253}$)(?:(?!xn--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*(?!xn--)[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/
const ldhLabel = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/
/** What the URL standard takes for the last part of an IPv4 address, in any base. */
const numericLabel = /^(?:[0-9]+|0x[0-9a-f]*)$/
/** RFC 5892 2.1 (letters, digits, marks) with the exceptions of 2.6 and the joiners of 2.8; everything else is not PVALID. */
const unicodeLabel = /^[-\p{Ll}\p{Lo}\p{Lm}\p{Mn}\p{Mc}\p{Nd}\u00b7\u0375\u05f3\u05f4\u06fd\u06fe\u0f0b\u3007\u30fb\u200c\u200d]+$/u

function shown(text: string): string {
  const short = text.length > 80 ? `${text.slice(0, 80)}...` : text
  // JSON escapes control characters; the rest of what cannot be told apart by eye is escaped here.
  return JSON.stringify(short).replace(/[^\x20-\x7e]/gu, (mark) => `\\u{${mark.codePointAt(0)!.toString(16)}}`)
}

function lowerAscii(text: string): string {
  // Not toLowerCase(): that folds the Kelvin sign to k, which security.md 23 refuses.
  return text.replace(/[A-Z]+/g, (upper) => upper.toLowerCase())
}

/** The A-label of a Unicode label by UTS 46, or undefined where the platform refuses it. */
function toAscii(label: string): string | undefined {
  // The suffix keeps a label of digits from being read as an IPv4 address.
  const suffix = ".example"
  let mapped: string
  try {
    mapped = new URL(`http://${label}${suffix}/`).hostname
  } catch {
    return undefined
  }
  return mapped.endsWith(suffix) ? mapped.slice(0, -suffix.length) : undefined
}

function unicodeOfLabel(label: string): string | undefined {
  return label.startsWith("xn--") ? decodePunycode(label.slice(4)) : label
}

function parseALabel(label: string, whole: string): string {
  const decoded = decodePunycode(label.slice(4))
  if (decoded === undefined || !unicodeLabel.test(decoded) || toAscii(decoded) !== label) {
    throw new DomainError("a-label", `${shown(whole)} has the label ${shown(label)}, which is not the A-label of anything (RFC 5890).`)
  }
  return label
}

function parseULabel(label: string, whole: string): string {
  const mapped = toAscii(label)
  if (mapped === undefined) {
    throw new DomainError("character", `${shown(whole)} has the label ${shown(label)}, which IDNA does not allow.`)
  }
  // A wire domain may not change under the mapping by more than ASCII case and A/U form (security.md 23).
  if (!mapped.startsWith("xn--") || unicodeOfLabel(mapped) !== label) {
    throw new DomainError(
      "mapping",
      `${shown(whole)} changes under IDNA mapping in the label ${shown(label)}; write it in its mapped form.`,
    )
  }
  if (!unicodeLabel.test(label)) {
    throw new DomainError("character", `${shown(whole)} has the label ${shown(label)}, whose characters IDNA2008 does not allow.`)
  }
  return mapped
}

function parseLabel(label: string, whole: string): string {
  if (label.length === 0) throw new DomainError("empty-label", `${shown(whole)} has an empty label.`)
  let ascii = label
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the whole ASCII range is meant
  if (!/^[\x00-\x7f]*$/.test(label)) ascii = parseULabel(label, whole)
  else if (!/^[a-z0-9-]*$/.test(label)) {
    throw new DomainError("character", `${shown(whole)} has the label ${shown(label)}; only letters, digits and hyphens may stand in it.`)
  } else if (!ldhLabel.test(label)) {
    throw new DomainError("hyphen", `${shown(whole)} has the label ${shown(label)}, which begins or ends with a hyphen.`)
  } else if (label.startsWith("xn--")) ascii = parseALabel(label, whole)
  if (ascii.length > 63) {
    throw new DomainError("label-too-long", `${shown(whole)} has a label of ${ascii.length} octets; 63 are the limit (RFC 1035 2.3.4).`)
  }
  return ascii
}

/**
 * Reads a domain from the wire or from a file: A-labels or U-labels, any ASCII case, one final dot at most.
 *
 * @param text at most 1023 octets of UTF-8 (RFC 7622 3.2)
 * @throws DomainError with a sentence when the text is anything else, an IP literal included
 */
export function parseDomain(text: string): Domain {
  if (plainDomain.test(text)) return text as Domain
  if (text.length === 0) throw new DomainError("empty", "An empty text is not a domain.")
  // U+0800 and above take three octets for one code unit, so this bounds the work before anything is counted exactly.
  if (text.length > maxDomainOctets || octetLength(text) > maxDomainOctets) {
    throw new DomainError("too-long", `${shown(text)} is longer than ${maxDomainOctets} octets (RFC 7622 3.2).`)
  }
  if (isIpLiteral(text)) throw new DomainError("ip-literal", `${shown(text)} is an IP address, not a domain name.`)
  const lower = lowerAscii(text.endsWith(".") ? text.slice(0, -1) : text)
  if (lower.length === 0) throw new DomainError("empty", `${shown(text)} names the root, which is no XMPP domain.`)
  const labels = lower.split(".").map((label) => parseLabel(label, text))
  const domain = labels.join(".")
  if (domain.length > maxNameLength) {
    throw new DomainError(
      "too-long",
      `${shown(text)} has ${domain.length} octets in A-labels; ${maxNameLength} are the limit (RFC 1035 2.3.4).`,
    )
  }
  // "0x7f.1" and "1.2.3" are addresses to many libraries; no top-level domain is a number (RFC 3696 2).
  if (numericLabel.test(labels[labels.length - 1]!)) {
    throw new DomainError("numeric", `${shown(text)} ends in a number, so it would be read as an IP address.`)
  }
  return domain as Domain
}

/** As parseDomain, with undefined in place of the error. */
export function tryDomain(text: string): Domain | undefined {
  if (plainDomain.test(text)) return text as Domain
  try {
    return parseDomain(text)
  } catch (error) {
    if (error instanceof DomainError) return undefined
    throw error
  }
}

/** The domain in U-labels, for people (RFC 5890 2.3.2.1). */
export function unicode(domain: Domain): string {
  if (!domain.includes("xn--")) return domain
  return domain
    .split(".")
    .map((label) => unicodeOfLabel(label) ?? label)
    .join(".")
}

/** Octets of the text in UTF-8; a lone surrogate counts as the replacement character. */
export function octetLength(text: string): number {
  let octets = text.length
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index)
    if (code < 0x80) continue
    octets += 1
    if (code < 0x800) continue
    octets += 1
    if (code >= 0xd800 && code < 0xdc00) {
      const next = text.charCodeAt(index + 1)
      // A pair is four octets: the two code units counted, and two more.
      if (next >= 0xdc00 && next < 0xe000) index += 1
    }
  }
  return octets
}

/** True for a dotted quad and for anything that only an IPv6 literal can be, with or without brackets. */
export function isIpLiteral(text: string): boolean {
  const bare = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text
  if (/^\d{1,3}(?:\.\d{1,3}){3}\.?$/.test(bare)) return true
  // Two colons at least: one alone is a port, not IPv6.
  return /^[0-9A-Fa-f.]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:%.*)?$/.test(bare)
}

/** The domain part as written: split at the first '/', then at the first '@' (security.md 23). */
export function domainTextOfJid(text: string): string {
  const slash = text.indexOf("/")
  const bare = slash === -1 ? text : text.slice(0, slash)
  const at = bare.indexOf("@")
  return at === -1 ? bare : bare.slice(at + 1)
}

/** The domain of an address, or undefined when it has none; local part and resource are not looked at. */
export function domainOfJid(text: string): Domain | undefined {
  return tryDomain(domainTextOfJid(text))
}

/** RFC 7622 3.3.1, and what no identifier class allows: controls and spaces. */
const forbiddenInLocal = /["&'/:<>@\s\p{Cc}\p{Cs}]/u
const forbiddenInResource = /[\p{Cc}\p{Cs}]/u

/**
 * Splits an address at the first '/', then the first '@' (RFC 7622 3.1, security.md 23). Local part and resource are
 * checked for length and forbidden characters and otherwise kept as they are: preparing them is the hosting server's.
 *
 * @throws DomainError for the domain, JidError for the rest
 */
export function parseJid(text: string): Jid {
  if (text.length > 3 * maxPartOctets + 2) throw new JidError("too-long", `${shown(text)} is longer than an address may be (RFC 7622 3.1).`)
  const slash = text.indexOf("/")
  const bare = slash === -1 ? text : text.slice(0, slash)
  const resource = slash === -1 ? undefined : text.slice(slash + 1)
  const at = bare.indexOf("@")
  const local = at === -1 ? undefined : bare.slice(0, at)
  const domain = parseDomain(at === -1 ? bare : bare.slice(at + 1))
  if (local !== undefined && (local.length === 0 || octetLength(local) > maxPartOctets || forbiddenInLocal.test(local))) {
    throw new JidError("local-part", `${shown(text)} has a local part that RFC 7622 3.3 does not allow.`)
  }
  if (resource !== undefined && (resource.length === 0 || octetLength(resource) > maxPartOctets || forbiddenInResource.test(resource))) {
    throw new JidError("resource", `${shown(text)} has a resource that RFC 7622 3.4 does not allow.`)
  }
  return { ...(local === undefined ? {} : { local }), domain, ...(resource === undefined ? {} : { resource }) }
}
