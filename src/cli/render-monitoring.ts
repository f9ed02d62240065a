// A report for monitoring systems: the line of a plugin with its performance figures, and metrics in the text format of Prometheus.
import type { CheckReport, DomainResult, ReachedLevel } from "../inspect/report.ts"
import { printable } from "./exit.ts"
import { markOf, summaryOf } from "./render-text.ts"

const words = ["OK", "WARNING", "CRITICAL", "UNKNOWN"] as const
const states = { good: 0, warn: 1, bad: 2, unknown: 3 } as const
const day = 86_400_000

/** Text beside figures: the bar divides them, and a plugin answers in plain characters. */
const harmless = (text: string): string => printable(text).replaceAll("|", "/").replace(/[^\u0020-\u007e]/gu, "?")

function stateOf(result: DomainResult): 0 | 1 | 2 | 3 {
  const mark = markOf(result)
  return mark === "none" || mark === "blank" ? states.unknown : states[mark]
}

const namesOf = ({ domain, service }: DomainResult): string => (service === "xmpp-client" ? `${domain} (c2s)` : domain)

function sentenceOf(result: DomainResult, expect: CheckReport["expect"]): string {
  const [first] = result.findings.filter(({ severity }) => severity !== "info")
  const state = stateOf(result)
  const told = state === states.warn && first !== undefined ? `${summaryOf(result, expect)}, but ${first.sentence}` : summaryOf(result, expect)
  return harmless(`${namesOf(result)} ${told}${first === undefined ? "" : ` [${first.id}]`}`)
}

const daysUntil = (iso: string, asOf: string): string => ((Date.parse(iso) - Date.parse(asOf)) / day).toFixed(1)

/** What was wrong with how it was called: nothing is known of any domain. */
export function nagiosMistake(sentence: string): string {
  return `XMPP-DNA UNKNOWN - ${harmless(sentence)}\n`
}

export function nagios({ results, expect, exit, tookMs }: CheckReport): string {
  const word = words[exit] ?? "UNKNOWN"
  const time = `time=${(tookMs / 1000).toFixed(2)}s`
  const [only] = results
  if (only === undefined) return nagiosMistake("interrupted before anything was known")
  if (results.length === 1) {
    const { certificate, signatures } = only.expires
    const figures = [
      ...(certificate === null ? [] : [`cert_days=${daysUntil(certificate, only.asOf)}`]),
      ...(signatures === null ? [] : [`rrsig_days=${daysUntil(signatures, only.asOf)}`]),
      time,
      `proofs=${only.proofs.filter(({ state }) => state === "proved").length}`,
    ]
    return `XMPP-DNA ${word} - ${sentenceOf(only, expect)} | ${figures.join(" ")}\n`
  }
  const count = (state: number): number => results.filter((result) => stateOf(result) === state).length
  const figures = [`domains=${results.length}`, `ok=${count(0)}`, `warning=${count(1)}`, `critical=${count(2)}`, `unknown=${count(3)}`, time]
  const grave = [states.bad, states.unknown, states.warn, states.good]
  const sorted = [...results].sort((a, b) => grave.indexOf(stateOf(a)) - grave.indexOf(stateOf(b)))
  const [worst = only] = sorted
  const long = sorted.map((result) => `${words[stateOf(result)]} ${sentenceOf(result, expect)}`)
  return `XMPP-DNA ${word} - ${count(0)} of ${results.length} OK; ${sentenceOf(worst, expect)} | ${figures.join(" ")}\n${long.join("\n")}\n`
}

const levels: Record<ReachedLevel, number> = { none: 0, permissive: 1, verified: 2, encrypted: 3, authenticated: 4 }

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number]

const labelText = (value: string): string => value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")

function metric(name: string, help: string, samples: readonly Sample[]): string {
  if (samples.length === 0) return ""
  const lines = samples.map(([labels, value]) => {
    const shown = Object.entries(labels).map(([label, text]) => `${label}="${labelText(text)}"`)
    return `${name}${shown.length === 0 ? "" : `{${shown.join(",")}}`} ${value}\n`
  })
  return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${lines.join("")}`
}

const proofValues: Record<string, number> = { proved: 1, refuted: 0, absent: 0 }

/** What is not known has no sample: it must not look like a bad one. */
export function prometheus({ results, tookMs, exit }: CheckReport): string {
  const each = (value: (result: DomainResult) => number | null): Sample[] =>
    results.flatMap((result): Sample[] => {
      const found = value(result)
      return found === null ? [] : [[{ domain: result.domain, service: result.service }, found]]
    })
  const ends = (pick: (expires: DomainResult["expires"]) => string | null): Sample[] =>
    each(({ expires }) => {
      const iso = pick(expires)
      return iso === null ? null : Date.parse(iso) / 1000
    })
  const proofs = results.flatMap(({ domain, service, proofs: all }) =>
    all.flatMap(({ proof, state }): Sample[] => (proofValues[state] === undefined ? [] : [[{ domain, service, proof }, proofValues[state]]])),
  )
  const found = results.flatMap(({ domain, service, findings }) =>
    [...new Map(findings.filter(({ severity }) => severity !== "info").map((finding) => [finding.id, finding])).values()].map(({ id, severity, party }): Sample => [{ domain, service, finding: id, severity, party }, 1]),
  )
  return [
    metric("xmpp_dna_check_level", "Level reached: 0 none, 1 permissive, 2 verified, 3 encrypted, 4 authenticated", each(({ level }) => (level === null ? null : levels[level]))),
    metric("xmpp_dna_check_ok", "The expectation is met; absent where it could not be told", each(({ ok, unknown }) => (unknown ? null : Number(ok)))),
    metric("xmpp_dna_check_unknown", "It could not be told", each(({ unknown }) => Number(unknown))),
    metric("xmpp_dna_check_proof_ok", "The proof holds at every address; absent where it could not be told", proofs),
    metric("xmpp_dna_check_finding", "Findings that ask for something", found),
    metric("xmpp_dna_check_certificate_end_seconds", "When the first certificate ends", ends(({ certificate }) => certificate)),
    metric("xmpp_dna_check_signatures_end_seconds", "When the first DNSSEC signature ends", ends(({ signatures }) => signatures)),
    metric("xmpp_dna_check_duration_seconds", "How long the domain took", each(({ tookMs: took }) => took / 1000)),
    metric("probe_duration_seconds", "How long all of it took", [[{}, tookMs / 1000]]),
    metric("probe_success", "Every domain is as expected", [[{}, exit < 2 ? 1 : 0]]),
  ].join("")
}
