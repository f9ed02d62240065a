// The list of all exhibits, and how they are put up: what `check` finds at each is known beforehand, so that it can be tried on them.
import { certificateExhibits } from "./exhibits/certificates.ts"
import { dnsExhibits } from "./exhibits/dns.ts"
import { loginExhibits } from "./exhibits/login.ts"
import { poshExhibits } from "./exhibits/posh.ts"
import { streamExhibits } from "./exhibits/streams.ts"
import type { Exhibit, ExhibitSeen, Standing } from "./exhibit.ts"
import type { Internet } from "./internet.ts"
import type { SceneReport } from "./scene.ts"

export const exhibits: readonly Exhibit[] = [...dnsExhibits, ...streamExhibits, ...certificateExhibits, ...poshExhibits, ...loginExhibits]

/** Looks at one; what the lab itself is not able to, since it does not know who looks. */
export type Look = (exhibit: Exhibit, standing: Standing) => Promise<ExhibitSeen>

export interface Raised {
  readonly exhibit: Exhibit
  readonly standing: Standing
}

/** Puts them up, all at once. */
export async function raiseExhibits(net: Internet, chosen: readonly Exhibit[]): Promise<readonly Raised[]> {
  return await Promise.all(chosen.map(async (exhibit) => ({ exhibit, standing: (await exhibit.raise(net)) ?? {} })))
}

/** Looks at what stands, a few at a time, and tells in order; never throws: what goes wrong is a report that is not ok. */
export async function lookAtAll(net: Internet, raised: readonly Raised[], look: Look, told: (report: SceneReport) => void = () => {}): Promise<readonly SceneReport[]> {
  const reports: SceneReport[] = []
  let next = 0
  let last = 0
  const worker = async (): Promise<void> => {
    for (let at = next++; at < raised.length; at = next++) {
      reports[at] = await lookAt(net, raised[at] as Raised, look)
      for (let report = reports[last]; report !== undefined; report = reports[last]) {
        last += 1
        told(report)
      }
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return reports
}

const atOnce = 8

async function lookAt(net: Internet, { exhibit, standing }: Raised, look: Look): Promise<SceneReport> {
  const { id, section, title, domain, expected } = exhibit
  const began = net.clock.monotonic()
  let got: SceneReport["got"] = {}
  let broken: string | undefined
  try {
    got = { [domain]: await look(exhibit, standing) }
  } catch (error) {
    broken = error instanceof Error ? error.message : String(error)
  }
  const ms = Math.round(net.clock.monotonic() - began)
  const report = { id, section, title, expected: { [domain]: expected }, got, ms, ...(broken === undefined ? {} : { broken }) }
  return { ...report, ok: broken === undefined && JSON.stringify(report.got) === JSON.stringify(report.expected) }
}
