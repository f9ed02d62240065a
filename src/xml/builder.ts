// Builds the elements of one stream from tags and texts the parser has read: namespaces, duplicate attributes, nesting
// (Namespaces in XML 1.0, 3, 5 and 6.3; CORE-12; XML-02).
import type { XmlAttribute, XmlElement } from "./element.ts"
import { contentNamespaces } from "./element.ts"
import type { XmlCondition } from "./errors.ts"
import type { QualifiedName } from "./names.ts"
import { declarationFault, NamespaceScope } from "./names.ts"

type Mutable<T> = { -readonly [K in keyof T]: T[K] }
type OpenElement = Mutable<XmlElement> & { children: readonly (XmlElement | string)[] | (XmlElement | string)[] }

const none: readonly never[] = Object.freeze([])
// Up to here comparing each pair is faster than a set; above, a set keeps the cost linear.
const pairwise = 16

/** What is wrong, for the parser to add the offset; undefined everywhere means correct. */
export interface TagFault {
  readonly condition: XmlCondition
  readonly detail: string
}

function malformedTag(detail: string): TagFault {
  return { condition: "not-well-formed", detail }
}

export class TreeBuilder {
  readonly scope = new NamespaceScope()
  #open: OpenElement[] = []
  #levels: number[] = []
  #name: QualifiedName | undefined
  #attributes: Mutable<XmlAttribute>[] = []
  #declarations: [string, string][] = []
  #prefixed = 0
  #seen: Set<string> | undefined

  /** Elements open below the stream header. */
  get depth(): number {
    return this.#open.length
  }

  get attributeCount(): number {
    return this.#attributes.length
  }

  get declarationCount(): number {
    return this.#declarations.length
  }

  startTag(name: QualifiedName): void {
    this.#name = name
    this.#attributes = []
    this.#declarations = []
    this.#prefixed = 0
    this.#seen = undefined
  }

  /** Called at the end of each attribute's name, before its value is read. */
  attributeFault(name: QualifiedName): TagFault | undefined {
    if (name.declares !== undefined) {
      for (const [prefix] of this.#declarations) if (prefix === name.declares) return malformedTag("a namespace is declared twice")
    } else if (this.#attributes.length < pairwise) {
      for (const { name: other, prefix } of this.#attributes)
        if (other === name.name && prefix === name.prefix) return malformedTag("an attribute appears twice")
    } else {
      this.#seen ??= new Set(this.#attributes.map((other) => (other.prefix === "" ? other.name : `${other.prefix}:${other.name}`)))
      if (this.#seen.has(name.raw)) return malformedTag("an attribute appears twice")
      this.#seen.add(name.raw)
    }
    return undefined
  }

  attribute(name: QualifiedName, value: string): TagFault | undefined {
    if (name.declares === undefined) {
      this.#attributes.push({ prefix: name.prefix, ns: "", name: name.name, value })
      if (name.prefix !== "") this.#prefixed++
      return undefined
    }
    const fault = declarationFault(name.declares, value)
    if (fault !== undefined) return malformedTag(fault)
    this.#declarations.push([name.declares, value])
    return undefined
  }

  /** The start tag is complete: its element becomes the innermost open one. */
  endOfTag(): TagFault | undefined {
    const { prefix, name } = this.#name as QualifiedName
    const scope = this.scope
    const level = scope.level
    for (const [declared, ns] of this.#declarations) scope.declare(declared, ns)
    const ns = prefix === "" ? scope.defaultNs : scope.lookup(prefix)
    if (ns === undefined || prefix === "xmlns") return malformedTag("the prefix of an element is not declared")
    // CORE-12 (RFC 6120 4.8.5): elements of a content namespace have no prefix.
    if (prefix !== "" && contentNamespaces.has(ns))
      return { condition: "bad-namespace-prefix", detail: "an element of a content namespace has a prefix" }
    if (this.#prefixed > 0) {
      const fault = this.#resolveAttributes()
      if (fault !== undefined) return fault
    }
    const element: OpenElement = {
      prefix,
      ns,
      name,
      attributes: this.#attributes.length === 0 ? none : this.#attributes,
      declarations: this.#declarations.length === 0 ? none : this.#declarations,
      children: none,
    }
    if (this.#open.length > 0) this.#append(element)
    this.#open.push(element)
    this.#levels.push(level)
    return undefined
  }

  text(value: string): void {
    if (value !== "") this.#append(value)
  }

  /** Closes the innermost element; returns it if it was a first-level one. */
  close(): XmlElement | undefined {
    const element = this.#open.pop() as OpenElement
    this.scope.restore(this.#levels.pop() as number)
    return this.#open.length === 0 ? element : undefined
  }

  /** Takes the open element out as the stream header: what follows is not inside it, but in the scope of its namespaces. */
  takeHeader(): XmlElement {
    this.#levels.pop()
    return this.#open.pop() as OpenElement
  }

  #append(node: XmlElement | string): void {
    const parent = this.#open[this.#open.length - 1] as OpenElement
    if (parent.children === none) parent.children = [node]
    else (parent.children as (XmlElement | string)[]).push(node)
  }

  /** Two prefixes of one namespace make two attributes the same (Namespaces in XML 1.0, 6.3). */
  #resolveAttributes(): TagFault | undefined {
    const resolved: XmlAttribute[] = []
    for (const attribute of this.#attributes) {
      if (attribute.prefix === "") continue
      const ns = this.scope.lookup(attribute.prefix)
      if (ns === undefined) return malformedTag("the prefix of an attribute is not declared")
      attribute.ns = ns
      resolved.push(attribute)
    }
    if (resolved.length > pairwise) {
      // A name has no space in it, so the joined key is unambiguous.
      if (new Set(resolved.map(({ name, ns }) => `${name} ${ns}`)).size < resolved.length)
        return malformedTag("an attribute appears twice under two prefixes")
      return undefined
    }
    for (let i = 1; i < resolved.length; i++)
      for (let j = 0; j < i; j++) {
        const one = resolved[i] as XmlAttribute
        const other = resolved[j] as XmlAttribute
        if (one.name === other.name && one.ns === other.ns) return malformedTag("an attribute appears twice under two prefixes")
      }
    return undefined
  }
}
