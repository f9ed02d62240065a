// What a gateway remembers of other domains: how it says what became of its memory, and that it outlives it (security.md 13).
import assert from "node:assert/strict"
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, test } from "node:test"
import { parseDomain } from "../../src/model/domain.ts"
import { ConfigError, StoreError } from "../../src/model/errors.ts"
import { type GatewayConfig, loadConfig } from "../../src/gateway/config.ts"
import { LogLines } from "../../src/gateway/log-lines.ts"
import { Recollection } from "../../src/gateway/recollection.ts"
import { openStore, storeFile } from "../../src/node/store.ts"
import { associationWith } from "../federation/ratchet-support.ts"
import { ManualClock } from "../world/clock.ts"
import { RecordingLog } from "../world/world.ts"
import { configWorld, goodConfig } from "./config-fixture.ts"

const scratch = mkdtempSync(join(tmpdir(), "xmpp-dna-recollection-"))
after(() => rmSync(scratch, { recursive: true, force: true }))
let folders = 0
const folder = (): string => join(scratch, String((folders += 1)))
const day = 86_400_000
const b = parseDomain("b.example")
const validating = (mode: string) => goodConfig.replace(", dnssec: off }", ` }\n  ratchet: { mode: ${mode} }`)

async function configOf(text: string, dir: string | undefined): Promise<GatewayConfig> {
  const { config } = await loadConfig("/etc/gw.yaml", configWorld(text))
  return { ...config, state: dir === undefined ? undefined : { dir, evidenceFiles: 1, evidenceBytes: 65_536 } }
}

async function open(dir: string | undefined, { mode = "warn", clock = new ManualClock(), store = (at: string) => openStore(at, clock.now()) } = {}) {
  const config = await configOf(validating(mode), dir)
  const log = new RecordingLog()
  const recollection = new Recollection({ world: { clock, store }, lines: new LogLines(log), config: () => config })
  return { clock, log, recollection, said: () => log.lines.map(({ level, event }) => `${level} ${event}`) }
}

test("a memory is begun, and is there again after a restart; each is said", async () => {
  const dir = folder()
  const first = await open(dir, { mode: "enforce" })
  assert.deepEqual(first.said(), ["info memory.ready"])
  assert.match(String(first.log.lines[0]!.fields["text"]), /a new memory .* was begun at .*memory\.sqlite; if there was one before, it is lost/)
  const { ratchet, abilities } = first.recollection
  for (const way of ["in", "out"] as const) ratchet.exchanged(b, way)
  const stream = { associations: () => [associationWith("out", b, "authenticated")] }
  for (let count = 0; count < 8; count += 1) {
    first.recollection.look([stream, stream])
    await first.clock.advance(day)
  }
  abilities.learn(associationWith("out", b, "authenticated"), { externalAccepted: "aa" })
  await first.recollection.close()
  const second = await open(dir, { mode: "enforce", clock: first.clock })
  assert.match(String(second.log.lines[0]!.fields["text"]), /^the memory of other domains is at /)
  assert.equal(second.recollection.ratchet.raise({ require: "verified" }, b, "out", second.clock.now()).require, "authenticated")
  assert.equal(second.recollection.abilities.recall(b).accepts("aa"), true)
  await second.recollection.close()
})

for (const [what, harm] of [
  ["emptied", (file: string) => truncateSync(file, 0)],
  ["damaged", (file: string) => writeFileSync(file, "rubbish ".repeat(100))],
] as const) {
  test(`a memory that was ${what} is said to be lost, as an error with its finding`, async () => {
    const dir = folder()
    await (await open(dir)).recollection.close()
    harm(join(dir, storeFile))
    const { log, recollection } = await open(dir)
    const [line] = log.of("memory.lost")
    assert.deepEqual([line?.level, line?.fields["finding"]], ["error", "policy.memory-lost"])
    assert.match(String(line?.fields["text"]), what === "damaged" ? /was set aside as .*memory\.sqlite\.damaged-/ : /gone or empty/)
    await recollection.close()
  })
}

test("a memory of a later version, or in use, keeps the gateway from starting, with a sentence about state.dir", async () => {
  const dir = folder()
  const holder = await open(dir)
  const refused = (pattern: RegExp) => (error: unknown) => {
    assert.ok(error instanceof ConfigError)
    assert.equal(error.problems[0]?.setting, "state.dir")
    assert.match(error.problems[0]?.sentence ?? "", pattern)
    return true
  }
  const store = () => {
    throw new StoreError("newer", "memory.sqlite was written by a later version")
  }
  await assert.rejects(open(dir, { store }), refused(/^The memory cannot be used: memory\.sqlite was written by a later version\.$/))
  await assert.rejects(open(dir), refused(/in use by another process/))
  await holder.recollection.close()
})

test("without state.dir it is said once that nothing is kept: loudly where the ratchet is enforced", async () => {
  assert.deepEqual((await open(undefined)).said(), ["info memory.none"])
  assert.deepEqual((await open(undefined, { mode: "enforce" })).said(), ["warn memory.none"])
})

test("a weaker peer is a line in the log, and a clock that was set back another", async () => {
  const dir = folder()
  const { clock, log, recollection } = await open(dir)
  for (const way of ["in", "out"] as const) recollection.ratchet.exchanged(b, way)
  for (let count = 0; count < 9; count += 1) {
    recollection.ratchet.associated(associationWith("out", b, "authenticated"))
    await clock.advance(day)
  }
  recollection.ratchet.associated(associationWith("out", b, "encrypted"))
  const [line] = log.of("s2s.weaker")
  assert.deepEqual([line?.level, line?.fields["finding"], line?.fields["domain"], line?.fields["dir"]], ["warn", "policy.ratchet", "b.example", "out"])
  assert.match(String(line?.fields["text"]), /proves less than it has done so far.*: b\.example has kept reaching authenticated by pkix; it now reaches encrypted \[policy\.ratchet\]/)
  await recollection.close()
  const again = await open(dir, { clock: new ManualClock(clock.now() - day) })
  assert.deepEqual(again.said(), ["info memory.ready", "warn memory.clock"])
  await again.recollection.close()
})

test("a disk that fails is said once, and again when it works", async () => {
  const clock = new ManualClock()
  let broken = true
  const store = () => ({
    found: { kind: "kept" } as const,
    place: "memory.sqlite",
    records: () => [],
    write: async () => {
      if (broken) throw new StoreError("failed", "no space left")
    },
    close: async () => undefined,
  })
  const { log, recollection, said } = await open(folder(), { clock, store })
  await clock.advance(2000)
  await clock.advance(61_000)
  broken = false
  await clock.advance(61_000)
  assert.deepEqual(said(), ["info memory.ready", "error memory.failed", "info memory.ready"])
  assert.match(String(log.of("memory.failed")[0]?.fields["text"]), /no space left/)
  await recollection.close()
})
