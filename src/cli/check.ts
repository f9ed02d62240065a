// `xmpp-dna check`: asks about domains, a few at a time, and tells in the form that is wanted (docs/check.md).
import { inspect } from "../inspect/ladder.ts"
import type { InspectQuestion } from "../inspect/question.ts"
import type { CheckReport, DomainResult } from "../inspect/report.ts"
import { evidencePlace, keep } from "./check-evidence.ts"
import { concurrencyOf, expected, portsOf, type QuestionOptions, questionsOf } from "./check-questions.ts"
import { type ReverseOptions, waitingFor } from "./check-reverse.ts"
import { readTargets } from "./check-targets.ts"
import { exit, jsonText, Stop } from "./exit.ts"
import { interruptions } from "./interruptions.ts"
import { oneOf, print, told } from "./publish-world.ts"
import { progress } from "./progress.ts"
import { terminal } from "./terminal.ts"
import { version } from "./version.ts"

export interface CheckOptions extends QuestionOptions, ReverseOptions {
  readonly failOn: string
  readonly input?: string
  readonly concurrency: string
  readonly evidence?: string
  readonly seal?: string
  readonly json?: boolean
  readonly jsonl?: boolean
  readonly nagios?: boolean
  readonly prometheus?: boolean
  readonly markdown?: boolean
  readonly quiet?: boolean
  readonly verbose?: boolean
  readonly color: string | false
}

const forms = ["json", "jsonl", "nagios", "prometheus", "markdown"] as const
type Form = (typeof forms)[number] | "text"

export async function checkCommand(given: readonly string[], options: CheckOptions): Promise<number> {
  try {
    return await told(options.json, () => checked(given, options))
  } catch (error) {
    if (options.nagios !== true || !(error instanceof Stop)) throw error
    const { nagiosMistake } = await import("./render-monitoring.ts")
    process.stdout.write(nagiosMistake(error.message))
    return exit.unknown
  }
}

async function checked(given: readonly string[], options: CheckOptions): Promise<number> {
  const form = formOf(options)
  oneOf(String(options.color), ["auto", "always", "never", "false"], "--color")
  const failOn = oneOf(options.failOn, ["bad", "warn"], "--fail-on")
  const questions = await questionsOf(await readTargets(given, options.input), options)
  const concurrency = concurrencyOf(options.concurrency)
  const { ports, resolvers, listen } = await portsOf(options)
  if (options.evidence !== undefined && options.at !== undefined) throw new Stop(exit.usage, "--evidence and --at exclude each other: evidence is of now, and `judge --at` judges it as of another time.")
  if (options.seal !== undefined && options.evidence === undefined) throw new Stop(exit.usage, "--seal needs --evidence: that is what it seals.")
  const place = options.evidence === undefined ? undefined : await evidencePlace(options.evidence, options.seal)
  const back = await waitingFor(options, questions, listen)

  const started = Date.now()
  const give = interruptions()
  const shown = progress(questions.length, options.quiet === true ? false : process.stderr.isTTY)
  const done: { at: number; result: DomainResult }[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    for (let at = next++; at < questions.length && !give.signal.aborted; at = next++) {
      const question = questions[at] as InspectQuestion
      shown.asks(question.domain)
      const inspection = await inspect(question, ports, give.signal, back?.question)
      // What was cut short says nothing about the domain.
      if (give.signal.aborted) return
      if (place !== undefined) await keep(place, question, inspection)
      done.push({ at, result: inspection.result })
      shown.done(question.domain, inspection.result.ok)
      if (form === "jsonl") process.stdout.write(`${jsonText(inspection.result)}\n`)
    }
  }
  try {
    await Promise.all(Array.from({ length: Math.min(concurrency, questions.length) }, worker))
  } finally {
    shown.end()
    give.end()
    await back?.close()
  }
  const results = done.sort((a, b) => a.at - b.at).map(({ result }) => result)
  const report: CheckReport = {
    schema: 1,
    tool: { name: "xmpp-dna", version: version(), node: process.versions.node },
    started: new Date(started).toISOString(),
    tookMs: Date.now() - started,
    expect: expected(options.expect),
    exit: give.status() ?? statusOf(results, failOn === "warn" || form === "nagios"),
    resolver: { addresses: resolvers, validates: validates(results, options.dnssec) },
    results,
  }
  await tell(report, form, options)
  return report.exit
}

function formOf(options: CheckOptions): Form {
  const asked = forms.filter((form) => options[form] === true)
  if (asked.length > 1) throw new Stop(exit.usage, `${asked.map((form) => `--${form}`).join(" and ")} exclude each other.`)
  return asked[0] ?? "text"
}

/** Null: no answer came, so nothing is known of it. */
function validates(results: readonly DomainResult[], dnssec: string): boolean | null {
  if (dnssec === "off") return false
  const statuses = results.flatMap(({ discovery }) => discovery.answers.map(({ status }) => status))
  return statuses.length === 0 ? null : statuses.some((status) => status === "secure" || status === "insecure")
}

const warned = ({ findings }: DomainResult): boolean => findings.some(({ severity }) => severity === "warn")

/** The worst in the order bad, could not tell, warning, good. */
function statusOf(results: readonly DomainResult[], failOnWarning: boolean): number {
  if (results.some(({ ok, unknown }) => !ok && !unknown)) return exit.bad
  if (results.some(({ ok }) => !ok)) return exit.unknown
  return failOnWarning && results.some(warned) ? exit.warn : exit.ok
}

async function tell(report: CheckReport, form: Form, { quiet, verbose, color }: CheckOptions): Promise<void> {
  if (form === "jsonl") return
  if (form === "json") return print(report)
  if (form === "nagios" || form === "prometheus") {
    const { nagios, prometheus } = await import("./render-monitoring.ts")
    process.stdout.write(form === "nagios" ? nagios(report) : prometheus(report))
    return
  }
  if (form === "markdown") {
    const { markdown } = await import("./render-markdown.ts")
    process.stdout.write(markdown(report))
    return
  }
  const { text } = await import("./render-text.ts")
  const shown = terminal({ tty: process.stdout.isTTY, environment: process.env, color })
  process.stdout.write(text(report, shown, { quiet: quiet === true, verbose: verbose === true }))
}
