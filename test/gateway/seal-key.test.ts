// The key of seals: made once with mode 600, read again, never used where others may read it; evidence sealed by it is judged so
// (security.md 25).
import assert from "node:assert/strict"
import { test } from "node:test"
import { ConfigError } from "../../src/model/errors.ts"
import { openSealKey } from "../../src/gateway/seal-key.ts"
import { sealKeyName } from "../../src/proof/seal.ts"
import { MemoryFiles } from "./config-fixture.ts"

let asked = 0
const random = { bytes: (count: number) => new Uint8Array(count).fill((asked += 1)) }
const path = "/state/seal.pem"

test("it is made once, for its owner alone, and is the same after a restart", async () => {
  const files = new MemoryFiles({})
  const made = await openSealKey(path, { files, random })
  assert.equal(files.files.get(path)!.mode, 0o600)
  const read = await openSealKey(path, { files, random })
  assert.equal(sealKeyName(read), sealKeyName(made))
  assert.equal(asked, 1, "no second one is made")
  const other = await openSealKey(path, { files: new MemoryFiles({}), random })
  assert.notEqual(sealKeyName(other), sealKeyName(made))
})

test("one that others may read, that is none, or that cannot be written is refused with a sentence and without its octets", async () => {
  const files = new MemoryFiles({})
  await openSealKey(path, { files, random })
  const pem = new TextDecoder().decode(await files.read(path))
  const of = async (prepare: (fresh: MemoryFiles) => void): Promise<string> => {
    const fresh = new MemoryFiles({ [path]: pem })
    fresh.files.get(path)!.mode = 0o600
    prepare(fresh)
    try {
      await openSealKey(path, { files: fresh, random })
    } catch (error) {
      assert.ok(error instanceof ConfigError)
      const [problem] = error.problems
      assert.equal(problem?.setting, "state.seal")
      assert.equal(problem.sentence.includes(pem.split("\n")[1]!), false)
      return problem.sentence
    }
    return "used"
  }
  assert.equal(await of(() => undefined), "used")
  assert.match(await of((fresh) => (fresh.files.get(path)!.mode = 0o640)), /others than its owner may use it: chmod 600 \/state\/seal\.pem/)
  assert.match(await of((fresh) => void fresh.write(path, new TextEncoder().encode("rubbish"), { mode: 0o600 })), /no key that can be read/)
  assert.match(await of((fresh) => void fresh.write(path, new Uint8Array(5000), { mode: 0o600 })), /no key file/)
  const denied = async (): Promise<never> => {
    throw Object.assign(new Error("denied"), { code: "EACCES" })
  }
  assert.match(await of((fresh) => Object.assign(fresh, { stat: denied })), /cannot be used/)
  assert.match(
    await of((fresh) => {
      fresh.files.delete(path)
      fresh.write = denied
    }),
    /cannot be used/,
  )
})
