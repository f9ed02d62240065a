// The operator's keyring for the token prooftype: whose key is whose, agreed by hand (security.md 28).
import { createHash, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto"
import { type Domain, parseDomain } from "../../src/model/domain.ts"

export interface KeySettings {
  /** Short name of the key, the same on both sides. */
  readonly id: string
  /** The one domain it speaks for. */
  readonly domain: string
  /** PEM. A private key where the domain is ours, else a public one. */
  readonly pem: string
}

export interface KnownKey {
  readonly id: string
  readonly domain: Domain
  readonly publicKey: KeyObject
  /** Only for domains of ours. */
  readonly privateKey: KeyObject | undefined
}

export interface Keyring {
  /** SHA-256 over ids, domains and public keys; names the ring in evidence. */
  readonly digest: string
  readonly size: number
  byId(id: string): KnownKey | undefined
  byDomain(domain: Domain): readonly KnownKey[]
}

const mostKeys = 10_000

/**
 * Reads a keyring.
 *
 * @throws Error naming the key: an id or a key that is there twice, another algorithm than Ed25519, a bad domain or PEM
 */
export function keyring(settings: readonly KeySettings[]): Keyring {
  if (settings.length > mostKeys) throw new Error(`a keyring holds ${mostKeys} keys at most`)
  const keys = new Map<string, KnownKey>()
  const seen = new Set<string>()
  for (const each of settings) {
    const key = readKey(each)
    // One id is one domain, and so is one key: what it signs must not be taken for another's.
    if (keys.has(key.id)) throw new Error(`two keys are called ${key.id}`)
    const bits = encoded(key)
    if (seen.has(bits)) throw new Error(`the key ${key.id} is in the keyring under another name`)
    seen.add(bits)
    keys.set(key.id, key)
  }
  const sorted = [...keys.values()].sort((one, two) => (one.id < two.id ? -1 : 1))
  const hash = createHash("sha256")
  for (const key of sorted) hash.update(JSON.stringify([key.id, key.domain, encoded(key)]))
  return {
    digest: hash.digest("hex"),
    size: keys.size,
    byId: (id) => keys.get(id),
    byDomain: (domain) => sorted.filter((key) => key.domain === domain),
  }
}

function readKey({ id, domain, pem }: KeySettings): KnownKey {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(id)) throw new Error(`${JSON.stringify(id)} is no name for a key: letters, digits, dots, hyphens`)
  let privateKey: KeyObject | undefined
  let publicKey: KeyObject
  try {
    privateKey = pem.includes("PRIVATE KEY") ? createPrivateKey(pem) : undefined
    publicKey = createPublicKey(privateKey ?? pem)
  } catch (cause) {
    throw new Error(`the key ${id} cannot be read`, { cause })
  }
  if (publicKey.asymmetricKeyType !== "ed25519") throw new Error(`the key ${id} is ${publicKey.asymmetricKeyType ?? "unknown"}; only Ed25519 is used`)
  return { id, domain: parseDomain(domain), publicKey, privateKey }
}

function encoded({ publicKey }: KnownKey): string {
  return publicKey.export({ type: "spki", format: "der" }).toString("base64")
}
