// Which files an `include` line names, and who may write them: whoever can, decides what is hosted (security.md 22).
import { basename, dirname } from "node:path"
import type { ConfigProblem } from "../model/errors.ts"
import type { FileFacts, Files } from "../ports.ts"
import { reason } from "./config-values.ts"

/** One `include` line. */
export interface IncludeLine {
  /** Absolute; a path, or a folder with `*` in the last part. */
  readonly pattern: string
  /** Where it stands in the main file. */
  readonly place: string
}

interface Found {
  readonly files: readonly string[]
  readonly problems: readonly ConfigProblem[]
  readonly warnings: readonly ConfigProblem[]
}

type IncludeFiles = Pick<Files, "list" | "stat">

const setting = "include"

/** The files of one line that are there now, in order of their names. */
export async function includedFiles({ pattern, place }: IncludeLine, files: IncludeFiles): Promise<Found> {
  const problem = (sentence: string): Found => ({ files: [], problems: [{ place, setting, sentence }], warnings: [] })
  const folder = dirname(pattern)
  if (folder.includes("*")) return problem(`${pattern} has a "*" before its last part: only the file's name may have one.`)
  const guarded = await writableByOthers(folder, files)
  if (guarded !== undefined) return problem(guarded)
  if (!pattern.includes("*")) return { files: [pattern], problems: [], warnings: [] }
  try {
    const entries = (await files.list(folder)).filter((entry) => namesFile(pattern, entry.path))
    const links = entries.filter((entry) => entry.kind === "other").map((entry) => entry.path)
    return {
      files: entries.filter((entry) => entry.kind === "file").map((entry) => entry.path).sort(),
      problems: [],
      // Where a link leads is up to whoever owns what lies there.
      warnings: links.sort().map((path) => ({ place, setting, sentence: linkSentence(path) })),
    }
  } catch (error) {
    return problem(`The folder ${folder} cannot be read: ${reason(error)}.`)
  }
}

export const linkSentence = (path: string): string => `${path} is a link or no plain file and is not read: put the file itself there, or name it under \`include\`.`

/** Whether a file is one of those the line names. */
export function namesFile(pattern: string, path: string): boolean {
  return pattern === path || (dirname(path) === dirname(pattern) && pattern.includes("*") && matchesStar(basename(path), basename(pattern)))
}

/** `*` stands for any characters; a hidden file needs its dot written. */
function matchesStar(name: string, pattern: string): boolean {
  if (name.startsWith(".") && !pattern.startsWith(".")) return false
  const parts = pattern.split("*")
  let at = 0
  for (const [index, part] of parts.entries()) {
    const found = index === 0 ? (name.startsWith(part) ? 0 : -1) : index === parts.length - 1 ? (name.endsWith(part) ? name.length - part.length : -1) : name.indexOf(part, at)
    if (found < at) return false
    at = found + part.length
  }
  return true
}

/**
 * Why a file or folder may not decide what is hosted: somebody else could have written it.
 *
 * @returns undefined when it is in order, or not there (whoever reads it says so)
 */
export async function writableByOthers(path: string, files: Pick<Files, "stat">): Promise<string | undefined> {
  let facts: FileFacts
  try {
    facts = await files.stat(path)
  } catch {
    return undefined
  }
  const { mode, owner, kind } = facts
  const what = kind === "directory" ? `The folder ${path}` : path
  const shown = `mode ${mode.toString(8).padStart(4, "0")}`
  if (owner === "other") return `${what} belongs to another user, who could change what is hosted: chown root ${path}`
  if ((mode & 0o002) !== 0) return `${what} can be written by everybody (${shown}), and whoever writes there decides what is hosted: chmod go-w ${path}`
  if ((mode & 0o020) !== 0) return `${what} can be written by its group (${shown}), and whoever writes there decides what is hosted: chmod g-w ${path}`
  return undefined
}
