// Where in the lab a finding of the catalogue can be seen: the exhibits that `check` finds it at, and the scenes that end with it.
import { type FindingId, findings } from "../model/findings.ts"
import type { Exhibit } from "./exhibit.ts"
import { exhibits } from "./exhibits.ts"
import { scenes } from "./programme.ts"

/** Ids of exhibits and scenes, those that are about it first. */
export function raisedBy(finding: FindingId): readonly string[] {
  return found().get(finding) ?? []
}

let known: ReadonlyMap<FindingId, readonly string[]> | undefined

function found(): ReadonlyMap<FindingId, readonly string[]> {
  known ??= new Map(
    (Object.keys(findings) as FindingId[]).map((id) => {
      const seen = exhibits.filter(({ expected }) => expected.findings.some((each) => each.endsWith(` ${id}`)))
      const about = seen.sort((one, two) => rank(two, id) - rank(one, id) || one.expected.findings.length - two.expected.findings.length)
      // In what a scene expects a finding stands alone, or in brackets at the end of a sentence.
      const told = scenes.filter(({ expected }) => JSON.stringify(expected).includes(`"${id}"`) || JSON.stringify(expected).includes(`[${id}]`))
      return [id, [...about.map((each) => each.id), ...told.map((each) => each.id)]]
    }),
  )
  return known
}

/** An exhibit that has the name of the finding shows nothing else; then those where it weighs what it does by itself. */
function rank({ id, expected }: Exhibit, finding: FindingId): number {
  if (id === finding.replace(".", "-")) return 2
  return expected.findings.includes(`${findings[finding].severity} ${finding}`) ? 1 : 0
}
