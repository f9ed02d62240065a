// Certificate extensions (RFC 5280 4.2): those that path validation understands, read strictly; the others by name only.

import type { Buffer } from "node:buffer"
import { contextTag, DerReader, only, readBoolean, readCount, readNamedBits, readObjectIdentifier, TAG } from "./der.ts"
import { CertificateError } from "./errors.ts"
import { type GeneralName, readGeneralName } from "./names.ts"

/** Names in one subjectAltName. Beyond it a certificate is refused: every name costs comparisons. */
const MOST_NAMES = 1024
const MOST_SUBTREES = 1024
const MOST_EXTENSIONS = 64

export interface Extension {
  readonly oid: string
  readonly critical: boolean
  readonly value: Buffer
}

export interface BasicConstraints {
  readonly ca: boolean
  readonly pathLength: number | undefined
}

export interface NameConstraints {
  readonly permitted: readonly GeneralName[]
  readonly excluded: readonly GeneralName[]
}

export const KEY_USAGE = { digitalSignature: 0, keyEncipherment: 2, keyAgreement: 4, keyCertSign: 5, crlSign: 6 } as const

/** What the extensions of one certificate say. */
export interface ExtensionFacts {
  readonly basicConstraints: BasicConstraints | undefined
  readonly keyUsage: ReadonlySet<number> | undefined
  /** Whether keyUsage is encoded as DER asks; some roots are not. */
  readonly keyUsageMinimal: boolean
  /** Dotted identifiers. */
  readonly extendedKeyUsage: readonly string[] | undefined
  readonly subjectAltNames: readonly GeneralName[] | undefined
  readonly nameConstraints: NameConstraints | undefined
  readonly subjectKeyId: Buffer | undefined
  readonly authorityKeyId: Buffer | undefined
  /** Whether the certificate says where its issuer's certificate can be fetched (RFC 5280 4.2.2.1): it is no root's own child then. */
  readonly namesIssuerLocation: boolean
  /** Identifiers of critical extensions that nobody here understands (RFC 5280 4.2: MUST reject). */
  readonly unknownCritical: readonly string[]
  /** Criticality, by identifier, of every extension present. */
  readonly criticality: ReadonlyMap<string, boolean>
}

export const OID = {
  subjectKeyId: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  certificatePolicies: "2.5.29.32",
  policyMappings: "2.5.29.33",
  authorityKeyId: "2.5.29.35",
  extKeyUsage: "2.5.29.37",
  inhibitAnyPolicy: "2.5.29.54",
  authorityInfoAccess: "1.3.6.1.5.5.7.1.1",
  caIssuers: "1.3.6.1.5.5.7.48.2",
} as const

/**
 * Understood without being read: with any policy acceptable at the start, policies decide nothing until
 * policyConstraints asks for one (RFC 5280 6.1.1 d-g), and that extension is not understood.
 */
const WITHOUT_EFFECT = [OID.certificatePolicies, OID.policyMappings, OID.inhibitAnyPolicy]

const UNDERSTOOD: ReadonlySet<string> = new Set([
  OID.subjectKeyId,
  OID.keyUsage,
  OID.subjectAltName,
  OID.basicConstraints,
  OID.nameConstraints,
  OID.authorityKeyId,
  OID.extKeyUsage,
  ...WITHOUT_EFFECT,
])

/** Extensions ::= SEQUENCE SIZE (1..MAX) OF Extension, each at most once (RFC 5280 4.2). */
export function readExtensions(reader: DerReader): Extension[] {
  const list: Extension[] = []
  const seen = new Set<string>()
  do {
    const item = reader.inside(TAG.sequence, "extension")
    const oid = readObjectIdentifier(item.expect(TAG.objectIdentifier, "extension identifier"), "extension identifier")
    const what = `extension ${oid}`
    const flag = item.optional(TAG.boolean)
    const critical = flag !== undefined && readBoolean(flag, what)
    // DER leaves a DEFAULT value out (X.690 11.5).
    if (flag !== undefined && !critical) throw new CertificateError("der", `${what}: critical FALSE is encoded`)
    const value = item.expect(TAG.octetString, what).contents
    item.end(what)
    if (seen.has(oid)) throw new CertificateError("extension", `${what} stands twice`)
    seen.add(oid)
    list.push({ oid, critical, value })
    if (list.length > MOST_EXTENSIONS) throw new CertificateError("limit", `more than ${MOST_EXTENSIONS} extensions`)
  } while (!reader.done)
  return list
}

function readBasicConstraints(value: Buffer): BasicConstraints {
  const reader = new DerReader(only(value, TAG.sequence, "basicConstraints").contents)
  const flag = reader.optional(TAG.boolean)
  const ca = flag !== undefined && readBoolean(flag, "basicConstraints")
  if (flag !== undefined && !ca) throw new CertificateError("der", "basicConstraints: cA FALSE is encoded")
  const count = reader.optional(TAG.integer)
  reader.end("basicConstraints")
  return { ca, pathLength: count === undefined ? undefined : readCount(count, "pathLenConstraint") }
}

function readExtKeyUsage(value: Buffer): string[] {
  const reader = new DerReader(only(value, TAG.sequence, "extKeyUsage").contents)
  const purposes: string[] = []
  do {
    purposes.push(readObjectIdentifier(reader.expect(TAG.objectIdentifier, "extKeyUsage"), "extKeyUsage"))
    if (purposes.length > 64) throw new CertificateError("limit", "more than 64 purposes in extKeyUsage")
  } while (!reader.done)
  return purposes
}

function readSubjectAltName(value: Buffer): GeneralName[] {
  const reader = new DerReader(only(value, TAG.sequence, "subjectAltName").contents)
  const names: GeneralName[] = []
  do {
    const name = readGeneralName(reader, "subjectAltName")
    if (name.type === "ip" && name.octets.length !== 4 && name.octets.length !== 16)
      throw new CertificateError("name", `subjectAltName: an iPAddress of ${name.octets.length} octets`)
    names.push(name)
    if (names.length > MOST_NAMES) throw new CertificateError("limit", `more than ${MOST_NAMES} names in subjectAltName`)
  } while (!reader.done)
  return names
}

function readSubtrees(reader: DerReader): GeneralName[] {
  const bases: GeneralName[] = []
  do {
    // RFC 5280 4.2.1.10: minimum is 0, which DER leaves out, and maximum is absent: a base is all there may be.
    const subtree = reader.inside(TAG.sequence, "nameConstraints")
    bases.push(readGeneralName(subtree, "nameConstraints"))
    subtree.end("nameConstraints")
    if (bases.length > MOST_SUBTREES) throw new CertificateError("limit", `more than ${MOST_SUBTREES} subtrees in nameConstraints`)
  } while (!reader.done)
  return bases
}

function readNameConstraints(value: Buffer): NameConstraints {
  const reader = new DerReader(only(value, TAG.sequence, "nameConstraints").contents)
  // RFC 5280 4.2.1.10: not an empty sequence.
  if (reader.done) throw new CertificateError("extension", "nameConstraints is empty")
  const permitted = reader.optional(contextTag(0, true))
  const excluded = reader.optional(contextTag(1, true))
  reader.end("nameConstraints")
  const bases = (element: { contents: Buffer } | undefined): GeneralName[] =>
    element === undefined ? [] : readSubtrees(new DerReader(element.contents))
  return { permitted: bases(permitted), excluded: bases(excluded) }
}

function readAuthorityKeyId(value: Buffer): Buffer | undefined {
  const reader = new DerReader(only(value, TAG.sequence, "authorityKeyIdentifier").contents)
  const keyId = reader.optional(contextTag(0, false))?.contents
  const issuer = reader.optional(contextTag(1, true))
  const serial = reader.optional(contextTag(2, false))
  reader.end("authorityKeyIdentifier")
  if ((issuer === undefined) !== (serial === undefined))
    throw new CertificateError("extension", "authorityKeyIdentifier has an issuer without a serial number, or the other way round")
  return keyId
}

function namesCaIssuers(value: Buffer): boolean {
  const reader = new DerReader(only(value, TAG.sequence, "authorityInfoAccess").contents)
  let found = false
  for (let count = 0; !reader.done; count++) {
    if (count >= 64) throw new CertificateError("limit", "more than 64 entries in authorityInfoAccess")
    const entry = reader.inside(TAG.sequence, "authorityInfoAccess")
    const method = readObjectIdentifier(entry.expect(TAG.objectIdentifier, "authorityInfoAccess"), "authorityInfoAccess")
    entry.any()
    entry.end("authorityInfoAccess")
    found ||= method === OID.caIssuers
  }
  return found
}

/** Reads what validation needs out of the extensions. Throws CertificateError where one of them is not what it must be. */
export function extensionFacts(list: readonly Extension[]): ExtensionFacts {
  const values = new Map(list.map(({ oid, value }) => [oid, value]))
  const read = <T>(oid: string, how: (value: Buffer) => T): T | undefined => {
    const value = values.get(oid)
    return value === undefined ? undefined : how(value)
  }
  const usage = read(OID.keyUsage, (value) => readNamedBits(only(value, TAG.bitString, "keyUsage"), "keyUsage"))
  return {
    basicConstraints: read(OID.basicConstraints, readBasicConstraints),
    keyUsage: usage?.bits,
    keyUsageMinimal: usage?.minimal ?? true,
    extendedKeyUsage: read(OID.extKeyUsage, readExtKeyUsage),
    subjectAltNames: read(OID.subjectAltName, readSubjectAltName),
    nameConstraints: read(OID.nameConstraints, readNameConstraints),
    subjectKeyId: read(OID.subjectKeyId, (value) => only(value, TAG.octetString, "subjectKeyIdentifier").contents),
    authorityKeyId: read(OID.authorityKeyId, readAuthorityKeyId),
    namesIssuerLocation: read(OID.authorityInfoAccess, namesCaIssuers) ?? false,
    unknownCritical: list.filter(({ oid, critical }) => critical && !UNDERSTOOD.has(oid)).map(({ oid }) => oid),
    criticality: new Map(list.map(({ oid, critical }) => [oid, critical])),
  }
}
