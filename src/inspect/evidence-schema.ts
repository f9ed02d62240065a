// Evidence files and what `judge` says of them, as zod schemas (security.md 25). Whoever judges reads a file by rules of its own, which
// bound it before it is parsed; this is for others who write or read such files.
import { z } from "zod"

const time = z.iso.datetime({ precision: 3 }).describe("RFC 3339, UTC")
const pair = z.object({ sender: z.string(), target: z.string() }).describe("who sends to whom, in this direction of the stream")
const base64 = z.base64()

export const verdictSchema = z.discriminatedUnion("outcome", [
  z.object({
    outcome: z.literal("proved"),
    by: z.string().describe("the prooftype"),
    detail: z.string(),
    until: z.number().nullable().describe("milliseconds since 1970; null: without an end of its own"),
  }),
  z.object({
    outcome: z.enum(["refuted", "absent", "unavailable"]).describe("unavailable: it could not be found out, which is never absent"),
    by: z.string(),
    finding: z.string().describe("id in the catalogue"),
    detail: z.string(),
  }),
])

const evidence = z.object({
  version: z.literal(1),
  prooftype: z.string(),
  role: z.enum(["outgoing", "incoming"]).describe("outgoing: the recorder connected to the source domain"),
  pair,
  reference: z
    .object({
      source: z.string(),
      service: z.enum(["xmpp-server", "xmpp-client"]),
      accept: z.array(z.object({ type: z.enum(["DNS-ID", "SRV-ID", "XmppAddr"]), value: z.string(), because: z.enum(["source", "secure-delegation"]) })),
    })
    .describe("shown; whoever judges computes it again"),
  proof: z.object({
    chain: z.array(base64).describe("certificates as presented, leaf first, DER"),
    presented: z.unknown().optional().describe("what a prooftype that is not about certificates was shown"),
    presentedAs: z.enum(["tls-server", "tls-client"]),
    protocol: z.string(),
    cipher: z.string(),
    serverName: z.string().nullable(),
    alpn: z.string().nullable(),
  }),
  material: z.unknown().describe("what the prooftype obtained, in a form of its own"),
  at: time,
  verdict: verdictSchema,
})

export const evidenceFileSchema = z.object({
  evidence: z.literal(1),
  tool: z.object({ name: z.literal("xmpp-dna"), version: z.string() }),
  recorded: time,
  direction: z.enum(["in", "out"]),
  pair,
  decision: z.enum(["associated", "refused"]),
  level: z.string().nullable(),
  finding: z.string().nullable(),
  sentence: z.string(),
  items: z.array(evidence),
  seal: z
    .object({ key: z.string().describe("ed25519: and the 32 octets of the public key in Base64"), signature: base64 })
    .optional()
    .describe("an Ed25519 signature over the canonical form of the rest"),
})

const fact = z.object({ fact: z.string(), mark: z.enum(["signed", "attested"]).describe("attested: one has the recorder's word for it") })

export const judgementSchema = z.object({
  file: z.string(),
  items: z.array(
    z.object({
      prooftype: z.string(),
      source: z.string(),
      at: time.describe("the moment it was judged for"),
      recorded: verdictSchema,
      now: verdictSchema.optional().describe("missing where it cannot be judged"),
      result: z.enum(["same", "different", "cannot-judge"]),
      from: time.nullable().describe("since when it would have proved so, where it would"),
      facts: z.array(fact),
      claim: z.string(),
      sentence: z.string(),
    }),
  ),
  decision: z.object({ result: z.enum(["supported", "contradicted", "not-judged"]), sentence: z.string() }),
  sealed: z.boolean(),
  seal: z.object({ state: z.string(), key: z.string().nullable(), sentence: z.string() }),
  exit: z.number().int(),
  recorded: z.object({ decision: z.enum(["associated", "refused"]), level: z.string().nullable() }),
})
