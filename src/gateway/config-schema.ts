// What a configuration file may say (docs/operating.md): one zod schema, whose words are those of the operator.
import { z } from "zod"
import { type Cidr, CidrError, parseCidr } from "../model/address.ts"
import { type Domain, DomainError, parseDomain } from "../model/domain.ts"
import type { RequiredLevel } from "../model/policy.ts"
import type { Instant } from "../model/verdict.ts"
import type { LogLevel } from "../ports.ts"
import { ratchetModes } from "../federation/ratchet.ts"
import {
  addressLabel,
  durationText,
  readDuration,
  readEnd,
  readSize,
  readSocketAddress,
  readSocketPath,
  readWord,
  sizeText,
  type SocketAddress,
  type SocketPath,
  ValueProblem,
} from "./config-values.ts"

/** How a setting is written, in the words of JSON Schema (`xmpp-dna schema config`). */
type Written = Readonly<Record<string, unknown>>

/** A setting read by a function of ours; its sentence becomes the message. */
function setting<T>(read: (value: unknown) => T, written: Written) {
  const schema = z.unknown().transform((value, context): T => {
    try {
      if (value === undefined) throw new ValueProblem("is missing")
      if (value === null) throw new ValueProblem("The value is empty: write one, or remove the line.")
      return read(value)
    } catch (error) {
      if (!(error instanceof ValueProblem) && !(error instanceof DomainError) && !(error instanceof CidrError)) throw error
      context.addIssue({ code: "custom", message: error.message })
      return z.NEVER
    }
  })
  return schema.meta({ ...written })
}

const second = 1000
const minute = 60 * second
const day = 86_400 * second
const kib = 1024
const mib = 1024 * kib

const range = (least: string, most: string): string => `from ${least} to ${most}`
const duration = (least: number, most: number) =>
  setting((value) => readDuration(value, least, most), { type: "string", pattern: "^\\d{1,9}(ms|s|m|h|d)$", description: range(durationText(least), durationText(most)) })
const size = (least: number, most: number) => setting((value) => readSize(value, least, most), { type: ["string", "integer"], description: `octets, or with B, KiB, MiB or GiB; ${range(sizeText(least), sizeText(most))}` })
const word = <Word extends string>(words: readonly Word[]) => setting((value) => readWord(value, words), { enum: words })

const whole = (least: number, most: number) =>
  setting(
    (value) => {
      if (typeof value !== "number" || !Number.isInteger(value)) throw new ValueProblem("must be a whole number.")
      if (value < least || value > most) throw new ValueProblem(`${value} is out of range: from ${least} to ${most}.`)
      return value
    },
    { type: "integer", minimum: least, maximum: most },
  )

const yes = setting(
  (value) => {
    if (typeof value !== "boolean") throw new ValueProblem("must be true or false.")
    return value
  },
  { type: "boolean" },
)

const words = (least: number) =>
  setting(
    (value) => {
      if (typeof value !== "string") throw new ValueProblem("must be text.")
      if (value.trim().length < least) throw new ValueProblem("must not be empty.")
      return value
    },
    { type: "string", minLength: least },
  )

const path = setting(
  (value) => {
    if (typeof value !== "string" || value === "") throw new ValueProblem("must be the path of a file or folder.")
    if (value.includes("\0")) throw new ValueProblem("must not contain a NUL character.")
    return value
  },
  { type: "string", minLength: 1, description: "path of a file or folder" },
)

const domain = setting(
  (value): Domain => {
    if (typeof value !== "string") throw new ValueProblem("must be a domain name.")
    return parseDomain(value)
  },
  { type: "string", minLength: 1, description: "a domain name" },
)

const network = setting(
  (value): Cidr => {
    if (typeof value !== "string") throw new ValueProblem("must be a network such as 192.0.2.0/24.")
    return parseCidr(value)
  },
  { type: "string", description: "a network such as 192.0.2.0/24" },
)

const end = setting(readEnd, { type: "string", description: "a date, 2027-02-01, or a moment, 2027-02-01T12:00:00Z, from which it holds no longer" })

const socketAddress = { type: "string", description: "an IP address with a port, 127.0.0.1:5269 or [::]:5269" } as const
const socketOrPath = { type: "string", description: "an IP address with a port, or unix:/path" } as const

/** RFC 7590 3.4: what is below `verified` proves nothing, so it can be reported but not asked for. */
function required(value: unknown): RequiredLevel {
  if (value === "permissive") {
    throw new ValueProblem("`permissive` would accept anybody under any name: write authenticated, encrypted or verified; for single peers use federation.exceptions.")
  }
  return readWord(value, requiredLevels)
}

const requiredLevels = ["authenticated", "encrypted", "verified"] as const
const level = setting(required, { enum: requiredLevels })

/** Prooftypes this version knows. */
export const knownProofs = ["pkix", "dane", "posh"] as const

const proof = word(knownProofs)

/** COMP-*: the component protocol has no TLS of its own, so it stays on this machine (security.md 21). */
function componentAddress(value: unknown): SocketAddress | SocketPath {
  const socket = readSocketPath(value)
  if (socket !== undefined) return socket
  const address = readSocketAddress(value, 0)
  if (!address.address.startsWith("127.") && address.address !== "::1") {
    throw new ValueProblem(
      `${addressLabel(address)} can be reached by others, and a component sends its secret and everything else in clear there: write "127.0.0.1:5347", "[::1]:5347" or "unix:/path".`,
    )
  }
  return address
}

const listenAddress = setting((value) => readSocketAddress(value, 0), socketAddress)

/** What it publishes is public, so unlike for components any address will do. */
const publicAddress = setting((value): SocketAddress | SocketPath => readSocketPath(value) ?? readSocketAddress(value, 0), socketOrPath)

/** security.md 20: whoever may reach it administers the gateway, so file permissions guard it. */
const adminSocket = setting(
  (value): SocketPath => {
    const socket = readSocketPath(value)
    if (socket === undefined) throw new ValueProblem('must be a Unix socket, which file permissions guard: write "unix:/run/xmpp-dna/admin.sock".')
    return socket
  },
  { type: "string", description: "a Unix socket, unix:/path" },
)

/** Who checks the signatures of DNS: we, a resolver on this machine, nobody (security.md 15, 16). */
export const dnssecModes = ["validate", "trust-ad", "off"] as const
export type DnssecMode = (typeof dnssecModes)[number]

const dnssec = word(dnssecModes)

const resolverAddress = setting((value) => readSocketAddress(value, 1, 53), { type: "string", description: "an IP address, with a port where it is not 53" })

const trust = setting(
  (value): { kind: "system" | "bundled" } | { kind: "file"; path: string } => {
    if (value === "system" || value === "bundled") return { kind: value }
    if (typeof value === "string" && /[./]/.test(value)) return { kind: "file", path: value }
    throw new ValueProblem("must be system, bundled or the path of a PEM file with root certificates.")
  },
  { type: "string", description: "system, bundled or the path of a PEM file with root certificates" },
)

const exception = z.strictObject({
  peer: domain,
  require: level,
  // An exception without an end is a hole forever (security.md 10), one without a reason is nobody's.
  until: end,
  why: words(1),
})

const ratchetOverride = z.strictObject({ peer: domain, until: end, why: words(1) })

const override = z.strictObject({
  peer: domain,
  connect: setting((value) => readSocketAddress(value, 1), socketAddress),
  transport: word(["starttls", "direct-tls"] as const).default("starttls"),
})

const peerSwitches = z.strictObject({
  peer: domain,
  bidi: yes.default(true),
  piggyback: yes.default(true),
  stream_management: yes.default(true),
  pipelining: yes.default(true),
})

/** Settings of later versions accept only the value that means "not used". */
const notYet = (what: string) =>
  setting(
    (value) => {
      if (value === false || (Array.isArray(value) && value.length === 0)) return false as const
      throw new ValueProblem(`${what} is not in this version yet: remove the setting, or write false.`)
    },
    { const: false, description: "not in this version yet" },
  )

const federation = z.strictObject({
  require: level.default("authenticated"),
  // Without it: all that the mode of DNSSEC allows.
  proofs: z.array(proof).nonempty({ message: "must name at least one prooftype: pkix, dane, posh." }).optional(),
  // RFC 7671 4: usages 3 and 2; with 1 and 0 TLSA records bind PKIX, too.
  dane: z.strictObject({ usages: z.array(whole(0, 3)).nonempty({ message: "must name at least one usage: 3, 2." }).max(4).default([3, 2]) }).prefault({}),
  // The document of the drafts before RFC 7711, asked for where the final one is not there.
  posh: z.strictObject({ older: yes.default(false) }).prefault({}),
  dialback: z
    .strictObject({
      offer: yes.default(true),
      as: setting(
        (value) => {
          if (value !== "encrypted") throw new ValueProblem("must be encrypted: dialback never proves more than that (RFC 7712, XEP-0220).")
          return "encrypted" as const
        },
        { const: "encrypted" },
      ).default("encrypted"),
      without_dialback: notYet("Dialback without dialback (XEP-0344)").default(false),
    })
    .prefault({}),
  // Both directions on one connection (XEP-0288), further pairs on a stream that exists (RFC 7712 4.4), acknowledged stanzas
  // (XEP-0198), fewer round trips where a peer was seen to allow it; `peers` switches them off for single ones.
  bidi: yes.default(true),
  piggyback: yes.default(true),
  stream_management: yes.default(true),
  pipelining: yes.default(true),
  peers: z.array(peerSwitches).max(10_000).default([]),
  blocklists: notYet("Blocklists").default(false),
  idle_timeout: duration(10 * second, 7 * day).default(14 * minute),
  retry_max: duration(second, day).default(5 * minute),
  timeout: duration(second, 5 * minute).default(60 * second),
  resolver: z
    .strictObject({
      address: z.union([resolverAddress, z.array(resolverAddress).nonempty().max(8)]).optional(),
      dnssec: dnssec.default("validate"),
      anchors: path.optional(),
    })
    .prefault({}),
  trust: trust.default({ kind: "system" }),
  exceptions: z.array(exception).max(10_000).default([]),
  // Never weaker than last time: what a domain kept proving is what it is held to.
  ratchet: z.strictObject({ mode: word(ratchetModes).default("warn"), overrides: z.array(ratchetOverride).max(10_000).default([]) }).prefault({}),
  allow: z.strictObject({ networks: z.array(network).max(1000).default([]), names: z.array(domain).max(1000).default([]) }).prefault({}),
  overrides: z.array(override).max(10_000).default([]),
})

const named = (form: RegExp, what: string) =>
  setting(
    (value) => {
      if (typeof value !== "string" || !form.test(value)) throw new ValueProblem(`must be ${what}.`)
      return value
    },
    { type: "string", pattern: form.source, description: what },
  )

/** Where a secret is kept; exactly one of them. Bare text is another matter (`--allow-inline-secrets`). */
const secretPlace = z.strictObject({
  file: path.optional(),
  env: named(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, "the name of an environment variable").optional(),
  credential: named(/^[A-Za-z0-9_][A-Za-z0-9._@-]{0,127}$/, "the name of a systemd credential, without a path").optional(),
})

const component = z.strictObject({
  secret: z.union([z.string(), secretPlace]),
  conflict: setting(
    (value) => {
      // security.md 21: whoever knows the secret must still not push the running component out.
      if (value === "kick_new") return "kick_new" as const
      if (value === "kick_old") throw new ValueProblem("`kick_old` would let a second connection push the running component out: write kick_new.")
      if (value === "balance") throw new ValueProblem("`balance` is not in this version yet: write kick_new.")
      return readWord(value, ["kick_new"] as const)
    },
    { const: "kick_new" },
  ).default("kick_new"),
})

/** POSH-*: the document that delegates to the certificate shown; nobody keeps one longer than 7 days (security.md 11). */
const publishing = z.strictObject({
  serve: yes.default(true),
  expires: duration(60 * minute, 7 * day).default(7 * day),
  next: z.union([path, z.array(path).max(16)]).default([]),
})

const hostedDomain = z.strictObject({
  name: domain,
  component,
  certificate: domain.optional(),
  posh: publishing.optional(),
  suspended: yes.default(false),
})

/** A tenant's file: its domains, and folders whose certificates serve these alone (security.md 22). */
export const includeSchema = z.strictObject({
  domains: z.array(hostedDomain).max(100_000).default([]),
  certificates: z.strictObject({ dirs: z.array(path).max(100).default([]) }).prefault({}),
})

export const configSchema = z.strictObject({
  node: named(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "a short name of letters, digits, dots and hyphens").default("gateway"),
  listen: z
    .strictObject({
      s2s: z.array(listenAddress).max(64).default([{ address: "::", port: 5269 }]),
      direct_tls: z.array(listenAddress).max(64).default([]),
      components: z.array(setting(componentAddress, { type: "string", description: "a loopback address with a port, or unix:/path" })).max(64).default([{ address: "127.0.0.1", port: 5347 }]),
      posh: z.array(publicAddress).max(64).default([]),
      posh_https: z.array(listenAddress).max(64).default([]),
      admin: adminSocket.optional(),
    })
    .prefault({}),
  federation: federation.prefault({}),
  certificates: z.strictObject({
    dirs: z.array(path).nonempty({ message: "must name at least one folder with certificates and their keys." }).max(100),
    reload: word(["watch", "signal"] as const).default("watch"),
    warn: duration(0, 365 * day).default(14 * day),
  }),
  domains: z.array(hostedDomain).max(100_000).default([]),
  include: z.array(path).max(100).default([]),
  limits: z
    .strictObject({
      // XEP-0114 and RFC 6120 13.12 (XML-06): never below 10000 octets.
      stanza: size(10_000, 16 * mib).default(512 * kib),
      depth: whole(8, 1000).default(64),
      queue: size(64 * kib, 1024 * mib).default(2 * mib),
      input: size(64 * kib, 1024 * mib).default(4 * mib),
      queued: size(mib, 16 * 1024 * mib).default(256 * mib),
      unauthenticatedPerIp: whole(1, 100_000).default(64),
      unauthenticatedTotal: whole(1, 1_000_000).default(2048),
      unauthenticated: duration(second, 10 * minute).default(30 * second),
      streams: whole(1, 1_000_000).default(50_000),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: word(["debug", "info", "warn", "error"] as const satisfies readonly LogLevel[]).default("info"),
      format: word(["auto", "pretty", "json"] as const).default("auto"),
    })
    .prefault({}),
  shutdown: z.strictObject({ drain: duration(0, 10 * minute).default(10 * second), deadline: duration(0, 30 * minute).default(25 * second) }).prefault({}),
  state: z
    .strictObject({
      dir: path,
      evidence_files: whole(1, 100_000).default(1000),
      evidence_bytes: size(64 * kib, 16 * 1024 * mib).default(64 * mib),
      seal: path.optional(),
    })
    .optional(),
})

export type RawConfig = z.output<typeof configSchema>
export type RawDomain = z.output<typeof hostedDomain>
export type RawSecret = RawDomain["component"]["secret"]
export type Trust = RawConfig["federation"]["trust"]
export type ExceptionSetting = { readonly peer: Domain; readonly require: RequiredLevel; readonly until: Instant; readonly why: string }

/** Settings of the interface that belong to later versions, with what they are. */
export const laterSettings: Readonly<Record<string, string>> = {
  cluster: "A cluster of gateways",
  http: "The dashboard, with metrics and health over HTTP,",
  "listen.http": "The dashboard, with metrics and health over HTTP,",
  "limits.rate": "A rate limit",
  "domains[].proofs": "A set of prooftypes for one domain",
  "domains[].limits": "Limits for one domain",
  "domains[].contact": "Contact addresses (XEP-0157)",
  "domains[].component.balance": "Several connections of one component",
  "domains[].component.instances": "Several connections of one component",
  "log.redact": "Redaction by setting (bodies are never logged)",
}
