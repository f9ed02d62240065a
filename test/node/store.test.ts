// The memory on disk: it outlives kill -9, upgrades what is older, refuses what is newer, and sets aside what is damaged (security.md 13).
import assert from "node:assert/strict"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { chmodSync, closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, unlinkSync, writeFileSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, test } from "node:test"
import { DatabaseSync } from "node:sqlite"
import { StoreError } from "../../src/model/errors.ts"
import { openStore, storeFile, storeVersion } from "../../src/node/store.ts"

const scratch = mkdtempSync(join(tmpdir(), "xmpp-dna-store-"))
after(() => rmSync(scratch, { recursive: true, force: true }))
let folders = 0
const folder = (): string => join(scratch, String((folders += 1)))
const now = Date.UTC(2026, 10, 22, 12)

const ratchet = (key: string, value: string) => ({ kind: "ratchet", key, value, changed: now }) as const

function fails(failure: StoreError["failure"], words: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof StoreError)
    assert.equal(error.failure, failure)
    assert.match(error.message, words)
    return true
  }
}

test("what was written is there again, in a file of ours alone", async () => {
  const at = folder()
  const first = openStore(at, now)
  assert.deepEqual(first.found, { kind: "new" })
  await first.write([ratchet("a.example", "1"), ratchet("b.example", "2"), { kind: "abilities", key: "a.example", value: "3", changed: now + 1 }])
  await first.write([ratchet("b.example", "4"), { kind: "ratchet", key: "a.example", value: undefined, changed: now }])
  assert.equal(statSync(join(at, storeFile)).mode & 0o777, 0o600)
  assert.equal(statSync(`${join(at, storeFile)}-wal`).mode & 0o777, 0o600)
  await first.close()
  await first.close()
  const second = openStore(at, now)
  assert.deepEqual(second.found, { kind: "kept" })
  assert.deepEqual(
    second.records().map((record) => ({ ...record })),
    [
      { kind: "abilities", key: "a.example", value: "3" },
      { kind: "ratchet", key: "b.example", value: "4" },
    ],
  )
  await second.close()
})

test("a file that others could read is closed to them", async () => {
  const at = folder()
  await openStore(at, now).close()
  chmodSync(join(at, storeFile), 0o644)
  const store = openStore(at, now)
  assert.equal(statSync(join(at, storeFile)).mode & 0o777, 0o600)
  await store.close()
})

test("kill -9 in the middle of writing: whole batches, none lost that was reported done", async () => {
  const at = folder()
  let done = -1
  for (let round = 0; round < 4; round += 1) {
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", join(import.meta.dirname, "store-writer.ts"), at, String(done + 1)], { stdio: ["ignore", "pipe", "inherit"] })
    let said = ""
    let lines = 0
    const killAt = 7 + round * 13
    child.stdout.on("data", (bytes: Buffer) => {
      said += bytes.toString()
      lines = said.split("\n").length - 1
      if (lines >= killAt) child.kill("SIGKILL")
    })
    await once(child, "close")
    assert.ok(lines >= killAt, "the writer ended by itself")
    done = Number(said.slice(0, said.lastIndexOf("\n")).split("\n").at(-1))
    const store = openStore(at, now)
    assert.deepEqual(store.found, { kind: "kept" })
    const batches = new Set(store.records().map(({ value }) => (JSON.parse(value) as { batch: number }).batch))
    assert.equal(store.records().length, 40)
    assert.equal(batches.size, 1, "a batch was written in part")
    const [kept] = batches
    assert.ok(kept !== undefined && kept >= done, `batch ${done} was reported done, ${kept} is there`)
    await store.close()
  }
})

test("a memory of version 1 is upgraded, and keeps what was in it", async () => {
  const at = folder()
  mkdirSync(at)
  const old = new DatabaseSync(join(at, storeFile))
  old.exec(readFileSync(join(import.meta.dirname, "store-version-1.sql"), "utf8"))
  old.close()
  const store = openStore(at, now)
  assert.deepEqual(store.found, { kind: "upgraded", from: 1, to: storeVersion })
  assert.deepEqual(
    store.records().map(({ kind, key }) => `${kind} ${key}`).sort(),
    ["abilities a.example", "ratchet in a.example", "ratchet out b.example"],
  )
  await store.write([ratchet("out c.example", "{}")])
  await store.close()
  const again = openStore(at, now)
  assert.deepEqual(again.found, { kind: "kept" })
  assert.equal(again.records().length, 4)
  await again.close()
})

test("a memory of a later version is refused with a sentence, and left as it is", async () => {
  const at = folder()
  await openStore(at, now).close()
  const later = new DatabaseSync(join(at, storeFile))
  later.exec(`PRAGMA user_version = ${storeVersion + 1}`)
  later.close()
  const before = readFileSync(join(at, storeFile))
  assert.throws(() => openStore(at, now), fails("newer", /later version of this program \(format 3; this one knows 2\): use that version, or move the file away/))
  assert.deepEqual(readFileSync(join(at, storeFile)), before)
})

test("a second process is told that the memory is in use", async () => {
  const at = folder()
  const holder = openStore(at, now)
  const started = performance.now()
  assert.throws(() => openStore(at, now), fails("busy", /in use by another process/))
  assert.ok(performance.now() - started < 30_000, "it waits for a moment, not until it is free")
  await holder.write([ratchet("a.example", "1")])
  await holder.close()
})

const damages: readonly (readonly [string, (file: string) => void])[] = [
  ["overwritten at its head", (file) => overwrite(file, 0, Buffer.alloc(64, 0x41))],
  ["overwritten inside", (file) => overwrite(file, 4096, Buffer.alloc(8192, 0x5a))],
  ["cut short", (file) => truncateSync(file, 5000)],
  ["text", (file) => writeFileSync(file, "nothing of the kind, but longer than a header of a hundred octets ".repeat(3))],
  [
    "a database of something else",
    (file) => {
      unlinkSync(file)
      execute(file, "CREATE TABLE other (x); INSERT INTO other VALUES (1)")
    },
  ],
  ["robbed of its table", (file) => execute(file, "DROP TABLE entry")],
]

function overwrite(file: string, at: number, bytes: Uint8Array): void {
  const descriptor = openSync(file, "r+")
  writeSync(descriptor, bytes, 0, bytes.length, at)
  closeSync(descriptor)
}

function execute(file: string, sql: string): void {
  const database = new DatabaseSync(file)
  database.exec(sql)
  database.close()
}

for (const [name, damage] of damages) {
  test(`a file that was ${name} is set aside, not deleted, and said to be damaged`, async () => {
    const at = folder()
    const first = openStore(at, now)
    await first.write(Array.from({ length: 200 }, (_, index) => ratchet(`peer-${index}.example`, "x".repeat(300))))
    await first.close()
    damage(join(at, storeFile))
    const bytes = readFileSync(join(at, storeFile))
    const store = openStore(at, now)
    assert.ok(store.found.kind === "damaged", store.found.kind)
    assert.equal(store.found.aside, `${join(at, storeFile)}.damaged-20261122T120000Z`)
    assert.notEqual(store.found.detail, "")
    assert.deepEqual(readFileSync(store.found.aside), bytes)
    assert.deepEqual(store.records(), [])
    await store.write([ratchet("a.example", "1")])
    await store.close()
    assert.equal((await reopened(at)).kind, "kept")
  })
}

async function reopened(at: string) {
  const store = openStore(at, now)
  await store.close()
  return store.found
}

test("two files damaged in the same second are both kept", async () => {
  const at = folder()
  for (let round = 0; round < 2; round += 1) {
    await openStore(at, now).close()
    writeFileSync(join(at, storeFile), "rubbish ".repeat(40))
    await openStore(at, now).close()
  }
  assert.equal(readdirSync(at).filter((name) => name.includes(".damaged-")).length, 2)
})

test("a file that is gone, or empty, is a lost memory and no first start", async () => {
  const at = folder()
  assert.deepEqual(await reopened(at), { kind: "new" })
  unlinkSync(join(at, storeFile))
  assert.deepEqual(await reopened(at), { kind: "lost" })
  truncateSync(join(at, storeFile), 0)
  assert.deepEqual(await reopened(at), { kind: "lost" })
  assert.deepEqual(await reopened(at), { kind: "kept" })
})

test("a folder that cannot be used is a sentence", () => {
  const at = folder()
  writeFileSync(at, "")
  assert.throws(() => openStore(at, now), fails("failed", /memory\.sqlite cannot be used: ENOTDIR|EEXIST/))
  mkdirSync(join(`${at}-2`, storeFile), { recursive: true })
  assert.throws(() => openStore(`${at}-2`, now), fails("failed", /not a plain file/))
})

test("a failed batch leaves nothing behind, and says so", async () => {
  const at = folder()
  const store = openStore(at, now)
  await assert.rejects(store.write([ratchet("a.example", "1"), { kind: "ratchet", key: null as unknown as string, value: "2", changed: now }]), fails("failed", /cannot be used/))
  assert.deepEqual(store.records(), [])
  await store.write([ratchet("c.example", "1")])
  assert.equal(store.records().length, 1)
  await store.close()
  await assert.rejects(store.write([ratchet("d.example", "1")]), StoreError)
})

test("opening says nothing on standard error, on any Node that is supported", () => {
  const script = `import { openStore } from ${JSON.stringify(join(import.meta.dirname, "../../src/node/store.ts"))}; await openStore(process.argv[1], 0).close(); process.emitWarning("heard")`
  const { stderr, status } = spawnSync(process.execPath, ["--input-type=module", "-e", script, folder()], { encoding: "utf8" })
  assert.equal(status, 0, stderr)
  assert.doesNotMatch(stderr, /SQLite/i)
  assert.match(stderr, /heard/)
  assert.ok(existsSync(scratch))
})
