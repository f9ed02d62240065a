// The Store port on node:sqlite: one file that outlives crashes, knows its own version, and is set aside rather than deleted
// when it cannot be read (security.md 13).
import { chmodSync, closeSync, existsSync, lstatSync, mkdirSync, openSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { StoreError } from "../model/errors.ts"
import type { Instant } from "../model/verdict.ts"
import type { Store, StoreChange, StoreFound, StoreRecord } from "../ports.ts"
import { errorCode } from "./tcp.ts"

export const storeFile = "memory.sqlite"
/** Lies beside the file from its birth on, so that a file that is gone is not taken for a first start. */
const birthMark = "memory.begun"
/** Waiting for a predecessor that is just ending, ms. */
const patience = 2000
/** Rows read at most; what we write ourselves stays far below. */
const mostRows = 500_000
const longestValue = 16_384

/** SQLite's own result codes. */
const sqliteBusy = 5
const sqliteCorrupt = 11
const sqliteNotADatabase = 26

/** Step n leads from version n to n + 1. Steps are never changed, only added. */
const upgrades: readonly string[] = [
  "CREATE TABLE entry (kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, key)) STRICT, WITHOUT ROWID",
  // When an entry was last written, ms since 1970; unknown for those of version 1.
  "ALTER TABLE entry ADD COLUMN changed INTEGER NOT NULL DEFAULT 0",
]
export const storeVersion = upgrades.length

/** On 22 merely loading it announces an experiment on standard error, where nobody can do anything about it. */
function loadSqlite(): typeof import("node:sqlite") {
  const { emitWarning } = process
  process.emitWarning = () => undefined
  try {
    return process.getBuiltinModule("node:sqlite")
  } finally {
    process.emitWarning = emitWarning
  }
}

function resultCode(error: unknown): number | undefined {
  // Extended codes keep the primary one in their lowest octet.
  return error instanceof Error && "errcode" in error && typeof error.errcode === "number" ? error.errcode & 0xff : undefined
}

/** The file's content is wrong, as opposed to a disk or a lock that stands in the way. */
class Damaged extends Error {}

function storeError(error: unknown, place: string): StoreError {
  if (error instanceof StoreError) return error
  if (resultCode(error) === sqliteBusy) {
    return new StoreError("busy", `${place} is in use by another process: only one may keep its memory there`, { cause: error })
  }
  const reason = resultCode(error) === undefined ? errorCode(error) : (error as Error).message
  return new StoreError("failed", `${place} cannot be used: ${reason}`, { cause: error })
}

/**
 * Opens the memory in a folder, makes it where there is none, and upgrades an older one.
 *
 * @param folder made when missing, mode 0700
 * @param now for the name of a file that is set aside
 * @throws StoreError when it is in use, was written by a later version, or the folder cannot be used
 */
export function openStore(folder: string, now: Instant): Store {
  const place = join(folder, storeFile)
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const begun = existsSync(join(folder, birthMark))
    const there = ready(place)
    try {
      const { database, from } = open(place)
      const found: StoreFound =
        from === storeVersion ? { kind: "kept" } : from > 0 ? { kind: "upgraded", from, to: storeVersion } : begun ? { kind: "lost" } : { kind: "new" }
      if (!begun) writeFileSync(join(folder, birthMark), "", { mode: 0o600 })
      return new SqliteStore(database, place, found)
    } catch (error) {
      const code = resultCode(error)
      if (!there || (code !== sqliteCorrupt && code !== sqliteNotADatabase && !(error instanceof Damaged))) throw error
      const detail = (error as Error).message
      const aside = setAside(place, now)
      ready(place)
      return new SqliteStore(open(place).database, place, { kind: "damaged", detail, aside })
    }
  } catch (error) {
    throw storeError(error, place)
  }
}

/** Makes the file ours alone before anything is in it. @returns whether there was one */
function ready(place: string): boolean {
  const there = existsSync(place)
  if (there && !lstatSync(place).isFile()) throw new StoreError("failed", `${place} is not a plain file`)
  if (!there) closeSync(openSync(place, "ax", 0o600))
  chmodSync(place, 0o600)
  return there
}

function setAside(place: string, now: Instant): string {
  const stamp = new Date(now).toISOString().replace(/[-:]|\.\d+/g, "")
  let aside = `${place}.damaged-${stamp}`
  for (let count = 2; existsSync(aside); count += 1) aside = `${place}.damaged-${stamp}-${count}`
  renameSync(place, aside)
  for (const part of ["-wal", "-journal"]) if (existsSync(place + part)) renameSync(place + part, aside + part)
  return aside
}

/** @returns the version it was found in */
function open(place: string): { database: DatabaseSync; from: number } {
  const { DatabaseSync } = loadSqlite()
  const database = new DatabaseSync(place, { timeout: patience })
  try {
    // One process alone: without shared memory beside the file, and a second one is told at once.
    database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF; BEGIN EXCLUSIVE; COMMIT")
    const from = Number(database.prepare("PRAGMA user_version").get()?.["user_version"])
    if (from > storeVersion) {
      const detail = `${place} was written by a later version of this program (format ${from}; this one knows ${storeVersion})`
      throw new StoreError("newer", `${detail}: use that version, or move the file away, which forgets what is in it`)
    }
    if (from === 0 && database.prepare("SELECT count(*) AS n FROM sqlite_schema").get()?.["n"] !== 0) throw new Damaged("it is a database of something else")
    const check = database.prepare("PRAGMA quick_check(1)").get()?.["quick_check"]
    if (check !== "ok") throw new Damaged(String(check))
    // Only now is anything written: what is not ours, or newer, stays as it is.
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
    for (const [index, sql] of upgrades.entries()) {
      if (index < from) continue
      // The version changes in the same transaction: a crash between two steps leaves a whole older version.
      database.exec(`BEGIN IMMEDIATE; ${sql}; PRAGMA user_version = ${index + 1}; COMMIT`)
    }
    // A table that lost its shape is damage, too, and is better noticed now.
    database.prepare("SELECT kind, key, value, changed FROM entry LIMIT 1").get()
    return { database, from }
  } catch (error) {
    database.close()
    throw resultCode(error) === 1 ? new Damaged((error as Error).message, { cause: error }) : error
  }
}

class SqliteStore implements Store {
  readonly found: StoreFound
  readonly place: string
  readonly #database: DatabaseSync
  readonly #put: StatementSync
  readonly #forget: StatementSync

  constructor(database: DatabaseSync, place: string, found: StoreFound) {
    this.#database = database
    this.place = place
    this.found = found
    this.#put = database.prepare("INSERT OR REPLACE INTO entry (kind, key, value, changed) VALUES (?, ?, ?, ?)")
    this.#forget = database.prepare("DELETE FROM entry WHERE kind = ? AND key = ?")
  }

  records(): readonly StoreRecord[] {
    try {
      const rows = this.#database
        .prepare("SELECT kind, key, value FROM entry WHERE kind IN ('abilities', 'ratchet') AND length(value) <= ? ORDER BY changed DESC LIMIT ?")
        .all(longestValue, mostRows)
      return rows as unknown as StoreRecord[]
    } catch (error) {
      throw storeError(error, this.place)
    }
  }

  /** Synchronous inside: a batch of some hundred rows takes a few milliseconds. */
  async write(changes: readonly StoreChange[]): Promise<void> {
    try {
      this.#database.exec("BEGIN IMMEDIATE")
      try {
        for (const { kind, key, value, changed } of changes) {
          if (value === undefined) this.#forget.run(kind, key)
          else this.#put.run(kind, key, value, Math.trunc(changed))
        }
        this.#database.exec("COMMIT")
      } catch (error) {
        // SQLite may have rolled back by itself (disk full).
        if (this.#database.isTransaction) this.#database.exec("ROLLBACK")
        throw error
      }
    } catch (error) {
      throw storeError(error, this.place)
    }
  }

  async close(): Promise<void> {
    if (this.#database.isOpen) this.#database.close()
  }
}
