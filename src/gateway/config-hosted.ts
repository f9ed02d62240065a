// All files with domains as one set of hosted domains: which are read, that no two name one domain, share a secret or a
// folder of certificates (security.md 21, 22). Of thousands of files only what changed is looked at.
import { dirname } from "node:path"
import type { Domain } from "../model/domain.ts"
import type { ConfigProblem } from "../model/errors.ts"
import { eachOf } from "./at-once.ts"
import { isPemName } from "./certificate-scan.ts"
import { type FileRecord, type HostedDomain, isUnchanged, readTenantFile, type RecordResult, type RecordWorld } from "./config-domains.ts"
import { includedFiles, type IncludeLine, linkSentence, namesFile, writableByOthers } from "./config-include.ts"
import { ShardedMap } from "./sharded-map.ts"

/** What the `include` lines led to. */
export interface Included {
  readonly lines: readonly IncludeLine[]
  /** By file, in the order of reading. */
  readonly records: ShardedMap<string, FileRecord>
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
  /** The others are as they were; undefined: there are no others. */
  readonly kept: ShardedMap<string, FileRecord> | undefined
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
  const results = await eachOf([...files], readOne)
  const records = (kept ?? ShardedMap.empty<string, FileRecord>()).edited((edit) => {
    for (const { record } of results) if (record !== undefined) edit.set(record.file, record)
  })
  for (const { problems: own } of results) for (const problem of own) problems.push(problem)
  const differing = ShardedMap.differences<string, FileRecord>(before?.records ?? new Map<string, FileRecord>(), records)
  const fresh = differing.flatMap((file) => records.get(file) ?? [])
  const old = differing.flatMap((file) => before?.records.get(file) ?? [])
  const notable = new Map(before?.notable)
  for (const { file } of old) notable.delete(file)
  for (const record of fresh) if (record.dirs.length > 0 || record.warnings.length > 0) notable.set(record.file, record)
  return { lines, records, notable, fresh, old, problems, warnings }
}

async function namedByAll(lines: readonly IncludeLine[], world: RecordWorld): Promise<Named> {
  const named = { files: new Map<string, IncludeLine>(), problems: [] as ConfigProblem[], warnings: [] as ConfigProblem[], kept: undefined }
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
  const named = { files: new Map<string, IncludeLine>(), problems: [] as ConfigProblem[], warnings: [] as ConfigProblem[] }
  const gone: string[] = []
  for (const { pattern, place } of lines) {
    const guarded = await writableByOthers(dirname(pattern), world.files)
    if (guarded !== undefined) named.problems.push({ place, setting: "include", sentence: guarded })
  }
  const lineOf = (file: string): IncludeLine | undefined => lines.find(({ pattern }) => namesFile(pattern, file))
  const others: string[] = []
  for (const file of changed) {
    const line = lineOf(file)
    if (line === undefined) {
      others.push(file)
      continue
    }
    gone.push(file)
    const facts = await world.files.stat(file).catch(/* gone: its domains go with it */ () => undefined)
    // A file that is named as such is missed by its reader.
    if (line.pattern === file || (facts?.kind === "file" && !facts.link)) named.files.set(file, line)
    else if (facts?.link === true) named.warnings.push({ place: line.place, setting: "include", sentence: linkSentence(file) })
  }
  // Secrets that changed are known by the files that name them; certificates and keys are none.
  for (const record of others.every(isPemName) ? [] : before.records.values()) {
    if (!(await isUnchanged(record, world))) named.files.set(record.file, lineOf(record.file)!)
  }
  const kept = before.records.edited((edit) => {
    for (const file of gone) edit.delete(file)
  })
  return { ...named, kept }
}

/** Every hosted domain, with what is needed to take a single file out again. */
export interface HostedMemory {
  readonly domains: ShardedMap<Domain, HostedDomain>
  /** Which domain has a secret, by the secret's digest. */
  readonly secrets: ShardedMap<string, Domain>
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
  const anew = before?.main !== main
  const gone = before === undefined ? [] : [...(anew ? [before.main] : []), ...included.old]
  const came = [...(anew ? [main] : []), ...included.fresh]
  const recordOf = (file: string): FileRecord | undefined => (file === main.file ? main : included.records.get(file))
  const placeOf = ({ source, name }: HostedDomain): string => recordOf(source)?.domains.find(({ hosted }) => hosted.name === name)?.place ?? source
  const domains = (before?.hosted.domains ?? ShardedMap.empty<Domain, HostedDomain>()).edited((edit) => {
    for (const record of gone) for (const { hosted } of record.domains) edit.delete(hosted.name)
    for (const { hosted, place } of came.flatMap((record) => record.domains)) {
      const other = edit.get(hosted.name)
      if (other === undefined) edit.set(hosted.name, hosted)
      else problems.push({ place, setting: "domains", sentence: `${hosted.name} is already hosted at ${placeOf(other)}: remove one of the two.` })
    }
  })
  const secrets = (before?.hosted.secrets ?? ShardedMap.empty<string, Domain>()).edited((edit) => {
    for (const record of gone) for (const { hosted, read } of record.domains) if (edit.get(read.digest) === hosted.name) edit.delete(read.digest)
    for (const { hosted, secretPlace, secretSetting, read } of came.flatMap((record) => record.domains)) {
      const { name } = hosted
      const twin = edit.get(read.digest)
      if (twin === undefined) edit.set(read.digest, name)
      // One component could attach as the other.
      else if (twin !== name) problems.push({ place: secretPlace, setting: secretSetting, sentence: `${name} and ${twin} have the same secret: generate one for each.` })
    }
  })
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
