// Reads TypeScript just well enough for the architecture rules: blanks comments and literal text, lists imports.

export interface Import {
  readonly specifier: string
  /** `import type` or `export type`: nothing of it is left at run time. */
  readonly typeOnly: boolean
}

export interface Views {
  /** Comments blanked, everything else as written. */
  readonly uncommented: string
  /** Comments, text in quotes and regular expressions blanked (delimiters stay): what is left are names, numbers and punctuation. */
  readonly code: string
}

const regexMayFollow = /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|do|else|void|throw|new|delete|await))\s*$/

const blank = (text: string): string => text.replace(/[^\n]/g, " ")

/** Both views have the length and the line breaks of the source. */
export function views(source: string): Views {
  let uncommented = ""
  let code = ""
  /** For every open `${`: how many `{` are open inside it. */
  const holes: number[] = []
  let at = 0
  const take = (end: number, kind: "code" | "literal" | "comment"): void => {
    const text = source.slice(at, end)
    uncommented += kind === "comment" ? blank(text) : text
    // The delimiters of a literal stay: what follows a quote is not the start of a regular expression.
    code += kind === "code" ? text : kind === "comment" ? blank(text) : text[0] + blank(text.slice(1, -1)) + text.slice(1).slice(-1)
    at = end
  }
  const templateText = (from: number): void => {
    let end = from
    while (end < source.length && source[end] !== "`" && !(source[end] === "$" && source[end + 1] === "{"))
      end += source[end] === "\\" ? 2 : 1
    if (source[end] === "$") {
      holes.push(0)
      take(end + 2, "literal")
    } else take(Math.min(end + 1, source.length), "literal")
  }
  while (at < source.length) {
    const char = source[at]!
    const two = source.slice(at, at + 2)
    if (two === "//" || (at === 0 && two === "#!")) {
      const end = source.indexOf("\n", at)
      take(end < 0 ? source.length : end, "comment")
    } else if (two === "/*") {
      const end = source.indexOf("*/", at + 2)
      take(end < 0 ? source.length : end + 2, "comment")
    } else if (char === '"' || char === "'" || (char === "/" && regexMayFollow.test(code.slice(-40)))) {
      let end = at + 1
      let inClass = false
      while (end < source.length && source[end] !== "\n" && (inClass || source[end] !== char)) {
        if (char === "/" && (source[end] === "[" || source[end] === "]")) inClass = source[end] === "["
        end += source[end] === "\\" ? 2 : 1
      }
      take(Math.min(end + 1, source.length), "literal")
    } else if (char === "`") templateText(at + 1)
    else if (char === "}" && holes.length > 0 && holes.at(-1) === 0) {
      holes.pop()
      templateText(at + 1)
    } else {
      if (holes.length > 0 && char === "{") holes[holes.length - 1]! += 1
      if (holes.length > 0 && char === "}") holes[holes.length - 1]! -= 1
      take(at + 1, "code")
    }
  }
  return { uncommented, code }
}

/** Every module a file names: static, re-exported, for its side effects, dynamic and by `import("...").Type`. */
export function imports({ uncommented }: Views): Import[] {
  const found: Import[] = []
  const statement = /\b(?:import|export)\s+(type\s+)?(?:[\w$*\s{},]+?\s+from\s*)?["']([^"'\n]+)["']/g
  for (const [, type, specifier] of uncommented.matchAll(statement)) found.push({ specifier: specifier!, typeOnly: type !== undefined })
  const call = /\b(?:import|require)\s*\(\s*(["'`])([^"'`\n]+)\1/g
  for (const [, , specifier] of uncommented.matchAll(call)) found.push({ specifier: specifier!, typeOnly: false })
  return found
}
