// Files in memory for the gateways of the lab: nothing is written to disk, nothing is left behind.
import type { DirectoryEntry, FileFacts, Files } from "../ports.ts"

const encoder = new TextEncoder()

export class MemoryFiles implements Files {
  readonly #files = new Map<string, Uint8Array>()
  /** Which write made a file's content. */
  readonly #written = new WeakMap<Uint8Array, number>()
  #writes = 0

  constructor(files: Readonly<Record<string, string>> = {}) {
    for (const [path, text] of Object.entries(files)) this.#files.set(path, encoder.encode(text))
  }

  #file(path: string): Uint8Array {
    const bytes = this.#files.get(path)
    if (bytes === undefined) throw Object.assign(new Error(`there is no ${path}`), { code: "ENOENT" })
    return bytes
  }

  async read(path: string): Promise<Uint8Array> {
    return this.#file(path)
  }

  async list(path: string): Promise<readonly DirectoryEntry[]> {
    const prefix = path.endsWith("/") ? path : `${path}/`
    const entries = new Map<string, DirectoryEntry>()
    for (const name of this.#files.keys()) {
      if (!name.startsWith(prefix)) continue
      const rest = name.slice(prefix.length)
      const first = rest.split("/", 1)[0] ?? rest
      entries.set(first, { path: `${prefix}${first}`, kind: first === rest ? "file" : "directory" })
    }
    return [...entries.values()]
  }

  async stat(path: string): Promise<FileFacts> {
    const isFolder = !this.#files.has(path) && [...this.#files.keys()].some((name) => name.startsWith(`${path}/`))
    const bytes = isFolder ? undefined : this.#file(path)
    const stamp = String(bytes === undefined ? 0 : (this.#written.get(bytes) ?? 0))
    return { mode: isFolder ? 0o700 : 0o600, size: bytes?.length ?? 0, modified: 0, kind: isFolder ? "directory" : "file", owner: "self", link: false, stamp }
  }

  /** Nothing here changes unless the lab says so, and then it reloads by hand. */
  watch(): () => void {
    return () => undefined
  }

  async write(path: string, bytes: Uint8Array): Promise<void> {
    const own = Uint8Array.from(bytes)
    this.#writes += 1
    this.#written.set(own, this.#writes)
    this.#files.set(path, own)
  }

  async remove(path: string): Promise<void> {
    this.#file(path)
    this.#files.delete(path)
  }
}
