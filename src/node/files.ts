// The Files port: whole files, atomic writes, and a watch by directory that sees renames and symbolic links.
import { randomBytes } from "node:crypto"
import { type FSWatcher, type Stats, watch } from "node:fs"
import { lstat, mkdir, open, readdir, readFile, realpath, rename, stat, unlink } from "node:fs/promises"
import { dirname, join } from "node:path"
import type { DirectoryEntry, FileFacts, Files } from "../ports.ts"
import { errorCode } from "./tcp.ts"

export interface WatchTimes {
  /** Silence after a change before it is reported, ms: certbot writes several files one after the other. */
  readonly settle: number
  /** Looking without being told, ms: network file systems and bind mounts tell nothing. */
  readonly poll: number
}

export const defaultWatchTimes: WatchTimes = { settle: 2000, poll: 60_000 }

/** Files and folders looked at below one watched path; what lies beyond is not seen. */
const maximumEntries = 20_000
const maximumWatchers = 2000
const maximumDepth = 8

type Kind = DirectoryEntry["kind"]

function kindOf(one: { isFile(): boolean; isDirectory(): boolean }): Kind {
  return one.isFile() ? "file" : one.isDirectory() ? "directory" : "other"
}

const quiet = new Set(["ENOENT", "ENOTDIR", "EACCES", "EPERM", "ELOOP"])

/** What was not there, or not ours to see, is undefined; other errors are thrown. */
async function ifThere<T>(looking: Promise<T>): Promise<T | undefined> {
  try {
    return await looking
  } catch (error) {
    if (quiet.has(errorCode(error))) return undefined
    throw error
  }
}

interface Picture {
  /** One line for each entry: path, where it leads, size, times, inode. Equal pictures: nothing changed. */
  readonly lines: string
  /** Folders in which a change must be noticed, those of linked files included. */
  readonly folders: ReadonlySet<string>
}

async function take(root: string): Promise<Picture> {
  const lines: string[] = []
  const folders = new Set<string>([dirname(root)])
  const look = async (path: string, depth: number): Promise<void> => {
    if (lines.length >= maximumEntries) return
    const here = await ifThere(stat(path, { bigint: true }))
    if (here === undefined) {
      lines.push(`${path} absent`)
      return
    }
    const link = (await ifThere(lstat(path)))?.isSymbolicLink() === true
    const real = link ? await ifThere(realpath(path)) : undefined
    if (real !== undefined) folders.add(dirname(real))
    const content = here.isDirectory() ? "" : ` ${here.size} ${here.mtimeNs} ${here.ctimeNs}`
    lines.push(`${path} ${real ?? ""} ${here.dev}.${here.ino} ${here.mode}${content}`)
    if (!here.isDirectory() || depth >= maximumDepth) return
    folders.add(path)
    const names = (await ifThere(readdir(path))) ?? []
    for (const name of names.sort()) await look(join(path, name), depth + 1)
  }
  await look(root, 0)
  return { lines: lines.join("\n"), folders }
}

/** Watches one path, by the folders in and around it; calls back only when a fresh look differs from the last one. */
class PathWatch {
  readonly #root: string
  readonly #times: WatchTimes
  readonly #changed: () => void
  readonly #watchers = new Map<string, FSWatcher>()
  #last: string | undefined
  #timer: NodeJS.Timeout | undefined
  readonly #poller: NodeJS.Timeout
  #looking = false
  #again = false
  #stopped = false

  constructor(root: string, times: WatchTimes, changed: () => void) {
    this.#root = root
    this.#times = times
    this.#changed = changed
    this.#poller = setInterval(() => void this.#look(), times.poll)
    this.#poller.unref()
    void this.#look()
  }

  /** Something moved: look once it has been still for a while. */
  #stir(): void {
    if (this.#stopped) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#look(), this.#times.settle)
  }

  async #look(): Promise<void> {
    if (this.#looking) {
      this.#again = true
      return
    }
    this.#looking = true
    try {
      do {
        this.#again = false
        // An unreadable tree is a tree that changed: whoever reads it next will say what is wrong.
        const picture: Picture = await take(this.#root).catch((error: unknown) => ({ lines: errorCode(error), folders: new Set<string>() }))
        if (this.#stopped) return
        // Watchers first: what changes after this look stirs the next one.
        const fresh = this.#cover(picture.folders)
        const changed = this.#last !== undefined && this.#last !== picture.lines
        this.#last = picture.lines
        if (changed) this.#changed()
        if (fresh) this.#again = true
      } while (this.#again && !this.#stopped)
    } finally {
      this.#looking = false
    }
  }

  /** @returns whether a folder came under watch that was not before; changes between look and watch would be missed otherwise */
  #cover(folders: ReadonlySet<string>): boolean {
    let fresh = false
    for (const [folder, watcher] of this.#watchers)
      if (!folders.has(folder)) {
        watcher.close()
        this.#watchers.delete(folder)
      }
    for (const folder of folders) {
      if (this.#watchers.has(folder) || this.#watchers.size >= maximumWatchers) continue
      try {
        const watcher = watch(folder, { persistent: false }, () => this.#stir())
        watcher.on("error", () => this.#drop(folder))
        this.#watchers.set(folder, watcher)
        fresh = true
      } catch (error) {
        // Gone again, not readable, or no watches left: the poll still sees what can be seen.
        if (!quiet.has(errorCode(error)) && errorCode(error) !== "ENOSPC" && errorCode(error) !== "EMFILE") throw error
      }
    }
    return fresh
  }

  #drop(folder: string): void {
    this.#watchers.get(folder)?.close()
    this.#watchers.delete(folder)
    this.#stir()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
    clearInterval(this.#poller)
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
  }
}

function factsOf(found: Stats, link: boolean): FileFacts {
  const { mode, size, mtimeMs, ctimeMs, dev, ino, uid } = found
  const owner = uid === process.geteuid?.() ? "self" : uid === 0 ? "root" : "other"
  return { mode: mode & 0o7777, size, modified: mtimeMs, kind: kindOf(found), owner, link, stamp: `${dev}.${ino} ${size} ${mtimeMs} ${ctimeMs}` }
}

/** @param times of the watch; tests make them short */
export function createFiles(times: Partial<WatchTimes> = {}): Files {
  const watchTimes = { ...defaultWatchTimes, ...times }
  return {
    read: (path) => readFile(path),

    async list(path) {
      const entries = await readdir(path, { withFileTypes: true })
      return entries.map((entry) => ({ path: join(path, entry.name), kind: kindOf(entry) }))
    },

    async stat(path) {
      const here = await lstat(path)
      const link = here.isSymbolicLink()
      return factsOf(link ? await stat(path) : here, link)
    },

    watch(path, changed) {
      const watching = new PathWatch(path, watchTimes, changed)
      return () => watching.stop()
    },

    /** Atomic: a reader sees the old content or the new, never a part. The mode holds from the first moment. */
    async write(path, bytes, { mode }) {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      const draft = `${path}.${randomBytes(6).toString("hex")}.part`
      const file = await open(draft, "wx", mode)
      // A full disk must not be filled further by what was begun.
      try {
        try {
          await file.writeFile(bytes)
          await file.sync()
        } finally {
          await file.close()
        }
        await rename(draft, path)
      } catch (error) {
        await unlink(draft)
        throw error
      }
    },

    remove: (path) => unlink(path),
  }
}
