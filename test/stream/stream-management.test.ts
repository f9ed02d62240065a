// Stream management by lists of events (XEP-0198; SM-1 to SM-5).
import assert from "node:assert/strict"
import { describe, test } from "node:test"

import { ProtocolError } from "../../src/model/errors.ts"
import { ns } from "../../src/model/namespaces.ts"
import { streamErrorXml, toldTo } from "../../src/stream/stream-errors.ts"
import { peer, refuses, side, sm, stanzas, store, Time } from "./management-support.ts"

describe("enabling", () => {
  test("the initiating side counts from its request on, and waits for nothing (SM-4)", () => {
    const one = side("initiating")
    stanzas(one, 2)
    one.management.enable()
    stanzas(one, 1)
    assert.equal(one.wire(), `<message/><message/><enable ${sm} resume='true' max='60'/><message/><r ${sm}/>`)
    one.hear(`<message/><enabled ${sm} id='x' resume='true' max='30'/><message/><r ${sm}/><message/>`)
    assert.deepEqual(one.events, [{ kind: "enabled", resumable: true }])
    // What came before the answer is not counted; one answer for the chunk.
    assert.equal(one.wire(), `<a ${sm} h='2'/>`)
    one.hear(`<a ${sm} h='1'/>`)
    assert.equal(one.outlet.unacknowledged, 0)
  })

  test("the receiving side counts behind its answer, also what was queued before", () => {
    const one = side("receiving")
    one.outlet.appendText("<presence/>")
    one.hear(`<message/><enable ${sm}/><message/>`)
    assert.equal(one.wire(), `<enabled ${sm}/>`)
    one.outlet.flush()
    assert.equal(one.wire(), `<presence/><r ${sm}/>`)
    assert.deepEqual([one.management.handled, one.outlet.unacknowledged], [1, 1])
    assert.deepEqual(one.events, [{ kind: "enabled", resumable: false }])
  })

  test("not before authentication, and not twice (SM-1, SM-2)", () => {
    let authenticated = false
    const one = side("receiving", { authenticated: () => authenticated })
    one.hear(`<enable ${sm}/>`)
    const refused = `<failed ${sm}><unexpected-request xmlns='${ns.stanzaErrors}'/></failed>`
    assert.equal(one.wire(), refused)
    assert.equal(one.management.on, false)
    one.hear(`<resume ${sm} previd='x' h='0'/>`)
    assert.equal(one.wire(), refused)
    authenticated = true
    one.hear(`<enable ${sm}/><enable ${sm}/>`)
    assert.equal(one.wire(), `<enabled ${sm}/>${refused}`)
    assert.throws(() => side("initiating", { authenticated: () => false }).management.enable(), /now/)
  })

  test("a refusal ends the counting, and the stream goes on without", () => {
    const one = side("initiating", { limit: 1 })
    one.management.enable()
    stanzas(one, 1)
    stanzas(one, 1)
    one.wire()
    one.hear(`<failed ${sm}><unexpected-request xmlns='${ns.stanzaErrors}'/></failed>`)
    assert.deepEqual(one.events, [{ kind: "failed", condition: "unexpected-request" }])
    assert.equal(one.wire(), "<message/>")
    assert.deepEqual([one.outlet.unacknowledged, one.outlet.unsent, one.time.timers.size], [0, 0, 0])
    assert.throws(() => one.management.enable(), /now/)
  })

  test("elements where they have no place end the stream", () => {
    const strange: [("initiating" | "receiving"), string][] = [
      ["receiving", "<r SM/>"],
      ["receiving", "<a SM h='0'/>"],
      ["receiving", "<enabled SM/>"],
      ["receiving", "<resumed SM previd='x' h='0'/>"],
      ["receiving", "<failed SM/>"],
      ["receiving", "<t SM/>"],
      ["initiating", "<enable SM/>"],
      ["initiating", "<resume SM previd='x' h='0'/>"],
      ["initiating", "<enabled SM/>"],
      ["initiating", "<resumed SM previd='x' h='0'/>"],
      ["initiating", "<failed SM/>"],
    ]
    for (const [role, xml] of strange) {
      assert.throws(() => side(role).hear(xml.replace("SM", sm)), refuses("unsupported-stanza-type"), `${role} ${xml}`)
    }
  })

  test("attributes of a wrong type end the stream", () => {
    const malformed = ["<a SM/>", "<a SM h=''/>", "<a SM h='-1'/>", "<a SM h='1.5'/>", "<a SM h=' 1'/>", "<a SM h='0x1'/>", "<a SM h='4294967296'/>", "<a SM h='00000000001'/>", "<enable SM resume='yes'/>", "<enable SM max='long'/>", "<resume SM h='0'/>", "<resume SM previd='' h='0'/>", "<resume SM previd='x'/>"]
    for (const xml of malformed) {
      const one = side("receiving")
      if (xml.startsWith("<a")) one.hear(`<enable ${sm}/>`)
      assert.throws(() => one.hear(xml.replace("SM", sm)), refuses("bad-format"), xml)
    }
  })
})

describe("answers and requests", () => {
  test("more than was sent, and less than before (SM-5)", () => {
    for (const [h, before] of [[4, 0], [1, 2]] as const) {
      const one = side("initiating")
      one.management.enable()
      stanzas(one, 3)
      one.hear(`<enabled ${sm}/><a ${sm} h='${before}'/>`)
      let thrown: unknown
      try {
        one.hear(`<a ${sm} h='${h}'/>`)
      } catch (error) {
        thrown = error
      }
      assert.ok(thrown instanceof ProtocolError)
      const { condition, tell, application } = toldTo(thrown)
      assert.equal(
        streamErrorXml(condition, tell, application),
        `<stream:error><undefined-condition xmlns='${ns.streamErrors}'/><handled-count-too-high ${sm} h='${h}' send-count='3'/></stream:error></stream:stream>`,
      )
      assert.equal(one.outlet.unacknowledged, 3 - before)
    }
  })

  test("counters go round at 2^32, on both sides (SM-3)", () => {
    const time = new Time()
    const sessions = store(time)
    const id = sessions.open(peer, () => assert.fail("not live"))!
    sessions.park(id, { handled: 2 ** 32 - 1, acknowledged: 2 ** 32 - 2, unacknowledged: 1 }, 1000)
    const one = side("receiving", { time, sessions: { store: sessions, binding: () => peer, supersede: () => undefined } })
    one.hear(`<resume ${sm} previd='${id}' h='${2 ** 32 - 1}'/><message/><message/><r ${sm}/>`)
    assert.equal(one.wire(), `<resumed ${sm} previd='${id}' h='${2 ** 32 - 1}'/><a ${sm} h='1'/>`)
    stanzas(one, 3)
    one.hear(`<a ${sm} h='0'/>`)
    assert.equal(one.outlet.unacknowledged, 2)
    one.hear(`<a ${sm} h='2'/>`)
    assert.equal(one.outlet.unacknowledged, 0)
    assert.throws(() => one.hear(`<a ${sm} h='${2 ** 32 - 1}'/>`), refuses("undefined-condition"))
  })

  test("one request at a time, at a pace, and none for nothing", () => {
    const one = side("initiating")
    one.management.enable()
    one.hear(`<enabled ${sm}/>`)
    one.wire()
    const r = `<r ${sm}/>`
    stanzas(one, 1)
    stanzas(one, 1)
    assert.equal(one.wire(), `<message/>${r}<message/>`)
    assert.equal(one.management.unansweredSince, 0)
    one.hear(`<a ${sm} h='1'/>`)
    assert.equal(one.management.unansweredSince, undefined)
    one.time.pass(20)
    stanzas(one, 1)
    assert.equal(one.wire(), "<message/>")
    // The second and third are asked for together, when the pace allows it.
    one.time.pass(29)
    assert.equal(one.wire(), "")
    one.time.pass(1)
    assert.equal(one.wire(), r)
    one.hear(`<a ${sm} h='3'/>`)
    one.time.pass(1000)
    assert.deepEqual([one.wire(), one.time.timers.size], ["", 0])
    stanzas(one, 1)
    assert.equal(one.wire(), `<message/>${r}`)
  })

  test("a full quarter of what may be retained is asked for at once, whatever was asked before", () => {
    const one = side("initiating", { limit: 400 })
    one.management.enable()
    one.hear(`<enabled ${sm}/>`)
    one.wire()
    const requests: number[] = []
    for (let index = 0; index < 45; index += 1) {
      stanzas(one, 1)
      if (one.wire().includes("<r ")) requests.push(index)
    }
    assert.deepEqual(requests, [0, 10, 20, 30])
    assert.deepEqual([one.outlet.unacknowledgedBytes, one.outlet.unsent], [400, 5])
    one.hear(`<a ${sm} h='40'/>`)
    assert.equal(one.outlet.unsent, 0)
  })

  test("before a stream is closed it is asked once more, and says how far it got", () => {
    const one = side("initiating")
    assert.equal(one.management.lastWords(), "")
    one.management.enable()
    one.hear(`<enabled ${sm}/><message/>`)
    one.wire()
    one.management.request()
    assert.equal(one.wire(), "")
    stanzas(one, 1)
    one.hear(`<a ${sm} h='1'/>`)
    stanzas(one, 1)
    assert.equal(one.wire(), `<message/><r ${sm}/><message/>`)
    one.management.request()
    assert.equal(one.wire(), `<r ${sm}/>`)
    assert.equal(one.management.lastWords(), `<a ${sm} h='1'/>`)
    one.management.over(false)
    assert.deepEqual([one.management.lastWords(), one.time.timers.size], ["", 0])
  })
})
