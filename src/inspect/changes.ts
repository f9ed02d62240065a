// What changed about a domain between two looks, and what is remembered of it for the next one: a level that dropped, a key that nobody
// announced, an end that is near, and that it is good again. What could not be told is no news about the domain (RFC 7712 4.2).
import { z } from "zod"
import type { Keys } from "./keys.ts"
import { type DomainResult, reachedLevels, type ReachedLevel, type ReportFinding } from "./report.ts"

/** Rises when a member changes its meaning. */
export const memoryVersion = 1

const rememberedSchema = z.object({
  domain: z.string().max(300),
  service: z.enum(["xmpp-server", "xmpp-client"]),
  /** The server that is asked instead of where DNS leads; empty: none. */
  connect: z.string().max(400),
  /** The last one that is known. */
  level: z.enum(reachedLevels).nullable(),
  ok: z.boolean(),
  unknown: z.boolean(),
  /** Ids of what asked for something. */
  findings: z.array(z.string().max(100)).max(200),
  /** Keys it has shown, the latest last; an address may hide several servers. */
  keys: z.array(z.string().max(100)).max(200),
  /** What it announced when it was last seen. */
  announced: z.array(z.string().max(20_000)).max(200),
})

export const memorySchema = z.object({ watch: z.literal(memoryVersion), domains: z.array(rememberedSchema).max(100_000) })

export type Remembered = z.infer<typeof rememberedSchema>

export const changeKinds = ["first", "level-dropped", "level-risen", "failed", "good-again", "could-not-tell", "known-again", "key-unannounced", "key-changed", "expiring", "finding", "finding-gone"] as const

export interface Change {
  readonly kind: (typeof changeKinds)[number]
  readonly severity: ReportFinding["severity"] | "good"
  readonly domain: string
  readonly service: DomainResult["service"]
  /** RFC 3339, of the look. */
  readonly at: string
  /** The last level known before, and this one's; null: unknown. */
  readonly before: ReachedLevel | null
  readonly level: ReachedLevel | null
  readonly sentence: string
  /** Names and words of others: untrusted, to be escaped when shown. */
  readonly detail: string
  readonly finding: string | null
}

/** Keys of one domain that are remembered. */
const mostKeys = 32

/** The memory of one domain is found by this. */
export const memoryKey = ({ domain, service, connect }: Pick<Remembered, "domain" | "service" | "connect">): string => `${service} ${domain} ${connect}`

/**
 * @param before undefined: it is seen for the first time
 * @param connect the server that was asked instead of where DNS leads; empty: none
 */
export function changesOf(before: Remembered | undefined, result: DomainResult, keys: Keys, connect: string): { readonly changes: readonly Change[]; readonly remembered: Remembered } {
  const telling = result.findings.filter(({ severity }) => severity !== "info")
  const changes = before === undefined ? [firstSight(result, telling)] : [...ofLevel(before, result, telling), ...ofKeys(before, result, keys), ...ofFindings(before, result, telling)]
  const spoken = new Set<string>()
  return {
    // One finding is told once, by the gravest thing that is said of it.
    changes: changes.filter(({ finding, kind }) => {
      if (finding === null || kind === "finding-gone") return true
      const known = spoken.has(finding)
      spoken.add(finding)
      return !known
    }),
    remembered: rememberedOf(before, result, telling, keys, connect),
  }
}

type Said = Pick<Change, "kind" | "severity" | "sentence"> & { readonly about?: ReportFinding | undefined }

function change({ domain, service, started, level }: DomainResult, before: Remembered | undefined, { kind, severity, sentence, about }: Said): Change {
  const said = about === undefined ? sentence : sentence === "" ? about.sentence : `${sentence}: ${about.sentence}`
  return { kind, severity, domain, service, at: started, before: before?.level ?? null, level, sentence: said, detail: about?.detail ?? "", finding: about?.id ?? null }
}

function firstSight(result: DomainResult, telling: readonly ReportFinding[]): Change {
  const { ok, unknown, level } = result
  const [gravest] = telling
  const severity = ok ? (gravest === undefined ? "good" : "warn") : unknown ? "unknown" : "bad"
  return change(result, undefined, { kind: "first", severity, sentence: level ?? "could not tell", about: gravest })
}

const rank = (level: ReachedLevel | null): number => (level === null ? -1 : reachedLevels.indexOf(level))

function ofLevel(before: Remembered, result: DomainResult, telling: readonly ReportFinding[]): Change[] {
  const { level, ok, unknown } = result
  const told = (kind: Change["kind"], severity: Change["severity"], sentence: string, about?: ReportFinding): Change[] => [change(result, before, { kind, severity, sentence, about })]
  const [gravest] = telling
  if (unknown) return before.unknown ? [] : told("could-not-tell", "unknown", "could not tell", gravest)
  const moved = before.level !== null && level !== before.level
  const from = moved ? ` from ${before.level} to ${level}` : ""
  if (moved && rank(level) < rank(before.level)) return told("level-dropped", ok ? "warn" : "bad", `dropped${from}`, gravest)
  if (ok && !before.ok && (!before.unknown || moved)) return told("good-again", "good", `good again${moved ? `, risen${from}` : ""}`)
  if (moved) return told("level-risen", ok ? "good" : "bad", `risen${from}`)
  if (!ok && before.ok) return told("failed", "bad", "not as expected any more", gravest)
  if (!before.unknown) return []
  return before.level === null ? told("known-again", ok ? "good" : "bad", `${level}`, ok ? undefined : gravest) : told("known-again", ok ? "good" : "bad", `${level} as before`)
}

function ofKeys(before: Remembered, result: DomainResult, { shown }: Keys): Change[] {
  // Whoever was never seen with a key cannot have changed it.
  if (before.keys.length === 0) return []
  const fresh = shown.filter(({ key }) => !before.keys.includes(key))
  return fresh.map(({ key, forms }) => {
    const announced = forms.some((form) => before.announced.includes(form))
    const vouched = result.proofs.some(({ proof, state }) => (proof === "dane" || proof === "posh") && state === "proved")
    if (announced) return { ...change(result, before, { kind: "key-changed", severity: "info", sentence: "the key changed, as announced" }), detail: key }
    // A domain that announces its keys and shows another one is what an interception looks like.
    const never = before.announced.length === 0
    const why = never ? "the domain had announced none by TLSA or POSH" : vouched ? "it was announced no sooner than it was used" : "the domain had announced others"
    return { ...change(result, before, { kind: "key-unannounced", severity: never || vouched ? "warn" : "bad", sentence: `the key changed without announcement: ${why}` }), detail: key }
  })
}

function ofFindings(before: Remembered, result: DomainResult, telling: readonly ReportFinding[]): Change[] {
  // What could not be looked at is not gone, and what keeps us from looking was told already.
  if (result.unknown) return []
  const fresh = telling.filter(({ id }) => !before.findings.includes(id))
  const gone = before.findings.filter((id) => !telling.some((finding) => finding.id === id))
  return [
    ...fresh.map((about) => change(result, before, { kind: about.id === "cert.expiring" ? "expiring" : "finding", severity: about.severity, sentence: "", about })),
    ...gone.map((finding) => ({ ...change(result, before, { kind: "finding-gone", severity: "good", sentence: `no more: ${finding}` }), finding })),
  ]
}

function rememberedOf(before: Remembered | undefined, { domain, service, level, ok, unknown }: DomainResult, telling: readonly ReportFinding[], { shown, announced }: Keys, connect: string): Remembered {
  const latest = [...new Set(shown.map(({ key }) => key))]
  const keys = [...(before?.keys ?? []).filter((key) => !latest.includes(key)), ...latest].slice(-mostKeys)
  if (unknown && before !== undefined) return { ...before, unknown: true, keys }
  return {
    domain,
    service,
    connect,
    level,
    ok,
    unknown,
    findings: unknown ? [] : [...new Set(telling.map(({ id }) => id))],
    keys,
    // Nobody answered: what was announced is not withdrawn by that.
    announced: shown.length === 0 ? (before?.announced ?? [...announced]) : [...announced],
  }
}
