// Input in slices: order, what waits and what does not, and the end.
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { calmPartBytes, partBytes, sliceBytes, Slices } from "../../src/stream/slices.ts"
import { ManualClock } from "../world/clock.ts"

/** Octets of value `x` are elements; all others are stanzas. */
function reading(rest: (() => number) | undefined = () => 1, msOfPart = 0) {
  const clock = new ManualClock()
  const read: Buffer[] = []
  let worked = 0
  let paused = 0
  const slices: Slices = new Slices({
    clock: { after: (ms, act) => clock.after(ms, act), monotonic: () => clock.monotonic() + worked },
    read: (bytes) => {
      worked += msOfPart
      read.push(Buffer.from(bytes))
      for (const octet of bytes) if (octet === 0x78) slices.laborious()
    },
    pause: () => void (paused += 1),
    resume: () => void (paused -= 1),
    rest,
  })
  return { clock, slices, sizes: () => read.map(({ length }) => length), text: () => Buffer.concat(read).toString(), paused: () => paused }
}
const claims = (size: number): Buffer => Buffer.alloc(size, "x")
const stanzas = (size: number): Buffer => Buffer.alloc(size, "-")

test("ordinary stanzas never wait, and are read in larger parts once it is seen that they are ordinary", () => {
  const { slices, sizes, clock } = reading()
  for (let chunk = 0; chunk < 20; chunk += 1) slices.chunk(stanzas(65_536))
  assert.equal(sizes().reduce((sum, size) => sum + size, 0), 20 * 65_536)
  assert.equal(sizes().at(-1), calmPartBytes)
  assert.equal(clock.pending, 0)
})

test("laborious elements: one slice a turn, the connection paused meanwhile, order kept", async () => {
  const { slices, sizes, clock, text, paused } = reading()
  slices.chunk(claims(3 * sliceBytes))
  slices.chunk(stanzas(10))
  assert.deepEqual([text().length, paused()], [sliceBytes, 1], "the rest of the same turn waits")
  assert.equal(sizes()[0], partBytes)
  await clock.advance(1)
  assert.equal(text().length, 2 * sliceBytes)
  await clock.advance(10)
  assert.equal(text(), "x".repeat(3 * sliceBytes) + "-".repeat(10))
  assert.deepEqual([paused(), clock.pending], [0, 0])
})

test("slices are as far apart as is asked for at the moment", async () => {
  let rest = 10
  const { slices, text, clock } = reading(() => rest)
  slices.chunk(claims(3 * sliceBytes))
  await clock.advance(9)
  assert.equal(text().length, sliceBytes)
  rest = 1
  await clock.advance(1)
  assert.equal(text().length, 2 * sliceBytes)
  await clock.advance(1)
  assert.equal(text().length, 3 * sliceBytes)
})

test("a slice is smaller where its elements take long", async () => {
  const { slices, sizes, clock } = reading(() => 1, 0.8)
  slices.chunk(claims(sliceBytes))
  assert.equal(sizes().length, 2)
  await clock.advance(1)
  assert.equal(sizes().length, 4)
  const slow = reading(() => 1, 100)
  slow.slices.chunk(stanzas(sliceBytes))
  assert.equal(slow.text().length, sliceBytes, "stanzas never wait")
})

test("with nothing against the peer slices are as long as others can bear", async () => {
  const { slices, sizes, clock } = reading(() => 0, 0.8)
  slices.chunk(claims(8 * partBytes))
  assert.equal(sizes().length, 5)
  await clock.advance(1)
  assert.equal(sizes().length, 8)
  await clock.advance(1)
  slices.chunk(claims(4 * partBytes))
  assert.equal(clock.pending, 0, "another turn")
  slices.chunk(claims(4 * partBytes))
  assert.deepEqual([sizes().length, clock.pending], [13, 1], "the same turn")
})

test("a few of them are no labour", () => {
  const { slices, clock } = reading(() => 1, 2)
  slices.chunk(claims(3))
  assert.equal(clock.pending, 0)
})

const disguised: readonly (readonly [how: string, chunks: readonly Buffer[]])[] = [
  ["padded", Array.from({ length: 16 }, () => Buffer.from(`x${"-".repeat(272)}`.repeat(15)))],
  ["in a record each", Array.from({ length: 400 }, () => claims(1))],
  ["behind many small chunks that are none", [...Array.from({ length: 64 }, () => stanzas(1)), claims(65_536)]],
  ["in every second part", Array.from({ length: 32 }, () => Buffer.from(`${"x".repeat(8)}${"-".repeat(2 * partBytes - 8)}`))],
]
for (const rest of [0, 1])
  for (const [how, chunks] of disguised)
    test(`attack: claims ${how} are laborious all the same${rest === 0 ? "" : ", where rests are asked for"}`, () => {
      const { slices, clock, sizes } = reading(() => rest, 0.25)
      for (const chunk of chunks) slices.chunk(chunk)
      assert.equal(clock.pending, 1)
      assert.ok(sizes().length <= (how.startsWith("behind") ? 64 : 0) + (rest === 0 ? 24 : 14), `${sizes().length} parts in one turn`)
    })

test("attack: whoever sends much that is ordinary first gets no more than one larger part", () => {
  const { slices, text } = reading()
  for (let n = 0; n < 40; n += 1) slices.chunk(stanzas(4096))
  slices.chunk(claims(65_536))
  assert.equal(text().length, 40 * 4096 + calmPartBytes)
})

test("claims that come now and then, and acknowledgements between stanzas, wait for nothing", () => {
  const { slices, clock } = reading(() => 1, 2)
  for (let n = 0; n < 200; n += 1) slices.chunk(Buffer.from(`${"-".repeat(1100)}x`))
  assert.equal(clock.pending, 0)
})

test("what is held is a copy: the channel uses its memory again", async () => {
  const { slices, clock, text } = reading()
  const [first, second] = [claims(2 * sliceBytes), stanzas(10)]
  slices.chunk(first)
  slices.chunk(second)
  first.fill("?")
  second.fill("?")
  await clock.advance(10)
  assert.equal(text(), "x".repeat(2 * sliceBytes) + "-".repeat(10))
})

test("the connection ends: what was read of it is heard; the stream ends: nothing more is", async () => {
  const lost = reading()
  lost.slices.chunk(claims(3 * sliceBytes))
  lost.slices.finish()
  assert.equal(lost.text().length, 3 * sliceBytes)
  assert.equal(lost.clock.pending, 0)
  const over = reading()
  over.slices.chunk(claims(3 * sliceBytes))
  over.slices.stop()
  over.slices.chunk(claims(1))
  await over.clock.advance(10)
  assert.equal(over.text().length, sliceBytes)
  assert.equal(over.clock.pending, 0)
})

test("nothing is lost, doubled or out of order, however it comes", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.nat(3 * sliceBytes), fc.boolean(), fc.nat(2)), { maxLength: 12 }), async (chunks) => {
      const { slices, text, clock, paused } = reading()
      let sent = ""
      for (const [size, laborious, wait] of chunks) {
        const bytes = laborious ? claims(size) : stanzas(size)
        sent += bytes.toString()
        slices.chunk(bytes)
        await clock.advance(wait)
      }
      await clock.advance(200)
      assert.equal(text() === sent, true)
      assert.deepEqual([paused(), clock.pending], [0, 0])
    }),
    { numRuns: 60 },
  )
})
