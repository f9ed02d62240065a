// A small file system in memory and a configuration that is in order, for the gateway's tests.
import { createHash } from "node:crypto"
import type { DirectoryEntry, FileFacts, Files } from "../../src/ports.ts"
import type { ConfigWorld } from "../../src/gateway/config.ts"

export interface MemoryFile {
  text: string | Uint8Array
  mode?: number
  modified?: number
  owner?: FileFacts["owner"]
}

/** Files by absolute path; folders follow from the paths. */
export class MemoryFiles implements Files {
  readonly files = new Map<string, MemoryFile>()
  readonly watchers: { path: string; changed: (paths?: readonly string[]) => void }[] = []
  /** Modes and owners of folders that are not in order. */
  readonly folders = new Map<string, Partial<Pick<FileFacts, "mode" | "owner">>>()
  /** What was asked for, in order: `read /a`, `stat /a`, `list /a`. */
  readonly asked: string[] = []

  constructor(files: Readonly<Record<string, string | MemoryFile>> = {}) {
    for (const [path, file] of Object.entries(files)) this.files.set(path, typeof file === "string" ? { text: file } : file)
  }

  set(path: string, text: string | Uint8Array, more: Omit<MemoryFile, "text"> = {}): void {
    this.files.set(path, { text, ...more })
  }

  #file(path: string): MemoryFile {
    const file = this.files.get(path)
    if (file === undefined) throw Object.assign(new Error(`no ${path}`), { code: "ENOENT" })
    return file
  }

  async read(path: string): Promise<Uint8Array> {
    this.asked.push(`read ${path}`)
    const { text } = this.#file(path)
    return typeof text === "string" ? new TextEncoder().encode(text) : text
  }

  async list(path: string): Promise<readonly DirectoryEntry[]> {
    this.asked.push(`list ${path}`)
    const prefix = path.endsWith("/") ? path : `${path}/`
    const entries = new Map<string, DirectoryEntry>()
    for (const name of this.files.keys()) {
      if (!name.startsWith(prefix)) continue
      const [first, ...rest] = name.slice(prefix.length).split("/")
      entries.set(first!, { path: `${prefix}${first}`, kind: rest.length === 0 ? "file" : "directory" })
    }
    if (entries.size === 0) throw Object.assign(new Error(`no ${path}`), { code: "ENOENT" })
    return [...entries.values()]
  }

  async stat(path: string): Promise<FileFacts> {
    this.asked.push(`stat ${path}`)
    if (!this.files.has(path) && [...this.files.keys()].some((name) => name.startsWith(`${path}/`))) {
      return { mode: 0o755, size: 0, modified: 0, kind: "directory", owner: "self", link: false, stamp: "", ...this.folders.get(path) }
    }
    const { text, mode = 0o600, modified = 0, owner = "self" } = this.#file(path)
    const digest = createHash("sha1").update(text).digest("hex")
    return { mode, size: text.length, modified, kind: "file", owner, link: false, stamp: `${digest} ${modified} ${mode} ${owner}` }
  }

  watch(path: string, changed: (paths?: readonly string[]) => void): () => void {
    const watcher = { path, changed }
    this.watchers.push(watcher)
    return () => {
      this.watchers.splice(this.watchers.indexOf(watcher), 1)
    }
  }

  async write(path: string, bytes: Uint8Array, options: { readonly mode: number }): Promise<void> {
    this.files.set(path, { text: bytes, mode: options.mode })
  }

  async remove(path: string): Promise<void> {
    this.#file(path)
    this.files.delete(path)
  }
}

export const secretA = "9f86d081884c7d659a2feaa0c55ad015"
export const secretB = "60303ae22b998861bce3b28f33eec1be"

export const goodConfig = `node: gw1
listen:
  s2s: ["127.0.0.1:0"]
  components: ["127.0.0.1:0"]
federation:
  resolver: { address: "127.0.0.1:5300", dnssec: off }
certificates:
  dirs: [/certs]
domains:
  - name: bot.example
    component: { secret: { file: /secrets/bot } }
  - name: rooms.example
    component: { secret: { file: /secrets/rooms } }
`

/** 2026-11-22T12:00:00Z */
export const testNow = 1_795_348_800_000

export function configWorld(config: string, files: Readonly<Record<string, string | MemoryFile>> = {}, more: Partial<Omit<ConfigWorld, "files">> = {}): ConfigWorld & { files: MemoryFiles } {
  return {
    files: new MemoryFiles({ "/etc/gw.yaml": config, "/secrets/bot": `${secretA}\n`, "/secrets/rooms": `${secretB}\n`, ...files }),
    environment: () => undefined,
    now: testNow,
    ...more,
  }
}
