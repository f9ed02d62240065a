// Recorded DNS answers of DANE validated again from their own messages, with the judging side's anchors (security.md 16, 25).
import { Buffer } from "node:buffer"
import { modelRecords } from "../dns/answer.ts"
import type { AnchorSet as DnsAnchorSet } from "../dns/dnssec/anchors.ts"
import { type Judgement, revalidate } from "../dns/dnssec/validator.ts"
import { nameFromText } from "../dns/name.ts"
import { shownName, typeNumbers } from "../dns/records.ts"
import type { SrvRecord, TlsaRecord } from "../model/dns-answer.ts"
import type { DnsGround } from "../model/endpoint.ts"
import type { Instant } from "../model/verdict.ts"
import type { DaneLookup, DaneMaterial } from "./dane-material.ts"

/** How a checked answer is named in `DaneMaterial.signed`. */
export const groundKey = ({ name, type }: Pick<DnsGround, "name" | "type">): string => `${name} ${type}`

const inOrder = (records: readonly TlsaRecord[]): string =>
  JSON.stringify(records.map(({ usage, selector, matching, association }) => [usage, selector, matching, association].join(" ")).sort())

class Contradiction extends Error {
  override readonly name = "Contradiction"
}

/** The answer as its messages show it; undefined where there are none, or nobody here could have checked them. */
function shown(ground: DnsGround, at: Instant, anchors: readonly DnsAnchorSet[]): Judgement | undefined {
  const { wire, status, name, type } = ground
  // security.md 16: what another resolver said stays its word; and that something failed proves nothing.
  if (wire === undefined || ground.validatedBy !== "self" || (status !== "secure" && status !== "insecure")) return undefined
  const messages = wire.map((text) => Uint8Array.from(Buffer.from(text, "base64")))
  for (const set of anchors) {
    const found = revalidate({ name: nameFromText(name), type: typeNumbers[type], wire: messages, at, anchors: set })
    if (found.status !== status) continue
    if (found.outcome !== ground.outcome || shownName(found.canonical) !== ground.canonical) throw new Contradiction(`the messages for ${name} ${type} say something else than the file does`)
    return found
  }
  throw new Contradiction(`the messages for ${name} ${type} do not show it to be ${status} under the anchors known here; name others with --dns-anchors`)
}

/**
 * The material with what its messages prove in place of what the file says. Answers without messages stay as recorded.
 *
 * @param anchors sets of the judging side; any of them may vouch for an answer
 */
export function validatedAgain(material: DaneMaterial, anchors: readonly DnsAnchorSet[]): { material: DaneMaterial } | { cannotJudge: string } {
  const signed: string[] = []
  const servers: SrvRecord[] = []
  const check = <G extends DnsGround>(ground: G, compare: (found: Judgement) => void): G => {
    const found = shown(ground, material.at, anchors)
    if (found === undefined) return ground
    compare(found)
    if (found.status !== "secure") return ground
    signed.push(groundKey(ground))
    return { ...ground, signaturesUntil: Math.min(found.expires, Number.MAX_SAFE_INTEGER) }
  }
  try {
    const grounds = material.grounds.map((ground) =>
      check(ground, (found) => {
        if (ground.type === "SRV" && found.status === "secure") servers.push(...modelRecords("SRV", found.records))
      }),
    )
    const tlsa = material.tlsa.map(
      (lookup): DaneLookup =>
        check(lookup, (found) => {
          if (inOrder(modelRecords("TLSA", found.records)) !== inOrder(lookup.records)) throw new Contradiction(`the messages for ${lookup.name} hold other TLSA records than the file`)
        }),
    )
    checkServers({ ...material, grounds, tlsa }, signed, servers)
    return { material: { ...material, grounds, tlsa, signed } }
  } catch (error) {
    if (error instanceof Contradiction) return { cannotJudge: error.message }
    throw error
  }
}

/** Where every secure SRV answer was checked, the servers must be among the records in it: an unsigned one leads nowhere here. */
function checkServers({ endpoint, grounds, tlsa }: DaneMaterial, signed: readonly string[], servers: readonly SrvRecord[]): void {
  const answers = grounds.filter(({ type, status, outcome }) => type === "SRV" && status === "secure" && outcome === "data")
  if (answers.length === 0 || answers.some((ground) => !signed.includes(groundKey(ground)))) return
  const named = (target: string, port: number | null): void => {
    if (!servers.some((record) => record.target === target && record.port === port)) throw new Contradiction(`the signed SRV records do not lead to ${target} port ${port}`)
  }
  if (endpoint === null) {
    for (const { of, base, port } of tlsa) if (of === "server") named(base, port)
  } else if (endpoint.via === "srv") named(endpoint.target, endpoint.port)
}
