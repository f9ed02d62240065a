// The signed tree: every dimension judged live and again from the recorded messages (RFC 4035 5, RFC 5155 8, RFC 6840, RFC 9276).
import assert from "node:assert/strict"
import { test } from "node:test"
import { revalidate } from "../../../src/dns/dnssec/validator.ts"
import { nameFromText } from "../../../src/dns/name.ts"
import { typeNumbers } from "../../../src/dns/records.ts"
import { cases } from "./cases.ts"
import { buildTree } from "./tree.ts"
import { validatorOver } from "./world.ts"

const at = Date.UTC(2026, 10, 20)
const tree = buildTree(at / 1000)
const signal = new AbortController().signal

test("there are at least 150 cases", () => assert.ok(cases.length >= 150, String(cases.length)))

test("each name comes to its verdict, live and again from the record", async (t) => {
  const validator = validatorOver(tree, at)
  for (const one of cases) {
    await t.test(`${one.name} ${one.type}`, async () => {
      const name = nameFromText(one.name)
      const type = typeNumbers[one.type]
      const found = await validator.validate(name, type, signal)
      const shown = JSON.stringify(found.why)
      assert.deepEqual([found.status, found.outcome], [one.status, one.outcome], shown)
      if (one.count !== undefined) assert.equal(found.records.length, one.count)
      if (one.outcome === "data") assert.ok(found.records.length > 0)
      if (one.why !== undefined)
        assert.ok(
          found.why.some(({ code }) => code === one.why),
          shown,
        )
      if (found.status === "secure" || found.status === "insecure")
        assert.ok(found.expires > at && found.ttl > 0, `${found.ttl} ${found.expires}`)
      const again = revalidate({ name, type, wire: found.wire, at, anchors: tree.anchors() })
      assert.deepEqual(
        [again.status, again.outcome, again.records.length],
        [found.status, found.outcome, found.records.length],
        JSON.stringify(again.why),
      )
    })
  }
})
