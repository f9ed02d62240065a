// What must be so of each message, however the connections broke.
import assert from "node:assert/strict"
import { type Outcome, run, type Wires } from "./wires.ts"

function said({ body, delivered, bounces }: Outcome): string {
  return `${body} came ${delivered} times and bounced ${bounces.length} times ${bounces.join()}`
}

/** With acknowledgements: it came, or its sender was told; what is not known to have come may go once more, or bounce. */
export async function neverNone(drawn: Wires): Promise<void> {
  for (const outcome of await run({ ...drawn, management: true })) {
    const { delivered, bounces } = outcome
    assert.ok(delivered + bounces.length >= 1 && bounces.length <= 1 && delivered + bounces.length <= 2, said(outcome))
  }
}

/** Without them. */
export async function neverBoth(drawn: Wires): Promise<void> {
  for (const outcome of await run({ ...drawn, management: false })) assert.ok(outcome.delivered + outcome.bounces.length <= 1, said(outcome))
}

export async function exactlyOnce(drawn: Wires): Promise<void> {
  for (const outcome of await run(drawn)) assert.equal(outcome.delivered + outcome.bounces.length, 1, said(outcome))
}
