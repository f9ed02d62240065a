// What all outlets keep together, and those of one peer: everybody has a part, and nobody waits for another's answer (SM-7).
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"

import { Outlet } from "../../src/stream/outlet.ts"
import { RetainedLoad, type Retention } from "../../src/stream/retention.ts"
import { asked, keep, LateChannel, put } from "./retention-support.ts"

describe("what outlets retain together", () => {
  test("the outlets of a peer share one bound, and each goes on by its own acknowledgements", () => {
    const load = new RetainedLoad(10)
    const [one, two] = [new Outlet({ limit: 100 }), new Outlet({ limit: 100 })]
    const [first, second] = [new LateChannel(), new LateChannel()]
    const part = load.part("peer")
    one.attach(first, keep(100, part))
    two.attach(second, keep(100, load.part("peer")))
    put(one, "<aaaaaaaaa/>")
    one.flush()
    assert.deepEqual([load.bytes, part.full], [12, true])
    put(two, "<b/>")
    two.flush()
    put(two, "<c/>")
    two.flush()
    assert.equal(second.read(), "<b/>")
    one.acknowledge(1)
    assert.equal(load.bytes, 4)
    two.acknowledge(1)
    assert.equal(second.read(), "<c/>")
    two.detach()
    assert.equal(load.bytes, 0)
  })

  test("an outlet that is held back by others of its peer asks for its own acknowledgement, once", () => {
    const load = new RetainedLoad(1 << 20, 40_000)
    const [one, two] = [new Outlet({ limit: 1 << 20 }), new Outlet({ limit: 1 << 20 })]
    const [slow, silent] = [new LateChannel(1), new LateChannel()]
    let owed = false
    const asking: Retention = {
      limit: 1 << 20,
      load: load.part("peer"),
      request: (pausing) => {
        if (!pausing || owed) return undefined
        owed = true
        return asked
      },
    }
    one.attach(slow, asking)
    two.attach(silent, keep(1 << 20, load.part("peer")))
    for (let n = 0; n < 70; n += 1) put(one, "x".repeat(1000))
    one.flush()
    assert.ok(one.unsent > 0 && !slow.read().includes("<r/>"), "the channel is busy, and there is room as yet")
    put(two, "y".repeat(50_000))
    two.flush()
    one.drained()
    assert.equal(slow.read(), "<r/>", "or nobody would ever say that it may go on")
    one.drained()
    assert.equal(slow.read(), "")
    one.acknowledge(one.unacknowledged)
    one.drained()
    assert.match(slow.read(), /^x+/)
  })

  test("who acknowledges nothing, on however many streams, takes from nobody what is his", () => {
    const written = (parted: boolean): { readonly silent: number; readonly honest: number; readonly kept: number } => {
      const load = new RetainedLoad(1000, 600)
      // In one part for all, as if there were none.
      const part = (peer: string) => load.part(parted ? peer : "all")
      const outlets = (peer: string, count: number) =>
        Array.from({ length: count }, () => {
          const outlet = new Outlet({ limit: 100_000 })
          outlet.attach(new LateChannel(), keep(200, part(peer)))
          return outlet
        })
      const say = (outlet: Outlet): void => {
        put(outlet, "<123456789/>")
        outlet.flush()
      }
      const [silent, others, [honest]] = [outlets("silent", 20), outlets("others", 20), outlets("honest", 1)]
      for (let turn = 0; turn < 100; turn += 1) for (const outlet of [...silent, ...others]) say(outlet)
      for (let turn = 0; turn < 10; turn += 1) say(honest!)
      const sum = (each: readonly Outlet[]): number => each.reduce((all, { written }) => all + written, 0)
      return { silent: sum(silent), honest: honest!.written, kept: load.bytes }
    }
    // Twelve octets each; one write of each outlet is always let through.
    assert.deepEqual(written(false).honest, 1)
    const { silent, honest, kept } = written(true)
    assert.equal(honest, 10)
    assert.ok(silent <= 600 / 12 + 20, `${silent} written to who is silent`)
    assert.ok(kept <= 1000 * (1 + 1 / 2 + 1 / 3) + 41 * 12, `${kept} octets kept`)
  })

  test("property: the sum stays bounded, and nobody below an even share is held back", () => {
    const step = fc.record({ peer: fc.integer({ min: 0, max: 9 }), keep: fc.boolean() })
    const harmonic = Array.from({ length: 10 }, (_, each) => 1 / (each + 1)).reduce((sum, share) => sum + share, 0)
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400, size: "max" }), fc.integer({ min: 20, max: 100 }), (steps, limitOfPart) => {
        const load = new RetainedLoad(100, limitOfPart)
        const parts = Array.from({ length: 10 }, (_, peer) => load.part(`${peer}`))
        const kept = parts.map(() => 0)
        for (const { peer, keep: more } of steps) {
          const part = parts[peer]!
          if (more && part.full) assert.ok(kept[peer]! >= Math.min(limitOfPart, 100 / kept.filter((each) => each > 0).length))
          const change = more ? (part.full ? 0 : 5) : -kept[peer]!
          kept[peer]! += change
          part.change(change)
          assert.equal(load.bytes, kept.reduce((sum, each) => sum + each, 0))
          assert.ok(kept[peer]! < limitOfPart + 5)
          // Who fills his part when n hold something gets a share of 1/n: the sum of those.
          assert.ok(load.bytes <= 100 * harmonic + 5 * 10)
        }
      }),
    )
  })
})
