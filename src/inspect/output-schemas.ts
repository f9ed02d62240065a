// What `posh`, `tlsa`, `dns` and `watch` print for machines, as zod schemas.
import { z } from "zod"
import { changeKinds } from "./changes.ts"
import { reachedLevels, severities } from "./report.ts"

const service = z.enum(["xmpp-server", "xmpp-client"])
const time = z.iso.datetime({ precision: 3 }).describe("RFC 3339, UTC")
const exit = z.number().int().describe("the exit status of the command")
const records = z.array(
  z.object({
    name: z.string(),
    ttl: z.number().int(),
    type: z.string(),
    value: z.string().describe("as it stands in a zone file"),
    fields: z.record(z.string(), z.unknown()).describe("the parts of the value"),
    comment: z.string().nullable(),
  }),
)

export const poshSchema = z.object({
  schema: z.literal(1),
  kind: z.literal("posh"),
  service,
  path: z.string(),
  url: z.string().nullable().describe("null: it was not said whose web site it is"),
  document: z.record(z.string(), z.unknown()).describe("the document"),
  text: z.string().describe("the same as it is to be served"),
  instructions: z
    .object({ steps: z.array(z.string()), snippet: z.string(), file: z.object({ path: z.string(), text: z.string() }).nullable() })
    .nullable()
    .describe("what a web server needs, where one was named"),
  exit,
})

export const poshVerifySchema = z.object({
  schema: z.literal(1),
  kind: z.literal("posh-verify"),
  domain: z.string(),
  service,
  state: z.enum(["good", "bad", "unknown"]),
  finding: z.string().nullable(),
  sentence: z.string(),
  trail: z.array(z.string()).describe("what each step on the way answered"),
  names: z.number().int().nullable().describe("how many certificates the document names"),
  until: time.nullable(),
  certificates: z.array(z.object({ file: z.string(), outcome: z.string(), detail: z.string() })),
  exit,
})

export const tlsaSchema = z.object({ schema: z.literal(1), kind: z.literal("tlsa"), records, exit })

export const rolloverSchema = z.object({
  schema: z.literal(1),
  kind: z.literal("tlsa-rollover"),
  host: z.string(),
  port: z.number().int(),
  step: z.union([z.literal(1), z.literal(2), z.literal(3), z.literal(4)]),
  title: z.string(),
  records: records.describe("to be published"),
  remove: records.describe("to be taken out; in the last step alone"),
  seen: z.array(z.string()).describe("what the authoritative servers answer"),
  safe: z.enum(["yes", "no", "unknown"]).describe("may the next key be shown"),
  because: z.string(),
  until: time.nullable().describe("when it is safe at the latest, if nothing changes"),
  exit,
})

export const dnsSchema = z.object({ schema: z.literal(1), kind: z.literal("dns"), domain: z.string(), records, notes: z.array(z.string()), exit })

const level = z.enum(reachedLevels).nullable()

export const changeSchema = z.object({
  kind: z.enum(changeKinds),
  severity: z.enum([...severities, "good"]),
  domain: z.string(),
  service,
  at: time,
  before: level.describe("the last level known before"),
  level: level.describe("null: could not be told"),
  sentence: z.string(),
  detail: z.string().describe("names and words of others: untrusted"),
  finding: z.string().nullable(),
})
