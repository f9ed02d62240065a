// Exit statuses (docs/operating.md): 0 to 3 are the monitoring-plugin codes, 64 and above those of sysexits.

export const exit = {
  ok: 0,
  warn: 1,
  bad: 2,
  unknown: 3,
  usage: 64,
  unavailable: 69,
  bug: 70,
  config: 78,
} as const

/** Text from elsewhere must not draw on the terminal, nor begin a line of its own. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => `\\u${character.codePointAt(0)!.toString(16).padStart(4, "0")}`)
}

/** The same document, without what a terminal would obey: JSON itself escapes only a part of that. */
export function jsonText(document: unknown, indent?: number): string {
  const unit = (each: string): string => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`
  return JSON.stringify(document, null, indent).replace(/[\u007f-\u009f\u2028\u2029\p{Cf}]/gu, (character) => character.split("").map(unit).join(""))
}

/** A mistake of the person at the keyboard or in a file: one sentence, one status, no stack. */
export class Stop extends Error {
  override readonly name = "Stop"
  readonly status: number
  constructor(status: number, sentence: string) {
    super(sentence)
    this.status = status
  }
}

/** What `ctl --json` prints when no gateway was asked, or none answered. */
export function ctlRefused(status: number, sentence: string): unknown {
  return { v: 1, ok: false, error: { kind: status === exit.usage ? "argument" : "unavailable", problems: [{ sentence }] } }
}
