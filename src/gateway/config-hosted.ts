// All files with domains as one set of hosted domains: which are read, that no two name one domain, share a secret or a
// folder of certificates (security.md 21, 22). Of thousands of files only what changed is looked at.
import { dirname } from "node:path"
import type { Domain } from "../model/domain.ts"
import type { ConfigProblem } from "../model/errors.ts"
import { eachOf } from "./at-once.ts"
import { type FileRecord, type HostedDomain, isUnchanged, readTenantFile, type RecordResult, type RecordWorld } from "./config-domains.ts"
import { includedFiles, type IncludeLine, linkSentence, namesFile, writableByOthers } from "./config-include.ts"

/** What the `include` lines led to. */
export interface Included {
  readonly lines: readonly IncludeLine[]
  /** By file, in the order of reading. */
  readonly records: ReadonlyMap<string, FileRecord>
  /** Those of `records` with warnings or folders of certificates. */
  readonly notable: ReadonlyMap<string, FileRecord>
  /** What is in `records` and was not in those of the last reading, and the other way round. */
  readonly fresh: readonly FileRecord[]
  readonly old: readonly FileRecord[]
  readonly problems: readonly ConfigProblem[]
  readonly warnings: readonly ConfigProblem[]
}

interface Named {
  /** Files to look at, with the line that names each. */
  readonly files: ReadonlyMap<string, IncludeLine>
  readonly problems: ConfigProblem[]
  readonly warnings: ConfigProblem[]
  /** The others, which are as they were. */
  readonly kept: Map<string, FileRecord>
}

/** Reads what the lines name; of the last reading what has not changed. */
export async function readIncluded(lines: readonly IncludeLine[], world: RecordWorld, before?: Included): Promise<Included> {
  const { files, problems, warnings, kept } = (await namedAfterChange(lines, world, before)) ?? (await namedByAll(lines, world))
  const readOne = async ([file, { place }]: [string, IncludeLine]): Promise<RecordResult> => {
    const last = before?.records.get(file)
    if (last !== undefined && (await isUnchanged(last, world))) return { record: last, problems: [] }
    const guarded = await writableByOthers(file, world.files)
    if (guarded !== undefined) return { record: undefined, problems: [{ place, setting: "include", sentence: guarded }] }
    return readTenantFile(file, world, last)
  }
  const records = kept
  const notable = new Map(kept.size === 0 ? undefined : before?.notable)
  const fresh: FileRecord[] = []
  for (const { record, problems: own } of await eachOf([...files], readOne)) {
    for (const problem of own) problems.push(problem)
    if (record === undefined) continue
    records.set(record.file, record)
    if (record !== before?.records.get(record.file)) fresh.push(record)
    if (record.dirs.length > 0 || record.warnings.length > 0) notable.set(record.file, record)
    else notable.delete(record.file)
  }
  const old = fresh.flatMap(({ file }) => before?.records.get(file) ?? [])
  // As many as before and new ones in the place of old ones: none is gone.
  if (before !== undefined && records.size - fresh.length + old.length !== before.records.size) {
    for (const record of before.records.values()) if (!records.has(record.file)) old.push(record)
  }
  for (const { file } of old) if (!records.has(file)) notable.delete(file)
  return { lines, records, notable, fresh, old, problems, warnings }
}

async function namedByAll(lines: readonly IncludeLine[], world: RecordWorld): Promise<Named> {
  const named = { files: new Map<string, IncludeLine>(), problems: [] as ConfigProblem[], warnings: [] as ConfigProblem[], kept: new Map<string, FileRecord>() }
  for (const line of lines) {
    const found = await includedFiles(line, world.files)
    named.problems.push(...found.problems)
    named.warnings.push(...found.warnings)
    for (const file of found.files) {
      const other = named.files.get(file)
      if (other === undefined) named.files.set(file, line)
      else named.problems.push({ place: line.place, setting: "include", sentence: `${file} is already included at ${other.place}: remove one of the two.` })
    }
  }
  return named
}

/** The same without listing folders, from what was there and what is known to have changed; undefined when that is not enough. */
async function namedAfterChange(lines: readonly IncludeLine[], world: RecordWorld, before: Included | undefined): Promise<Named | undefined> {
  const { changed } = world
  if (before === undefined || changed === undefined || before.warnings.length > 0 || before.lines !== lines) return undefined
  if (lines.some(({ pattern }) => changed.has(dirname(pattern)))) return undefined
  const named = { files: new Map<string, IncludeLine>(), problems: [] as ConfigProblem[], warnings: [] as ConfigProblem[], kept: new Map(before.records) }
  for (const { pattern, place } of lines) {
    const guarded = await writableByOthers(dirname(pattern), world.files)
    if (guarded !== undefined) named.problems.push({ place, setting: "include", sentence: guarded })
  }
  const lineOf = (file: string): IncludeLine | undefined => lines.find(({ pattern }) => namesFile(pattern, file))
  let others = false
  for (const file of changed) {
    const line = lineOf(file)
    others ||= line === undefined
    if (line === undefined) continue
    named.kept.delete(file)
    const facts = await world.files.stat(file).catch(() => undefined /* it is gone; who reads a named one says so */)
    // A file that is named as such is missed by its reader.
    if (line.pattern === file || (facts?.kind === "file" && !facts.link)) named.files.set(file, line)
    else if (facts?.link === true) named.warnings.push({ place: line.place, setting: "include", sentence: linkSentence(file) })
  }
  // Secrets that changed are known by the files that name them.
  for (const record of others ? before.records.values() : []) {
    if (!(await isUnchanged(record, world))) named.files.set(record.file, lineOf(record.file)!)
  }
  return named
}

/** Every hosted domain, with what is needed to take a single file out again. */
export interface HostedMemory {
  readonly domains: ReadonlyMap<Domain, HostedDomain>
  /** Which domain has a secret, by the secret's digest. */
  readonly secrets: ReadonlyMap<string, Domain>
}

/** What a configuration was put together from. */
export interface ConfigParts {
  readonly main: FileRecord
  readonly included: Included
}

/**
 * Puts the records together.
 *
 * @param before the last result: what did not change since is not gone through again
 */
export function hostedBy({ main, included }: ConfigParts, before?: ConfigParts & { readonly hosted: HostedMemory }): { memory: HostedMemory; problems: readonly ConfigProblem[] } {
  const problems: ConfigProblem[] = []
  const domains = new Map(before?.hosted.domains)
  const secrets = new Map(before?.hosted.secrets)
  const anew = before?.main !== main
  for (const { domains: gone } of before === undefined ? [] : [...(anew ? [before.main] : []), ...included.old]) {
    for (const { hosted, read } of gone) {
      domains.delete(hosted.name)
      if (secrets.get(read.digest) === hosted.name) secrets.delete(read.digest)
    }
  }
  const recordOf = (file: string): FileRecord | undefined => (file === main.file ? main : included.records.get(file))
  const placeOf = ({ source, name }: HostedDomain): string => recordOf(source)?.domains.find(({ hosted }) => hosted.name === name)?.place ?? source
  for (const record of [...(anew ? [main] : []), ...included.fresh]) {
    for (const { hosted, place, secretPlace, secretSetting, read } of record.domains) {
      const { name } = hosted
      const other = domains.get(name)
      if (other !== undefined) {
        problems.push({ place, setting: "domains", sentence: `${name} is already hosted at ${placeOf(other)}: remove one of the two.` })
        continue
      }
      domains.set(name, hosted)
      const twin = secrets.get(read.digest)
      // One component could attach as the other.
      if (twin !== undefined) problems.push({ place: secretPlace, setting: secretSetting, sentence: `${name} and ${twin} have the same secret: generate one for each.` })
      else secrets.set(read.digest, name)
    }
  }
  return { memory: { domains, secrets }, problems }
}

/** security.md 22: a folder whose certificates serve one tenant is not read for anybody else. */
export function clashingFolders({ main, included }: ConfigParts, before?: ConfigParts): ConfigProblem[] {
  const all = [main, ...included.notable.values()].filter(({ dirs }) => dirs.length > 0)
  if (before !== undefined && all.every((record) => record === before.main || before.included.records.get(record.file) === record)) return []
  const problems: ConfigProblem[] = []
  const readFor = new Map<string, string>()
  for (const { file, dirs } of all) {
    for (const dir of dirs) {
      const other = readFor.get(plain(dir))
      if (other === undefined) readFor.set(plain(dir), file)
      else if (other !== file) problems.push(clash(file, dir, other))
    }
  }
  for (const [dir, file] of problems.length > 0 ? [] : readFor) {
    for (let above = dirname(dir); ; above = dirname(above)) {
      const other = readFor.get(above)
      // Told about the tenant's folder, whichever of the two lies inside the other.
      if (other !== undefined && other !== file) problems.push(file === main.file ? clash(other, above, file) : clash(file, dir, other))
      if (above === dirname(above)) break
    }
  }
  return problems
}

const plain = (dir: string): string => (dir.length > 1 && dir.endsWith("/") ? dir.slice(0, -1) : dir)

function clash(file: string, dir: string, other: string): ConfigProblem {
  return { place: file, setting: "certificates.dirs", sentence: `The folder ${dir} is read for ${other} as well, and a tenant's certificates serve only the domains of its own file: name a folder that nobody else has.` }
}
