// `check --evidence`: what the verdicts of a domain rest on, one file for each, for `judge` (docs/evidence.md).
import { mkdir, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { type Inspection, type InspectQuestion, nobodysDomain } from "../inspect/question.ts"
import type { EvidenceFile } from "../model/evidence.ts"
import { exit, Stop } from "./exit.ts"
import { version } from "./version.ts"

export async function folder(path: string): Promise<void> {
  try {
    // Not with its parents: that never ends where none can be made, below /proc.
    await mkdir(path, { mode: 0o700 })
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST" && (await stat(path)).isDirectory()) return
    throw new Stop(exit.usage, `--evidence ${path}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

export async function keep(path: string, { domain, from }: InspectQuestion, { result, evidence }: Inspection): Promise<void> {
  const items = evidence()
  if (items.length === 0) return
  const [first] = result.findings
  const held = result.level === "authenticated"
  const file: EvidenceFile = {
    evidence: 1,
    tool: { name: "xmpp-dna", version: version() },
    recorded: result.started,
    direction: "out",
    pair: { sender: from?.domain ?? nobodysDomain, target: domain },
    decision: held ? "associated" : "refused",
    level: result.level,
    finding: held ? null : (first?.id ?? null),
    sentence: held ? "" : (first?.sentence ?? ""),
    items,
  }
  const name = `${result.started.replace(/[:.]/g, "-")}-out-${domain.slice(0, 80)}-${result.service}.evidence.json`
  try {
    await writeFile(join(path, name), `${JSON.stringify(file, null, 2)}\n`, { mode: 0o600 })
  } catch (error) {
    throw new Stop(exit.usage, `--evidence ${path}: ${error instanceof Error ? error.message : String(error)}`)
  }
}
