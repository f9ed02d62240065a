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

/** A mistake of the person at the keyboard or in a file: one sentence, one status, no stack. */
export class Stop extends Error {
  override readonly name = "Stop"
  readonly status: number
  constructor(status: number, sentence: string) {
    super(sentence)
    this.status = status
  }
}
