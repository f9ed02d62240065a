// The watch of the Files port: by folder, seeing renames and symbolic links, and telling which paths changed.
import { type FSWatcher, watch } from "node:fs"
import { lstat, readdir, realpath, stat } from "node:fs/promises"
import { dirname, join } from "node:path"
import { errorCode } from "./tcp.ts"

export interface WatchTimes {
  /** Silence after a change before it is reported, ms: certbot writes several files one after the other. */
  readonly settle: number
  /** Looking without being told, ms: network file systems and bind mounts tell nothing. */
  readonly poll: number
}

export const defaultWatchTimes: WatchTimes = { settle: 1000, poll: 60_000 }

/** Without silence a change is reported after so many times `settle`. */
const mostSettles = 5
/** Looking at everything takes at most one part in so many of the time. */
const pollShare = 50
/** Files and folders looked at below one watched path; what lies beyond is not seen. */
const maximumEntries = 200_000
const maximumWatchers = 50_000
const maximumDepth = 8

const quiet = new Set(["ENOENT", "ENOTDIR", "EACCES", "EPERM", "ELOOP"])
/** No watches or descriptors left. */
const spent = new Set(["ENOSPC", "EMFILE", "ENFILE"])

/** What was not there, or not ours to see, is undefined; other errors are thrown. */
async function ifThere<T>(looking: Promise<T>): Promise<T | undefined> {
  try {
    return await looking
  } catch (error) {
    if (quiet.has(errorCode(error))) return undefined
    throw error
  }
}

/** What is known of one path. Equal facts: nothing changed. */
interface Sight {
  readonly facts: string
  readonly isFolder: boolean
  /** Folder in which the file lies that a link leads to. */
  readonly leadsTo: string | undefined
}

async function sightOf(path: string): Promise<Sight | undefined> {
  const itself = await ifThere(lstat(path))
  if (itself === undefined) return undefined
  const link = itself.isSymbolicLink()
  const here = link ? await ifThere(stat(path)) : itself
  const real = link ? await ifThere(realpath(path)) : undefined
  const leadsTo = real === undefined ? undefined : dirname(real)
  if (here === undefined) return { facts: "leads nowhere", isFolder: false, leadsTo }
  const isFolder = here.isDirectory()
  // A folder's times change with its files, which are looked at themselves.
  const content = isFolder ? "" : ` ${here.size} ${here.mtimeMs} ${here.ctimeMs}`
  return { facts: `${real ?? ""} ${here.dev}.${here.ino} ${here.mode} ${here.uid}${content}`, isFolder, leadsTo }
}

/** Watches one path, by the folders in and around it; reports only what a fresh look finds different from the last one. */
export class PathWatch {
  /** Settles once the first look is over: what changes from then on is reported. */
  readonly begun: Promise<void>
  readonly #root: string
  readonly #times: WatchTimes
  readonly #changed: (paths: readonly string[]) => void
  readonly #watchers = new Map<string, FSWatcher>()
  readonly #sights = new Map<string, Sight>()
  /** Names in the folders that were looked at. */
  readonly #children = new Map<string, Set<string>>()
  /** Links by the folder they lead into. */
  readonly #links = new Map<string, Set<string>>()
  /** Paths to look at again; undefined: all. */
  #stirred: Set<string> | undefined = undefined
  #stirredAt: number | undefined
  #timer: NodeJS.Timeout | undefined
  #poller: NodeJS.Timeout | undefined
  #looking = false
  #again = false
  #stopped = false

  constructor(root: string, times: WatchTimes, changed: (paths: readonly string[]) => void) {
    this.#root = root
    this.#times = times
    this.#changed = changed
    this.#cover(dirname(root))
    this.begun = this.#look(true)
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
    clearTimeout(this.#poller)
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
  }

  /** Something moved: look once it has been still for a while. */
  #stir(folder: string, name: string | null): void {
    if (this.#stopped) return
    if (name === null) this.#stirred = undefined
    else {
      const path = join(folder, name)
      if (path === this.#root || path.startsWith(`${this.#root}/`)) this.#stirred?.add(path)
      // Several links may lead there; which one is meant shows when they are looked at.
      for (const link of this.#links.get(folder) ?? []) this.#stirred?.add(link)
      if (this.#stirred?.size === 0) return
    }
    const now = performance.now()
    this.#stirredAt ??= now
    const patience = Math.max(0, this.#stirredAt + mostSettles * this.#times.settle - now)
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#look(), Math.min(this.#times.settle, patience))
  }

  async #look(first = false): Promise<void> {
    if (this.#looking) {
      this.#again = true
      return
    }
    this.#looking = true
    clearTimeout(this.#poller)
    const begun = performance.now()
    do {
      this.#again = false
      const stirred = this.#stirred
      this.#stirred = new Set()
      this.#stirredAt = undefined
      const changed = new Set<string>()
      try {
        for (const path of stirred ?? [this.#root]) await this.#lookAt(path, changed)
      } catch {
        // An unreadable tree is a tree that changed: whoever reads it next will say what is wrong.
        changed.add(this.#root)
      }
      if (this.#stopped) return
      if (!first && changed.size > 0) this.#changed([...changed])
    } while (this.#again)
    this.#looking = false
    this.#poller = setTimeout(
      () => {
        this.#stirred = undefined
        void this.#look()
      },
      Math.max(this.#times.poll, (performance.now() - begun) * pollShare),
    )
    this.#poller.unref()
  }

  /** A path and everything below it. */
  async #lookAt(path: string, changed: Set<string>): Promise<void> {
    const before = this.#sights.get(path)
    const depth = path === this.#root ? 0 : path.slice(this.#root.length + 1).split("/").length
    const now = this.#sights.size >= maximumEntries && before === undefined ? undefined : await sightOf(path)
    if (this.#stopped) return
    if (before?.facts !== now?.facts) changed.add(path)
    if (before?.leadsTo !== now?.leadsTo) this.#lead(path, before?.leadsTo, now?.leadsTo)
    if (before?.isFolder === true && before.facts !== now?.facts) this.#uncover(path)
    if (now === undefined) this.#sights.delete(path)
    else this.#sights.set(path, now)
    const known = this.#children.get(path) ?? new Set<string>()
    if (now?.isFolder !== true || depth >= maximumDepth) {
      this.#children.delete(path)
      for (const name of known) await this.#lookAt(join(path, name), changed)
      return
    }
    // Before it is listed: what changes after that stirs the next look.
    this.#cover(path)
    const names = new Set((await ifThere(readdir(path))) ?? [])
    this.#children.set(path, names)
    for (const name of known) if (!names.has(name)) await this.#lookAt(join(path, name), changed)
    for (const name of names) await this.#lookAt(join(path, name), changed)
    if (before === undefined || before.facts === now.facts || now.leadsTo === undefined) return
    // A link to another folder moves what other links reach through it.
    this.#stirred = undefined
    this.#again = true
  }

  #lead(link: string, from: string | undefined, to: string | undefined): void {
    if (to !== undefined) {
      this.#cover(to)
      const links = this.#links.get(to)
      if (links === undefined) this.#links.set(to, new Set([link]))
      else links.add(link)
    }
    if (from === undefined) return
    const rest = this.#links.get(from)
    rest?.delete(link)
    if (rest?.size !== 0) return
    this.#links.delete(from)
    if (!this.#children.has(from)) this.#uncover(from)
  }

  #cover(folder: string): void {
    if (this.#stopped || this.#watchers.has(folder) || this.#watchers.size >= maximumWatchers) return
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) => this.#stir(folder, name))
      watcher.on("error", () => {
        this.#uncover(folder)
        this.#stir(folder, null)
      })
      this.#watchers.set(folder, watcher)
    } catch (error) {
      // Gone again, or not readable, or no watches left: the poll still sees what can be seen.
      if (!quiet.has(errorCode(error)) && !spent.has(errorCode(error))) throw error
    }
  }

  #uncover(folder: string): void {
    if (folder === dirname(this.#root)) return
    this.#watchers.get(folder)?.close()
    this.#watchers.delete(folder)
  }
}
