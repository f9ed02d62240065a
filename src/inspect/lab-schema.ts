// What `lab --json` and `lab --list --json` print, as zod schemas.
import { z } from "zod"

const ends = z.record(z.string(), z.unknown()).describe("by `sender -> receiver`, or by domain")

const scene = {
  id: z.string(),
  section: z.string().describe("of the RFC or XEP it shows"),
  title: z.string(),
  expected: ends,
}

export const labReportSchema = z.object({
  scenes: z.array(
    z.object({
      ...scene,
      ok: z.boolean(),
      got: ends.describe("what happened, by both ends' own events and evidence"),
      ms: z.number().int().nonnegative(),
      broken: z.string().optional().describe("why it could not be played to its end"),
    }),
  ),
})

const seen = z.object({
  exit: z.number().int(),
  level: z.enum(["none", "permissive", "verified", "encrypted", "authenticated"]).nullable(),
  findings: z.array(z.string()).describe("severity and id"),
})

export const labListSchema = z.object({
  scenes: z.array(
    z.object({
      ...scene,
      kind: z.enum(["scene", "exhibit"]).describe("a scene is played; an exhibit stands there to be checked"),
      check: z.record(z.string(), seen).describe("what `check` finds, by domain"),
    }),
  ),
})
