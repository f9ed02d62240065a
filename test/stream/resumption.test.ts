// Resumption: counters go on, associations never do (XEP-0198 5; SM-6, SM-7; security.md 12); and two sides over a wire that breaks.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"

import { ns } from "../../src/model/namespaces.ts"
import { Outlet } from "../../src/stream/outlet.ts"
import type { ResumableSessions, SessionBinding } from "../../src/stream/resumable-sessions.ts"
import { RetainedLoad } from "../../src/stream/retention.ts"
import { type FormerStream, type ManagementEvent, StreamManagement } from "../../src/stream/stream-management.ts"
import { parsed, peer, refuses, type Side, side, sm, stanzas, store, Time } from "./management-support.ts"

/** An initiating and a receiving side, whose elements go from one to the other by hand. */
function couple(time: Time, sessions: ResumableSessions, binding = peer, supersede = () => {}) {
  return {
    near: side("initiating", { time }),
    far: side("receiving", { time, sessions: { store: sessions, binding: () => binding, supersede } }),
  }
}

function enabled(time: Time, sessions: ResumableSessions) {
  const both = couple(time, sessions)
  both.near.management.enable()
  both.far.hear(both.near.wire())
  both.near.hear(both.far.wire())
  return both
}

/** A further stream that asks to go on with `former`; its outlet is attached when it knows. */
function resuming(time: Time, former: FormerStream): Side & { readonly next: StreamManagement } {
  const said: string[] = []
  const events: ManagementEvent[] = []
  let written = ""
  const next = new StreamManagement({
    role: "initiating",
    clock: time,
    send(xml) {
      said.push(xml)
      written += xml
    },
    authenticated: () => true,
    retained: { limit: 1 << 20 },
    resumable: 60,
    event: (event) => events.push(event),
  })
  next.resume(former)
  return {
    management: next,
    next,
    outlet: new Outlet({ limit: 1 << 20 }),
    said,
    events,
    time,
    wire() {
      const text = written
      written = ""
      return text
    },
    hear(xml) {
      for (const element of parsed(xml)) next.element(element)
      next.flushed()
    },
  }
}

describe("resumption", () => {
  test("counters go on, and say what had arrived", () => {
    const time = new Time()
    const sessions = store(time)
    const { near, far } = enabled(time, sessions)
    stanzas(near, 3)
    stanzas(far, 2)
    far.hear("<message/><message/>")
    near.hear("<message/>")
    const former = near.management.over(true)!
    assert.equal(far.management.over(true), undefined)
    assert.deepEqual([former.handled, former.acknowledged, former.unacknowledged, former.within], [1, 0, 3, 60_000])
    const again = resuming(time, former)
    assert.throws(() => again.next.carry(again.outlet), /before the stream is resumed/)
    const other = couple(time, sessions).far
    const request = again.wire()
    assert.equal(request, `<resume ${sm} previd='${former.id}' h='1'/>`)
    other.hear(request)
    const answer = other.wire()
    assert.equal(answer, `<resumed ${sm} previd='${former.id}' h='2'/>`)
    assert.deepEqual(other.events, [{ kind: "resumed", arrived: 1 }])
    again.hear(answer)
    assert.deepEqual(again.events, [{ kind: "resumed", arrived: 2 }])
    assert.deepEqual([again.next.handled, other.management.handled], [1, 2])
    // And may be lost and resumed once more, under the same name.
    assert.equal(again.next.over(true)?.id, former.id)
  })

  test("a stream that still lives is ended by the one that goes on with it", () => {
    const time = new Time()
    const sessions = store(time)
    let ended = 0
    const { near, far } = couple(time, sessions, peer, () => {
      ended += 1
      // Its owner tells it that it is over; the session is another stream's by then.
      far.management.over(false)
    })
    near.management.enable()
    far.hear(near.wire())
    near.hear(far.wire())
    far.hear("<message/>")
    const again = resuming(time, near.management.over(true)!)
    const other = couple(time, sessions).far
    other.hear(again.wire())
    assert.equal(ended, 1)
    far.hear(`<message/><r ${sm}/>`)
    assert.deepEqual([far.management.handled, far.said.length], [1, 1])
    assert.match(other.wire(), /<resumed .* h='1'\/>/)
    assert.equal(sessions.size, 1)
  })

  const refusals: [string, (time: Time, id: string) => { binding?: SessionBinding; id?: string }][] = [
    ["another domain", () => ({ binding: { ...peer, from: "mallory.example" } })],
    ["another domain of ours", () => ({ binding: { ...peer, to: "c.example" } })],
    ["another certificate", () => ({ binding: { ...peer, leaf: "bb" } })],
    ["no certificate", () => ({ binding: { ...peer, leaf: undefined } })],
    ["another name", (_time, id) => ({ id: `${id}x` })],
    [
      "too late",
      (time) => {
        time.pass(60_000)
        return {}
      },
    ],
  ]
  for (const [name, change] of refusals) {
    test(`refused: ${name} (SM-6)`, () => {
      const time = new Time()
      const sessions = store(time)
      const { near, far } = enabled(time, sessions)
      stanzas(near, 1)
      const former = near.management.over(true)!
      far.management.over(true)
      const { binding = peer, id = former.id } = change(time, former.id)
      const again = resuming(time, { ...former, id })
      const other = couple(time, sessions, binding).far
      other.hear(again.wire())
      const answer = other.wire()
      assert.equal(answer, `<failed ${sm}><item-not-found xmlns='${ns.stanzaErrors}'/></failed>`)
      again.hear(answer)
      assert.deepEqual(again.events, [{ kind: "not-resumed", condition: "item-not-found", arrived: undefined }])
      // It may begin anew, at zero.
      again.next.enable()
      other.hear(again.wire())
      assert.match(other.wire(), /<enabled /)
      assert.equal(other.management.handled, 0)
    })
  }

  test("a stranger who knows a session's name does not end the stream that has it (security.md 12)", () => {
    const time = new Time()
    const sessions = store(time)
    const { far } = couple(time, sessions, peer, () => assert.fail("ended"))
    far.hear(`<enable ${sm} resume='1'/>`)
    const id = /id='([^']+)'/.exec(far.wire())![1]!
    const stranger = couple(time, sessions, { ...peer, from: "mallory.example" }).far
    stranger.hear(`<resume ${sm} previd='${id}' h='0'/>`)
    assert.match(stranger.wire(), /item-not-found/)
    far.hear("<message/>")
    assert.equal(far.management.handled, 1)
  })

  test("with more than was sent, or with another session's name in the answer", () => {
    const time = new Time()
    const sessions = store(time)
    const { near, far } = enabled(time, sessions)
    stanzas(near, 2)
    stanzas(far, 1)
    const former = near.management.over(true)!
    far.management.over(true)
    const other = couple(time, sessions).far
    assert.throws(() => other.hear(`<resume ${sm} previd='${former.id}' h='2'/>`), refuses("undefined-condition"))
    other.management.over(false)
    assert.equal(sessions.size, 0)
    assert.throws(() => resuming(time, former).hear(`<resumed ${sm} previd='${former.id}' h='3'/>`), refuses("undefined-condition"))
    assert.throws(() => resuming(time, former).hear(`<resumed ${sm} previd='other' h='1'/>`), refuses("bad-format"))
  })

  test("a failure may still say how far the peer got; a count it cannot have is no count", () => {
    const time = new Time()
    const { near } = enabled(time, store(time))
    stanzas(near, 2)
    const former = near.management.over(true)!
    const failed = (h: string) => {
      const again = resuming(time, former)
      again.hear(`<failed ${sm} h='${h}'><item-not-found xmlns='${ns.stanzaErrors}'/></failed>`)
      return again.events
    }
    assert.deepEqual(failed("1"), [{ kind: "not-resumed", condition: "item-not-found", arrived: 1 }])
    assert.deepEqual(failed("3"), [{ kind: "not-resumed", condition: "item-not-found", arrived: undefined }])
  })

  test("a stream that is lost while it resumes another leaves that as it was; one that is closed leaves nothing", () => {
    const time = new Time()
    const { near } = enabled(time, store(time))
    const former = near.management.over(true)!
    assert.equal(resuming(time, former).next.over(true), former)
    assert.equal(resuming(time, former).next.over(false), undefined)
    const closed = enabled(time, store(time))
    assert.equal(closed.near.management.over(false), undefined)
  })

  test("names are long and random; the peer's wish for a shorter time is heard", () => {
    const time = new Time()
    const sessions = store(time, { sessions: 100, alike: 100 })
    const ids = new Set<string>()
    for (let index = 0; index < 50; index += 1) {
      const { far } = couple(time, sessions)
      far.hear(`<enable ${sm} resume='true' max='${index === 0 ? 5 : 9999}'/>`)
      const said = far.wire()
      assert.match(said, index === 0 ? /max='5'/ : /max='60'/)
      ids.add(/id='([A-Za-z0-9_-]{22})'/.exec(said)![1]!)
    }
    assert.equal(ids.size, 50)
  })

  test("sessions are bounded: the oldest of the same peer goes, that of another never", () => {
    const time = new Time()
    const sessions = store(time, { sessions: 3, alike: 2 })
    const open = (from: string) => sessions.open({ ...peer, from }, () => ({ handled: 0, acknowledged: 0, unacknowledged: 0 }))
    const first = open("a.example")!
    const second = open("a.example")!
    const third = open("a.example")!
    assert.equal(sessions.resume(first, peer, () => assert.fail()), undefined)
    assert.ok(open("x.example") !== undefined)
    assert.equal(open("y.example"), undefined)
    assert.equal(sessions.size, 3)
    sessions.park(second, { handled: 7, acknowledged: 0, unacknowledged: 0 }, 1000)
    time.pass(1000)
    assert.ok(open("y.example") !== undefined)
    assert.equal(sessions.resume(second, peer, () => assert.fail()), undefined)
    assert.ok(sessions.resume(third, peer, () => assert.fail()) !== undefined)
  })
})

test("property: two sides over a wire that breaks anywhere: resumed, every stanza arrives once and in order; else it arrives once or comes back", () => {
  const step = fc.record({
    do: fc.oneof({ weight: 5, arbitrary: fc.constant("send") }, { weight: 5, arbitrary: fc.constant("carry") }, { weight: 2, arbitrary: fc.constant("time") }, { weight: 1, arbitrary: fc.constant("break") }),
    count: fc.integer({ min: 1, max: 8 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150, size: "max" }), fc.boolean(), fc.integer({ min: 20, max: 2000 }), (steps, resumable, limit) => {
      const time = new Time()
      const sessions = store(time)
      const load = new RetainedLoad(1 << 20)
      const outlet = new Outlet({ limit: 1 << 20 })
      const arrived: number[] = []
      const returned = new Map<number, number>()
      let next = 0
      /** Elements under way, each direction. */
      let there: string[] = []
      let back: string[] = []
      let near!: StreamManagement
      let far!: StreamManagement
      let former: FormerStream | undefined
      let ready = false
      const split = (text: string): string[] => text.match(/<failed.*?<\/failed>|<[^>]*\/>/g) ?? []
      const connect = (): void => {
        there = []
        back = []
        ready = false
        const attach = (): void => {
          ready = true
          outlet.attach(
            {
              backlog: 0,
              write(bytes) {
                there.push(...split(Buffer.from(bytes).toString()))
                return true
              },
            },
            near.carry(outlet),
          )
        }
        const requeue = (count: number | undefined): void => {
          for (const taken of [...outlet.takeEverything(count)]) {
            const id = Number(/id='(\d+)'/.exec(taken.stanza.toString())![1])
            if (taken.writes === 2) returned.set(id, taken.writes)
            else outlet.appendTaken(taken)
          }
        }
        const common = { clock: time, authenticated: () => true, resumable: 60, retained: { limit, load: load.part("peer") } }
        near = new StreamManagement({
          ...common,
          role: "initiating",
          send: (xml) => there.push(...split(xml)),
          event(event) {
            if (event.kind === "resumed" || event.kind === "not-resumed") {
              requeue(event.arrived)
              if (event.kind === "not-resumed") near.enable()
              attach()
            }
          },
        })
        const mine = new StreamManagement({
          ...common,
          role: "receiving",
          send: (xml) => back.push(...split(xml)),
          sessions: { store: resumable ? sessions : store(time), binding: () => peer, supersede: () => mine.over(false) },
          event: () => undefined,
        })
        far = mine
        if (former !== undefined) near.resume(former)
        else {
          requeue(undefined)
          near.enable()
          attach()
        }
      }
      const carry = (count: number): void => {
        const hear = (elements: string[], management: StreamManagement, stanza: (xml: string) => void): void => {
          for (const xml of elements) {
            const [element] = parsed(xml)
            if (element!.ns === ns.sm) management.element(element!)
            else {
              stanza(xml)
              management.stanzaHandled()
            }
          }
          management.flushed()
        }
        hear(there.splice(0, count), far, (xml) => arrived.push(Number(/id='(\d+)'/.exec(xml)![1])))
        hear(back.splice(0, count), near, () => assert.fail("nothing comes back"))
      }
      connect()
      for (const { do: what, count } of steps) {
        if (what === "send") {
          for (let index = 0; index < count; index += 1) {
            assert.equal(outlet.appendText(`<message id='${next}'/>`), "queued")
            next += 1
          }
          outlet.flush()
        } else if (what === "carry") carry(count)
        else if (what === "time") time.pass(count * 10)
        // Before the peer has said that the stream can be resumed, it cannot.
        else if (!resumable || near.on || former !== undefined) {
          former = near.over(true)
          // The far side may not have noticed.
          if (count > 4) far.over(true)
          if (ready) outlet.detach()
          connect()
        }
      }
      for (let round = 0; round < 10_000 && (outlet.unacknowledged > 0 || outlet.unsent > 0 || !ready); round += 1) {
        carry(100)
        time.pass(50)
      }
      assert.deepEqual([outlet.unacknowledged, outlet.unsent, load.bytes], [0, 0, 0])
      const all = Array.from({ length: next }, (_, id) => id)
      if (resumable) {
        assert.deepEqual([arrived, returned.size], [all, 0])
      } else {
        const seen = new Set([...arrived, ...returned.keys()])
        assert.deepEqual([...seen].sort((a, b) => a - b), all)
        // Sent again once: no stanza arrives more than twice.
        for (const id of seen) assert.ok(arrived.filter((each) => each === id).length <= 2)
      }
    }),
    { numRuns: 200 },
  )
})
