// `xmpp-dna judge`: reads evidence, asks the pure judge, prints (docs/evidence.md).
import { readFile } from "node:fs/promises"
import { AnchorError as DnsAnchorError, type AnchorSet as DnsAnchorSet, parseAnchors, rootAnchors } from "../dns/dnssec/anchors.ts"
import type { Verdict } from "../model/verdict.ts"
import { EvidenceError, evidenceLimits, judge, type JudgedItem, type Judgement, readEvidenceFile } from "../proof/judge.ts"
import { rfc3339 } from "../proof/prove.ts"
import { builtInProoftypes } from "../proof/registry.ts"
import { SealKeyError, trustedSealKey } from "../proof/seal.ts"
import { AnchorError, type AnchorSet, anchorsFromPem } from "../x509/anchors.ts"
import { loadTrust } from "../node/trust.ts"
import { exit, printable, Stop } from "./exit.ts"
import { readInputFile } from "./input-file.ts"
import { columns, hanging, wrap } from "./terminal.ts"

export interface JudgeCommandOptions {
  readonly anchors: readonly string[]
  readonly dnsAnchors: readonly string[]
  readonly key: readonly string[]
  readonly at?: string
  readonly json?: boolean
}

/** ISO 8601, a date or a date with time: the platform's reader takes far more, `--at 1` among it. */
const isoDate = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?$/

export async function judgeCommand(file: string, options: JudgeCommandOptions): Promise<number> {
  try {
    return await judged(file, options)
  } catch (error) {
    // One JSON document, on failure too.
    if (error instanceof Stop && options.json === true) process.stdout.write(`${JSON.stringify({ file, error: error.message, exit: error.status }, null, 2)}\n`)
    throw error
  }
}

async function judged(file: string, options: JudgeCommandOptions): Promise<number> {
  const at = options.at === undefined ? undefined : isoDate.test(options.at) ? Date.parse(options.at) : Number.NaN
  if (at !== undefined && Number.isNaN(at)) throw new Stop(exit.usage, `--at ${options.at}: not a date; write it like 2026-11-22T13:00:00Z`)
  const evidence = readEvidence((await readInputFile(file, evidenceLimits.octets)).toString("utf8"), file)
  const anchors: AnchorSet[] = [systemAnchors(), loadTrust("bundled")]
  for (const path of options.anchors) anchors.push(await readAnchors(path))
  const dnsAnchors = [rootAnchors, ...(await Promise.all(options.dnsAnchors.map(readDnsAnchors)))]
  const sealKeys = await Promise.all(options.key.map(readKey))
  const judgement = judge(evidence, { prooftypes: builtInProoftypes, anchors, dnsAnchors, sealKeys, ...(at === undefined ? {} : { at }) })
  const { decision, level } = evidence
  process.stdout.write(options.json === true ? `${JSON.stringify({ ...judgement, file, recorded: { decision, level } }, null, 2)}\n` : report(judgement, sealKeys.length > 0))
  return judgement.exit
}

function readEvidence(text: string, file: string) {
  try {
    return readEvidenceFile(text)
  } catch (error) {
    if (error instanceof EvidenceError) throw new Stop(error.newer ? exit.unknown : exit.usage, `${file}: ${error.message}`)
    throw error
  }
}

async function readKey(given: string): Promise<string> {
  try {
    return trustedSealKey(given.startsWith("ed25519:") ? given : await readFile(given, "utf8"))
  } catch (error) {
    if (error instanceof SealKeyError || (error instanceof Error && "code" in error)) throw new Stop(exit.usage, `--key ${given}: ${error.message}`)
    throw error
  }
}

function systemAnchors(): AnchorSet {
  try {
    return loadTrust("system")
  } catch (error) {
    throw new Stop(exit.unavailable, `the system's trust anchors cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
}

async function readAnchors(path: string): Promise<AnchorSet> {
  try {
    return anchorsFromPem(await readFile(path, "utf8"))
  } catch (error) {
    if (error instanceof AnchorError || (error instanceof Error && "code" in error)) throw new Stop(exit.usage, `--anchors ${path}: ${error.message}`)
    throw error
  }
}

async function readDnsAnchors(path: string): Promise<DnsAnchorSet> {
  try {
    return parseAnchors(await readFile(path, "utf8"))
  } catch (error) {
    if (error instanceof DnsAnchorError || (error instanceof Error && "code" in error)) throw new Stop(exit.usage, `--dns-anchors ${path}: ${error.message}`)
    throw error
  }
}

function outcomeOf(verdict: Verdict): string {
  // What was recorded is a stranger's word, its end too.
  if (verdict.outcome === "proved") return Number.isNaN(new Date(verdict.until).getTime()) ? "proved" : `proved until ${rfc3339(verdict.until)}`
  return `${verdict.outcome} [${verdict.finding}]${verdict.detail === "" ? "" : `: ${verdict.detail}`}`
}

const marks = { same: "same verdict", different: "OTHER VERDICT", "cannot-judge": "cannot judge" } as const

const labelWidth = 12
const labelled = (label: string, text: string): string[] => hanging(`  ${label}`.padEnd(labelWidth), labelWidth, printable(text))

function linesOf({ source, prooftype, at, result, claim, facts, recorded, now }: JudgedItem): string[] {
  const lines = [printable(`${source} by ${prooftype}, at ${at}: ${marks[result]}`), ...labelled("", claim)]
  if (now?.outcome === "proved") {
    lines.push(...labelled("", "if what is attested here is true; what is signed was checked again:"))
    lines.push(...facts.flatMap(({ mark, fact }) => labelled(mark, fact)))
  }
  if (result === "different" && now !== undefined) lines.push(...labelled("recorded", outcomeOf(recorded)), ...labelled("now", outcomeOf(now)))
  return lines
}

/** What a person may rely on comes last: the whole, then whose word it is. */
function report({ items, decision, seal }: Judgement, keyNamed: boolean): string {
  const results = items.map(({ result }) => result)
  const differs = results.includes("different") || decision.result === "contradicted"
  const open = results.includes("cannot-judge") || items.length === 0
  const summary = differs ? "The evidence does not support what was recorded." : open ? "Not everything could be judged." : "The evidence supports what was recorded."
  const ours = !keyNamed || seal.state === "good" || seal.state === "broken" ? [] : ["The key that was named did not seal it: whether it was changed cannot be told."]
  // What it says was recorded is then of no interest.
  if (seal.state === "broken") return `${[...items.flatMap(linesOf), "", ...wrap(`${seal.sentence} What it says now was not recorded so.`, columns)].join("\n")}\n`
  const said = [...(decision.result === "contradicted" ? [decision.sentence] : []), summary, seal.sentence, ...ours, "Revocation is not checked."]
  return `${[...items.flatMap(linesOf), "", ...wrap(said.map(printable).join(" "), columns)].join("\n")}\n`
}
