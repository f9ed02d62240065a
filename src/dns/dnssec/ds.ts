// DS records: which of them bind, and which key of the child they name (RFC 4034 5, RFC 4035 5.2, RFC 4509, RFC 6605).
import { createHash } from "node:crypto"
import type { ResourceRecord } from "../message.ts"
import type { DnsName } from "../name.ts"
import type { RecordContent } from "../records.ts"
import { compareOctets, lowerWire } from "./canonical.ts"
import { isSupportedAlgorithm, type ZoneKey } from "./keys.ts"

/** The fields of a DS record; trust anchors have the same form. */
export type DsFields = Omit<Extract<RecordContent, { readonly kind: "DS" }>, "kind">

/** SHA-256 and SHA-384; SHA-1 (1) and GOST (3) bind nobody here. */
const digests: Readonly<Record<number, { readonly hash: string; readonly octets: number }>> = {
  2: { hash: "sha256", octets: 32 },
  4: { hash: "sha384", octets: 48 },
}

/** Whether algorithm and digest are both supported and the digest is as long as it must be. */
export function isUsableDs(ds: DsFields): boolean {
  return isSupportedAlgorithm(ds.algorithm) && digests[ds.digestType]?.octets === ds.digest.length
}

/** Whether the DS would bind, were its digest not cut short: then the delegation is broken, not unsigned. */
export function isSupportedDs(ds: DsFields): boolean {
  return isSupportedAlgorithm(ds.algorithm) && digests[ds.digestType] !== undefined
}

export function dsFieldsOf(records: readonly ResourceRecord[]): DsFields[] {
  return records.flatMap(({ content }) => (content.kind === "DS" ? [content] : []))
}

/** The digest over owner and key (RFC 4034 5.1.4); undefined for a digest type that is not supported. */
export function dsDigest(digestType: number, owner: DnsName, keyOctets: Uint8Array): Uint8Array | undefined {
  const digest = digests[digestType]
  return digest === undefined ? undefined : createHash(digest.hash).update(lowerWire(owner)).update(keyOctets).digest()
}

/** Whether the DS names this key of the zone. */
export function namesKey(ds: DsFields, owner: DnsName, key: ZoneKey): boolean {
  if (!isUsableDs(ds) || ds.keyTag !== key.tag || ds.algorithm !== key.algorithm) return false
  const digest = dsDigest(ds.digestType, owner, key.octets)
  return digest !== undefined && compareOctets(digest, ds.digest) === 0
}
