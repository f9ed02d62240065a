// The known word nearest to a mistyped one, for the sentences of configuration errors.

/** Edit distance with transpositions counted once; gives up beyond `most`. */
function distance(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) > most) return most + 1
  let before: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min(row[j - 1]! + 1, last[j]! + 1, last[j - 1]! + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, before[j - 2]! + 1)
      row.push(cost)
    }
    before = last
    last = row
  }
  return last[b.length]!
}

/** The same letters, whatever the style of writing: `directTls` and `direct-tls` are `direct_tls`. */
function folded(word: string): string {
  return word.toLowerCase().replace(/[-_ ]/g, "")
}

/**
 * @returns the word to suggest, or undefined when nothing is near
 */
export function nearestWord(written: string, known: readonly string[]): string | undefined {
  if (written.length > 64) return undefined
  const most = Math.max(1, Math.floor(written.length / 3))
  let best: string | undefined
  let bestDistance = most + 1
  for (const word of known) {
    const cost = distance(folded(written), folded(word), most)
    if (cost < bestDistance) {
      best = word
      bestDistance = cost
    }
  }
  return best
}
