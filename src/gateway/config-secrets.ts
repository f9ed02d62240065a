// Component secrets: where they are kept, how strong they are, and that no two are the same (security.md 21).
import { createHash } from "node:crypto"
import { isAbsolute, join, dirname } from "node:path"
import type { Domain } from "../model/domain.ts"
import type { ConfigProblem } from "../model/errors.ts"
import type { ConfigWorld } from "./config.ts"
import type { RawSecret } from "./config-schema.ts"
import { type ConfigText, type SettingPath, settingName } from "./config-text.ts"
import { reason } from "./config-values.ts"
import { leastSecretBits, Secret, secretBits } from "./secret.ts"

export interface SecretSource {
  readonly domain: Domain
  readonly secret: RawSecret
  readonly text: ConfigText
  readonly path: SettingPath
}

/** A secret file has no business being larger, in octets. */
const maxSecretOctets = 4096

/** A wrong or missing secret, as a sentence. */
class SecretProblem extends Error {
  override readonly name = "SecretProblem"
}

/**
 * Reads the secrets in the order of their sources; entries are undefined where a problem was added.
 */
export async function readSecrets(
  sources: readonly SecretSource[],
  world: ConfigWorld,
  problems: ConfigProblem[],
  warnings: ConfigProblem[],
): Promise<(Secret | undefined)[]> {
  const secrets: (Secret | undefined)[] = []
  const seen = new Map<string, Domain>()
  for (const source of sources) {
    const where = { place: source.text.place(source.path), setting: settingName(source.path) }
    try {
      const text = await readOne(source, world, (sentence) => warnings.push({ ...where, sentence }))
      const bits = secretBits(text)
      if (bits < leastSecretBits) {
        throw new SecretProblem(`The secret of ${source.domain} is too weak (${bits} bits at most; ${leastSecretBits} are needed): generate one, for example with \`openssl rand -hex 32\`.`)
      }
      const digest = createHash("sha256").update(text).digest("hex")
      const twin = seen.get(digest)
      // One component could attach as the other.
      if (twin !== undefined && twin !== source.domain) throw new SecretProblem(`${source.domain} and ${twin} have the same secret: generate one for each.`)
      seen.set(digest, source.domain)
      secrets.push(new Secret(text))
    } catch (error) {
      if (!(error instanceof SecretProblem)) throw error
      problems.push({ ...where, sentence: error.message })
      secrets.push(undefined)
    }
  }
  return secrets
}

async function readOne(source: SecretSource, world: ConfigWorld, warn: (sentence: string) => void): Promise<string> {
  const { secret } = source
  if (typeof secret === "string") {
    if (world.allowInlineSecrets === true) return secret
    throw new SecretProblem("A secret stands in the file itself: write `{ file: PATH }`, `{ env: NAME }` or `{ credential: NAME }`, or start with --allow-inline-secrets.")
  }
  const named = Object.entries(secret).filter(([, value]) => value !== undefined)
  if (named.length !== 1) throw new SecretProblem("must name exactly one of file, env and credential.".replace(/^must/, "The secret must"))
  if (secret.env !== undefined) {
    const value = world.environment(secret.env)
    if (value === undefined || value === "") throw new SecretProblem(`The environment variable ${secret.env} is not set.`)
    return value
  }
  if (secret.credential !== undefined) {
    const folder = world.environment("CREDENTIALS_DIRECTORY")
    if (folder === undefined || folder === "") {
      throw new SecretProblem(`The credential ${secret.credential} cannot be read: CREDENTIALS_DIRECTORY is not set (systemd sets it for LoadCredential=).`)
    }
    const path = join(folder, secret.credential)
    await statFile(path, world)
    return readFile(path, world)
  }
  const path = isAbsolute(secret.file!) ? secret.file! : join(dirname(source.text.file), secret.file!)
  // Looked at before it is read: a device or a pipe would be read for ever.
  const { mode } = await statFile(path, world)
  const text = await readFile(path, world)
  // Group and others: any of them could attach as this domain.
  if ((mode & 0o044) !== 0) warn(`${path} can be read by ${(mode & 0o004) !== 0 ? "everybody" : "its group"}: chmod 600 ${path}`)
  return text
}

async function statFile(path: string, world: ConfigWorld): Promise<{ readonly mode: number }> {
  let found: Awaited<ReturnType<ConfigWorld["files"]["stat"]>>
  try {
    found = await world.files.stat(path)
  } catch (error) {
    throw new SecretProblem(`${path} cannot be read: ${reason(error)}.`)
  }
  if (found.kind === "other") throw new SecretProblem(`${path} is not a file.`)
  if (found.size > maxSecretOctets) throw new SecretProblem(`${path} has ${found.size} octets, which is too long for a secret.`)
  return found
}

async function readFile(path: string, world: ConfigWorld): Promise<string> {
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
