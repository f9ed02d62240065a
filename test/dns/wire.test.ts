// Names on the wire (RFC 1035 4.1.4): one that was read before is the same octets read again, and nothing else.
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { DnsFormatError } from "../../src/dns/name.ts"
import { WireReader } from "../../src/dns/wire.ts"

/** What a reader says of the name at its place, and where it stands then. */
function read(reader: WireReader): string {
  try {
    const { labels } = reader.name()
    return `${labels.map((label) => Buffer.from(label).toString("hex")).join(".")} ${reader.position}`
  } catch (error) {
    assert.ok(error instanceof DnsFormatError)
    return error.message
  }
}

test("attack: a pointer into the midst of a name, from where another leads to its start, is refused although that name was read", () => {
  // A label of two octets that are a pointer themselves.
  const reader = new WireReader(Uint8Array.from([2, 0xc0, 0, 0, 0xc0, 1]))
  assert.equal(read(reader), "c000 4")
  assert.throws(() => reader.name(), DnsFormatError)
})

test("names read one after another are what each is to a reader of its own", () => {
  const octet = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(0, 1, 2, 3) }, { weight: 3, arbitrary: fc.constant(0xc0) }, fc.integer({ min: 0, max: 40 }))
  let whole = 0
  fc.assert(
    fc.property(fc.array(octet, { minLength: 8, maxLength: 40 }), (octets) => {
      const bytes = Uint8Array.from(octets)
      const reader = new WireReader(bytes)
      for (let names = 0; names < 6 && reader.position < reader.end; names += 1) {
        const fresh = read(new WireReader(bytes, reader.position))
        const said = read(reader)
        assert.equal(said, fresh)
        whole += Number(/ \d+$/.test(said) && !said.includes("name"))
      }
    }),
    { numRuns: 5000 },
  )
  assert.ok(whole > 1000, `${whole} names`)
})
