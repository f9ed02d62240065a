// A certificate authority for the lab and the tests: makes good certificates (RFC 5280 profile, as OpenSSL's strict
// mode wants them) and, through its knobs, broken ones. Synchronous; the time is an argument.

import { Buffer } from "node:buffer"
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto"
import * as der from "./der-writer.ts"

export type KeyAlgorithm = "p256" | "p384" | "p521" | "secp256k1" | "ed25519" | "ed448" | "rsa1024" | "rsa2048"
/** How a certificate is signed; chosen from the signer's key when not given. */
export type SignatureName =
  | "ecdsa-sha1"
  | "ecdsa-sha256"
  | "ecdsa-sha384"
  | "ecdsa-sha512"
  | "rsa-sha1"
  | "rsa-sha256"
  | "rsa-sha384"
  | "rsa-sha512"
  | "rsa-pss-sha256"
  | "ed25519"
  | "ed448"

export interface KeyPair {
  readonly algorithm: KeyAlgorithm
  readonly privateKey: KeyObject
  /** SubjectPublicKeyInfo. */
  readonly spki: Buffer
  /** PKCS #8 PEM of the private key. */
  readonly pem: string
}

export interface SubjectNames {
  readonly dns?: readonly string[]
  /** Whole SRVNames, for instance `_xmpp-server.a.example` (RFC 4985). */
  readonly srv?: readonly string[]
  readonly xmppAddr?: readonly string[]
  readonly ip?: readonly string[]
  readonly email?: readonly string[]
  readonly uri?: readonly string[]
  /** Encoded GeneralNames, added as they are. */
  readonly raw?: readonly Uint8Array[]
}

export interface Subtrees {
  readonly dns?: readonly string[]
  /** `10.0.0.0/8` or `2001:db8::/32`. */
  readonly ip?: readonly string[]
  readonly email?: readonly string[]
  readonly uri?: readonly string[]
  /** Encoded Names. */
  readonly directory?: readonly Uint8Array[]
  /** SRVName constraints (RFC 4985 section 4). */
  readonly srv?: readonly string[]
  /** Encoded GeneralNames. */
  readonly raw?: readonly Uint8Array[]
}

/** Encoded parts of a TBSCertificate, which `rewrite` may change before they are signed. `null` leaves a part out. */
export interface CertificateParts {
  version: Buffer | null
  serial: Buffer
  signature: Buffer
  issuer: Buffer
  validity: Buffer
  subject: Buffer
  spki: Buffer
  /** Whole Extension structures; an empty list leaves the field out. */
  extensions: Buffer[]
}

/** Ways to break a certificate on purpose. */
export interface Mutation {
  /** Changes encoded parts before signing. */
  readonly rewrite?: (parts: CertificateParts) => void
  /** Another outer signatureAlgorithm than the one signed. */
  readonly outerAlgorithm?: Uint8Array
  /** `flip`: one bit of the signature changed; `stranger`: signed by a key of its own. */
  readonly signature?: "flip" | "stranger"
  /** Changes the finished encoding. */
  readonly finish?: (encoded: Buffer) => Buffer
}

export interface IssueOptions {
  readonly names?: SubjectNames
  /** Default: the first DNS or SRV name; `''` makes an empty subject. */
  readonly commonName?: string
  /** A whole encoded subject Name instead. */
  readonly subject?: Uint8Array
  readonly notBefore?: Date | number
  readonly notAfter?: Date | number
  /** serverAuth, clientAuth, any, or dotted identifiers. Default: both for a leaf, none for a CA; null: no extension. */
  readonly eku?: readonly string[] | null
  readonly ca?: boolean
  readonly pathLength?: number
  readonly keyUsage?: readonly string[] | null
  readonly nameConstraints?: { readonly permitted?: Subtrees; readonly excluded?: Subtrees }
  readonly key?: KeyPair
  readonly algorithm?: KeyAlgorithm
  readonly signatureName?: SignatureName
  readonly serial?: bigint
  /** null leaves the extension out. */
  readonly subjectKeyId?: Uint8Array | null
  readonly authorityKeyId?: Uint8Array | null
  /** false leaves basicConstraints out. Default: present for a CA, and on leaves absent. */
  readonly basicConstraints?: boolean
  /**
   * Where the issuer's certificate could be fetched (authorityInfoAccess, RFC 5280 4.2.2.1); null: not said.
   * Default: an example address below an intermediate, nothing below a root, as public CAs do it.
   */
  readonly issuerLocation?: string | null
  /** Criticality by extension, where it differs from the good default. */
  readonly critical?: {
    readonly basicConstraints?: boolean
    readonly keyUsage?: boolean
    readonly eku?: boolean
    readonly names?: boolean
    readonly nameConstraints?: boolean
  }
  /** Further extensions; `value` is the content of the OCTET STRING. */
  readonly extensions?: readonly { readonly oid: string; readonly critical?: boolean; readonly value: Uint8Array }[]
  readonly mutate?: Mutation
}

export interface IssuedCertificate {
  readonly der: Buffer
  readonly pem: string
  readonly keyPem: string
  readonly key: KeyPair
  /** Encoded subject Name. */
  readonly subject: Buffer
  /** This certificate and its intermediates, leaf first, without the root (a root's chain is itself). */
  readonly chain: Buffer[]
  readonly chainPem: string
}

export interface AuthorityOptions extends IssueOptions {
  readonly name?: string
  /** Milliseconds since 1970: certificates are valid around it unless dates are given. */
  readonly now: number
}

/** Nobody fetches it: it only says that there is an intermediate. */
const ISSUER_LOCATION = "http://pki.lab.example/issuer.cer"
const HOUR = 3_600_000
const DAY = 24 * HOUR
const OID = {
  commonName: "2.5.4.3",
  subjectKeyId: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  authorityKeyId: "2.5.29.35",
  extKeyUsage: "2.5.29.37",
  authorityInfoAccess: "1.3.6.1.5.5.7.1.1",
  caIssuers: "1.3.6.1.5.5.7.48.2",
  xmppAddr: "1.3.6.1.5.5.7.8.5",
  dnsSrv: "1.3.6.1.5.5.7.8.7",
} as const
const PURPOSES: Readonly<Record<string, string>> = {
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
  emailProtection: "1.3.6.1.5.5.7.3.4",
  any: "2.5.29.37.0",
}
const USAGE_BITS = [
  "digitalSignature",
  "contentCommitment",
  "keyEncipherment",
  "dataEncipherment",
  "keyAgreement",
  "keyCertSign",
  "cRLSign",
  "encipherOnly",
  "decipherOnly",
]

const ALGORITHM_IDENTIFIERS: Readonly<
  Record<SignatureName, { readonly oid: string; readonly digest: string | null; readonly parameters: "none" | "null" | "pss" }>
> = {
  "ecdsa-sha1": { oid: "1.2.840.10045.4.1", digest: "sha1", parameters: "none" },
  "ecdsa-sha256": { oid: "1.2.840.10045.4.3.2", digest: "sha256", parameters: "none" },
  "ecdsa-sha384": { oid: "1.2.840.10045.4.3.3", digest: "sha384", parameters: "none" },
  "ecdsa-sha512": { oid: "1.2.840.10045.4.3.4", digest: "sha512", parameters: "none" },
  "rsa-sha1": { oid: "1.2.840.113549.1.1.5", digest: "sha1", parameters: "null" },
  "rsa-sha256": { oid: "1.2.840.113549.1.1.11", digest: "sha256", parameters: "null" },
  "rsa-sha384": { oid: "1.2.840.113549.1.1.12", digest: "sha384", parameters: "null" },
  "rsa-sha512": { oid: "1.2.840.113549.1.1.13", digest: "sha512", parameters: "null" },
  "rsa-pss-sha256": { oid: "1.2.840.113549.1.1.10", digest: "sha256", parameters: "pss" },
  ed25519: { oid: "1.3.101.112", digest: null, parameters: "none" },
  ed448: { oid: "1.3.101.113", digest: null, parameters: "none" },
}

/** The AlgorithmIdentifier as it stands in a certificate. */
export function algorithmIdentifier(name: SignatureName): Buffer {
  const { oid, parameters } = ALGORITHM_IDENTIFIERS[name]
  if (parameters === "none") return der.sequence(der.objectIdentifier(oid))
  if (parameters === "null") return der.sequence(der.objectIdentifier(oid), der.nullValue())
  const hash = der.sequence(der.objectIdentifier("2.16.840.1.101.3.4.2.1"), der.nullValue())
  const mask = der.sequence(der.objectIdentifier("1.2.840.113549.1.1.8"), hash)
  return der.sequence(der.objectIdentifier(oid), der.sequence(der.context(0, hash), der.context(1, mask), der.context(2, der.integer(32))))
}

function signatureFor(key: KeyPair): SignatureName {
  switch (key.algorithm) {
    case "p384":
      return "ecdsa-sha384"
    case "p521":
      return "ecdsa-sha512"
    case "ed25519":
      return "ed25519"
    case "ed448":
      return "ed448"
    case "rsa1024":
    case "rsa2048":
      return "rsa-sha256"
    default:
      return "ecdsa-sha256"
  }
}

function signBytes(bytes: Uint8Array, key: KeyPair, name: SignatureName): Buffer {
  const { digest, parameters } = ALGORITHM_IDENTIFIERS[name]
  // 6 is RSA_PKCS1_PSS_PADDING; the salt is as long as the hash.
  return parameters === "pss"
    ? sign(digest, bytes, { key: key.privateKey, padding: 6, saltLength: 32 })
    : sign(digest, bytes, key.privateKey)
}

/** Makes a key pair (not deterministic: keys come from the operating system's randomness). */
export function generateKey(algorithm: KeyAlgorithm = "p256"): KeyPair {
  const curves: Readonly<Record<string, string>> = { p256: "P-256", p384: "P-384", p521: "P-521", secp256k1: "secp256k1" }
  const { privateKey, publicKey } =
    algorithm === "ed25519"
      ? generateKeyPairSync("ed25519")
      : algorithm === "ed448"
        ? generateKeyPairSync("ed448")
        : algorithm === "rsa1024" || algorithm === "rsa2048"
          ? generateKeyPairSync("rsa", { modulusLength: Number(algorithm.slice(3)) })
          : generateKeyPairSync("ec", { namedCurve: curves[algorithm] ?? "P-256" })
  return {
    algorithm,
    privateKey,
    spki: publicKey.export({ type: "spki", format: "der" }),
    pem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  }
}

/** The encoded Name with one commonName, or an empty one for `''`. */
export function commonNameSubject(commonName: string): Buffer {
  if (commonName === "") return der.sequence()
  return der.sequence(der.setOf(der.sequence(der.objectIdentifier(OID.commonName), der.utf8String(commonName))))
}

/** PEM text of one certificate. */
export function toPem(encoded: Uint8Array): string {
  const lines =
    Buffer.from(encoded)
      .toString("base64")
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`
}

const keyIdentifier = (spki: Uint8Array): Buffer => createHash("sha256").update(spki).digest().subarray(0, 20)

const otherName = (oid: string, value: Uint8Array): Buffer =>
  der.context(0, Buffer.concat([der.objectIdentifier(oid), der.context(0, value)]))

function generalNames(names: SubjectNames): Buffer[] {
  return [
    ...(names.dns ?? []).map((name) => der.context(2, Buffer.from(name, "latin1"), false)),
    ...(names.srv ?? []).map((name) => otherName(OID.dnsSrv, der.ia5String(name))),
    ...(names.xmppAddr ?? []).map((name) => otherName(OID.xmppAddr, der.utf8String(name))),
    ...(names.ip ?? []).map((name) => der.context(7, der.addressOctets(name), false)),
    ...(names.email ?? []).map((name) => der.context(1, Buffer.from(name, "latin1"), false)),
    ...(names.uri ?? []).map((name) => der.context(6, Buffer.from(name, "latin1"), false)),
    ...(names.raw ?? []).map((name) => Buffer.from(name)),
  ]
}

function subtrees(tag: number, trees: Subtrees | undefined): Buffer {
  if (trees === undefined) return Buffer.alloc(0)
  const bases = [
    ...generalNames({ dns: trees.dns ?? [], srv: trees.srv ?? [], email: trees.email ?? [], uri: trees.uri ?? [], raw: trees.raw ?? [] }),
    ...(trees.ip ?? []).map((network) => der.context(7, der.networkOctets(network), false)),
    ...(trees.directory ?? []).map((name) => der.context(4, name)),
  ]
  return der.context(tag, Buffer.concat(bases.map((base) => der.sequence(base))))
}

function extension(oid: string, critical: boolean, value: Uint8Array): Buffer {
  return der.sequence(der.objectIdentifier(oid), ...(critical ? [der.boolean(true)] : []), der.octetString(value))
}

function extensionsOf(options: IssueOptions, subject: Buffer, key: KeyPair, signer: KeyPair, location: string | null): Buffer[] {
  const ca = options.ca ?? false
  const critical = options.critical ?? {}
  const list: Buffer[] = []
  if (options.basicConstraints ?? ca) {
    const pathLength = options.pathLength === undefined ? [] : [der.integer(options.pathLength)]
    const value = der.sequence(...(ca ? [der.boolean(true)] : []), ...pathLength)
    list.push(extension(OID.basicConstraints, critical.basicConstraints ?? true, value))
  }
  const usage =
    options.keyUsage === undefined
      ? ca
        ? ["keyCertSign", "cRLSign"]
        : key.algorithm.startsWith("rsa")
          ? ["digitalSignature", "keyEncipherment"]
          : ["digitalSignature"]
      : options.keyUsage
  if (usage !== null) {
    const bits = usage.map((name) => USAGE_BITS.indexOf(name))
    if (bits.includes(-1)) throw new TypeError(`unknown key usage among ${usage.join(", ")}`)
    list.push(extension(OID.keyUsage, critical.keyUsage ?? true, der.namedBits(bits)))
  }
  const eku = options.eku === undefined ? (ca ? null : ["serverAuth", "clientAuth"]) : options.eku
  if (eku !== null) {
    const purposes = eku.map((name) => der.objectIdentifier(PURPOSES[name] ?? name))
    list.push(extension(OID.extKeyUsage, critical.eku ?? false, der.sequence(...purposes)))
  }
  const names = generalNames(options.names ?? {})
  if (names.length > 0) {
    // A certificate without a subject has a critical subjectAltName (RFC 5280 4.2.1.6).
    list.push(extension(OID.subjectAltName, critical.names ?? subject.length === 2, der.sequence(...names)))
  }
  if (options.nameConstraints !== undefined) {
    const value = der.sequence(subtrees(0, options.nameConstraints.permitted), subtrees(1, options.nameConstraints.excluded))
    list.push(extension(OID.nameConstraints, critical.nameConstraints ?? true, value))
  }
  const subjectKeyId = options.subjectKeyId === undefined ? keyIdentifier(key.spki) : options.subjectKeyId
  if (subjectKeyId !== null) list.push(extension(OID.subjectKeyId, false, der.octetString(subjectKeyId)))
  const authorityKeyId = options.authorityKeyId === undefined ? keyIdentifier(signer.spki) : options.authorityKeyId
  if (authorityKeyId !== null) list.push(extension(OID.authorityKeyId, false, der.sequence(der.context(0, authorityKeyId, false))))
  if (location !== null) {
    const entry = der.sequence(der.objectIdentifier(OID.caIssuers), der.context(6, Buffer.from(location, "latin1"), false))
    list.push(extension(OID.authorityInfoAccess, false, der.sequence(entry)))
  }
  for (const further of options.extensions ?? []) list.push(extension(further.oid, further.critical ?? false, further.value))
  return list
}

interface Signer {
  /** null: the certificate's own subject, as in a self-signed one. */
  readonly subject: Buffer | null
  /** null: the certificate's own key. */
  readonly key: KeyPair | null
  /** The signer's chain up to, without, the root. */
  readonly chain: readonly Buffer[]
  readonly now: number
}

const milliseconds = (moment: Date | number): number => (typeof moment === "number" ? moment : moment.getTime())

function make(options: IssueOptions, signer: Signer): IssuedCertificate {
  const key = options.key ?? generateKey(options.algorithm)
  const names = options.names ?? {}
  const commonName = options.commonName ?? names.dns?.[0] ?? names.srv?.[0] ?? names.xmppAddr?.[0] ?? "lab"
  const subject = options.subject === undefined ? commonNameSubject(commonName) : Buffer.from(options.subject)
  const signingKey = signer.key ?? key
  const signatureName = options.signatureName ?? signatureFor(signingKey)
  const life = options.ca ? 3650 * DAY : 90 * DAY
  const notBefore = milliseconds(options.notBefore ?? signer.now - (options.ca ? DAY : HOUR))
  const notAfter = milliseconds(options.notAfter ?? signer.now + life)
  // Serial numbers are positive, at most 20 octets, and never repeat for one key and validity (RFC 5280 4.1.2.2).
  const digest = createHash("sha256")
    .update(key.spki)
    .update(subject)
    .update(`${notBefore} ${notAfter} ${names.dns?.join() ?? ""}`)
    .digest("hex")
  const location = options.issuerLocation === undefined ? (signer.chain.length > 0 ? ISSUER_LOCATION : null) : options.issuerLocation
  const parts: CertificateParts = {
    version: der.context(0, der.integer(2)),
    serial: der.integer(options.serial ?? BigInt(`0x5${digest.slice(0, 30)}`)),
    signature: algorithmIdentifier(signatureName),
    issuer: signer.subject ?? subject,
    validity: der.sequence(der.time(notBefore), der.time(notAfter)),
    subject,
    spki: key.spki,
    extensions: extensionsOf(options, subject, key, signingKey, location),
  }
  const mutate = options.mutate ?? {}
  mutate.rewrite?.(parts)
  const extensions = parts.extensions.length === 0 ? [] : [der.context(3, der.sequence(...parts.extensions))]
  const signed = der.sequence(
    ...(parts.version === null ? [] : [parts.version]),
    parts.serial,
    parts.signature,
    parts.issuer,
    parts.validity,
    parts.subject,
    parts.spki,
    ...extensions,
  )
  const signature = signBytes(signed, mutate.signature === "stranger" ? generateKey(signingKey.algorithm) : signingKey, signatureName)
  if (mutate.signature === "flip") signature[signature.length - 1]! ^= 0x01
  const outer = mutate.outerAlgorithm ?? parts.signature
  const plain = der.sequence(signed, outer, der.bitString(signature))
  const encoded = mutate.finish?.(plain) ?? plain
  const chain = [encoded, ...signer.chain]
  return {
    der: encoded,
    pem: toPem(encoded),
    keyPem: key.pem,
    key,
    subject: parts.subject,
    chain,
    chainPem: chain.map(toPem).join(""),
  }
}

/** A CA: a root made by `create`, or an intermediate below another CA. */
export class CertificateAuthority {
  readonly certificate: IssuedCertificate
  /** Milliseconds since 1970 around which certificates are valid by default. */
  readonly now: number
  readonly #root: boolean

  private constructor(certificate: IssuedCertificate, now: number, root: boolean) {
    this.certificate = certificate
    this.now = now
    this.#root = root
  }

  /** A self-signed root. */
  static create(options: AuthorityOptions): CertificateAuthority {
    const complete = { commonName: options.name ?? "Lab Root", ca: true, ...options }
    return new CertificateAuthority(make(complete, { subject: null, key: null, chain: [], now: options.now }), options.now, true)
  }

  get key(): KeyPair {
    return this.certificate.key
  }

  /** A certificate signed by this CA. */
  issue(options: IssueOptions = {}): IssuedCertificate {
    return make(options, {
      subject: this.certificate.subject,
      key: this.certificate.key,
      chain: this.#root ? [] : this.certificate.chain,
      now: this.now,
    })
  }

  /** A CA below this one. With `key` and `subject` of another CA: a cross-certificate of that CA. */
  intermediate(options: IssueOptions & { readonly name?: string } = {}): CertificateAuthority {
    const complete = { commonName: options.name ?? "Lab Intermediate", ca: true, ...options }
    return new CertificateAuthority(this.issue(complete), this.now, false)
  }
}

/** A certificate that signs itself; not a CA unless told. */
export function selfSigned(options: IssueOptions & { readonly now: number }): IssuedCertificate {
  return make(options, { subject: null, key: null, chain: [], now: options.now })
}
