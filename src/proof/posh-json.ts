// JSON as POSH reads it (RFC 8259, RFC 7711 3.1; POSH-27): no member twice, bounded nesting, nothing but one value. What
// JSON.parse drops in silence is the difference between two readers of one document.
import { shown } from "../x509/names.ts"

export type Json = null | boolean | number | string | readonly Json[] | ReadonlyMap<string, Json>

export type JsonProblem = "syntax" | "duplicate" | "nesting"

export class JsonError extends Error {
  override readonly name = "JsonError"
  readonly problem: JsonProblem
  constructor(problem: JsonProblem, detail: string) {
    super(detail)
    this.problem = problem
  }
}

/** Documents need three levels. */
const deepest = 8

// Each part of a string begins with a backslash, so that no text is read in two ways.
const stringToken = /"[^"\\]*(?:\\.[^"\\]*)*"/sy
const numberToken = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const space = /[ \t\n\r]*/y
const words: readonly (readonly [string, Json])[] = [
  ["true", true],
  ["false", false],
  ["null", null],
]

class Reader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  whole(): Json {
    const value = this.#value(0)
    this.#skip()
    if (this.#at < this.#text.length) throw this.#wrong("the end")
    return value
  }

  #wrong(wanted: string): JsonError {
    return new JsonError("syntax", `${wanted} is missing at character ${this.#at + 1}`)
  }

  #token(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0]
    if (found !== undefined) this.#at += found.length
    return found
  }

  #skip(): void {
    this.#token(space)
  }

  /** Whether this mark comes next; if so, it is taken. */
  #took(mark: string): boolean {
    this.#skip()
    const there = this.#text[this.#at] === mark
    if (there) this.#at += 1
    return there
  }

  #value(depth: number): Json {
    if (depth > deepest) throw new JsonError("nesting", `nested deeper than ${deepest}`)
    if (this.#took("{")) return this.#object(depth)
    if (this.#took("[")) return this.#array(depth)
    const text = this.#string()
    if (text !== undefined) return text
    const digits = this.#token(numberToken)
    if (digits !== undefined) return Number(digits)
    for (const [word, value] of words) {
      if (!this.#text.startsWith(word, this.#at)) continue
      this.#at += word.length
      return value
    }
    throw this.#wrong("a value")
  }

  #string(): string | undefined {
    const token = this.#token(stringToken)
    if (token === undefined) return undefined
    try {
      return JSON.parse(token) as string
    } catch {
      throw new JsonError("syntax", `a string before character ${this.#at} holds a bare control character or an escape that is none`)
    }
  }

  #object(depth: number): ReadonlyMap<string, Json> {
    const members = new Map<string, Json>()
    if (this.#took("}")) return members
    do {
      this.#skip()
      const name = this.#string()
      if (name === undefined) throw this.#wrong("a member's name")
      if (members.has(name)) throw new JsonError("duplicate", `two members are called "${shown(name.slice(0, 40))}"`)
      if (!this.#took(":")) throw this.#wrong("a colon")
      members.set(name, this.#value(depth + 1))
    } while (this.#took(","))
    if (!this.#took("}")) throw this.#wrong("a closing brace")
    return members
  }

  #array(depth: number): readonly Json[] {
    const items: Json[] = []
    if (this.#took("]")) return items
    do items.push(this.#value(depth + 1))
    while (this.#took(","))
    if (!this.#took("]")) throw this.#wrong("a closing bracket")
    return items
  }
}

/**
 * Reads one JSON text. Objects become maps, so that no member's name means anything to the language.
 *
 * @throws JsonError, and nothing else
 */
export function readJson(text: string): Json {
  return new Reader(text).whole()
}
