// Transcripts: text files of what I (the initiating) and R (the receiving server) say, each played three ways: our initiator
// against the script, our receiver against it, and ours against ours (RFC 6120 4 to 6).
import assert from "node:assert/strict"
import { globSync, readFileSync } from "node:fs"
import { basename, join } from "node:path"
import { test } from "node:test"
import type { RequiredLevel } from "../../src/model/policy.ts"
import type { KeyRing } from "../../src/federation/dialback.ts"
import { OutgoingRefused } from "../../src/federation/refusal.ts"
import type { Channel, Tls } from "../../src/ports.ts"
import type { OutgoingStream } from "../../src/federation/contract.ts"
import type { Link } from "../world/channel.ts"
import { Recorder } from "../world/recorder.ts"
import { credentialsOf, good, type MemoryScene, memoryScene, never, own, type Server } from "../scenarios/support.ts"

const folder = join(import.meta.dirname, "transcripts")

type Speaker = "I" | "R"
type Step =
  | { readonly kind: "say"; readonly by: Speaker; readonly writes: readonly string[]; readonly line: number }
  | { readonly kind: "tls"; readonly line: number }
  | { readonly kind: "ends"; readonly by: Speaker; readonly line: number }
  | { readonly kind: "time"; readonly ms: number; readonly line: number }

interface Transcript {
  readonly name: string
  readonly settings: Readonly<Record<string, string>>
  readonly steps: readonly Step[]
}

const settingNames = new Set(["drives", "require", "I shows", "R shows", "authority", "dialback", "management", "pieces", "I concludes", "R concludes", "delivered"])

/** `words.txt`: short forms of what is said often; `$1` and so on stand for the words behind the name. */
const words = new Map(
  readFileSync(join(folder, "words.txt"), "utf8")
    .split("\n")
    .filter((line) => line.includes(" = "))
    .map((line) => [line.slice(0, line.indexOf(" = ")), line.slice(line.indexOf(" = ") + 3)]),
)

function spelled(text: string, place: string): string {
  return text.replace(/\[\[([a-z0-9-]+)((?: [^\]]*)?)\]\]/g, (_all, name: string, given: string) => {
    const long = words.get(name)
    assert.ok(long !== undefined, `${place}: there is no word ${name}`)
    const values = given.trim().split(" ")
    return spelled(long, place).replace(/\$(\d)/g, (_sign, digit: string) => values[Number(digit) - 1] ?? assert.fail(`${place}: ${name} needs more words`))
  })
}

/** `\n`, `\t`, `\\`, `\x..` as octets, so that a line can hold what is no text. */
function octets(text: string): Buffer {
  const parts: Buffer[] = []
  for (const part of text.split(/(\\x[0-9a-f]{2}|\\[nt\\])/)) {
    if (/^\\x/.test(part)) parts.push(Buffer.from(part.slice(2), "hex"))
    else parts.push(Buffer.from(part === "\\n" ? "\n" : part === "\\t" ? "\t" : part === "\\\\" ? "\\" : part))
  }
  return Buffer.concat(parts)
}

function transcriptsOf(path: string): Transcript[] {
  const found: { name: string; settings: Record<string, string>; steps: Step[] }[] = []
  const common: Record<string, string> = {}
  for (const [index, raw] of readFileSync(path, "utf8").split("\n").entries()) {
    const line = index + 1
    const place = `${basename(path)}:${line}`
    const text = raw.trimEnd()
    if (text === "" || text.startsWith("#")) continue
    if (text.startsWith("== ")) {
      found.push({ name: text.slice(3), settings: { ...common }, steps: [] })
      continue
    }
    const current = found.at(-1)
    const said = /^([IR])(\+?): ?(.*)$/.exec(text)
    if (said !== null && current !== undefined) {
      const by = said[1] as Speaker
      const before = current.steps.at(-1)
      const words = spelled(said[3]!, place)
      if (said[2] === "+" && before?.kind === "say" && before.by === by) current.steps[current.steps.length - 1] = { ...before, writes: [...before.writes.slice(0, -1), before.writes.at(-1)! + words] }
      else current.steps.push({ kind: "say", by, writes: [words], line })
      continue
    }
    if (text === "TLS" && current !== undefined) current.steps.push({ kind: "tls", line })
    else if (/^TIME \d+$/.test(text) && current !== undefined) current.steps.push({ kind: "time", ms: Number(text.slice(5)), line })
    else if (/^[IR] ends$/.test(text) && current !== undefined) current.steps.push({ kind: "ends", by: text[0] as Speaker, line })
    else {
      const setting = /^([A-Za-z ]+): (.*)$/.exec(text)
      assert.ok(setting !== null && settingNames.has(setting[1]!), `${place}: not understood: ${text}`)
      ;(current?.settings ?? common)[setting[1]!] = setting[2]!
    }
  }
  return found
}

/** What a line stands for: text, and names in braces for what is found out: `{id1}` is the same wherever it stands. */
class Names {
  readonly #known = new Map<string, string>()

  /** For the side that is scripted. */
  written(text: string): Buffer {
    return octets(text.replace(/\{([a-z0-9-]+)\}/g, (_all, name: string) => {
      const value = this.#known.get(name) ?? `scripted-${name}`
      this.#known.set(name, value)
      return value
    }))
  }

  /** How much of `seen` the line takes; undefined when it is not there yet; -1 when it never will be. */
  taken(text: string, seen: string): number | undefined {
    const names: string[] = []
    let pattern = ""
    for (const part of text.split(/(\{[a-z0-9-]+\})/)) {
      const name = /^\{(.*)\}$/.exec(part)?.[1]
      const value = name === undefined ? part : this.#known.get(name)
      if (value !== undefined) pattern += value.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
      else if (name !== undefined && names.includes(name)) pattern += `\\k<${name.replaceAll("-", "_")}>`
      else if (name !== undefined) {
        names.push(name)
        pattern += `(?<${name.replaceAll("-", "_")}>[^'<>]*)`
      }
    }
    const match = new RegExp(`^${pattern}`).exec(seen)
    if (match === null) return undefined
    for (const name of names) this.#known.set(name, match.groups![name.replaceAll("-", "_")]!)
    return match[0].length
  }
}

/** One scripted side of a connection. */
class Player {
  channel: Channel
  #seen = new Recorder()
  #taken = 0
  readonly #names: Names
  readonly #scene: MemoryScene

  constructor(scene: MemoryScene, channel: Channel, names: Names) {
    this.#scene = scene
    this.#names = names
    this.channel = channel
    channel.attach(this.#seen)
    channel.resume()
  }

  /** @param last the next bytes are TLS: they must not be read here */
  async say(text: string, last: boolean): Promise<void> {
    if (last) {
      this.nothingMore("before TLS")
      this.channel.release()
    }
    this.channel.write(this.#names.written(text))
    if (!last) await this.#scene.settle()
  }

  async hear(text: string, place: string): Promise<void> {
    await this.#scene.settle()
    const rest = this.#seen.text.slice(this.#taken)
    const taken = this.#names.taken(text, rest)
    assert.ok(taken !== undefined, `${place}: expected\n  ${text}\nread\n  ${rest}`)
    this.#taken += taken
  }

  async secure(tls: Tls, as: Speaker, shows: string): Promise<void> {
    const credentials = shows === "nothing" ? undefined : credentialsOf((shows === "own" ? own : good)(as === "I" ? "a.example" : "b.example"))
    const secured =
      as === "I"
        ? await tls.client(this.channel, { serverName: "b.example", alpn: "xmpp-server", signal: never, ...(credentials === undefined ? {} : { credentials }) })
        : await tls.server(this.channel, { pick: () => credentials, alpn: ["xmpp-server"], signal: never })
    this.channel = secured.channel
    this.#seen = new Recorder()
    this.#taken = 0
    this.channel.attach(this.#seen)
    this.channel.resume()
    await this.#scene.settle()
  }

  /** A closing tag is answered as a peer does it, by the end of the connection; then the other side ends it, too. */
  async ended(place: string): Promise<void> {
    if (this.#seen.text.endsWith("</stream:stream>")) this.channel.end()
    await this.#scene.settle()
    assert.ok(this.#seen.ended || this.#seen.closed !== undefined, `${place}: the connection goes on`)
  }

  end(): void {
    this.channel.end()
  }

  nothingMore(when: string): void {
    assert.equal(this.#seen.text.slice(this.#taken), "", `more was said ${when}`)
  }
}

async function play(transcript: Transcript, scene: MemoryScene, player: Player, scripted: Speaker): Promise<void> {
  const host = scene.world.host("127.0.0.90")
  for (const [index, step] of transcript.steps.entries()) {
    const place = `${transcript.name}, line ${step.line}`
    if (step.kind === "time") await scene.clock.advance(step.ms)
    else if (step.kind === "tls") await player.secure(host.tls, scripted, transcript.settings[`${scripted} shows`] ?? "good")
    else if (step.kind === "ends") {
      if (step.by === scripted) player.end()
      else await player.ended(place)
    } else if (step.kind === "say") {
      const beforeTls = transcript.steps[index + 1]?.kind === "tls"
      for (const text of step.writes) await (step.by === scripted ? player.say(text, beforeTls) : player.hear(text, place))
    }
  }
  await scene.settle()
  player.nothingMore("at the end")
}

const certificateFor = (shows: string | undefined) => (name: string) => (shows === "own" ? own(name) : good(name))

/** What A's own server says of keys, as `authority` has it. */
async function authority(scene: MemoryScene, says: string | undefined): Promise<void> {
  if (says === "no-dns") return
  if (says === "silent") {
    scene.dns("_xmpp-server._tcp.a.example", { SRV: [[0, 0, 5269, "host.a.example"]] })
    scene.dns("host.a.example", { A: ["127.0.0.91"] })
    scene.world.silent.add("127.0.0.91")
    return
  }
  const server = await scene.server({ domains: [says === "unknown" ? "other.example" : "a.example"], require: "encrypted" })
  if (says === "unknown") {
    scene.dns("_xmpp-server._tcp.a.example", { SRV: [[0, 0, server.address.port, "host.other.example"]] })
  }
  if (says === "valid") {
    const keys = Object.create(server.federation.keys) as KeyRing
    keys.vouches = () => true
    Object.defineProperty(server, "federation", { value: { ...server.federation, keys } })
  }
}

function concludedBy(server: Server): string {
  const [admitted] = server.admitted
  return admitted === undefined ? `refused ${server.findings.at(-1) ?? ""}`.trim() : `admitted ${admitted.level}`
}

async function outcomeOf(attempt: Promise<OutgoingStream>): Promise<{ words: string; stream?: OutgoingStream }> {
  try {
    const stream = await attempt
    return { words: `open ${stream.association.level}`, stream }
  } catch (error) {
    assert.ok(error instanceof OutgoingRefused, String(error))
    return { words: `refused ${error.failure.finding}` }
  }
}

const settingsFor = (transcript: Transcript, side: Speaker) => ({
  require: (transcript.settings.require ?? "authenticated") as RequiredLevel,
  certificate: certificateFor(transcript.settings[`${side} shows`]),
  mute: transcript.settings[`${side} shows`] === "nothing",
  dialback: transcript.settings.dialback !== "off",
  uses: { streamManagement: transcript.settings.management === "on" },
})

function check(transcript: Transcript, side: Speaker, words: string): void {
  const expected = transcript.settings[`${side} concludes`]
  if (expected !== undefined) assert.equal(words, expected, `what ${side} concludes`)
}

async function driveReceiver(transcript: Transcript, link: Link): Promise<void> {
  const scene = memoryScene({ link: () => link })
  const b = await scene.server({ domains: ["b.example"], ...settingsFor(transcript, "R") })
  await authority(scene, transcript.settings.authority)
  const channel = await scene.world.host("127.0.0.90").dial.connect(b.address, { signal: never })
  await play(transcript, scene, new Player(scene, channel, new Names()), "I")
  check(transcript, "R", concludedBy(b))
  if (transcript.settings.delivered !== undefined) assert.equal(b.bodies.join(), transcript.settings.delivered)
  await scene.close()
}

async function driveInitiator(transcript: Transcript, link: Link): Promise<void> {
  const scene = memoryScene({ link: () => link })
  const a = await scene.server({ domains: ["a.example"], ...settingsFor(transcript, "I"), times: { dialbackAnswer: 5000 } })
  scene.dns("_xmpp-server._tcp.b.example", { SRV: [[0, 0, 5269, "host.b.example"]] })
  scene.dns("host.b.example", { A: ["127.0.0.92"] })
  let accepted: Channel | undefined
  await scene.world.host("127.0.0.92").listen.listen({ address: "127.0.0.92", port: 5269 }, (channel) => {
    accepted ??= channel
  })
  const attempt = outcomeOf(a.open("b.example"))
  await scene.settle()
  assert.ok(accepted !== undefined, "it does not connect")
  await play(transcript, scene, new Player(scene, accepted, new Names()), "R")
  const { words, stream } = await scene.until(attempt)
  check(transcript, "I", words)
  stream?.close()
  await scene.close()
}

const unmask = (bytes: Buffer): string => Buffer.from(bytes.map((byte) => byte ^ 0x5a)).toString()

async function driveBoth(transcript: Transcript): Promise<void> {
  const heard = { I: "", R: "" }
  let first: string | undefined
  let secured = false
  const scene = memoryScene({
    link: (from) => {
      first ??= from.address
      const mine = from.address === first
      if (first === from.address) first = "taken"
      const middle = (bytes: Buffer, towards: "server" | "client"): Buffer => {
        if (!mine) return bytes
        if (bytes.subarray(0, 4).toString() === "TLS!") secured = true
        else heard[towards === "server" ? "I" : "R"] += secured ? unmask(bytes) : bytes.toString()
        return bytes
      }
      return { middle }
    },
  })
  const b = await scene.server({ domains: ["b.example"], ...settingsFor(transcript, "R") })
  const a = await scene.server({ domains: ["a.example"], ...settingsFor(transcript, "I") })
  const { words, stream } = await scene.until(outcomeOf(a.open("b.example")))
  await scene.settle()
  check(transcript, "I", words)
  check(transcript, "R", concludedBy(b))
  const names = new Names()
  for (const side of ["R", "I"] as const) {
    const lines = transcript.steps.flatMap((step) => (step.kind === "say" && step.by === side ? step.writes : []))
    let at = 0
    for (const line of lines) {
      const taken = names.taken(line, heard[side].slice(at))
      // A stanza is for whoever uses the stream.
      if (/^<(?:message|iq|presence)/.test(line)) continue
      assert.ok(taken !== undefined, `${side} should say\n  ${line}\nand says\n  ${heard[side].slice(at)}`)
      at += taken
    }
    assert.equal(heard[side].slice(at), "", `${side} says more`)
  }
  stream?.close()
  await scene.close()
}

for (const path of globSync("*.txt", { cwd: folder }).sort()) {
  if (path === "words.txt") continue
  for (const transcript of transcriptsOf(join(folder, path))) {
    const drives = transcript.settings.drives ?? "I R both"
    const pieces: readonly (readonly [string, Link])[] = [["", {}], ...(transcript.settings.pieces === "whole" ? [] : [[", one octet at a time", { chunk: 1 }] as const, [", in pieces of 7 octets", { chunk: 7 }] as const])]
    for (const [how, link] of pieces) {
      if (/\bR\b/.test(drives)) test(`${path}: ${transcript.name}: our receiver${how}`, () => driveReceiver(transcript, link))
      if (/\bI\b/.test(drives)) test(`${path}: ${transcript.name}: our initiator${how}`, () => driveInitiator(transcript, link))
    }
    if (/\bboth\b/.test(drives)) test(`${path}: ${transcript.name}: ours with ours`, () => driveBoth(transcript))
  }
}
