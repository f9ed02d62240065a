// The SubjectPublicKeyInfo of a certificate as the platform's own code reads it: an oracle that shares nothing with ours.
import { X509Certificate } from "node:crypto"

export function subjectPublicKey(der: Uint8Array): Buffer {
  return new X509Certificate(der).publicKey.export({ type: "spki", format: "der" })
}
