// One line on standard error while work takes longer than people like to wait; on a terminal alone, and gone at the end.
import { printable } from "./exit.ts"

export interface Progress {
  asks(what: string): void
  done(what: string, good: boolean): void
  end(): void
}

const quietMs = 400
const silent: Progress = { asks: () => undefined, done: () => undefined, end: () => undefined }

export function progress(total: number, shown: boolean): Progress {
  if (!shown) return silent
  let [finished, good] = [0, 0]
  // The one that is waited for longest is what people want to know.
  const waiting = new Set<string>()
  let drawn = false
  const draw = (): void => {
    drawn = true
    const [asked = ""] = waiting
    const line = total === 1 ? `asking ${asked}` : `${finished} of ${total}, ${good} good; asking ${asked}`
    process.stderr.write(`\r\u001b[K${printable(line).slice(0, 79)}`)
  }
  const timer = setInterval(draw, quietMs)
  return {
    asks: (what) => {
      waiting.add(what)
    },
    done: (what, isGood) => {
      waiting.delete(what)
      finished += 1
      if (isGood) good += 1
    },
    end: () => {
      clearInterval(timer)
      if (drawn) process.stderr.write("\r\u001b[K")
    },
  }
}
