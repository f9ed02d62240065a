// `check --evidence`: what the verdicts of a domain rest on, one file for each, for `judge` (docs/evidence.md; security.md 25).
import type { KeyObject } from "node:crypto"
import { lstat, mkdir, open, unlink } from "node:fs/promises"
import { join } from "node:path"
import { type Inspection, type InspectQuestion, nobodysDomain } from "../inspect/question.ts"
import type { EvidenceFile } from "../model/evidence.ts"
import { errorCode } from "../node/tcp.ts"
import { readSealKey, SealKeyError, sealEvidence } from "../proof/seal.ts"
import { readPem } from "./check-targets.ts"
import { exit, Stop } from "./exit.ts"
import { version } from "./version.ts"

export interface EvidencePlace {
  readonly folder: string
  /** Files are sealed with it; without it anybody can change them unseen. */
  readonly seal?: KeyObject
}

const troubled = (path: string, error: unknown): Stop => new Stop(exit.usage, `--evidence ${path}: ${error instanceof Error ? error.message : String(error)}`)

/**
 * @param sealPem a file with an Ed25519 private key
 * @throws Stop before anybody is asked
 */
export async function evidencePlace(given: string, sealPem: string | undefined): Promise<EvidencePlace> {
  const folder = given.length > 1 ? given.replace(/\/+$/, "") || "/" : given
  try {
    // Not with its parents: that never ends where none can be made, below /proc.
    await mkdir(folder, { mode: 0o700 })
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw troubled(given, error)
    const there = await lstat(folder)
    // Somebody else may have laid it where many may write, so that files go where he wants them.
    if (there.isSymbolicLink()) throw new Stop(exit.usage, `--evidence ${given} is a link: name the folder itself.`)
    if (!there.isDirectory()) throw troubled(given, error)
  }
  return { folder, ...(sealPem === undefined ? {} : { seal: await sealKey(sealPem) }) }
}

async function sealKey(file: string): Promise<KeyObject> {
  const pem = await readPem("--seal", file)
  try {
    return readSealKey(pem)
  } catch (error) {
    if (error instanceof SealKeyError) throw new Stop(exit.usage, `--seal ${file}: ${error.message}`)
    throw error
  }
}

export async function keep({ folder, seal }: EvidencePlace, { domain, from }: InspectQuestion, { result, evidence }: Inspection): Promise<void> {
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
  // As a judge will read it: what JSON leaves out is not sealed either.
  const written = seal === undefined ? file : sealEvidence(JSON.parse(JSON.stringify(file)) as EvidenceFile, seal)
  const name = `${result.started.replace(/[:.]/g, "-")}-out-${domain.slice(0, 80)}-${result.service}`
  try {
    await writeNew(folder, name, `${JSON.stringify(written, null, 2)}\n`)
  } catch (error) {
    throw troubled(folder, error)
  }
}

const ending = ".evidence.json"
/** Files of one name and moment: servers of one domain that were asked one by one. */
const mostOfOneName = 100

/** Never over a file that is there, nor through a link; whole or not at all. */
async function writeNew(folder: string, name: string, text: string): Promise<void> {
  for (let number = 1; ; number++) {
    const path = join(folder, `${name}${number === 1 ? "" : `-${number}`}${ending}`)
    try {
      const file = await open(path, "wx", 0o600)
      try {
        await file.writeFile(text)
      } catch (error) {
        await unlink(path)
        throw error
      } finally {
        await file.close()
      }
      return
    } catch (error) {
      if (errorCode(error) !== "EEXIST" || number === mostOfOneName) throw error
    }
  }
}
