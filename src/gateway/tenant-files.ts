// Domains added, changed and removed while the gateway serves, by writing the files an operator would write: what the
// reload refuses is put back as it was (security.md 10, 21, 22, 27).
import { basename, dirname, isAbsolute, join, relative } from "node:path"
import type { Domain } from "../model/domain.ts"
import { ConfigError } from "../model/errors.ts"
import type { Files, Random } from "../ports.ts"
import { AdminRefusal, type AdminRequestOf, domainArgument, type SecretPlace } from "./admin-protocol.ts"
import type { GatewayConfig, HostedDomain } from "./config.ts"
import { ConfigText } from "./config-text.ts"
import { reason } from "./config-values.ts"
import type { ReloadResult } from "./contract.ts"
import { nearestWord } from "./did-you-mean.ts"
import type { Reloading } from "./reloading.ts"
import { isNamed, newTenantText, type SettingChange, TenantText } from "./tenant-text.ts"

export interface TenantSurroundings {
  readonly files: Files
  readonly random: Random
  readonly reloading: Reloading
  config(): GatewayConfig
}

/** What was done, for whoever asked. */
export interface DomainEdit {
  readonly name: Domain
  readonly file: string
  /** As a reload prints them. */
  readonly changes: readonly string[]
  readonly needRestart: readonly string[]
  readonly warnings: readonly string[]
  /** The file held nothing else, and is gone. */
  readonly removed?: true
  /** A secret that was made; never its text. */
  readonly secretFile?: string
}

const fileMode = 0o640
const secretMode = 0o600
/** 256 bits; security.md 21 asks for 128. */
const secretOctets = 32
/** A plain name in the folder itself; with a draft's suffix it still fits the 255 octets of a file name. */
const fileName = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,219}$/

type Reload = (changed: ReadonlySet<string>) => Promise<ReloadResult>
type Put = { readonly path: string; readonly bytes: Uint8Array | undefined; readonly mode: number }

export class TenantFiles {
  readonly #around: TenantSurroundings

  constructor(around: TenantSurroundings) {
    this.#around = around
  }

  /** Writes a new file with one domain into the first include folder. */
  add(request: AdminRequestOf<"domain.add">): Promise<DomainEdit> {
    const name = domainArgument(request.name)
    const certificate = request.certificate === undefined ? undefined : domainArgument(request.certificate)
    return this.#exclusively(async (reload) => {
      const there = this.#around.config().domains.get(name)
      if (there !== undefined) throw new AdminRefusal("argument", `${name} is already hosted, by ${there.source}.`)
      const { folder, file } = this.#placeFor(name, request.file)
      await this.#mustBeFree(folder, file)
      const { written, secret, secretFile } = await this.#secret(request.secret, folder, name)
      const text = newTenantText({ name, secret, ...(certificate === undefined ? {} : { certificate }), posh: request.posh === true })
      const edit = await this.#apply(name, file, [...written, { path: file, bytes: encode(text), mode: fileMode }], reload, (config) => config.domains.has(name))
      return { ...edit, ...(secretFile === undefined ? {} : { secretFile }) }
    })
  }

  set({ name, settings }: AdminRequestOf<"domain.set">): Promise<DomainEdit> {
    return this.#change(name, changesOf(settings))
  }

  suspend(name: string): Promise<DomainEdit> {
    return this.#change(name, [{ path: ["suspended"], value: true }])
  }

  resume(name: string): Promise<DomainEdit> {
    return this.#change(name, [{ path: ["suspended"], value: undefined }])
  }

  /** A file that holds nothing else goes whole. */
  remove(named: string): Promise<DomainEdit> {
    const name = domainArgument(named)
    return this.#exclusively(async (reload) => {
      const hosted = this.#hosted(name)
      const { text, mode } = await this.#editable(hosted)
      const bytes = text.count === 1 ? undefined : encode(text.without(name))
      const edit = await this.#apply(name, hosted.source, [{ path: hosted.source, bytes, mode }], reload, (config) => !config.domains.has(name))
      return bytes === undefined ? { ...edit, removed: true } : edit
    })
  }

  #change(named: string, changes: readonly SettingChange[]): Promise<DomainEdit> {
    const name = domainArgument(named)
    return this.#exclusively(async (reload) => {
      const hosted = this.#hosted(name)
      const { text, mode } = await this.#editable(hosted)
      return await this.#apply(name, hosted.source, [{ path: hosted.source, bytes: encode(text.changed(name, changes)), mode }], reload, (config) => config.domains.has(name))
    })
  }

  /** One at a time, reloads of others included: nobody reads what is half written. */
  #exclusively<T>(work: (reload: Reload) => Promise<T>): Promise<T> {
    return this.#around.reloading.exclusively((reload) => work((changed) => reload(undefined, changed)))
  }

  #hosted(name: Domain): HostedDomain {
    const { domains } = this.#around.config()
    const hosted = domains.get(name)
    if (hosted !== undefined) return hosted
    const near = nearestWord(name, [...domains.keys()].slice(0, 1000))
    throw new AdminRefusal("argument", `${name} is not hosted here.${near === undefined ? "" : ` Did you mean ${near}?`}`)
  }

  /** Where a new file goes. security.md 22: a plain name, in that folder and no other. */
  #placeFor(name: Domain, wanted: string | undefined): { folder: string; file: string } {
    const pattern = this.#around.config().include.find((line) => basename(line).includes("*"))
    if (pattern === undefined) {
      throw new AdminRefusal("config", [
        {
          place: this.#around.config().sources[0] ?? "configuration",
          setting: "include",
          sentence: "No include folder is configured: write `include: [tenants.d/*.yaml]`, make the folder, and reload.",
        },
      ])
    }
    const folder = dirname(pattern)
    const plain = wanted ?? basename(pattern).replace("*", name).replaceAll("*", "")
    if (!fileName.test(plain)) {
      throw new AdminRefusal("argument", `${JSON.stringify(plain.slice(0, 80))} is no plain file name: letters, digits, dots, hyphens and underscores, no path, 220 at most.`)
    }
    return { folder, file: join(folder, plain) }
  }

  async #mustBeFree(folder: string, file: string): Promise<void> {
    const { files } = this.#around
    try {
      await files.stat(folder)
    } catch (error) {
      throw new AdminRefusal("config", [{ place: folder, setting: "include", sentence: `The include folder cannot be used: ${reason(error)}.` }])
    }
    if ((await ifThere(file, files.stat(file))) !== undefined) throw new AdminRefusal("argument", `${file} is there already: choose another name with --file, or edit it.`)
  }

  async #secret(place: SecretPlace, folder: string, name: Domain): Promise<{ written: Put[]; secret: Record<string, string>; secretFile?: string }> {
    if (!("generate" in place)) return { written: [], secret: place }
    const path = place.file === undefined ? join(folder, "secrets", name) : isAbsolute(place.file) ? place.file : join(folder, place.file)
    if ((await ifThere(path, this.#around.files.stat(path))) !== undefined) {
      throw new AdminRefusal("argument", `${path} is there already: a generated secret does not replace it. Use --secret-file ${path}, or remove it.`)
    }
    const text = `${Buffer.from(this.#around.random.bytes(secretOctets)).toString("hex")}\n`
    const inside = relative(folder, path)
    return { written: [{ path, bytes: encode(text), mode: secretMode }], secret: { file: inside.startsWith("..") ? path : inside }, secretFile: path }
  }

  /** The file of a domain, when we may change it: an included one, no link, written in a way that we can keep. */
  async #editable({ name, source }: HostedDomain): Promise<{ text: TenantText; mode: number }> {
    const { files } = this.#around
    let bytes: Uint8Array
    let mode: number
    const byHand = (why: string): never => {
      throw new AdminRefusal("config", [{ place: placeOf(source, bytes, name), sentence: `The file ${why}: edit the entry of ${name} there, then reload.` }])
    }
    try {
      bytes = await files.read(source)
      if (source === this.#around.config().sources[0]) byHand("is the main configuration, which is only changed by hand")
      const found = await files.stat(source)
      if (found.kind !== "file" || found.link) byHand("is not a plain file")
      mode = found.mode
    } catch (error) {
      if (error instanceof AdminRefusal) throw error
      throw new AdminRefusal("config", [{ place: source, sentence: `The file cannot be read: ${reason(error)}.` }])
    }
    const text = TenantText.read(new TextDecoder().decode(bytes))
    if (text === undefined) return byHand("is written in a way that an automatic change would not keep")
    if (!text.has(name)) byHand("was changed since it was read")
    return { text, mode }
  }

  /** Writes, reloads, and puts everything back when the reload refuses, or does not do what was asked for. */
  async #apply(name: Domain, file: string, puts: readonly Put[], reload: Reload, done: (config: GatewayConfig) => boolean): Promise<DomainEdit> {
    const before: Put[] = []
    let refusal: AdminRefusal | undefined
    let result: ReloadResult | undefined
    try {
      for (const put of puts) {
        before.unshift(await this.#present(put))
        await this.#put(put)
      }
      result = await reload(new Set(puts.map(({ path }) => path)))
      if (!result.ok) refusal = new AdminRefusal("config", result.problems)
      else if (!done(this.#around.config())) {
        refusal = new AdminRefusal("config", [{ place: file, sentence: `${file} is not read as a file with ${name}: no \`include\` line names it, or another one counts.` }])
      }
    } catch (error) {
      refusal = error instanceof AdminRefusal ? error : new AdminRefusal("config", [{ place: file, sentence: `The file cannot be written: ${reason(error)}.` }])
    }
    if (refusal === undefined && result?.ok === true) {
      const { changes, needRestart, warnings } = result
      return { name, file, changes, needRestart, warnings: warnings.map(({ place, sentence }) => `${place}  ${sentence}`) }
    }
    throw await this.#undone(refusal!, before, result?.ok === true ? reload : undefined)
  }

  async #undone(refusal: AdminRefusal, before: readonly Put[], reload: Reload | undefined): Promise<AdminRefusal> {
    const problems = [...refusal.problems]
    for (const put of before) {
      try {
        await this.#put(put)
      } catch (error) {
        problems.push({ place: put.path, sentence: `The file could not be put back as it was: ${reason(error)}. Look at it before the next reload.` })
      }
    }
    await reload?.(new Set(before.map(({ path }) => path)))
    return new AdminRefusal(refusal.kind, problems)
  }

  async #present({ path, mode }: Put): Promise<Put> {
    const there = await ifThere(path, this.#around.files.stat(path))
    return there === undefined ? { path, bytes: undefined, mode } : { path, bytes: await this.#around.files.read(path), mode: there.mode }
  }

  async #put({ path, bytes, mode }: Put): Promise<void> {
    if (bytes !== undefined) return await this.#around.files.write(path, bytes, { mode })
    // Also what is put back may never have come to be.
    await ifThere(path, this.#around.files.remove(path))
  }
}

/** Undefined when there is no such file; every other trouble with it is told. */
async function ifThere<T>(path: string, looking: Promise<T>): Promise<T | undefined> {
  try {
    return await looking
  } catch (error) {
    if ((error as { code?: unknown }).code === "ENOENT") return undefined
    throw new AdminRefusal("config", [{ place: path, sentence: `The file cannot be used: ${reason(error)}.` }])
  }
}

/** Where the entry of a domain begins, as an editor jumps to it; the file alone when that cannot be said any more. */
function placeOf(file: string, bytes: Uint8Array, name: Domain): string {
  try {
    const text = ConfigText.parse(file, bytes)
    const { domains } = text.value as { domains?: unknown }
    const at = Array.isArray(domains) ? domains.findIndex((entry: { name?: unknown } | null) => typeof entry?.name === "string" && isNamed(entry.name, name)) : -1
    return at === -1 ? file : text.place(["domains", at, "name"])
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return file
  }
}

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)

const known = ["certificate", "posh", "posh.serve", "posh.expires", "posh.next", "secret.file", "secret.credential", "secret.env", "suspended"] as const
const truths = new Set(["posh", "posh.serve", "suspended"])

/** `key=value` of the command line as places in the file; an empty value takes the setting out. */
function changesOf(settings: readonly { readonly key: string; readonly value: string }[]): SettingChange[] {
  return settings.map(({ key, value }) => {
    if (!(known as readonly string[]).includes(key)) {
      const near = nearestWord(key, known)
      const hint = near === undefined ? "" : ` Did you mean ${near}?`
      throw new AdminRefusal("argument", `${JSON.stringify(key.slice(0, 60))} is not a setting of a domain; known: ${known.join(", ")}.${hint}`)
    }
    const [first, second] = key.split(".") as [string, string | undefined]
    if (first === "secret") {
      if (value === "") throw new AdminRefusal("argument", `${key} needs a value: a domain has a secret.`)
      return { path: ["component", "secret"], value: { [second!]: value } }
    }
    if (value === "") return { path: key.split("."), value: undefined }
    if (!truths.has(key)) return { path: key.split("."), value }
    if (value !== "true" && value !== "false") throw new AdminRefusal("argument", `${key} must be true or false.`)
    const truth = value === "true"
    if (key === "posh") return { path: ["posh"], value: truth ? { serve: true } : undefined }
    return key === "suspended" && !truth ? { path: [key], value: undefined } : { path: key.split("."), value: truth }
  })
}
