// 200 new domains at one host whose certificate names all of them, all at once.
import type { World } from "../test/interop/world.ts"
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

export function atOnce({ kind, way }: AtOnce, world: World): Promise<Figures> {
  return withPair(
    kind,
    world,
    1,
    domains + 51,
    async (pair, driver) => {
      // As in the row of the other bench: 51 domains one after the other first, and what is set up once is there.
      await driver.play({ task: "contact", from: domains, to: domains + 51 })
      const { report, left, right } = await timed(pair, driver, { task: "spread", from: 0, to: domains, together: domains })
      return { "associations/s": domains / report.elapsed, "CPU both": ((left + right) * 1000) / domains }
    },
    { oneCertificate: true, ...(way === "dialback" ? { leftFlaw: "self-signed" as const } : {}) },
  )
}
