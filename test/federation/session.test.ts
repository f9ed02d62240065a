// An accepted stream while it changes from negotiating to serving (RFC 6120 4.4).
import assert from "node:assert/strict"
import { test } from "node:test"
import { ClaimGuard } from "../../src/federation/claim-guard.ts"
import type { Federation, IncomingHooks } from "../../src/federation/contract.ts"
import { PushStream } from "../../src/federation/push-stream.ts"
import { IncomingSession, SessionClosed } from "../../src/federation/session.ts"
import { ns } from "../../src/model/namespaces.ts"
import type { Channel } from "../../src/ports.ts"
import { ManualClock } from "../world/clock.ts"

/** A session and the stream that it is about to serve, with what was written on it. */
function negotiated() {
  const clock = new ManualClock()
  const written: string[] = []
  const place = { address: "127.0.0.1", port: 1 }
  const channel: Channel = {
    remote: place,
    local: place,
    backlog: 0,
    write: (bytes) => written.push(Buffer.from(bytes).toString()) > 0,
    pause: () => {},
    resume: () => {},
    attach: () => {},
    release: () => {},
    end: () => {},
    destroy: () => {},
  }
  const random = { bytes: (count: number) => new Uint8Array(count), fraction: () => 0 }
  const federation = { ports: { clock, random }, claims: new ClaimGuard(clock), event: () => {} } as unknown as Federation
  const session = new IncomingSession(federation, channel, {} as IncomingHooks)
  const push = new PushStream(
    { channel, unread: Buffer.alloc(0), scope: [["", ns.server], ["stream", ns.streams]], rootName: "stream:stream", lang: "" },
    { stanza: () => {}, element: () => {}, flushed: () => {}, drain: () => {} },
    { content: ns.server, limits: { stanza: 65_536, unauthenticatedStanza: 65_536, depth: 10, pendingClaims: 100 }, clock, closing: 1000 },
  )
  return { clock, session, push, written }
}

test("what was closed while it negotiated is closed where it is served all the same", async () => {
  const { clock, session, push, written } = negotiated()
  const { aborted } = session
  session.close("system-shutdown")
  assert.ok(aborted.reason instanceof SessionClosed)
  session.serve(push)
  assert.match(written.join(""), /<system-shutdown .*<\/stream:stream>/s)
  await clock.advance(1000)
  assert.equal((await session.handle.closed).by, "us")
  assert.equal(session.over, true)
})

test("what waits on behalf of a stream that is served hears of its end, and what comes later as well", async () => {
  const { clock, session, push, written } = negotiated()
  const before = session.aborted
  session.serve(push)
  assert.deepEqual(written, [])
  const during = session.aborted
  session.close()
  await clock.advance(1000)
  await session.handle.closed
  assert.deepEqual([before, during, session.aborted].map(({ aborted }) => aborted), [false, true, true])
})
