// What the two common servers make of a domain (RFC 6120 13.7.2): Prosody's own sentences in its stream error, and what ejabberd does.
import type { FindingId } from "../model/findings.ts"
import type { ReachedLevel } from "./report.ts"

export interface PeerView {
  readonly product: string
  readonly text: string
}

/** Prosody with `s2s_secure_auth`: the words of its stream error `not-authorized`. */
const prosody: Partial<Record<FindingId, string>> = {
  "cert.expired": "Your server's certificate has expired",
  "cert.self-signed": "Your server's certificate is self-signed",
  "cert.unknown-root": "Your server's certificate is not trusted",
  "cert.incomplete-chain": "Your server's certificate is not trusted",
  "cert.bad-chain": "Your server's certificate is not trusted",
  "cert.not-yet-valid": "Your server's certificate is not trusted",
  "pkix.name-mismatch": "Your server's certificate is not valid for this name",
  "dane.mismatch": "Your server's certificate does not match any DANE TLSA records",
}

/**
 * @param found what is wrong with the proofs, the most telling first
 * @param level that is reached
 */
export function peersSee(found: readonly FindingId[], level: ReachedLevel | null): PeerView[] {
  if (level !== "encrypted" && level !== "none") return []
  const [words] = found.flatMap((id) => prosody[id] ?? [])
  if (words === undefined) return []
  return [
    { product: "prosody", text: words },
    { product: "ejabberd", text: "with mod_s2s_dialback, as it comes: connects, and does not look at the certificate; without it: closes, and says nothing" },
  ]
}
