// The report of an inspection as plain JSON (RFC 7712 4.2; times RFC 3339, absent is null): one zod schema, whose types everybody
// uses. Whoever only writes or renders reports imports the types, so that zod is loaded for `schema` and tests alone.
import { z } from "zod"

/** Rises only when a member is removed or changes its meaning; readers ignore what they do not know. */
export const reportVersion = 1

/** `none`: nothing that a server could use; the others are the federation levels of XEP-0238. */
export const reachedLevels = ["none", "permissive", "verified", "encrypted", "authenticated"] as const

/**
 * The four outcomes of a verdict, and what is no prooftype's verdict. `offered`: dialback, not tried; `untried`: it was not come
 * to that (no TLS, no answer, or stopped before).
 */
export const proofStates = ["proved", "refuted", "absent", "unavailable", "offered", "untried"] as const

export const severities = ["bad", "warn", "info", "unknown"] as const

/**
 * Whose move it is. `you`: who runs this program; `peer`: who runs the domain that was asked about; `hoster`: who runs the server
 * that the domain's SRV records name outside of it. With `own`, what would be `peer` is `you`.
 */
export const parties = ["you", "hoster", "peer", "path", "resolver", "nobody"] as const

const time = z.iso.datetime({ precision: 3 }).describe("RFC 3339, UTC")
const milliseconds = z.number().int().nonnegative()
const fingerprint = z.string().regex(/^sha256:[0-9a-f]{64}$/)
const dnsStatus = z.enum(["secure", "insecure", "bogus", "indeterminate"])
const service = z.enum(["xmpp-server", "xmpp-client"])

export const fixSchema = z.object({
  kind: z.enum(["record", "file", "command", "text"]),
  /** To be pasted as it stands, unless the kind is `text`. */
  text: z.string(),
  /** Where a `file` goes: a URL or a path. */
  where: z.string().nullable(),
})

export const findingSchema = z.object({
  id: z.string().regex(/^[a-z]+\.[a-z0-9-]+$/),
  severity: z.enum(severities),
  party: z.enum(parties),
  /** The catalogue's sentence, without the id. */
  sentence: z.string(),
  /** Names, dates, the peer's words: untrusted text, to be escaped when shown. Empty when there is nothing to add. */
  detail: z.string(),
  /** Empty: nothing can or need be done. */
  fix: z.array(fixSchema),
  section: z.string(),
  /** Indexes into `endpoints`; empty for what concerns the domain as a whole. */
  endpoints: z.array(z.number().int().nonnegative()),
})

export const proofSchema = z.object({
  proof: z.string(),
  state: z.enum(proofStates),
  /** What the prooftype found, or the finding's id where it did not prove. */
  detail: z.string(),
  finding: z.string().nullable(),
  needsSecureDns: z.boolean(),
  /** The material obtained, label and value, for people. */
  facts: z.array(z.tuple([z.string(), z.string()])),
  until: time.nullable(),
})

export const endpointSchema = z.object({
  /** The name whose address this is: the SRV target or the domain itself. */
  host: z.string(),
  port: z.number().int(),
  address: z.string(),
  family: z.union([z.literal(4), z.literal(6)]),
  transport: z.enum(["starttls", "direct-tls"]),
  addressStatus: dnsStatus,
  via: z.enum(["srv", "fallback", "operator"]),
  secureDelegation: z.boolean(),
  /** ok: it came to features behind TLS; failed: the server or the domain did something wrong; unknown: could not tell. */
  state: z.enum(["ok", "failed", "unknown"]),
  /** How far it came: each step with the milliseconds since the dialling began. */
  steps: z.array(z.object({ step: z.enum(["connected", "opened", "secured", "features", "closed"]), ms: milliseconds })),
  ms: milliseconds,
  tls: z.string().nullable(),
  cipher: z.string().nullable(),
  alpn: z.string().nullable(),
  starttls: z.enum(["required", "offered", "not-offered"]).nullable(),
  /** `from` of the server's header behind TLS. */
  from: z.string().nullable(),
  /** Short names in the order of a table: `external`, `dialback`, `dialback-errors`, `bidi`, ... */
  features: z.array(z.string()),
  /** SASL mechanisms behind TLS. */
  mechanisms: z.array(z.string()),
  certificate: fingerprint.nullable(),
  /** Of the chain as presented, leaf first. */
  chain: z.array(fingerprint),
  proofs: z.array(proofSchema),
  level: z.enum(reachedLevels).nullable(),
  login: z
    .object({
      as: z.string(),
      by: z.enum(["external", "dialback"]).nullable(),
      state: z.enum(["accepted", "refused", "not-offered", "untried"]),
      /** The server's own words: untrusted. */
      detail: z.string(),
    })
    .nullable()
    .describe("null: nobody's certificate was at hand to log in with"),
  /** Ids of the findings that concern this endpoint. */
  findings: z.array(z.string()),
})

export const certificateSchema = z.object({
  names: z.array(z.string()),
  subject: z.string(),
  issuer: z.string(),
  serial: z.string(),
  notBefore: time,
  notAfter: time,
  key: z.string(),
  spki: fingerprint,
  extendedKeyUsage: z.array(z.string()),
  selfIssued: z.boolean(),
})

export const answerSchema = z.object({
  name: z.string(),
  type: z.string(),
  status: dnsStatus,
  outcome: z.enum(["data", "no-data", "name-error", "failure"]),
  records: z.array(z.string()),
  why: z.array(z.string()),
  validatedBy: z.string(),
  signaturesUntil: time.nullable(),
})

export const reverseSchema = z.object({
  state: z.enum(["proved", "refuted", "unavailable", "no-connection"]),
  /** How the remote server was made to connect: by our ping, or by its operator. */
  asked: z.enum(["ping", "operator"]),
  address: z.string().nullable(),
  tls: z.string().nullable(),
  level: z.enum(reachedLevels).nullable(),
  proofs: z.array(proofSchema),
  certificate: fingerprint.nullable(),
  detail: z.string(),
})

export const domainSchema = z.object({
  domain: z.string(),
  unicode: z.string(),
  service,
  started: time,
  /** The moment that certificates were judged as of, and ends are counted from: `started`, unless another one was asked for. */
  asOf: time,
  tookMs: milliseconds,
  /** Who we said we are; of no domain at all where only clients connect. */
  asked: z.object({
    from: z.string().nullable(),
    /** Whether a certificate of `from` was at hand, so that we could really log in. */
    credentials: z.boolean(),
  }),
  /** What a server reaches that takes any endpoint in order; null: could not tell. */
  level: z.enum(reachedLevels).nullable(),
  /** The expectation is met. */
  ok: z.boolean(),
  /** It could not be told; never counted as bad. */
  unknown: z.boolean(),
  discovery: z.object({
    outcome: z.enum(["endpoints", "refused", "no-service", "not-found", "unavailable"]),
    answers: z.array(answerSchema),
    skipped: z.array(z.object({ target: z.string(), reason: z.string(), detail: z.string() })),
    /** Beyond the limits of one inspection: never connected to, so that nothing is known of them. */
    leftOut: z.object({ addresses: z.number().int().nonnegative(), targets: z.number().int().nonnegative() }),
  }),
  delegation: z
    .object({ derived: z.string(), secure: z.boolean(), via: z.enum(["srv", "fallback", "operator"]) })
    .nullable(),
  /** One for each prooftype and one for dialback: of all endpoints that came far enough the worst. */
  proofs: z.array(proofSchema),
  endpoints: z.array(endpointSchema),
  certificates: z.record(fingerprint, certificateSchema),
  expires: z.object({ certificate: time.nullable(), signatures: time.nullable(), posh: time.nullable() }),
  /** The gravest first. */
  findings: z.array(findingSchema),
  /** What the common servers write when they connect to this domain. */
  peersSee: z.array(z.object({ product: z.string(), text: z.string() })),
  reverse: reverseSchema.nullable(),
  /** What an operator should know of how it was asked. */
  notes: z.array(z.string()),
})

export const checkSchema = z.object({
  schema: z.literal(reportVersion),
  tool: z.object({ name: z.literal("xmpp-dna"), version: z.string(), node: z.string() }),
  started: time,
  tookMs: milliseconds,
  expect: z.enum(["authenticated", "encrypted", "verified"]),
  /** The exit status of the command. */
  exit: z.number().int(),
  resolver: z.object({ addresses: z.array(z.string()), validates: z.boolean().nullable() }),
  results: z.array(domainSchema),
})

export type CheckReport = z.infer<typeof checkSchema>
export type DomainResult = z.infer<typeof domainSchema>
export type EndpointResult = z.infer<typeof endpointSchema>
export type ProofResult = z.infer<typeof proofSchema>
export type ReportFinding = z.infer<typeof findingSchema>
export type ReportFix = z.infer<typeof fixSchema>
export type CertificateResult = z.infer<typeof certificateSchema>
export type AnswerResult = z.infer<typeof answerSchema>
export type ReverseResult = z.infer<typeof reverseSchema>
export type ReachedLevel = (typeof reachedLevels)[number]
export type ReportParty = (typeof parties)[number]
