// A resolver that says what a table says, with its status: DNS as DANE tests need it, signed unless said otherwise.
import type { DnsAnswer, DnsOutcome, DnsStatus, RecordOf, RecordType, Resolver, SrvRecord } from "../../src/model/dns-answer.ts"
import { now } from "./tlsa-support.ts"

export interface Said {
  readonly records?: readonly unknown[]
  /** Default: secure; indeterminate for a failure. */
  readonly status?: DnsStatus
  readonly outcome?: DnsOutcome
  readonly canonical?: string
  readonly until?: number
  /** null: the resolver does not know. */
  readonly signaturesUntil?: number | null
}

/** `NAME TYPE` to what is said; what is not there does not exist, and that is proven. */
export type Zone = Record<string, Said>

export const hour = 3_600_000

export interface ScriptedDns {
  readonly asked: string[]
  readonly resolver: Resolver
  /** May be changed between lookups. */
  readonly zone: Zone
}

export function scripted(zone: Zone, otherwise: Said = {}, clock: () => number = () => now): ScriptedDns {
  const asked: string[] = []
  const resolver: Resolver = {
    async resolve<T extends RecordType>(name: string, type: T, { signal }: { signal?: AbortSignal }): Promise<DnsAnswer<RecordOf<T>>> {
      asked.push(`${name} ${type}`)
      const said: Said = signal?.aborted === true ? failing : (zone[`${name} ${type}`] ?? otherwise)
      const outcome = said.outcome ?? (said.records === undefined ? "name-error" : said.records.length > 0 ? "data" : "no-data")
      const status = said.status ?? (outcome === "failure" ? "indeterminate" : "secure")
      const signaturesUntil = said.signaturesUntil === undefined ? clock() + 100 * 24 * hour : said.signaturesUntil
      return {
        name,
        type,
        records: (said.records ?? []) as RecordOf<T>[],
        status,
        outcome,
        rcode: outcome === "failure" ? 2 : outcome === "name-error" ? 3 : 0,
        why: outcome === "failure" ? [{ code: "servfail", detail: "broken" }] : [],
        canonical: said.canonical ?? name,
        validatedBy: "self",
        until: said.until ?? clock() + 24 * hour,
        ...(status === "secure" && signaturesUntil !== null ? { signaturesUntil } : {}),
      }
    },
  }
  return { asked, resolver, zone }
}

export const failing: Said = { outcome: "failure" }
export const bogus: Said = { outcome: "failure", status: "bogus" }
export const insecure = (said: Said): Said => ({ ...said, status: "insecure" })
export const srv = (target: string, port = 5269, priority = 0): SrvRecord => ({ priority, weight: 0, port, target })
export const addresses = (...list: string[]): Said => ({ records: list.map((address) => ({ address })) })
