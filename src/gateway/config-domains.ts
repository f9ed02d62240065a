// The domains of one configuration file, with their secrets, as one record that holds until the file or one of its secrets
// changes: with thousands of files only what changed is read again (security.md 21, 22).
import { dirname, isAbsolute, join } from "node:path"
import type { Domain } from "../model/domain.ts"
import { ConfigError, type ConfigProblem } from "../model/errors.ts"
import type { Files } from "../ports.ts"
import { eachOf } from "./at-once.ts"
import { includeSchema, type RawDomain } from "./config-schema.ts"
import { problemsOf } from "./config-problems.ts"
import { holds, readSecret, type ReadSecret, SecretProblem, type SecretWorld, stampOf } from "./config-secrets.ts"
import { ConfigText, inOrder, settingName } from "./config-text.ts"
import { reason } from "./config-values.ts"
import type { Secret } from "./secret.ts"

/** A domain of ours, as it was written down. */
export interface HostedDomain {
  readonly name: Domain
  readonly secret: Secret
  /** What a second connection of its component does. */
  readonly conflict: "kick_new"
  /** The name whose certificate is shown in place of an own one; it is the operator's (security.md 22). */
  readonly certificate?: Domain
  /** Absent: nothing is published for it. */
  readonly posh?: PoshSetting
  /** Ours, but not served: nobody else may claim the name meanwhile. */
  readonly suspended: boolean
  /** The file it stands in, as in `GatewayConfig.sources`. */
  readonly source: string
}

/** What is published for a domain under POSH (RFC 7711). */
export interface PoshSetting {
  readonly serve: boolean
  /** How long others may keep the document, ms. */
  readonly expiresMs: number
  /** Certificates that will be shown later and are published already. Absolute paths. */
  readonly next: readonly string[]
}

/** A domain with where it was written; the texts themselves are not kept. */
export interface DomainRecord {
  readonly hosted: HostedDomain
  /** `file:line:column` of its name and of its secret. */
  readonly place: string
  readonly secretPlace: string
  readonly secretSetting: string
  readonly read: ReadSecret
}

export interface FileRecord {
  readonly file: string
  readonly stamp: string
  readonly domains: readonly DomainRecord[]
  /** Folders of certificates for these domains alone. */
  readonly dirs: readonly string[]
  readonly warnings: readonly ConfigProblem[]
}

export interface RecordResult {
  readonly record: FileRecord | undefined
  readonly problems: readonly ConfigProblem[]
}

export interface RecordWorld extends SecretWorld {
  readonly files: Pick<Files, "read" | "list" | "stat">
}

/** Relative paths are relative to the file they stand in. */
export const besideFile = (file: string, path: string): string => (isAbsolute(path) ? path : join(dirname(file), path))

/**
 * Reads a configuration file as bytes with its stamp. The stamp is taken first: a file that is written meanwhile is read
 * once more the next time.
 *
 * @throws ConfigError
 */
export async function readText(path: string, world: RecordWorld): Promise<{ text: ConfigText; stamp: string }> {
  // What cannot be looked at may still be readable (settings given as an object); it is read every time then.
  const stamp = (await stampOf(path, world)) ?? ""
  let bytes: Uint8Array
  try {
    bytes = await world.files.read(path)
  } catch (error) {
    throw new ConfigError([{ place: path, sentence: `The file cannot be read: ${reason(error)}.` }])
  }
  return { text: ConfigText.parse(path, bytes), stamp }
}

type Unread = Pick<FileRecord, "file" | "stamp" | "domains">

/** Whether a file and all that was read because of it are as they were. */
export async function isUnchanged(record: Unread, world: RecordWorld): Promise<boolean> {
  const { file, stamp, domains } = record
  if (stamp === "") return false
  if (world.changed !== undefined) return !isAmong(record, world.changed)
  if (!(await holds({ path: file, stamp }, world))) return false
  for (const { read } of domains) if (read.rest !== undefined && !(await holds(read.rest, world))) return false
  return true
}

function isAmong({ file, domains }: Unread, changed: ReadonlySet<string>): boolean {
  return changed.has(file) || domains.some(({ read: { rest } }) => rest !== undefined && "path" in rest && changed.has(rest.path))
}

/**
 * Reads an included file. What is wrong with it is in `problems`; then there is no record.
 *
 * @param before its record of the last reading: domains that are the same stay the same objects
 */
export async function readTenantFile(file: string, world: RecordWorld, before?: FileRecord): Promise<RecordResult> {
  try {
    const { text, stamp } = await readText(file, world)
    const parsed = includeSchema.safeParse(text.value)
    if (!parsed.success) return { record: undefined, problems: inOrder(problemsOf(includeSchema, text, parsed.error.issues)) }
    const { domains, problems, warnings } = await readDomains(parsed.data.domains, text, world, before)
    const dirs = parsed.data.certificates.dirs.map((dir) => besideFile(file, dir))
    return { record: { file, stamp, domains, dirs, warnings }, problems }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return { record: undefined, problems: error.problems }
  }
}

interface ReadDomains {
  readonly domains: readonly DomainRecord[]
  readonly problems: readonly ConfigProblem[]
  readonly warnings: readonly ConfigProblem[]
}

/** The entries under `domains` of a file that the schema has accepted. */
export async function readDomains(entries: readonly RawDomain[], text: ConfigText, world: RecordWorld, before?: FileRecord): Promise<ReadDomains> {
  const known = new Map(before?.domains.map((each) => [each.hosted.name, each]))
  const problems: ConfigProblem[] = []
  const warnings: ConfigProblem[] = []
  const domains = await eachOf([...entries.entries()], async ([index, raw]): Promise<DomainRecord | undefined> => {
    const path = ["domains", index, "component", "secret"]
    const secretPlace = text.place(path)
    const secretSetting = settingName(path)
    const last = known.get(raw.name)
    try {
      const read = await readSecret({ domain: raw.name, secret: raw.component.secret, file: text.file }, world, last?.read)
      if (read.warning !== undefined) warnings.push({ place: secretPlace, setting: secretSetting, sentence: read.warning })
      const fresh = hostedDomain(raw, text.file, read.secret)
      const hosted = last !== undefined && last.read.secret === read.secret && sameSettings(last.hosted, fresh) ? last.hosted : fresh
      return { hosted, place: text.place(["domains", index, "name"]), secretPlace, secretSetting, read }
    } catch (error) {
      if (!(error instanceof SecretProblem)) throw error
      problems.push({ place: secretPlace, setting: secretSetting, sentence: error.message })
      return undefined
    }
  })
  return { domains: domains.filter((each) => each !== undefined), problems: inOrder(problems), warnings: inOrder(warnings) }
}

function hostedDomain({ name, component, certificate, posh, suspended }: RawDomain, file: string, secret: Secret): HostedDomain {
  return {
    name,
    secret,
    conflict: component.conflict,
    ...(certificate === undefined ? {} : { certificate }),
    ...(posh === undefined ? {} : { posh: { serve: posh.serve, expiresMs: posh.expires, next: [posh.next].flat().map((next) => besideFile(file, next)) } }),
    suspended,
    source: file,
  }
}

/** Secrets aside. */
function sameSettings(a: HostedDomain, b: HostedDomain): boolean {
  return (
    a.name === b.name &&
    a.conflict === b.conflict &&
    a.certificate === b.certificate &&
    a.suspended === b.suspended &&
    a.source === b.source &&
    JSON.stringify(a.posh) === JSON.stringify(b.posh)
  )
}
