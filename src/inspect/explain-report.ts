// What `explain` says of a text, as plain JSON: one zod schema, whose types whoever only writes or renders imports.
import { z } from "zod"

/** As in the catalogue; `hoster` is a word of reports alone. */
const party = z.enum(["you", "peer", "path", "resolver", "nobody"])

export const explainedFindingSchema = z.object({
  id: z.string(),
  severity: z.enum(["bad", "warn", "info", "unknown"]),
  party,
  sentence: z.string(),
  /** How it comes about, and what follows. */
  meaning: z.string(),
  /** What to do, or "nothing". */
  repair: z.string(),
  section: z.string(),
  /** What other servers write when they mean the same. */
  saidBy: z.array(z.object({ product: z.string(), says: z.string() })),
  /** Scenes of the lab in which it can be seen. */
  scenes: z.array(z.string()),
})

export const explainedSentenceSchema = z.object({
  /** The words it was known by; `*` stands for what changes. */
  says: z.string(),
  product: z.string(),
  versions: z.string(),
  /** In whose log it is seen, or by whom it is said. */
  seen: z.string(),
  means: z.string(),
  /** Seen from who has the line in the log. */
  party,
  action: z.string(),
})

export const explanationSchema = z.object({
  /** The text that was to be explained. */
  text: z.string(),
  known: z.boolean(),
  /** A sentence of another server; null where it is one of ours, or not known. */
  said: explainedSentenceSchema.nullable(),
  finding: explainedFindingSchema.nullable(),
  /** Ids of findings that have words in common with an unknown text, the nearest first. */
  nearest: z.array(z.string()),
})

export const explainSchema = z.object({
  schema: z.literal(1),
  /** The exit status of the command: 0, or 3 where something is not known. */
  exit: z.number().int(),
  explanations: z.array(explanationSchema),
})

export type ExplainReport = z.infer<typeof explainSchema>
export type Explanation = z.infer<typeof explanationSchema>
export type ExplainedFinding = z.infer<typeof explainedFindingSchema>
export type ExplainedSentence = z.infer<typeof explainedSentenceSchema>
