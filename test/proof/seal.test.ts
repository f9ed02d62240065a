// The seal of evidence: it covers everything that is read, breaks with any change, survives another layout, and counts only by a key
// that the judging side names (security.md 25).
import assert from "node:assert/strict"
import { generateKeyPairSync } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, test } from "node:test"
import fc from "fast-check"
import type { EvidenceFile } from "../../src/model/evidence.ts"
import { judge, readEvidenceFile } from "../../src/proof/judge.ts"
import { builtInProoftypes } from "../../src/proof/registry.ts"
import { canonicalJson, checkSeal, readSealKey, SealKeyError, sealEvidence, sealKeyFromSeed, sealKeyName, trustedSealKey } from "../../src/proof/seal.ts"
import { anchorsFromPem } from "../../src/x509/anchors.ts"

const golden = join(import.meta.dirname, "../evidence")
const anchors = anchorsFromPem(readFileSync(join(golden, "roots.pem"), "utf8"))
const bare = readEvidenceFile(readFileSync(join(golden, "dane-ee-3-1-1.json"), "utf8"))
const key = sealKeyFromSeed(new Uint8Array(32).fill(7))
const name = sealKeyName(key)
const stranger = sealKeyFromSeed(new Uint8Array(32).fill(8))
const sealed = sealEvidence(bare, key)
const again = (file: unknown): EvidenceFile => readEvidenceFile(JSON.stringify(file))
const judged = (file: EvidenceFile, sealKeys: readonly string[] = [name]) => judge(file, { prooftypes: builtInProoftypes, anchors: [anchors], sealKeys })

describe("what a seal says", () => {
  const rows: readonly (readonly [string, EvidenceFile, readonly string[], state: string, exit: number, words: RegExp])[] = [
    ["sealed by the key that is named", sealed, [name], "good", 0, /^Sealed by ed25519:\S+: nobody has changed the file since\.$/],
    ["one of several keys", sealed, [sealKeyName(stranger), name], "good", 0, /nobody has changed/],
    ["no key named", sealed, [], "unknown-key", 0, /which --key does not name: whoever changed the file may have sealed it/],
    ["another key named", sealed, [sealKeyName(stranger)], "unknown-key", 3, /does not name/],
    ["sealed anew by a stranger after a change", sealEvidence({ ...bare, sentence: "changed" }, stranger), [name], "unknown-key", 3, /does not name/],
    ["not sealed, nobody asks", bare, [], "none", 0, /unsealed: changes that fit together would not show/],
    ["the seal taken off", bare, [name], "none", 3, /unsealed/],
    ["changed under the seal", { ...sealed, sentence: "changed" }, [name], "broken", 2, /changed after it was sealed/],
    ["changed under the seal, nobody asks", { ...sealed, recorded: "2020-01-01T00:00:00.000Z" }, [], "broken", 2, /changed after it was sealed/],
    ["a member more", { ...sealed, note: 1 } as EvidenceFile, [name], "broken", 2, /changed/],
    ["another key written into it", { ...sealed, seal: { ...sealed.seal!, key: sealKeyName(stranger) } }, [sealKeyName(stranger)], "broken", 2, /changed/],
  ]
  for (const [what, file, keys, state, exit, words] of rows)
    test(what, () => {
      const judgement = judged(again(file), keys)
      assert.deepEqual([judgement.seal.state, judgement.sealed, judgement.exit], [state, state === "good", exit])
      assert.match(judgement.seal.sentence, words)
    })

  test("a seal that is none is a broken one, whatever its form", () => {
    const forms: unknown[] = [null, 7, "x", [], {}, { key: name }, { ...sealed.seal, more: 1 }, { ...sealed.seal, key: "ed25519:AAAA" }, { ...sealed.seal, key: 7 }, { ...sealed.seal, signature: "" }, { ...sealed.seal, signature: null }]
    for (const seal of forms) assert.equal(judged(again({ ...bare, seal })).seal.state, "broken", JSON.stringify(seal))
    for (let octet = 0; octet < 256; octet++) {
      // Not every 32 octets are a point of the curve.
      const odd = `ed25519:${Buffer.alloc(32, octet).toString("base64")}`
      assert.equal(checkSeal(again({ ...sealed, seal: { ...sealed.seal, key: odd } }), [name]).state, "broken")
    }
  })
})

test("attack: a number beyond all numbers in the place of null, which the canonical form would write alike", () => {
  const level = JSON.stringify({ ...sealed, seal: undefined, level: null })
  const nullSealed = sealEvidence(readEvidenceFile(level), key)
  assert.equal(judged(again(nullSealed)).seal.state, "good")
  const forged = JSON.stringify(nullSealed).replace('"level":null', '"level":1e999')
  assert.equal(checkSeal(JSON.parse(forged), [name]).state, "good", "red: the seal alone does not see it")
  assert.throws(() => readEvidenceFile(forged), /larger than any/)
})

test("every leaf of a sealed file is under the seal", () => {
  let tried = 0
  const leaves = function* (value: unknown, path: readonly string[] = []): Generator<readonly string[]> {
    if (value !== null && typeof value === "object") {
      yield path
      for (const [member, part] of Object.entries(value)) yield* leaves(part, [...path, member])
    } else yield path
  }
  for (const path of leaves(sealed)) {
    if (path.length === 0) continue
    for (const change of [(at: Record<string, unknown>, last: string) => delete at[last], (at: Record<string, unknown>, last: string) => (at[last] = typeof at[last] === "string" ? `${at[last]} ` : "x")]) {
      const copy = JSON.parse(JSON.stringify(sealed)) as Record<string, unknown>
      const parent = path.slice(0, -1).reduce((at, member) => at[member] as Record<string, unknown>, copy)
      change(parent, path.at(-1)!)
      if (Array.isArray(parent)) parent.length = Object.keys(parent).length
      const { state } = checkSeal(copy as unknown as EvidenceFile, [name])
      assert.notEqual(state, "good", path.join("."))
      tried++
    }
  }
  assert.ok(tried > 100, String(tried))
})

test("what was sealed once stays sealed: the signature of a fixed key over a golden file", () => {
  assert.deepEqual(sealed.seal, {
    key: "ed25519:6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=",
    signature: "KwLAbX57sOkZryufHyzzLxC0Ag6zW1q15ds+6Me23/Wi+Yq4z8coBNvMXOXELVuB4iWMAVUJ1ICfytTq9VoCBg==",
  })
})

test("another layout is the same file", () => {
  const shuffled = (value: unknown): unknown =>
    Array.isArray(value) ? value.map(shuffled) : value !== null && typeof value === "object" ? Object.fromEntries(Object.entries(value).reverse().map(([member, part]) => [member, shuffled(part)])) : value
  const text = JSON.stringify(shuffled(sealed), null, 7)
  assert.notEqual(text, JSON.stringify(sealed))
  assert.equal(judged(readEvidenceFile(text)).seal.state, "good")
})

test("attack: a second member of the same name, of which other readers take the first one, is refused", () => {
  const text = JSON.stringify(sealed)
  for (const twice of [text.replace('"level":', '"level":"authenticated","level":'), text.replace('"outcome":', '"outcome":"refuted","\\u006futcome":')]) {
    assert.equal(checkSeal(JSON.parse(twice) as EvidenceFile, [name]).state, "good", "the seal alone does not see it")
    assert.throws(() => readEvidenceFile(twice), /two members of one name/)
  }
})

test("canonical JSON: one text for one value, which reads back as that value", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
      const read: unknown = JSON.parse(JSON.stringify(value))
      const text = canonicalJson(read)
      assert.deepEqual(JSON.parse(text), read)
      assert.equal(canonicalJson(JSON.parse(text)), text)
    }),
    { numRuns: 300 },
  )
  assert.equal(canonicalJson(JSON.parse('{"b":[1.0,"\\u00e9"],"__proto__":{"z":null,"a":true},"a":-0}')), '{"__proto__":{"a":true,"z":null},"a":0,"b":[1,"é"]}')
})

describe("keys", () => {
  const pem = String(key.export({ format: "pem", type: "pkcs8" }))
  test("by name, by the public half, by the whole file: the same", () => {
    const { publicKey, privateKey } = generateKeyPairSync("ed25519")
    const mine = sealKeyName(privateKey)
    for (const text of [mine, `${mine}\n`, String(publicKey.export({ format: "pem", type: "spki" })), String(privateKey.export({ format: "pem", type: "pkcs8" }))]) assert.equal(trustedSealKey(text), mine)
    assert.equal(checkSeal(sealEvidence(bare, readSealKey(pem)), [name]).state, "good")
  })
  test("other keys and no keys are refused, and nothing of them is shown", () => {
    const rsa = String(generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "pem", type: "pkcs8" }))
    const broken = pem.replace("MC4CAQAwBQ", "MC4CAQAwBX")
    assert.notEqual(broken, pem)
    for (const text of [rsa, broken, "", "ed25519:short", "-----BEGIN PRIVATE KEY-----\nTUlJ\n-----END PRIVATE KEY-----\n"]) {
      for (const read of [readSealKey, trustedSealKey]) {
        assert.throws(() => read(text), (error) => error instanceof SealKeyError && !/MC4C|TUlJ|MII/.test(error.message))
      }
    }
  })
})
