// Reading an evidence file: what a stranger's file may cost, and whether it is evidence at all (security.md 25). Pure.
import { tryDomain } from "../model/domain.ts"
import type { EvidenceFile } from "../model/evidence.ts"

/** Bounds on what a stranger's file may cost. */
export const evidenceLimits = { octets: 1024 * 1024, nesting: 32, items: 64, certificates: 16 }

export class EvidenceError extends Error {
  override readonly name = "EvidenceError"
  /** A later version of this program may read it: it is not bad, it cannot be judged here. */
  readonly newer: boolean
  constructor(sentence: string, newer = false) {
    super(sentence)
    this.newer = newer
  }
}

/**
 * Reads an evidence file.
 *
 * @param text JSON, at most `evidenceLimits.octets` long
 * @throws EvidenceError that says what is wrong where
 */
export function readEvidenceFile(text: string): EvidenceFile {
  if (text.length > evidenceLimits.octets) throw new EvidenceError(`the file is larger than ${evidenceLimits.octets} octets`)
  const members = checkNesting(text)
  let read: unknown
  try {
    read = JSON.parse(text)
  } catch (error) {
    throw new EvidenceError(`not JSON, or cut off: ${error instanceof Error ? error.message : String(error)}`)
  }
  const file = object(read, "the file")
  if (file["evidence"] !== 1) {
    const version = file["evidence"]
    const newer = typeof version === "number" && version > 1
    throw new EvidenceError(`this is evidence of ${typeof version === "number" ? `version ${version}` : "no version"}; this program reads version 1`, newer)
  }
  // The canonical form would write it as null: under a good seal another value would be read.
  if (!finite(read)) throw new EvidenceError("a number is larger than any that is written here")
  // Of two members with one name each reader takes another one, and the seal covers only what we take.
  if (members !== countMembers(read)) throw new EvidenceError("an object has two members of one name")
  const items = file["items"]
  if (!Array.isArray(items)) throw new EvidenceError("`items` is not a list")
  if (items.length > evidenceLimits.items) throw new EvidenceError(`more than ${evidenceLimits.items} items`)
  items.forEach(checkItem)
  return read as EvidenceFile
}

/**
 * Counted before parsing, so that no depth of brackets reaches the parser.
 *
 * @returns how many members its objects have
 */
function checkNesting(text: string): number {
  let depth = 0
  let members = 0
  let inString = false
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (inString) {
      if (code === 0x5c) index++
      else if (code === 0x22) inString = false
    } else if (code === 0x22) inString = true
    else if (code === 0x7b || code === 0x5b) {
      depth++
      if (depth > evidenceLimits.nesting) throw new EvidenceError(`nested deeper than ${evidenceLimits.nesting} at character ${index}`)
    } else if (code === 0x7d || code === 0x5d) depth--
    else if (code === 0x3a) members++
  }
  return members
}

function countMembers(value: unknown): number {
  if (value === null || typeof value !== "object") return 0
  const inside = Object.values(value).reduce((sum: number, each: unknown) => sum + countMembers(each), 0)
  return Array.isArray(value) ? inside : inside + Object.keys(value).length
}

function finite(value: unknown): boolean {
  if (typeof value === "number") return Number.isFinite(value)
  return value === null || typeof value !== "object" || Object.values(value).every(finite)
}

function object(value: unknown, what: string): Record<string, unknown> {
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new EvidenceError(`${what} is not an object`)
  return value as Record<string, unknown>
}

function checkItem(value: unknown, index: number): void {
  const where = `items[${index}]`
  const item = object(value, where)
  if (item["version"] !== 1) throw new EvidenceError(`${where}.version is not 1`)
  if (typeof item["prooftype"] !== "string") throw new EvidenceError(`${where}.prooftype is not text`)
  if (item["role"] !== "outgoing" && item["role"] !== "incoming") throw new EvidenceError(`${where}.role is neither outgoing nor incoming`)
  const pair = object(item["pair"], `${where}.pair`)
  for (const end of ["sender", "target"]) {
    if (typeof pair[end] !== "string" || tryDomain(pair[end]) === undefined) throw new EvidenceError(`${where}.pair.${end} is not a domain`)
  }
  const proof = object(item["proof"], `${where}.proof`)
  const chain = proof["chain"]
  if (!Array.isArray(chain) || chain.some((der) => typeof der !== "string")) throw new EvidenceError(`${where}.proof.chain is not a list of texts`)
  if (chain.length > evidenceLimits.certificates) throw new EvidenceError(`${where}.proof.chain has more than ${evidenceLimits.certificates} certificates`)
  for (const name of ["protocol", "cipher"]) if (typeof proof[name] !== "string") throw new EvidenceError(`${where}.proof.${name} is not text`)
  if (typeof item["at"] !== "string" || Number.isNaN(Date.parse(item["at"]))) throw new EvidenceError(`${where}.at is not a time`)
  const verdict = object(item["verdict"], `${where}.verdict`)
  if (!["proved", "refuted", "absent", "unavailable"].includes(String(verdict["outcome"]))) throw new EvidenceError(`${where}.verdict.outcome is unknown`)
}
