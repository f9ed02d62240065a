// `xmpp-dna judge`: reads evidence, asks the pure judge, prints (docs/evidence.md).
import { createReadStream } from "node:fs"
import { readFile } from "node:fs/promises"
import { AnchorError as DnsAnchorError, type AnchorSet as DnsAnchorSet, parseAnchors, rootAnchors } from "../dns/dnssec/anchors.ts"
import { EvidenceError, evidenceLimits, judge, type Judgement, readEvidenceFile } from "../proof/judge.ts"
import { builtInProoftypes } from "../proof/registry.ts"
import { AnchorError, type AnchorSet, anchorsFromPem } from "../x509/anchors.ts"
import { loadTrust } from "../node/trust.ts"
import { exit, printable, Stop } from "./exit.ts"

export interface JudgeCommandOptions {
  readonly anchors: readonly string[]
  readonly dnsAnchors: readonly string[]
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
  const evidence = readEvidence(await readBounded(file), file)
  const anchors: AnchorSet[] = [systemAnchors(), loadTrust("bundled")]
  for (const path of options.anchors) anchors.push(await readAnchors(path))
  const dnsAnchors = [rootAnchors, ...(await Promise.all(options.dnsAnchors.map(readDnsAnchors)))]
  const judgement = judge(evidence, { prooftypes: builtInProoftypes, anchors, dnsAnchors, ...(at === undefined ? {} : { at }) })
  process.stdout.write(options.json === true ? `${JSON.stringify({ ...judgement, file, recorded: { decision: evidence.decision, level: evidence.level } }, null, 2)}\n` : report(judgement))
  return judgement.exit
}

function readEvidence(text: string, file: string) {
  try {
    return readEvidenceFile(text)
  } catch (error) {
    if (error instanceof EvidenceError) throw new Stop(exit.usage, `${file}: ${error.message}`)
    throw error
  }
}

/** Reads at most the bound and a little more: a larger file is refused without being loaded whole. */
async function readBounded(file: string): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of file === "-" ? process.stdin : createReadStream(file)) {
      chunks.push(chunk as Buffer)
      size += (chunk as Buffer).length
      if (size > evidenceLimits.octets) break
    }
  } catch (error) {
    throw new Stop(exit.usage, `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
  return Buffer.concat(chunks).toString("utf8")
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

function report({ items, exit: status }: Judgement): string {
  const lines = items.flatMap((item) => {
    const mark = item.result === "same" ? "same verdict" : item.result === "different" ? "OTHER VERDICT" : "cannot judge"
    const recorded = item.recorded.outcome === "proved" ? "proved" : `${item.recorded.outcome} [${item.recorded.finding}]`
    const shown = [`${item.source} by ${item.prooftype}, at ${item.at}: ${mark}`, `  ${item.sentence}`]
    if (item.result === "different") shown.push(`  recorded: ${recorded}`)
    return shown.map(printable)
  })
  const summary = status === 0 ? "The evidence supports what was recorded." : status === 2 ? "The evidence does not support what was recorded." : "Not everything could be judged."
  return `${lines.join("\n")}\n${summary} The file is unsealed: changes that fit together would not show. Revocation is not checked.\n`
}
