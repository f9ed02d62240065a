// The order of SRV records (RFC 2782 "Usage rules", RFC 6120 3.2.1, CORE-02); works on any mix of services (DTLS-1).

export interface Ranked {
  readonly priority: number
  readonly weight: number
}

/**
 * Lowest priority first; within one, each next record is drawn with a chance by its weight. Records of weight 0 stand
 * first in the draw, so they have the small chance RFC 2782 means them to have.
 *
 * @param fraction uniform, 0 <= x < 1; drawn once a record where there are several
 */
export function orderSrv<R extends Ranked>(records: readonly R[], fraction: () => number): R[] {
  if (records.length === 1) return [...records]
  const ordered: R[] = []
  for (const group of byPriority(records)) {
    const left = [...group.filter((record) => record.weight === 0), ...group.filter((record) => record.weight !== 0)]
    let sum = left.reduce((total, record) => total + record.weight, 0)
    while (left.length > 0) {
      // A whole number from 0 to the sum, both included; the first running sum that reaches it wins.
      const drawn = Math.floor(fraction() * (sum + 1))
      let running = 0
      let index = left.findIndex((record) => (running += record.weight) >= drawn)
      if (index === -1) index = left.length - 1
      const [chosen] = left.splice(index, 1)
      sum -= chosen!.weight
      ordered.push(chosen!)
    }
  }
  return ordered
}

function byPriority<R extends Ranked>(records: readonly R[]): R[][] {
  const groups = new Map<number, R[]>()
  for (const record of records) {
    const group = groups.get(record.priority)
    if (group === undefined) groups.set(record.priority, [record])
    else group.push(record)
  }
  return [...groups].sort(([a], [b]) => a - b).map(([, group]) => group)
}
