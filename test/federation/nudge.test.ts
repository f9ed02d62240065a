// The space behind our header: when a peer's session tickets ask for one (RFC 6120 11.7), and when not.
import assert from "node:assert/strict"
import { test } from "node:test"
import { Nudge } from "../../src/federation/nudge.ts"
import type { Channel, SecuredChannel } from "../../src/ports.ts"
import { ManualClock } from "../world/clock.ts"

function listening(): { clock: ManualClock; nudge: Nudge; ticket: (together: number) => void; written: () => string; heeded: () => boolean } {
  const clock = new ManualClock()
  const nudge = new Nudge(clock)
  let written = ""
  let heard: ((together: number) => void) | undefined
  const channel = { write: (bytes: Uint8Array) => (written += Buffer.from(bytes).toString()) !== "" } as unknown as Channel
  const secured = {
    channel,
    tickets: (hear: (together: number) => void) => {
      heard = hear
      return () => void (heard = undefined)
    },
  } as unknown as SecuredChannel
  nudge.listen(secured)
  return { clock, nudge, ticket: (together) => heard?.(together), written: () => written, heeded: () => heard !== undefined }
}

test("one ticket alone: the peer waits for its acknowledgement, which goes out at once", () => {
  const { nudge, ticket, written } = listening()
  assert.equal(written(), "", "nothing before a ticket: it would acknowledge nothing")
  assert.equal(nudge.sent, false)
  ticket(1)
  assert.equal(written(), " ")
  assert.equal(nudge.sent, true)
  nudge.over()
})

test("the second ticket alone holds the answer back as the first did; more than two spaces no peer gets", () => {
  const { nudge, ticket, written } = listening()
  for (let count = 0; count < 5; count += 1) ticket(1)
  assert.equal(written(), "  ")
  nudge.over()
})

test("all tickets together: a space only where no answer follows soon", async () => {
  const prompt = listening()
  prompt.ticket(2)
  await prompt.clock.advance(1)
  prompt.nudge.over()
  await prompt.clock.advance(100)
  assert.equal(prompt.written(), "")
  const slow = listening()
  slow.ticket(2)
  await slow.clock.advance(3)
  assert.equal(slow.written(), " ")
  slow.nudge.over()
})

test("once the answer is there nothing is listened for, and nothing is sent", () => {
  const { nudge, ticket, written, heeded } = listening()
  nudge.over()
  assert.equal(heeded(), false)
  ticket(1)
  assert.equal(written(), "")
})

test("a platform that tells nothing of tickets: no space", () => {
  const nudge = new Nudge(new ManualClock())
  nudge.listen({ channel: {} as Channel } as SecuredChannel)
  nudge.over()
  assert.equal(nudge.sent, false)
})
