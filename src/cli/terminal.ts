// What a terminal can show: colours, marks and words on lines of 80 columns. Colour is never the only sign, and what asks for nothing has none.
import { printable } from "./exit.ts"

export const columns = 80

export type Mark = "good" | "warn" | "bad" | "unknown" | "none" | "blank"

export interface Terminal {
  readonly separator: string
  mark(mark: Mark): string
  /** Columns of every mark. */
  readonly markWidth: number
  strong(text: string): string
  /** Text from elsewhere, harmless, and of characters that can be shown. */
  clean(text: string): string
}

interface Surroundings {
  readonly tty: boolean
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly color: string | false
}

const pretty: Record<Mark, string> = { good: "\u2714", warn: "!", bad: "\u2716", unknown: "?", none: "\u2013", blank: " " }
const plain: Record<Mark, string> = { good: "ok  ", warn: "warn", bad: "BAD ", unknown: "?   ", none: "-   ", blank: "    " }
const codes: Partial<Record<Mark, string>> = { good: "32", warn: "33", bad: "1;31", unknown: "35" }

/** @param color the option, which beats the environment; false is `--no-color` */
export function terminal({ tty, environment, color }: Surroundings): Terminal {
  const set = (name: string): boolean => (environment[name] ?? "") !== ""
  const dumb = environment["TERM"] === "dumb"
  const usual = set("NO_COLOR") ? false : set("FORCE_COLOR") ? environment["FORCE_COLOR"] !== "0" : tty && !dumb
  const coloured = color === "always" || (color === "auto" && usual)
  const locale = [environment["LC_ALL"], environment["LC_CTYPE"], environment["LANG"]].find((value) => (value ?? "") !== "") ?? ""
  const unicode = !dumb && /utf-?8/i.test(locale)
  const paint = (code: string | undefined, text: string): string => (coloured && code !== undefined ? `\u001b[${code}m${text}\u001b[0m` : text)
  const signs = unicode ? pretty : plain
  return {
    separator: unicode ? " \u00b7 " : ", ",
    markWidth: signs.good.length,
    mark: (mark) => paint(codes[mark], signs[mark]),
    strong: (text) => paint("1", text),
    clean: (text) => (unicode ? printable(text) : printable(text).replace(/[^\u0020-\u007e]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)),
  }
}

export const widthOf = (text: string): number => [...text].length

export function padded(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - widthOf(text)))
}

/** Lines of words; a word that is longer than a line stays whole, so that it can be pasted. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  for (const word of text.split(/ +/)) {
    const last = lines.at(-1)
    if (last === undefined || widthOf(last) + 1 + widthOf(word) > width) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines
}

/** With something before the first line and blanks before the others. */
export function hanging(before: string, beforeWidth: number, text: string): string[] {
  return wrap(text, columns - beforeWidth).map((line, index) => (index === 0 ? before : " ".repeat(beforeWidth)) + line)
}
