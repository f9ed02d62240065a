// Writes elements as the restricted XML of a stream, and moves stanzas between kinds of stream (RFC 6120 4.8.3, 4.8.5, 11.1; CORE-12, CORE-24, XML-01).
import type { XmlAttribute, XmlElement } from "./element.ts"
import { contentNamespaces, xmlNamespace } from "./element.ts"
import { XmlError } from "./errors.ts"
import { declarationFault, isName } from "./names.ts"

/** The namespaces in scope where the text will stand. */
export interface SerialiseContext {
  readonly defaultNs: string
  readonly prefixes?: Readonly<Record<string, string>> | ReadonlyMap<string, string>
}

interface Scope {
  readonly defaultNs: string
  readonly prefixes: ReadonlyMap<string, string>
}

const noPrefixes: ReadonlyMap<string, string> = new Map()
const deepest = 1000
// What XML does not allow at all, lone surrogates included (XML 1.0 2.2).
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const forbidden = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff\u{d800}-\u{dfff}]/u
const inText = /[&<>"'\r]/
const inValue = /[&<>"'\t\n\r]/
const usualName = /^[A-Za-z_][-.\w]*$/

const replacements: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&apos;",
  "\t": "&#9;",
  "\n": "&#10;",
  "\r": "&#13;",
}

function unwritable(detail: string): XmlError {
  return new XmlError("not-well-formed", `cannot be written: ${detail}`)
}

function refuseForbidden(value: string): void {
  if (forbidden.test(value)) throw unwritable("a character that XML does not allow")
}

/**
 * Escapes text for the content of an element.
 * @throws XmlError for a character XML does not allow
 */
export function escapeText(value: string): string {
  refuseForbidden(value)
  return inText.test(value) ? value.replace(/[&<>"'\r]/g, (char) => replacements[char] as string) : value
}

/**
 * Escapes the value of an attribute, for either kind of quotation mark; white space survives normalisation (XML 1.0 3.3.3).
 * @throws XmlError for a character XML does not allow
 */
export function escapeAttribute(value: string): string {
  refuseForbidden(value)
  return inValue.test(value) ? value.replace(/[&<>"'\t\n\r]/g, (char) => replacements[char] as string) : value
}

function checkName(name: string): void {
  if (!usualName.test(name) && !isName(name)) throw unwritable("something that is not a name")
}

/**
 * Writes an element. Namespaces are declared only where they differ from those in scope; declarations the element carries are kept, also unused ones,
 * unless they contradict its own namespace. What is written may be longer than what was read (escapes, declarations of the old stream header):
 * whoever relays has to compare it with the next hop's limits.
 * @param context what is declared on the stream header; nothing if left out
 * @throws XmlError for names, characters or namespaces that XML does not allow, and for nesting deeper than 1,000
 */
export function serialise(el: XmlElement, context: SerialiseContext = { defaultNs: "" }): string {
  const { prefixes = noPrefixes } = context
  return write(el, { defaultNs: context.defaultNs, prefixes: prefixes instanceof Map ? prefixes : new Map(Object.entries(prefixes)) }, 1)
}

/** Collects what one start tag declares, given what is in scope. */
class Declarations {
  defaultNs: string
  readonly #outer: Scope
  #own: Map<string, string> | undefined
  /** Every prefix this tag uses, whether declared here or further out. */
  #used: Map<string, string> | undefined

  constructor(outer: Scope) {
    this.#outer = outer
    this.defaultNs = outer.defaultNs
  }

  lookup(prefix: string): string | undefined {
    return prefix === "xml" ? xmlNamespace : (this.#own?.get(prefix) ?? this.#outer.prefixes.get(prefix))
  }

  declare(prefix: string, ns: string): void {
    this.#used ??= new Map()
    this.#used.set(prefix, ns)
    if (this.lookup(prefix) === ns) return
    if (declarationFault(prefix, ns) !== undefined) throw unwritable("a namespace declaration that is not allowed")
    checkName(prefix)
    this.#own ??= new Map()
    this.#own.set(prefix, ns)
  }

  /** Whether `prefix` can still be given a meaning on this tag. */
  free(prefix: string, ns: string): boolean {
    const used = this.#used?.get(prefix)
    return used === undefined || used === ns
  }

  get scope(): Scope {
    if (this.#own === undefined && this.defaultNs === this.#outer.defaultNs) return this.#outer
    const prefixes = this.#own === undefined ? this.#outer.prefixes : new Map([...this.#outer.prefixes, ...this.#own])
    return { defaultNs: this.defaultNs, prefixes }
  }

  /** The attributes that declare what differs. */
  get written(): string {
    let out = this.defaultNs === this.#outer.defaultNs ? "" : ` xmlns='${escapeAttribute(this.defaultNs)}'`
    if (this.#own !== undefined) for (const [prefix, ns] of this.#own) out += ` xmlns:${prefix}='${escapeAttribute(ns)}'`
    return out
  }
}

function write(el: XmlElement, outer: Scope, depth: number): string {
  if (depth > deepest) throw unwritable("elements nested too deeply")
  const declared = new Declarations(outer)
  // CORE-12 (RFC 6120 4.8.5): an element of a content namespace is never sent with a prefix; without a namespace there can be none.
  const prefix = el.ns === "" || contentNamespaces.has(el.ns) ? "" : el.prefix
  checkName(el.name)
  if (prefix === "") declared.defaultNs = el.ns
  else declared.declare(prefix, el.ns)
  for (const [name, ns] of el.declarations) {
    if (name === "") {
      if (prefix !== "") declared.defaultNs = ns
    } else if (name !== prefix) declared.declare(name, ns)
  }
  if (declared.defaultNs !== "" && declarationFault("", declared.defaultNs) !== undefined)
    throw unwritable("a reserved namespace as the default one")
  let attributes = ""
  for (const attribute of el.attributes) attributes += writeAttribute(attribute, declared)
  if (el.attributes.length > 1) refuseDuplicates(el.attributes)
  const name = prefix === "" ? el.name : `${prefix}:${el.name}`
  const start = `<${name}${declared.written}${attributes}`
  if (el.children.length === 0) return `${start}/>`
  const scope = declared.scope
  let inner = ""
  for (const node of el.children) inner += typeof node === "string" ? escapeText(node) : write(node, scope, depth + 1)
  return `${start}>${inner}</${name}>`
}

function writeAttribute(attribute: XmlAttribute, declared: Declarations): string {
  checkName(attribute.name)
  const assigned = `${attribute.name}='${escapeAttribute(attribute.value)}'`
  if (attribute.ns === "") {
    if (attribute.name === "xmlns") throw unwritable("an attribute named xmlns")
    return ` ${assigned}`
  }
  if (attribute.ns === xmlNamespace) return ` xml:${assigned}`
  let prefix = attribute.prefix
  // The prefix wished for may be taken on this very tag, or missing: then a new one is made up.
  const usable = (wished: string): boolean => declared.lookup(wished) === attribute.ns || declared.free(wished, attribute.ns)
  for (let i = 0; prefix === "" || !usable(prefix); i++) prefix = `ns${i}`
  declared.declare(prefix, attribute.ns)
  return ` ${prefix}:${assigned}`
}

function refuseDuplicates(attributes: readonly XmlAttribute[]): void {
  const seen = new Set<string>()
  for (const { name, ns } of attributes) seen.add(ns === "" ? name : `${name} ${ns}`)
  if (seen.size < attributes.length) throw unwritable("an attribute twice")
}

/**
 * Moves a stanza from one content namespace to another (CORE-24; RFC 6120 4.8.3). Descendants follow as long as they are in the same namespace; a payload
 * of another namespace is left as it is, with all it contains (a forwarded stanza inside names its own namespace).
 */
export function rescope(el: XmlElement, fromNs: string, toNs: string): XmlElement {
  if (el.ns !== fromNs || fromNs === toNs) return el
  return {
    prefix: "",
    ns: toNs,
    name: el.name,
    attributes: el.attributes,
    declarations: el.declarations.map(([prefix, ns]) => (prefix === "" && ns === fromNs ? (["", toNs] as const) : ([prefix, ns] as const))),
    children: el.children.map((node) => (typeof node === "string" ? node : rescope(node, fromNs, toNs))),
  }
}
