// What outlives a stream: read from memory at once, written in the background, bounded, and kept when the disk fails.
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { StoreError } from "../../src/model/errors.ts"
import type { Store, StoreChange, StoreRecord } from "../../src/ports.ts"
import { Memory, type MemoryOptions } from "../../src/federation/memory.ts"
import { ManualClock, settle } from "../world/clock.ts"

class FakeStore implements Store {
  readonly found = { kind: "kept" } as const
  readonly place = "/var/lib/example/memory.sqlite"
  readonly batches: (readonly StoreChange[])[] = []
  readonly rows = new Map<string, StoreRecord>()
  broken = false
  closed = false
  records(): readonly StoreRecord[] {
    return [...this.rows.values()].reverse()
  }
  async write(changes: readonly StoreChange[]): Promise<void> {
    await settle()
    if (this.broken) throw new StoreError("failed", "no space left")
    this.batches.push(changes)
    for (const { kind, key, value } of changes) {
      this.rows.delete(`${kind} ${key}`)
      if (value !== undefined) this.rows.set(`${kind} ${key}`, { kind, key, value })
    }
  }
  async close(): Promise<void> {
    this.closed = true
  }
}

function build(more: Partial<MemoryOptions> = {}) {
  const clock = new ManualClock()
  const store = new FakeStore()
  const said: string[] = []
  const memory = new Memory({ clock, store, failed: ({ message }) => said.push(message), recovered: () => said.push("recovered"), ...more })
  return { clock, store, memory, said }
}

test("read at once, written together a second later, the last value of each entry", async () => {
  const { clock, store, memory } = build()
  for (let count = 0; count < 5; count += 1) memory.put("ratchet", "a.example", String(count))
  memory.put("abilities", "a.example", "x")
  memory.put("abilities", "b.example", "y")
  memory.remove("abilities", "b.example")
  memory.remove("abilities", "never there")
  assert.equal(memory.get("ratchet", "a.example"), "4")
  assert.equal(memory.get("abilities", "b.example"), undefined)
  assert.equal(store.batches.length, 0)
  await clock.advance(1000)
  await settle()
  assert.deepEqual(store.batches.map((batch) => batch.map(({ kind, key, value }) => [kind, key, value])), [
    [
      ["ratchet", "a.example", "4"],
      ["abilities", "a.example", "x"],
      ["abilities", "b.example", undefined],
    ],
  ])
  assert.equal(clock.pending, 0)
})

test("many changes leave in batches, between which others get their turn", async () => {
  const { clock, store, memory } = build()
  for (let count = 0; count < 1000; count += 1) memory.put("ratchet", `peer-${count}.example`, "1")
  await clock.advance(1000)
  await clock.advance(10)
  await clock.advance(10)
  await clock.advance(10)
  await settle()
  assert.deepEqual(store.batches.map(({ length }) => length), [256, 256, 256, 232])
})

test("a kind that is full takes no new key, and forgets none for it", () => {
  const { memory } = build({ capacity: { ratchet: 2, abilities: 1 } })
  assert.equal(memory.put("ratchet", "a.example", "1"), true)
  assert.equal(memory.put("ratchet", "b.example", "1"), true)
  assert.equal(memory.put("ratchet", "c.example", "1"), false)
  assert.equal(memory.put("ratchet", "a.example", "2"), true)
  assert.deepEqual([...memory.entries("ratchet")], [["b.example", "1"], ["a.example", "2"]])
  assert.equal(memory.put("abilities", "c.example", "1"), true)
  memory.remove("ratchet", "b.example")
  assert.equal(memory.put("ratchet", "c.example", "1"), true)
  assert.equal(memory.size("ratchet"), 2)
})

test("a disk that fails is told of once, is tried again, and costs nothing that is remembered", async () => {
  const { clock, store, memory, said } = build()
  store.broken = true
  memory.put("ratchet", "a.example", "1")
  await clock.advance(1000)
  await settle()
  memory.put("ratchet", "a.example", "2")
  memory.put("ratchet", "b.example", "1")
  await clock.advance(60_000)
  await settle()
  assert.deepEqual(said, ["no space left"])
  assert.equal(memory.get("ratchet", "a.example"), "2")
  store.broken = false
  await clock.advance(60_000)
  await settle()
  assert.deepEqual(said, ["no space left", "recovered"])
  assert.deepEqual([...store.rows.values()].map(({ key, value }) => [key, value]).sort(), [["a.example", "2"], ["b.example", "1"]])
})

test("closing writes what waits, once, and then nothing any more", async () => {
  const { clock, store, memory } = build()
  for (let count = 0; count < 300; count += 1) memory.put("ratchet", `peer-${count}.example`, "1")
  await memory.close()
  await memory.close()
  assert.equal(store.rows.size, 300)
  assert.equal(store.closed, true)
  memory.put("ratchet", "late.example", "1")
  assert.equal(clock.pending, 0)
})

test("without a store everything works, for as long as the process lasts", async () => {
  const clock = new ManualClock()
  const memory = new Memory({ clock })
  assert.deepEqual(memory.found, { kind: "none" })
  memory.put("ratchet", "a.example", "1")
  assert.equal(memory.get("ratchet", "a.example"), "1")
  assert.equal(clock.pending, 0)
  await memory.close()
})

test("an entry that is too long is a mistake of ours", () => {
  const { memory } = build()
  assert.throws(() => memory.put("ratchet", "a".repeat(2000), "1"), RangeError)
  assert.throws(() => memory.put("ratchet", "a.example", "1".repeat(10_000)), RangeError)
})

test("whatever happens in whatever order, the disk ends with what memory says, and the next start reads it in its order", async () => {
  const step = fc.record({
    act: fc.constantFrom("put", "remove", "wait", "break", "mend", "flush"),
    key: fc.constantFrom("a.example", "b.example", "c.example"),
    kind: fc.constantFrom("ratchet" as const, "abilities" as const),
    value: fc.nat(9),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const { clock, store, memory } = build()
      for (const { act, key, kind, value } of steps) {
        if (act === "put") memory.put(kind, key, String(value))
        else if (act === "remove") memory.remove(kind, key)
        else if (act === "wait") await clock.advance(700)
        else if (act === "flush") await memory.flush()
        else store.broken = act === "break"
      }
      store.broken = false
      await memory.close()
      const again = new Memory({ clock, store })
      for (const kind of ["ratchet", "abilities"] as const) assert.deepEqual(new Map(again.entries(kind)), new Map(memory.entries(kind)))
    }),
    { numRuns: 60 },
  )
})
