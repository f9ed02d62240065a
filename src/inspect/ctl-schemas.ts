// What `ctl --json` prints, which is what the admin socket answers, as zod schemas: one for each verb, and one for what is refused.
import { z } from "zod"
import type { AdminFailure, AdminVerb } from "../gateway/admin-protocol.ts"
import { reachedLevels } from "./report.ts"

const time = z.iso.datetime({ precision: 3 }).describe("RFC 3339, UTC")
const count = z.number().int().nonnegative()
const network = z.object({ address: z.string(), port: z.number().int() })
const place = z.union([network, z.object({ path: z.string().describe("of a Unix socket") })])

const answer = <Result extends z.ZodType>(result: Result) => z.object({ v: z.literal(1), ok: z.literal(true), result })

const certificate = { fingerprint: z.string().regex(/^[0-9a-f]{64}$/).describe("SHA-256 of the certificate"), from: time.describe("when it begins") }
const changed = {
  changes: z.array(z.string()).describe("as a reload prints them"),
  needRestart: z.array(z.string()).describe("settings that count from the next start on"),
  warnings: z.array(z.string()),
}

const status = z.object({
  version: z.string(),
  node: z.string().describe("the name of this gateway"),
  state: z.enum(["running", "draining", "closed"]),
  startedAt: time,
  domains: z.object({ served: count, suspended: count, withoutCertificate: count }),
  components: z.object({ attached: count, away: count }),
  streams: z.object({ in: count, out: count }),
  waitingStanzas: count,
  listening: z.object({
    s2s: z.array(network),
    directTls: z.array(network),
    components: z.array(place),
    posh: z.array(place),
    poshHttps: z.array(place),
    admin: z.object({ path: z.string() }).optional(),
  }),
  nearestExpiry: z.object({ name: z.string(), ends: time }).optional().describe("of a certificate that is shown"),
  lastReload: z.object({ at: time, ok: z.boolean() }).optional(),
})

const domains = z.object({
  domains: z.array(
    z.object({
      name: z.string(),
      state: z.enum(["served", "suspended"]),
      certificate: z.string().describe("`own`, `none`, or the name whose certificate is shown"),
      proofs: z
        .array(z.object({ prooftype: z.string(), outcome: z.enum(["proved", "refuted", "absent", "unavailable"]), detail: z.string() }))
        .optional()
        .describe("as peers judge it; not there until it was looked at"),
      component: z.enum(["up", "away"]),
      file: z.string(),
    }),
  ),
})

const certs = z.object({
  certificates: z.array(
    z.object({
      name: z.string(),
      onDisk: z.object(certificate).optional(),
      served: z.object({ ...certificate, ends: time, file: z.string() }).optional(),
      keyInDns: z.string().optional(),
      posh: z.string().optional(),
      heldUntil: time.optional().describe("until then the newer one on disk is not served"),
      because: z.string().optional(),
    }),
  ),
})

const components = z.object({
  components: z.array(z.object({ name: z.string(), session: z.string().optional().describe("not there: it is away"), address: z.string().optional() })),
})

const streams = z.object({
  streams: z.array(
    z.object({
      session: z.string(),
      direction: z.enum(["in", "out"]),
      host: z.string().describe("ours"),
      peer: z.string(),
      address: z.string(),
      tls: z.string().optional(),
      proof: z.string().describe("the prooftype that holds, or `dialback`"),
      level: z.enum(reachedLevels),
      since: time,
      until: time,
    }),
  ),
  more: count.describe("not shown, since there are too many"),
  without: z
    .array(z.object({ from: z.string(), to: z.string(), state: z.string(), waiting: count.describe("stanzas"), failures: count }))
    .describe("pairs without a stream for which stanzas wait or a failure is remembered"),
})

const edit = z.object({
  name: z.string(),
  file: z.string(),
  ...changed,
  removed: z.literal(true).optional().describe("the file held nothing else, and is gone"),
  secretFile: z.string().optional().describe("where a secret that was made lies"),
})

/** Of every verb. */
export const ctlAnswers = {
  status: answer(status),
  ready: answer(z.object({ ready: z.boolean(), reasons: z.array(z.string()).describe("why not") })),
  domains: answer(domains),
  certs: answer(certs),
  components: answer(components),
  "s2s.show": answer(streams),
  "domain.add": answer(edit),
  "domain.set": answer(edit),
  "domain.suspend": answer(edit),
  "domain.resume": answer(edit),
  "domain.remove": answer(edit),
  "domain.abandon": answer(z.object({ name: z.string() })),
  reload: answer(z.object(changed)),
  drain: answer(z.object({ draining: z.literal(true) })),
} as const satisfies Record<AdminVerb, z.ZodType>

/** `unavailable`: no gateway answers. */
const failures = ["request", "argument", "config", "busy", "stopping", "internal", "unavailable"] as const satisfies readonly (AdminFailure | "unavailable")[]

export const ctlRefusedSchema = z.object({
  v: z.literal(1),
  ok: z.literal(false),
  error: z.object({
    kind: z.enum(failures),
    problems: z.array(z.object({ place: z.string().optional().describe("file:line:column"), setting: z.string().optional(), sentence: z.string() })),
  }),
})
