// The lying path: every attack refused, every truth let through, and a second, honest way taken.
import assert from "node:assert/strict"
import { test } from "node:test"
import { nameFromText } from "../../../src/dns/name.ts"
import { typeNumbers } from "../../../src/dns/records.ts"
import { attackedZones, attacks, liarOver, zonesUnderAttack } from "./lies.ts"
import { buildTree } from "./tree.ts"
import { replyOf, validatorOver } from "./world.ts"

const at = Date.UTC(2026, 10, 20)
const tree = buildTree(at / 1000, zonesUnderAttack)
const liar = liarOver(tree)
const signal = new AbortController().signal
const nameIn = (prefix: string, apex: string) => nameFromText(prefix === "" ? apex : `${prefix}.${apex}`)

test("there are at least 30 attacks", () => assert.ok(attacks.length >= 30))

test("behind the liar", async (t) => {
  for (const { apex, attack } of attackedZones) {
    await t.test(apex, async () => {
      const [prefix, typeName] = attack.ask
      const name = nameIn(prefix, apex)
      const validator = validatorOver(tree, at, liar)
      const found = await validator.validate(name, typeNumbers[typeName], signal)
      assert.deepEqual([found.status, found.outcome], [attack.status, attack.outcome], JSON.stringify(found.why))
      if (found.status === "bogus") {
        assert.ok(found.why.length > 0)
        assert.equal(found.records.length, 0)
        assert.ok(
          validator.asked.some((one) => one.attempt === 1),
          "a second way was tried",
        )
      }
      if (found.status === "secure") assert.ok(found.ttl <= 300, "no TTL above the signed one")
      // The same zone on an honest path, so the attack is what made the difference.
      const honest = await validatorOver(tree, at).validate(name, typeNumbers[typeName], signal)
      assert.equal(honest.status, "secure", JSON.stringify(honest.why))
      assert.notDeepEqual(
        [...attackedReplies(apex, attack.ask)],
        [...attackedReplies(apex, attack.ask, false)],
        "the liar changes something",
      )
    })
  }
})

/** What is sent for the questions an attack may touch. */
function* attackedReplies(apex: string, [prefix, typeName]: readonly [string, keyof typeof typeNumbers], lying = true): Generator<string> {
  const questions = [
    [nameIn(prefix, apex), typeNumbers[typeName]],
    [nameFromText(apex), typeNumbers.DNSKEY],
    [nameFromText(apex), typeNumbers.DS],
  ] as const
  for (const [name, type] of questions) {
    const reply = replyOf(tree, name, type, lying ? liar : undefined)
    yield reply.message === undefined ? "silence" : Buffer.from(reply.octets).toString("hex")
  }
}

test("a lie on the first way only does no harm", async () => {
  for (const { apex, attack } of attackedZones) {
    const [prefix, typeName] = attack.ask
    const validator = validatorOver(tree, at, (query, reply, attempt) => (attempt === 0 ? liar(query, reply, attempt) : reply))
    const found = await validator.validate(nameIn(prefix, apex), typeNumbers[typeName], signal)
    if (attack.status === "bogus") {
      assert.equal(found.status, "secure", apex)
      assert.ok(found.why.length > 0, "what was wrong before is told")
    } else assert.equal(found.status, attack.status, apex)
  }
})
