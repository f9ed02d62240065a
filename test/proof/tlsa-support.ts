// Certificates and TLSA records of them, for tests of DANE.
import { createHash } from "node:crypto"
import { CertificateAuthority, type IssueOptions, selfSigned } from "../../src/lab/certificate-authority.ts"
import type { TlsaRecord } from "../../src/model/dns-answer.ts"
import type { AcceptedIdentity } from "../../src/model/verdict.ts"
import { subjectPublicKey } from "../x509/subject-public-key.ts"

export const now = Date.UTC(2026, 10, 20, 12)
export const day = 86_400_000

/** The record of a certificate: `tlsa(der, "3 1 1")`. */
export function tlsa(der: Uint8Array, parameters: string): TlsaRecord {
  const [usage, selector, matching] = parameters.split(" ").map(Number) as [number, number, number]
  const part = selector === 1 ? subjectPublicKey(der) : Buffer.from(der)
  const association = matching === 0 ? part : createHash(matching === 1 ? "sha256" : "sha512").update(part).digest()
  return { usage, selector, matching, association: association.toString("hex") }
}

/** One hexadecimal digit changed. */
export function spoilt(record: TlsaRecord): TlsaRecord {
  const last = record.association.at(-1) === "0" ? "1" : "0"
  return { ...record, association: record.association.slice(0, -1) + last }
}

export const names = (...domains: string[]): AcceptedIdentity[] => domains.map((value) => ({ type: "DNS-ID", value, because: "source" }))

export const root = CertificateAuthority.create({ name: "Private Root", now })
export const middle = root.intermediate({ name: "Private Middle", commonName: "Private Middle" })
export const strangerRoot = CertificateAuthority.create({ name: "Stranger Root", now })
export const publicRoot = CertificateAuthority.create({ name: "Public Root", now })

export const own = (options: IssueOptions = {}) => selfSigned({ now, names: { dns: ["a.example"] }, ...options })
export const issued = (by: CertificateAuthority, dns: string, options: IssueOptions = {}) => by.issue({ names: { dns: [dns] }, ...options })
