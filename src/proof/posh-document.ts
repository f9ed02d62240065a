// What a POSH document says (RFC 7711 3.1, 3.2; POSH-04 to POSH-12, POSH-22, POSH3-1 to POSH3-4), and what its URLs may be. Pure;
// whatever is wrong has a finding of its own, and nothing wrong is taken for nothing (POSH-03).
import { Buffer } from "node:buffer"
import { type Domain, tryDomain } from "../model/domain.ts"
import type { FindingId } from "../model/findings.ts"
import type { Service } from "../model/verdict.ts"
import { type Json, JsonError, type JsonProblem, readJson } from "./posh-json.ts"

/** Octets of a document that is read; one more is too many. */
export const largestDocument = 65_536

/** Accepted hashes with their octets, strongest first (POSH-22): others are as if they were not there, md5 and sha-1 among them. */
export const hashes = [
  ["sha-512", 64],
  ["sha-384", 48],
  ["sha-256", 32],
] as const
export type HashName = (typeof hashes)[number][0]

/** One certificate's hashes, of the accepted kinds. */
export type Descriptor = ReadonlyMap<HashName, Buffer>

export interface PoshProblem {
  readonly kind: "problem"
  readonly finding: FindingId
  readonly detail: string
}

export type PoshDocument =
  /** `expires` in seconds, at least 1. */
  | { readonly kind: "fingerprints"; readonly descriptors: readonly Descriptor[]; readonly expires: number }
  | { readonly kind: "reference"; readonly url: string; readonly expires: number }
  /** Of the older form: whole certificates, DER. */
  | { readonly kind: "certificates"; readonly leaves: readonly Buffer[] }

export const isProblem = (read: object): read is PoshProblem => "kind" in read && read.kind === "problem"
const isObject = (value: Json | undefined): value is ReadonlyMap<string, Json> => value instanceof Map
const isList = (value: Json | undefined): value is readonly Json[] => Array.isArray(value)

const problem = (finding: FindingId, detail: string): PoshProblem => ({ kind: "problem", finding, detail })

const jsonFindings = { syntax: "posh.bad-json", nesting: "posh.bad-json", duplicate: "posh.duplicate-member" } as const satisfies Record<JsonProblem, FindingId>

function readMembers(body: Uint8Array): ReadonlyMap<string, Json> | PoshProblem {
  if (body.length > largestDocument) return problem("posh.too-large", `more than ${largestDocument} octets`)
  if (body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf) return problem("posh.not-json", "it begins with a byte order mark")
  let text: string
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body)
  } catch {
    return problem("posh.not-json", "it is not UTF-8")
  }
  const [first] = text.trimStart()
  if (first === undefined) return problem("posh.not-json", "it is empty")
  if (first === "<") return problem("posh.not-json", "it looks like HTML")
  try {
    const value = readJson(text)
    return isObject(value) ? value : problem("posh.bad-json", "it is not an object")
  } catch (error) {
    if (error instanceof JsonError) return problem(jsonFindings[error.problem], error.message)
    throw error
  }
}

/** Seconds as the document says, or what is wrong with them (POSH-09, POSH-10). */
function readExpires(members: ReadonlyMap<string, Json>): number | PoshProblem {
  const expires = members.get("expires")
  // POSH-10: RFC 7711 does not say what a missing one means; for ever is no answer.
  if (expires === undefined) return problem("posh.bad-expires", "`expires` is missing")
  if (typeof expires !== "number") return problem("posh.bad-expires", "`expires` is not a number")
  // POSH-09: 0 says that nothing holds any more.
  if (expires === 0) return problem("posh.expired", "`expires` is 0")
  // A number beyond all bounds is a large one, which is cut down to what is believed anyway.
  if (expires < 0 || !(Number.isInteger(expires) || expires === Number.POSITIVE_INFINITY)) return problem("posh.bad-expires", `\`expires\` is ${expires}`)
  return expires
}

/** RFC 4648 4; a missing padding is forgiven, as RFC 7711's own example leaves it out. The octets are what is compared. */
function readBase64(text: string, urlSafe = false): Buffer | undefined {
  const digits = (urlSafe ? text.replaceAll("-", "+").replaceAll("_", "/") : text).replace(/={1,2}$/, "")
  if (!/^[A-Za-z0-9+/]+$/.test(digits) || (digits.length !== text.length && text.length % 4 !== 0)) return undefined
  const octets = Buffer.from(digits, "base64")
  // Padding bits are zero (POSH-06): two texts must not stand for one hash.
  return octets.toString("base64").replace(/=+$/, "") === digits ? octets : undefined
}

function readDescriptor(value: Json, index: number): Descriptor | PoshProblem {
  const where = `fingerprints[${index}]`
  if (!isObject(value)) return problem("posh.bad-json", `${where} is not an object`)
  const descriptor = new Map<HashName, Buffer>()
  for (const [name, length] of hashes) {
    // POSH-07: what we do not know is left alone.
    const text = value.get(name)
    if (text === undefined) continue
    if (typeof text !== "string") return problem("posh.bad-base64", `${where}: ${name} is not a text`)
    const octets = readBase64(text)
    if (octets === undefined) return problem("posh.bad-base64", `${where}: ${name} is not Base64`)
    if (octets.length !== length) return problem("posh.bad-base64", `${where}: ${name} has ${octets.length} octets, not ${length}`)
    descriptor.set(name, octets)
  }
  return descriptor
}

/** The body of a successful answer at the well-known URI, or behind a redirect or a reference. */
export function readDocument(body: Uint8Array): PoshDocument | PoshProblem {
  const members = readMembers(body)
  if (isProblem(members)) return members
  const url = members.get("url")
  const list = members.get("fingerprints")
  // POSH-05: neither of the two would be what was meant.
  if (url !== undefined && list !== undefined) return problem("posh.both-url-and-fingerprints", "")
  if (url !== undefined) {
    if (typeof url !== "string") return problem("posh.bad-json", "`url` is not a text")
    const expires = readExpires(members)
    return typeof expires === "number" ? { kind: "reference", url, expires } : expires
  }
  if (list === undefined) return problem("posh.no-fingerprints", "it has neither `fingerprints` nor `url`")
  if (!isList(list)) return problem("posh.bad-json", "`fingerprints` is not a list")
  // POSH-04
  if (list.length === 0) return problem("posh.no-fingerprints", "`fingerprints` is empty")
  const expires = readExpires(members)
  if (typeof expires !== "number") return expires
  const descriptors: Descriptor[] = []
  for (const [index, value] of list.entries()) {
    const descriptor = readDescriptor(value, index)
    if (isProblem(descriptor)) return descriptor
    if (descriptor.size > 0) descriptors.push(descriptor)
  }
  if (descriptors.length === 0) return problem("posh.no-usable-hash", `wanted ${hashes.map(([name]) => name).join(", ")}`)
  return { kind: "fingerprints", descriptors, expires }
}

/** The body of the older form: a JWK set whose keys of type PKIX hold certificate chains (POSH3-2). */
export function readOlderDocument(body: Uint8Array): PoshDocument | PoshProblem {
  const members = readMembers(body)
  if (isProblem(members)) return members
  const keys = members.get("keys")
  // POSH3-4: the older form has no references.
  if (!isList(keys)) return problem("posh.bad-json", "`keys` is not a list")
  const leaves: Buffer[] = []
  for (const [index, key] of keys.entries()) {
    if (!isObject(key)) return problem("posh.bad-json", `keys[${index}] is not an object`)
    if (key.get("kty") !== "PKIX") continue
    const chain = key.get("x5c")
    const first = isList(chain) ? chain[0] : undefined
    if (typeof first !== "string") return problem("posh.bad-json", `keys[${index}] has no certificate in \`x5c\``)
    // POSH3-3: both alphabets are about.
    const der = readBase64(first, true)
    if (der === undefined) return problem("posh.bad-base64", `keys[${index}]`)
    leaves.push(der)
  }
  if (leaves.length === 0) return problem("posh.no-fingerprints", "no key is of type PKIX")
  return { kind: "certificates", leaves }
}

/** Where to ask: always https, always a domain. */
export interface PoshUrl {
  readonly kind: "url"
  readonly host: Domain
  /** Path and query. */
  readonly path: string
  /** The whole, as evidence names it. */
  readonly text: string
}

const longestUrl = 2048

function poshUrl(host: Domain, path: string): PoshUrl {
  return { kind: "url", host, path, text: `https://${host}${path}` }
}

/** POSH-02, POSH-24: exactly here, under the name the service has in SRV. */
export function poshPath(service: Service): string {
  return `/.well-known/posh/${service}.json`
}

export function wellKnownUrl(source: Domain, service: Service): PoshUrl {
  return poshUrl(source, poshPath(service))
}

/** POSH3-1 */
export function olderUrl(source: Domain, service: Service): PoshUrl {
  return poshUrl(source, `/.well-known/posh._${service}._tcp.json`)
}

/**
 * Where a redirect or a reference leads.
 *
 * @param base for redirects, which may be relative; a reference stands alone
 * @param port what stands for 443 here; naming it is as good as naming none
 */
export function readUrl(text: string, base: PoshUrl | undefined, port: number): PoshUrl | PoshProblem {
  const no = (why: string): PoshProblem => problem("posh.redirect-insecure", why)
  // The URL parser forgives spaces, tabs and backslashes, each reader others.
  if (text.length > longestUrl || !/^[\x21-\x5b\x5d-\x7e]+$/.test(text)) return no("it is too long or no URL")
  const url = URL.parse(text, base?.text)
  if (url === null) return no("it is no URL")
  // POSH-11, POSH-20
  if (url.protocol !== "https:") return no(`it is an ${url.protocol.slice(0, -1)} URL`)
  if (url.username !== "" || url.password !== "") return no("it holds a name or password")
  const host = tryDomain(url.hostname)
  // security.md 23: nor one that is written otherwise, with percent signs, say, which the parser takes through IDNA's mapping.
  if (host === undefined || !(host === base?.host || text.toLowerCase().includes(host))) return no("it names no domain")
  if (url.port !== "" && url.port !== String(port)) return no(`it names port ${url.port}`)
  return poshUrl(host, url.pathname + url.search)
}

/** POSH3-4: whether a path still speaks of this service, and of no other. */
export function keepsService(path: string, service: Service): boolean {
  const other: Service = service === "xmpp-server" ? "xmpp-client" : "xmpp-server"
  const [place = ""] = path.split("?", 1)
  const has = (name: Service): boolean => place.split(/[./]/).includes(`_${name}`)
  return has(service) && !has(other)
}

/** A URL for people and for evidence, which never hold queries (security.md 27). */
export function withoutQuery(text: string): string {
  const cut = text.indexOf("?")
  return cut < 0 ? text : `${text.slice(0, cut)}?…`
}
