// YAML 1.2 (and so JSON) text to plain values, with the line and column of every setting kept for error messages.
import { type Document, isMap, isNode, isScalar, isSeq, LineCounter, type ParsedNode, parseAllDocuments } from "yaml"
import { ConfigError, type ConfigProblem } from "../model/errors.ts"

export type SettingPath = readonly (string | number)[]

/** A configuration file has no business being larger, in octets. */
export const maxConfigOctets = 4 * 1024 * 1024

/** `domains[2].component.secret` */
export function settingName(path: SettingPath): string {
  let name = ""
  for (const part of path) name += typeof part === "number" ? `[${part}]` : name === "" ? part : `.${part}`
  return name
}

/** One file read: its plain value, and where in it each setting stands. */
export class ConfigText {
  readonly file: string
  readonly value: unknown
  readonly #document: Document.Parsed<ParsedNode>
  readonly #lines: LineCounter

  private constructor(file: string, document: Document.Parsed<ParsedNode>, lines: LineCounter, value: unknown) {
    this.file = file
    this.#document = document
    this.#lines = lines
    this.value = value
  }

  /**
   * @param file as shown to the operator
   * @throws ConfigError with every syntax error of the text
   */
  static parse(file: string, bytes: Uint8Array): ConfigText {
    if (bytes.length > maxConfigOctets) throw new ConfigError([{ place: file, sentence: `The file has ${bytes.length} octets; ${maxConfigOctets} are the limit.` }])
    let text: string
    try {
      text = new TextDecoder("utf-8", { fatal: true }).decode(bytes)
    } catch {
      throw new ConfigError([{ place: file, sentence: "The file is not UTF-8 text." }])
    }
    const lines = new LineCounter()
    const documents = parseAllDocuments(text, { version: "1.2", lineCounter: lines, prettyErrors: false, uniqueKeys: true, merge: false })
    if (!Array.isArray(documents) || documents.length === 0) return ConfigText.parse(file, new TextEncoder().encode("{}\n"))
    const [document, second] = documents as Document.Parsed<ParsedNode>[]
    const problems: ConfigProblem[] = []
    for (const error of [...document!.errors, ...document!.warnings]) {
      problems.push({ place: placeOf(file, lines, error.pos[0]), sentence: `This is not YAML as expected here: ${oneLine(error.message)}.` })
    }
    if (second !== undefined) problems.push({ place: placeOf(file, lines, second.range[0]), sentence: "A second document begins here; one file holds one." })
    if (problems.length > 0) throw new ConfigError(problems)
    let value: unknown
    try {
      value = document!.toJS({ maxAliasCount: 100 })
    } catch (error) {
      throw new ConfigError([{ place: file, sentence: `The file cannot be read: ${oneLine((error as Error).message)}.` }])
    }
    return new ConfigText(file, document!, lines, value ?? {})
  }

  /** `file:line:column` of a setting's value; of what holds it, where the setting is missing. */
  place(path: SettingPath): string {
    return this.#place(path, false)
  }

  /** The same of the setting's name. */
  keyPlace(path: SettingPath): string {
    return this.#place(path, true)
  }

  #place(path: SettingPath, ofKey: boolean): string {
    let node: unknown = this.#document.contents
    let offset = offsetOf(node) ?? 0
    for (const [index, part] of path.entries()) {
      let next: unknown
      let key: unknown
      if (isMap(node)) {
        const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(part))
        key = pair?.key
        next = pair?.value
      } else if (isSeq(node) && typeof part === "number") next = node.items[part]
      const last = index === path.length - 1
      const found = last && ofKey ? (offsetOf(key) ?? offsetOf(next)) : (offsetOf(next) ?? offsetOf(key))
      if (found === undefined) break
      offset = found
      node = next
    }
    return placeOf(this.file, this.#lines, offset)
  }
}

function offsetOf(node: unknown): number | undefined {
  return isNode(node) && node.range ? node.range[0] : undefined
}

function placeOf(file: string, lines: LineCounter, offset: number): string {
  const { line, col } = lines.linePos(offset)
  return `${file}:${Math.max(1, line)}:${Math.max(1, col)}`
}

function oneLine(text: string): string {
  // The library quotes what it met behind these; with inline secrets that may be one (security.md 27).
  return text.replace(/\b(alias|tag)\b([^:]*): .*$/s, "$1$2").replace(/\s+/g, " ").replace(/[.:]\s*$/, "").slice(0, 200)
}

/** By line and column, as an editor jumps through them. */
export function inOrder(problems: readonly ConfigProblem[]): ConfigProblem[] {
  const at = (problem: ConfigProblem): [number, number] => {
    const match = /:(\d+):(\d+)$/.exec(problem.place)
    return match === null ? [0, 0] : [Number(match[1]), Number(match[2])]
  }
  return [...problems].sort((a, b) => at(a)[0] - at(b)[0] || at(a)[1] - at(b)[1])
}
