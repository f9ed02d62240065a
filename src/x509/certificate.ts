// Parses a certificate into a frozen object (RFC 5280 4.1). What it says is judged in path.ts;
// here only what is no certificate at all is refused.

import { Buffer } from "node:buffer"
import { createHash } from "node:crypto"
import { type PublicKeyFacts, publicKeyFacts, type SignatureAlgorithm, signatureAlgorithm } from "./algorithms.ts"
import { contextTag, DerReader, readBitOctets, readCount, readInteger, TAG } from "./der.ts"
import { CertificateError } from "./errors.ts"
import { type ExtensionFacts, extensionFacts, OID, readExtensions } from "./extensions.ts"
import { type DistinguishedName, nameText, readName } from "./names.ts"
import { readTime } from "./time.ts"

export { CertificateError, type CertificateErrorCode } from "./errors.ts"

/** Octets of the largest certificate that is looked at. */
export const LARGEST_CERTIFICATE = 65_536

export interface Certificate extends ExtensionFacts {
  /** A copy of the encoding. */
  readonly der: Buffer
  /** SHA-256 of the encoding, lower-case hex. */
  readonly fingerprint: string
  /** 1 or 3 (2 is no better than 1). */
  readonly version: number
  readonly serial: Buffer
  readonly issuer: DistinguishedName
  readonly subject: DistinguishedName
  /** `CN=a.example`, safe to print. */
  readonly subjectText: string
  readonly issuerText: string
  /** Milliseconds since 1970; both ends belong to the validity. */
  readonly notBefore: number
  readonly notAfter: number
  /** SubjectPublicKeyInfo. */
  readonly spki: Buffer
  readonly key: PublicKeyFacts
  /** The signed octets. */
  readonly signed: Buffer
  readonly signature: Buffer
  /** A string says what the algorithm is when it is not supported. */
  readonly signatureAlgorithm: SignatureAlgorithm | string
  /** Whether subject and issuer are the same name (RFC 5280 6.1: self-issued). */
  readonly selfIssued: boolean
  /** What RFC 5280 asks of every CA that issues certificates and this certificate does not keep; see path.ts for its use. */
  readonly deviations: readonly string[]
}

function deviationsOf(
  version: number,
  serial: Buffer,
  timesInProfile: boolean,
  subject: DistinguishedName,
  issuer: DistinguishedName,
  facts: ExtensionFacts,
): string[] {
  const list: string[] = []
  const say = (broken: boolean, phrase: string): void => {
    if (broken) list.push(phrase)
  }
  const ca = facts.basicConstraints?.ca ?? false
  say(version !== 3, `is an X.509 version ${version} certificate (RFC 5280 4.1.2.1)`)
  say(
    serial.length > 20 || serial[0]! >= 0x80 || serial.every((octet) => octet === 0),
    "has a serial number that is not positive or too long (RFC 5280 4.1.2.2)",
  )
  say(!timesInProfile, "has a GeneralizedTime before 2050 (RFC 5280 4.1.2.5)")
  say(issuer.rdns.length === 0, "names no issuer (RFC 5280 4.1.2.4)")
  say(ca && subject.rdns.length === 0, "is a CA without a subject (RFC 5280 4.1.2.6)")
  say(!ca && subject.rdns.length === 0 && facts.subjectAltNames === undefined, "names nobody (RFC 5280 4.1.2.6)")
  say(
    !ca && subject.rdns.length === 0 && facts.subjectAltNames !== undefined && facts.criticality.get(OID.subjectAltName) !== true,
    "has no subject and a subjectAltName that is not critical (RFC 5280 4.2.1.6)",
  )
  say(ca && facts.criticality.get(OID.basicConstraints) !== true, "is a CA whose basicConstraints is not critical (RFC 5280 4.2.1.9)")
  say(ca && facts.keyUsage === undefined, "is a CA without keyUsage (RFC 5280 4.2.1.3)")
  say(facts.keyUsage?.size === 0, "has a keyUsage without a usage (RFC 5280 4.2.1.3)")
  say(!facts.keyUsageMinimal, "has a keyUsage with trailing zero bits (X.690 11.2.2)")
  say(!ca && (facts.keyUsage?.has(5) ?? false), "may sign certificates without being a CA (RFC 5280 4.2.1.9)")
  say(
    facts.basicConstraints?.pathLength !== undefined && !(ca && (facts.keyUsage?.has(5) ?? false)),
    "limits a path it may not begin (RFC 5280 4.2.1.9)",
  )
  say(!ca && facts.nameConstraints !== undefined, "constrains names without being a CA (RFC 5280 4.2.1.10)")
  say(ca && facts.subjectKeyId === undefined, "is a CA without subjectKeyIdentifier (RFC 5280 4.2.1.2)")
  say(facts.criticality.get(OID.subjectKeyId) === true, "has a critical subjectKeyIdentifier (RFC 5280 4.2.1.2)")
  say(facts.criticality.get(OID.authorityKeyId) === true, "has a critical authorityKeyIdentifier (RFC 5280 4.2.1.1)")
  return list
}

/**
 * Parses one DER certificate.
 *
 * @param input at most 65,536 octets; copied, so later changes to it do not matter
 * @throws CertificateError with a code and a phrase; nothing else
 */
export function parseCertificate(input: Uint8Array): Certificate {
  if (input.length > LARGEST_CERTIFICATE) throw new CertificateError("limit", `${input.length} octets; ${LARGEST_CERTIFICATE} are the most`)
  const der = Buffer.from(input)
  const outer = new DerReader(der)
  const certificate = outer.inside(TAG.sequence, "certificate")
  outer.end("certificate")
  const signed = certificate.expect(TAG.sequence, "tbsCertificate")
  const outerAlgorithm = certificate.expect(TAG.sequence, "signatureAlgorithm").whole
  const signature = readBitOctets(certificate.expect(TAG.bitString, "signatureValue"), "signatureValue")
  certificate.end("certificate")

  const body = new DerReader(signed.contents)
  const version = readVersion(body)
  const serial = readInteger(body.expect(TAG.integer, "serialNumber"), "serialNumber")
  const innerAlgorithm = body.expect(TAG.sequence, "signature").whole
  // RFC 5280 4.1.1.2: both fields name the same algorithm, or the unsigned one would decide.
  if (!innerAlgorithm.equals(outerAlgorithm)) throw new CertificateError("algorithm", "the two signature algorithms differ")
  const issuer = readName(body.expect(TAG.sequence, "issuer").whole, "issuer")
  const validity = body.inside(TAG.sequence, "validity")
  const from = readTime(validity.any(), "notBefore")
  const to = readTime(validity.any(), "notAfter")
  validity.end("validity")
  const subject = readName(body.expect(TAG.sequence, "subject").whole, "subject")
  const spki = body.expect(TAG.sequence, "subjectPublicKeyInfo").whole
  const key = publicKeyFacts(spki)
  const unique = [body.optional(contextTag(1, false)), body.optional(contextTag(2, false))]
  if (version === 1 && unique.some((item) => item !== undefined)) throw new CertificateError("version", "unique identifiers in version 1")
  const wrapped = body.optional(contextTag(3, true))
  body.end("tbsCertificate")
  if (wrapped !== undefined && version !== 3) throw new CertificateError("version", `extensions in version ${version}`)
  const facts = extensionFacts(wrapped === undefined ? [] : readExtensionField(wrapped.contents))

  return Object.freeze({
    der,
    fingerprint: createHash("sha256").update(der).digest("hex"),
    version,
    serial,
    issuer,
    subject,
    subjectText: nameText(subject),
    issuerText: nameText(issuer),
    notBefore: from.at,
    notAfter: to.at,
    spki,
    key,
    signed: signed.whole,
    signature,
    signatureAlgorithm: signatureAlgorithm(innerAlgorithm),
    selfIssued: subject.encoded.equals(issuer.encoded),
    deviations: Object.freeze(deviationsOf(version, serial, from.profile && to.profile, subject, issuer, facts)),
    ...facts,
  })
}

function readVersion(body: DerReader): number {
  const field = body.optional(contextTag(0, true))
  if (field === undefined) return 1
  const reader = new DerReader(field.contents)
  const version = readCount(reader.expect(TAG.integer, "version"), "version") + 1
  reader.end("version")
  // Version 1 is the DEFAULT, which DER leaves out.
  if (version !== 2 && version !== 3) throw new CertificateError("version", version === 1 ? "version 1 is encoded" : `version ${version}`)
  return version
}

function readExtensionField(contents: Buffer): ReturnType<typeof readExtensions> {
  const reader = new DerReader(contents)
  const list = readExtensions(reader.inside(TAG.sequence, "extensions"))
  reader.end("extensions")
  return list
}

/** The DNS names of a certificate as it presents them, unchecked; for display, never for a decision. */
export function presentedNames(certificate: Pick<Certificate, "subjectAltNames">): string[] {
  return (certificate.subjectAltNames ?? []).flatMap((name) => {
    switch (name.type) {
      case "dns":
      case "srv":
      case "xmppAddr":
      case "email":
      case "uri":
        return [name.text]
      default:
        return []
    }
  })
}
