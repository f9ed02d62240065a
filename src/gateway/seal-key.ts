// The key that seals this gateway's evidence: read from its file, or made there once (security.md 25).
import type { KeyObject } from "node:crypto"
import { ConfigError } from "../model/errors.ts"
import { readSealKey, sealKeyFromSeed } from "../proof/seal.ts"
import type { Files, Random } from "../ports.ts"
import { reason } from "./config-values.ts"

/** A key has no business being larger, in octets. */
const mostOctets = 4096

/**
 * @param path of a PEM file, mode 600; made when there is none
 * @throws ConfigError where it cannot be used, naming what to do; it never shows the key
 */
export async function openSealKey(path: string, { files, random }: { readonly files: Pick<Files, "read" | "stat" | "write">; readonly random: Pick<Random, "bytes"> }): Promise<KeyObject> {
  try {
    const { kind, mode, size } = await files.stat(path)
    // Looked at before it is read: a device would be read for ever.
    if (kind !== "file" || size > mostOctets) throw new Error("it is no key file")
    // Whoever can read it can seal what was never recorded.
    if ((mode & 0o077) !== 0) throw new Error(`others than its owner may use it: chmod 600 ${path}`)
    return readSealKey(new TextDecoder().decode(await files.read(path)))
  } catch (error) {
    if ((error as { code?: unknown }).code !== "ENOENT") throw unusable(path, error)
  }
  try {
    const key = sealKeyFromSeed(random.bytes(32))
    await files.write(path, new TextEncoder().encode(String(key.export({ format: "pem", type: "pkcs8" }))), { mode: 0o600 })
    return key
  } catch (error) {
    throw unusable(path, error)
  }
}

function unusable(path: string, error: unknown): ConfigError {
  return new ConfigError([{ place: path, setting: "state.seal", sentence: `The key for seals cannot be used: ${reason(error)}.` }])
}
