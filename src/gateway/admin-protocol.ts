// What goes over the admin socket: one JSON document a line, a request and its answer (security.md 20, 27).
import { z } from "zod"
import { type Domain, DomainError, parseDomain } from "../model/domain.ts"
import type { ConfigProblem } from "../model/errors.ts"
import { nearestWord } from "./did-you-mean.ts"

/** Both sides name it; a gateway answers other versions with an error. */
export const adminVersion = 1

/** Octets of one request, without its line feed. */
export const maxRequestOctets = 64 * 1024

const text = z.string().min(1).max(4096)
/** A domain; read by its own parser later. */
const name = z.string().min(1).max(1100)

/** Where a component's secret is kept, or that one shall be made. */
const secretPlace = z.union([
  z.strictObject({ file: text }),
  z.strictObject({ credential: text }),
  z.strictObject({ env: text }),
  z.strictObject({ generate: z.literal(true), file: text.optional() }),
])
export type SecretPlace = z.output<typeof secretPlace>

const version = { v: z.literal(adminVersion) }
const plain = <Verb extends string>(verb: Verb) => z.strictObject({ ...version, verb: z.literal(verb) })
const about = <Verb extends string>(verb: Verb) => z.strictObject({ ...version, verb: z.literal(verb), name })

const requests = {
  status: plain("status"),
  ready: plain("ready"),
  domains: plain("domains"),
  certs: plain("certs"),
  components: plain("components"),
  "s2s.show": z.strictObject({ ...version, verb: z.literal("s2s.show"), name: name.optional() }),
  "domain.add": z.strictObject({
    ...version,
    verb: z.literal("domain.add"),
    name,
    secret: secretPlace,
    certificate: name.optional(),
    posh: z.literal(true).optional(),
    /** Name of the new file in the include folder; the domain's own unless given. */
    file: text.optional(),
  }),
  "domain.set": z.strictObject({
    ...version,
    verb: z.literal("domain.set"),
    name,
    settings: z.array(z.strictObject({ key: text, value: z.string().max(4096) })).min(1).max(32),
  }),
  "domain.suspend": about("domain.suspend"),
  "domain.resume": about("domain.resume"),
  "domain.remove": about("domain.remove"),
  /** The certificate shown counts no more: its key was stolen, say. */
  "domain.abandon": about("domain.abandon"),
  reload: plain("reload"),
  drain: plain("drain"),
} as const

export type AdminVerb = keyof typeof requests
export const adminVerbs = Object.keys(requests) as readonly AdminVerb[]
export type AdminRequest = { [Verb in AdminVerb]: z.output<(typeof requests)[Verb]> }[AdminVerb]
export type AdminRequestOf<Verb extends AdminVerb> = z.output<(typeof requests)[Verb]>

/**
 * `request`: not a request of this protocol. `argument`: a name or setting that cannot be meant. `config`: the files
 * would not do, nothing was changed. `busy`, `stopping`: not now. `internal`: a mistake of ours.
 */
export type AdminFailure = "request" | "argument" | "config" | "busy" | "stopping" | "internal"

export interface AdminProblem {
  readonly place?: string
  readonly setting?: string
  readonly sentence: string
}

export type AdminAnswer =
  | { readonly v: 1; readonly ok: true; readonly result: unknown }
  | { readonly v: 1; readonly ok: false; readonly error: { readonly kind: AdminFailure; readonly problems: readonly AdminProblem[] } }

/** Why a request is not carried out; becomes an answer. */
export class AdminRefusal extends Error {
  override readonly name = "AdminRefusal"
  readonly kind: AdminFailure
  readonly problems: readonly AdminProblem[]
  constructor(kind: AdminFailure, problems: string | readonly (AdminProblem | ConfigProblem)[]) {
    const list = typeof problems === "string" ? [{ sentence: problems }] : problems
    super(list.map(({ sentence }) => sentence).join("\n"))
    this.kind = kind
    this.problems = list
  }
}

/**
 * A domain named in a request.
 *
 * @throws AdminRefusal
 */
export function domainArgument(text: string): Domain {
  try {
    return parseDomain(text)
  } catch (error) {
    if (!(error instanceof DomainError)) throw error
    throw new AdminRefusal("argument", error.message)
  }
}

const shown = (word: string): string => JSON.stringify(word.length > 60 ? `${word.slice(0, 60)}...` : word)

/**
 * One line as a request.
 *
 * @throws AdminRefusal
 */
export function readRequest(line: Uint8Array): AdminRequest {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(line))
  } catch {
    // What the parser quotes of the line may be anything.
    throw new AdminRefusal("request", "The line is not one JSON document.")
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new AdminRefusal("request", "A request is a JSON object.")
  const { v, verb } = value as { v?: unknown; verb?: unknown }
  if (v !== adminVersion) throw new AdminRefusal("request", `This gateway speaks version ${adminVersion} of the admin protocol: "v" must be ${adminVersion}.`)
  if (typeof verb !== "string") throw new AdminRefusal("request", 'A request names its "verb".')
  if (!Object.hasOwn(requests, verb)) {
    const near = nearestWord(verb, adminVerbs)
    throw new AdminRefusal("request", `${shown(verb)} is not a verb of the admin protocol.${near === undefined ? "" : ` Did you mean ${near}?`}`)
  }
  const parsed = requests[verb as AdminVerb].safeParse(value)
  if (parsed.success) return parsed.data as AdminRequest
  throw new AdminRefusal(
    "request",
    parsed.error.issues.slice(0, 8).map((issue) => ({ setting: issue.path.join("."), sentence: `${issue.path.join(".") || "The request"}: ${issue.message}.` })),
  )
}
