// 200 new domains at one host, all at once: one name that their SRV records lead to, one certificate that names all of them.
// Several waves, each of domains that neither end has met: the first finds a young process, the others one that has worked.
import type { World } from "../test/interop/world.ts"
import { median } from "./process-figures.ts"
import { type Figures, timed, withPair } from "./runs.ts"
import type { Kind } from "./servers.ts"

export interface AtOnce {
  readonly name: string
  readonly kind: Kind
  readonly way: "EXTERNAL" | "dialback"
}

export const atOnceKinds: readonly AtOnce[] = (["EXTERNAL", "dialback"] as const).flatMap((way) =>
  (["ours", "prosody", "ejabberd"] as const).map((kind) => ({ name: `${kind}, ${way}`, kind, way })),
)

const domains = 200
export const waves = 4

export function atOnce({ kind, way }: AtOnce, world: World): Promise<Figures> {
  return withPair(
    kind,
    world,
    1,
    waves * domains + 51,
    async (pair, driver) => {
      // As in the row of the other bench: 51 domains one after the other first, and what is set up once is there.
      await driver.play({ task: "contact", from: waves * domains, to: waves * domains + 51 })
      const rates: number[] = []
      const costs: number[] = []
      for (let wave = 0; wave < waves; wave += 1) {
        const from = wave * domains
        const { report, left, right } = await timed(pair, driver, { task: "spread", from, to: from + domains, together: domains })
        rates.push(domains / report.elapsed)
        costs.push(((left + right) * 1000) / domains)
      }
      return { "first associations/s": rates[0]!, "associations/s": median(rates), "first CPU both": costs[0]!, "CPU both": median(costs) }
    },
    { oneCertificate: true, oneHost: true, ...(way === "dialback" ? { leftFlaw: "self-signed" as const } : {}) },
  )
}
