// Hostile bytes for the DER reader and the certificate parser (X.690): edits of a good encoding, and elements nested at random.

import { Buffer } from "node:buffer"
import fc from "fast-check"
import * as der from "../../src/lab/der-writer.ts"

/** One to four octets of an encoding changed, cut out or put in. */
export function edited(encoded: Buffer): fc.Arbitrary<Buffer> {
  const edit = fc.record({
    at: fc.nat({ max: encoded.length - 1 }),
    value: fc.nat({ max: 255 }),
    kind: fc.constantFrom("set", "cut", "insert"),
  })
  return fc.array(edit, { minLength: 1, maxLength: 4 }).map((edits) => {
    let result = Buffer.from(encoded)
    for (const { at, value, kind } of edits) {
      const place = at % Math.max(1, result.length)
      if (kind === "set") result[place] = value
      else if (kind === "cut") result = Buffer.concat([result.subarray(0, place), result.subarray(place + 1)])
      else result = Buffer.concat([result.subarray(0, place), Buffer.of(value), result.subarray(place)])
    }
    return result
  })
}

const tag = fc.constantFrom(0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x16, 0x17, 0x30, 0x31, 0xa0, 0xa3, 0x82)

/** Well-formed elements in each other, of the tags that certificates use. */
export const nested: fc.Arbitrary<Buffer> = fc.letrec<{ node: Buffer }>((tie) => ({
  node: fc.oneof(
    { depthSize: "small" },
    fc.tuple(tag, fc.uint8Array({ maxLength: 12 })).map(([id, contents]) => der.tlv(id, contents)),
    fc.tuple(tag, fc.array(tie("node"), { maxLength: 6 })).map(([id, parts]) => der.tlv(id, ...parts)),
  ),
})).node
