// Qualified names read from bytes, and the namespace bindings in scope (Namespaces in XML 1.0; XML-02).
import type { Buffer } from "node:buffer"

import { codePointAt, incomplete, isNamePart, isNameStart, nameClass, nameColon, nameEnd, namePart, nameStart } from "./chars.ts"
import { xmlNamespace, xmlnsNamespace } from "./element.ts"
import type { Input } from "./input.ts"

/** A qualified name, split. `declares` is the prefix a namespace declaration binds ('' for `xmlns`), undefined for any other name. */
export interface QualifiedName {
  readonly raw: string
  readonly prefix: string
  readonly name: string
  readonly declares: string | undefined
}

const slots = 1024
const longestKept = 32
// A table of fixed size, one entry a slot: a stranger can evict names from it but never make it grow.
const kept: (QualifiedName | undefined)[] = new Array<QualifiedName | undefined>(slots).fill(undefined)

/** Splits a correct qualified name at its colon. */
export function splitName(raw: string): QualifiedName {
  const colon = raw.indexOf(":")
  const prefix = colon < 0 ? "" : raw.slice(0, colon)
  const name = colon < 0 ? raw : raw.slice(colon + 1)
  return { raw, prefix, name, declares: prefix === "xmlns" ? name : raw === "xmlns" ? "" : undefined }
}

/**
 * The qualified name in `bytes`, whose syntax is already checked. Short ASCII names come from a table, so a known name allocates nothing.
 * @param ascii whether all bytes are ASCII
 */
export function internName(bytes: Buffer, start: number, end: number, ascii: boolean): QualifiedName {
  const length = end - start
  if (!ascii || length > longestKept) return splitName(bytes.toString("utf8", start, end))
  let hash = length
  for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + (bytes[at] as number)) | 0
  const slot = (hash ^ (hash >>> 10)) & (slots - 1)
  const found = kept[slot]
  if (found !== undefined && found.raw.length === length) {
    let at = 0
    while (at < length && found.raw.charCodeAt(at) === bytes[start + at]) at++
    if (at === length) return found
  }
  const made = splitName(bytes.toString("latin1", start, end))
  kept[slot] = made
  return made
}

/** Whether a string is a name without a colon (Namespaces in XML 1.0, 4). */
export function isName(name: string): boolean {
  let first = true
  for (const char of name) {
    const point = char.codePointAt(0) as number
    const kind = point < 0x80 ? nameClass[point] : isNameStart(point) ? nameStart : isNamePart(point) ? namePart : nameEnd
    if (kind !== nameStart && (first || kind !== namePart)) return false
    first = false
  }
  return !first
}

/** Why a declaration is refused (Namespaces in XML 1.0, 3 and 5), or undefined if it is correct. */
export function declarationFault(prefix: string, ns: string): string | undefined {
  if (prefix === "xmlns") return "the prefix xmlns is declared"
  if (prefix === "xml") return ns === xmlNamespace ? undefined : "the prefix xml is bound to another namespace"
  if (ns === xmlNamespace || ns === xmlnsNamespace) return "a reserved namespace is bound to another prefix"
  if (prefix !== "" && ns === "") return "a prefix is undeclared"
  return undefined
}

/**
 * Bindings in scope. Lookup costs the same at any depth: declarations replace the current binding and leave the old one in a log,
 * which closing the element plays back.
 */
export class NamespaceScope {
  /** The default namespace in scope; '' if none. */
  defaultNs = ""
  readonly #bindings = new Map<string, string>()
  readonly #log: (string | undefined)[] = []

  /** Pass to `restore` when the element is closed. */
  get level(): number {
    return this.#log.length
  }

  declare(prefix: string, ns: string): void {
    if (prefix === "") {
      this.#log.push(prefix, this.defaultNs)
      this.defaultNs = ns
    } else {
      this.#log.push(prefix, this.#bindings.get(prefix))
      this.#bindings.set(prefix, ns)
    }
  }

  restore(level: number): void {
    while (this.#log.length > level) {
      const old = this.#log.pop()
      const prefix = this.#log.pop() as string
      if (prefix === "") this.defaultNs = old as string
      else if (old === undefined) this.#bindings.delete(prefix)
      else this.#bindings.set(prefix, old)
    }
  }

  /** Namespace of a prefix other than '', or undefined if it is not declared. */
  lookup(prefix: string): string | undefined {
    return prefix === "xml" ? xmlNamespace : this.#bindings.get(prefix)
  }

  /** All bindings in scope, the default namespace (if any) first. */
  entries(): [prefix: string, ns: string][] {
    const all: [string, string][] = [...this.#bindings]
    if (this.defaultNs !== "") all.unshift(["", this.defaultNs])
    return all
  }
}

/** Reads one qualified name, however it is cut into chunks. */
export class NameReader {
  readonly #input: Input
  // Positions from the mark; -1 for no colon.
  #start = 0
  #colon = -1
  /** Bytes that are not the first of their character. */
  #continuation = 0

  constructor(input: Input) {
    this.#input = input
  }

  begin(at: number): void {
    this.#start = at - this.#input.mark
    this.#colon = -1
    this.#continuation = 0
  }

  /** Position of the name from the mark. */
  get start(): number {
    return this.#start
  }

  /**
   * Reads on; true if the name is complete: then the byte at `pos` is the first behind it.
   * @throws XmlError if it is not a qualified name (Namespaces in XML 1.0, 4), or too long
   */
  read(): boolean {
    const input = this.#input
    const { bytes, mark, stop } = input
    const start = mark + this.#start
    const longest = input.limits.nameLength
    let at = input.pos
    while (at < stop) {
      const kind = nameClass[bytes[at] as number]
      const first = at === start || at - 1 === mark + this.#colon
      if (kind === nameEnd) {
        if (first) throw input.misplaced(at)
        input.pos = at
        return true
      }
      if (at - start - this.#continuation >= longest) throw input.exceeded("characters in a name", longest, at)
      if (kind === nameStart) at++
      else if (kind === namePart) {
        if (first) throw input.fault("not-well-formed", "a name that starts with a character no name starts with", at)
        at++
      } else if (kind === nameColon) {
        if (first || this.#colon >= 0) throw input.fault("not-well-formed", "a name with a colon too many", at)
        this.#colon = at - mark
        at++
      } else {
        const length = input.character(at)
        if (length === incomplete) break
        const point = codePointAt(bytes, at, length)
        if (!(first ? isNameStart(point) : isNamePart(point)))
          throw input.fault("not-well-formed", "a character that names do not have", at)
        this.#continuation += length - 1
        at += length
      }
    }
    input.pos = at
    return false
  }

  /** The name read. */
  take(): QualifiedName {
    const { bytes, mark, pos } = this.#input
    return internName(bytes, mark + this.#start, pos, this.#continuation === 0)
  }
}
