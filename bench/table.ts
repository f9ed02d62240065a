// The table of the bench: one row a figure, medians, and how ours compares with the better of the others.

export interface Results {
  readonly node: string
  readonly cores: number
  readonly rounds: number
  /** By kind of server, then by figure. */
  readonly medians: Readonly<Record<string, Readonly<Record<string, number>>>>
  readonly all: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>
  /** Bare idle TLS sockets of Node, MiB for 1,000, at the connecting (left) and the accepting end (right). */
  readonly floorMiB?: { readonly left: number; readonly right: number }
}

interface Row {
  readonly figure: string
  readonly title: string
  /** Whether a larger figure is the better one. */
  readonly more: boolean
  readonly digits: number
  /** Ours must be at least this many times as good as the better of the others, or as the one named. */
  readonly need?: number
  readonly against?: string
}

const rows: readonly Row[] = [
  { figure: "saturating stanzas/s", title: "saturating: stanzas/s", more: true, digits: 0, need: 1 },
  { figure: "saturating CPU left", title: "  CPU s per 100,000, sending server", more: false, digits: 2 },
  { figure: "saturating CPU right", title: "  CPU s per 100,000, receiving server", more: false, digits: 2 },
  { figure: "saturating CPU both", title: "  CPU s per 100,000, both", more: false, digits: 2, need: 8, against: "ejabberd" },
  { figure: "saturating CPU driver", title: "  (driver)", more: false, digits: 2 },
  { figure: "paced stanzas/s", title: "paced at 20,000/s: stanzas/s", more: true, digits: 0, need: 1 },
  { figure: "paced CPU left", title: "  CPU s per 100,000, sending server", more: false, digits: 2 },
  { figure: "paced CPU right", title: "  CPU s per 100,000, receiving server", more: false, digits: 2 },
  { figure: "paced CPU both", title: "  CPU s per 100,000, both", more: false, digits: 2, need: 3 },
  { figure: "paced CPU driver", title: "  (driver)", more: false, digits: 2 },
  { figure: "latency p50", title: "latency at 500/s, p50 ms", more: false, digits: 2, need: 1 },
  { figure: "latency p99", title: "  p99 ms", more: false, digits: 2, need: 1 },
  { figure: "latency max", title: "  max ms", more: false, digits: 1, need: 1 },
  { figure: "first p50", title: "first message to 50 new domains, p50 ms", more: false, digits: 1, need: 1 },
  { figure: "first CPU left", title: "  CPU ms each, sending server", more: false, digits: 1 },
  { figure: "first CPU right", title: "  CPU ms each, receiving server", more: false, digits: 1 },
  { figure: "at once associations/s", title: "200 new domains at once: associations/s", more: true, digits: 0, need: 1 },
  { figure: "at once CPU left", title: "  CPU ms each, sending server", more: false, digits: 1 },
  { figure: "at once CPU right", title: "  CPU ms each, receiving server", more: false, digits: 1 },
  { figure: "at once CPU both", title: "  CPU ms each, both", more: false, digits: 1, need: 1 },
  { figure: "memory left", title: "1,000 idle associations: MiB, sending server", more: false, digits: 0 },
  { figure: "memory right", title: "  MiB, receiving server", more: false, digits: 0 },
  { figure: "memory both", title: "  MiB, both", more: false, digits: 0, need: 1 / 1.4 },
]

const width = 46

/** Two figures this close are equal: runs of one server differ by more. */
const equal = 0.95

export function renderTable(results: Results): string {
  const kinds = Object.keys(results.medians)
  const cell = (text: string): string => text.padStart(11)
  const lines = [
    `${"median of " + results.rounds}`.padEnd(width) + kinds.map(cell).join("") + cell("ratio") + "  wanted",
    "-".repeat(width + 11 * (kinds.length + 1) + 14),
  ]
  for (const { figure, title, more, digits, need, against } of rows) {
    const values = kinds.map((kind) => results.medians[kind]?.[figure])
    if (values.every((value) => value === undefined)) continue
    const ours = results.medians.ours?.[figure]
    const others = kinds
      .filter((kind) => kind !== "ours" && (against === undefined || kind === against))
      .map((kind) => results.medians[kind]?.[figure])
      .filter((value) => value !== undefined)
    let ratio = ""
    let wanted = ""
    if (ours !== undefined && others.length > 0 && !figure.endsWith("driver")) {
      const better = more ? Math.max(...others) : Math.min(...others)
      const times = more ? ours / better : better / ours
      ratio = `${times.toFixed(2)}x`
      if (need !== undefined)
        wanted = `>= ${need.toFixed(need % 1 === 0 ? 0 : 2)}x ${times >= (need === 1 ? equal : need) ? "ok" : "MISSED"}`
    }
    const line = title.padEnd(width) + values.map((value) => cell(value === undefined ? "-" : value.toFixed(digits))).join("")
    lines.push(`${line}${cell(ratio)}  ${wanted}`.trimEnd())
  }
  if (results.floorMiB !== undefined) {
    const { left, right } = results.floorMiB
    lines.push(`floor: 1,000 bare idle TLS sockets of Node: ${left.toFixed(0)} MiB connecting, ${right.toFixed(0)} MiB accepting`)
  }
  lines.push("ratio: how many times as good ours is as the better of the others; where 1x is wanted, within 5 % counts as equal.")
  lines.push(`CPU: user and system time of the two servers; the driver's apart. Node ${results.node}, ${results.cores} cores.`)
  return `${lines.join("\n")}\n`
}
