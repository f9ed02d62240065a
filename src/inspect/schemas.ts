// The JSON Schemas of what is printed and read (draft 2020-12), made from the definitions that the code itself uses. Members may be added
// without a new number; readers ignore what they do not know.
import { z } from "zod"
import { configSchema, includeSchema } from "../gateway/config-schema.ts"
import { ctlAnswers, ctlRefusedSchema } from "./ctl-schemas.ts"
import { evidenceFileSchema, judgementSchema } from "./evidence-schema.ts"
import { explainSchema } from "./explain-report.ts"
import { labListSchema, labReportSchema } from "./lab-schema.ts"
import { changeSchema, dnsSchema, poshSchema, poshVerifySchema, rolloverSchema, tlsaSchema } from "./output-schemas.ts"
import { checkSchema, domainSchema } from "./report.ts"

interface Published {
  readonly schema: z.ZodType
  /** Of what, for a list of them. */
  readonly of: string
}

/** What every command but `ctl` prints with `--json` when there is nothing else to print. */
export const mistakeSchema = z.object({
  error: z.string(),
  exit: z.number().int().describe("64 and above: called in a wrong way; 2 and 3: it could not be done, or not be told"),
  file: z.string().optional().describe("judge: which file"),
  problems: z
    .array(z.object({ place: z.string(), setting: z.string().optional(), sentence: z.string() }))
    .optional()
    .describe("what is wrong with a configuration, and where"),
})

export const schemas = {
  check: { schema: checkSchema, of: "check --json" },
  "check-line": { schema: domainSchema, of: "a line of check --jsonl" },
  watch: { schema: changeSchema, of: "a line of watch --jsonl, what --webhook gets and --exec reads" },
  explain: { schema: explainSchema, of: "explain --json" },
  judge: { schema: judgementSchema, of: "judge --json" },
  evidence: { schema: evidenceFileSchema, of: "an evidence file" },
  posh: { schema: poshSchema, of: "posh --json" },
  "posh-verify": { schema: poshVerifySchema, of: "posh verify --json" },
  tlsa: { schema: tlsaSchema, of: "tlsa --json" },
  "tlsa-rollover": { schema: rolloverSchema, of: "tlsa rollover --json" },
  dns: { schema: dnsSchema, of: "dns --json" },
  lab: { schema: labReportSchema, of: "lab --json" },
  "lab-list": { schema: labListSchema, of: "lab --list --json" },
  "ctl-status": { schema: ctlAnswers.status, of: "ctl status --json" },
  "ctl-ready": { schema: ctlAnswers.ready, of: "ctl ready --json" },
  "ctl-domains": { schema: ctlAnswers.domains, of: "ctl domains --json" },
  "ctl-certs": { schema: ctlAnswers.certs, of: "ctl certs --json" },
  "ctl-components": { schema: ctlAnswers.components, of: "ctl components --json" },
  "ctl-streams": { schema: ctlAnswers["s2s.show"], of: "ctl s2s show --json" },
  "ctl-domain": { schema: ctlAnswers["domain.set"], of: "ctl domain add, set, suspend, resume or remove --json" },
  "ctl-domain-abandon": { schema: ctlAnswers["domain.abandon"], of: "ctl domain abandon --json" },
  "ctl-reload": { schema: ctlAnswers.reload, of: "ctl reload --json" },
  "ctl-drain": { schema: ctlAnswers.drain, of: "ctl drain --json" },
  "ctl-refused": { schema: ctlRefusedSchema, of: "what ctl --json prints instead" },
  mistake: { schema: mistakeSchema, of: "what --json prints instead, above all when an argument is wrong" },
  config: { schema: configSchema, of: "the configuration of the gateway" },
  include: { schema: includeSchema, of: "a tenant's file in the configuration's include folder" },
} as const satisfies Record<string, Published>

export type SchemaName = keyof typeof schemas

/** Rises when a member is removed or changes its meaning. */
const version = 1

/** What is written and read, not what code makes of it: the form before any transformation. */
export function jsonSchema(name: SchemaName): Readonly<Record<string, unknown>> {
  const { schema, of } = schemas[name]
  const { $schema, ...rest } = z.toJSONSchema(schema, { io: "input", unrepresentable: "throw" })
  return { $schema, $id: `urn:xmpp-dna:schema:${name}:${version}`, title: `xmpp-dna: ${of}`, ...rest }
}
