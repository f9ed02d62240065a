// Component secrets: where they are kept and how strong they are (security.md 21).
import { createHash } from "node:crypto"
import { dirname, isAbsolute, join } from "node:path"
import type { Domain } from "../model/domain.ts"
import type { Files } from "../ports.ts"
import type { RawSecret } from "./config-schema.ts"
import { reason } from "./config-values.ts"
import { leastSecretBits, Secret, secretBits } from "./secret.ts"

export interface SecretSource {
  readonly domain: Domain
  readonly secret: RawSecret
  /** The configuration file it is named in. */
  readonly file: string
}

export interface SecretWorld {
  readonly files: Pick<Files, "read" | "stat">
  /** An environment variable, or undefined. */
  readonly environment: (name: string) => string | undefined
  readonly allowInlineSecrets?: boolean
  /** Absent: anything may have changed since the last reading. Else only these have. */
  readonly changed?: ReadonlySet<string>
}

/** What was read besides the file itself, and how to see that it is still the same. */
export type Rest = { readonly path: string; readonly stamp: string } | { readonly variable: string; readonly digest: string }

export interface ReadSecret {
  readonly secret: Secret
  /** Two that are equal have the same. */
  readonly digest: string
  readonly rest: Rest | undefined
  /** What is allowed but should be looked at. */
  readonly warning: string | undefined
}

/** A secret file has no business being larger, in octets. */
const maxSecretOctets = 4096

/** A wrong or missing secret, as a sentence. */
export class SecretProblem extends Error {
  override readonly name = "SecretProblem"
}

export const digestOf = (text: string): string => createHash("sha256").update(text).digest("base64")

/** The stamp of what is there now; undefined when nothing is. */
export async function stampOf(path: string, { files }: Pick<SecretWorld, "files">): Promise<string | undefined> {
  try {
    return (await files.stat(path)).stamp
  } catch {
    return undefined
  }
}

/** Whether what was read is still what is there. */
export async function holds(rest: Rest, world: SecretWorld): Promise<boolean> {
  if ("path" in rest) return world.changed === undefined ? (await stampOf(rest.path, world)) === rest.stamp : !world.changed.has(rest.path)
  const value = world.environment(rest.variable)
  return value !== undefined && digestOf(value) === rest.digest
}

/**
 * Reads one secret.
 *
 * @param last what was read for this domain before; taken again where nothing has changed
 * @throws SecretProblem when it is missing, unreadable or too weak
 */
export async function readSecret(source: SecretSource, world: SecretWorld, last?: ReadSecret): Promise<ReadSecret> {
  const path = pathOf(source, world)
  if (last?.rest !== undefined && "path" in last.rest && last.rest.path === path && (await holds(last.rest, world))) return last
  const { text, rest, warning } = await readOne(source, world)
  const bits = secretBits(text)
  if (bits < leastSecretBits) {
    throw new SecretProblem(`The secret of ${source.domain} is too weak (${bits} bits at most; ${leastSecretBits} are needed): generate one, for example with \`openssl rand -hex 32\`.`)
  }
  const digest = digestOf(text)
  return { secret: last?.digest === digest ? last.secret : new Secret(text), digest, rest, warning }
}

/** Where it lies, when it lies in a file; undefined also when the setting is wrong. */
function pathOf({ secret, file }: SecretSource, world: SecretWorld): string | undefined {
  if (typeof secret === "string") return undefined
  if (secret.file !== undefined) return isAbsolute(secret.file) ? secret.file : join(dirname(file), secret.file)
  const folder = world.environment("CREDENTIALS_DIRECTORY")
  return secret.credential === undefined || folder === undefined || folder === "" ? undefined : join(folder, secret.credential)
}

async function readOne(source: SecretSource, world: SecretWorld): Promise<{ text: string; rest?: Rest; warning?: string }> {
  const { secret } = source
  if (typeof secret === "string") {
    if (world.allowInlineSecrets === true) return { text: secret }
    throw new SecretProblem("A secret stands in the file itself: write `{ file: PATH }`, `{ env: NAME }` or `{ credential: NAME }`, or start with --allow-inline-secrets.")
  }
  const named = Object.values(secret).filter((value) => value !== undefined)
  if (named.length !== 1) throw new SecretProblem("The secret must name exactly one of file, env and credential.")
  if (secret.env !== undefined) {
    const value = world.environment(secret.env)
    if (value === undefined || value === "") throw new SecretProblem(`The environment variable ${secret.env} is not set.`)
    return { text: value, rest: { variable: secret.env, digest: digestOf(value) } }
  }
  const path = pathOf(source, world)
  if (path === undefined) {
    throw new SecretProblem(`The credential ${secret.credential!} cannot be read: CREDENTIALS_DIRECTORY is not set (systemd sets it for LoadCredential=).`)
  }
  // Looked at before it is read: a device or a pipe would be read for ever.
  const { mode, stamp } = await statFile(path, world)
  const text = await readFile(path, world)
  const rest = { path, stamp }
  // A credential's mode is the service manager's affair.
  if ((mode & 0o044) === 0 || secret.credential !== undefined) return { text, rest }
  // Group and others: any of them could attach as this domain.
  return { text, rest, warning: `${path} can be read by ${(mode & 0o004) !== 0 ? "everybody" : "its group"}: chmod 600 ${path}` }
}

async function statFile(path: string, world: SecretWorld): Promise<{ readonly mode: number; readonly stamp: string }> {
  let found: Awaited<ReturnType<SecretWorld["files"]["stat"]>>
  try {
    found = await world.files.stat(path)
  } catch (error) {
    throw new SecretProblem(`${path} cannot be read: ${reason(error)}.`)
  }
  if (found.kind === "other") throw new SecretProblem(`${path} is not a file.`)
  if (found.size > maxSecretOctets) throw new SecretProblem(`${path} has ${found.size} octets, which is too long for a secret.`)
  return found
}

async function readFile(path: string, world: SecretWorld): Promise<string> {
  let bytes: Uint8Array
  try {
    bytes = await world.files.read(path)
  } catch (error) {
    throw new SecretProblem(`${path} cannot be read: ${reason(error)}.`)
  }
  if (bytes.length > maxSecretOctets) throw new SecretProblem(`${path} has ${bytes.length} octets, which is too long for a secret.`)
  let text: string
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch {
    throw new SecretProblem(`${path} is not UTF-8 text.`)
  }
  // Editors and generators end a file with a line break, which is not part of the secret.
  const secret = text.replace(/\r?\n$/, "")
  if (/[\r\n]/.test(secret)) throw new SecretProblem(`${path} has more than one line.`)
  return secret
}
