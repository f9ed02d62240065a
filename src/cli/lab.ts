// `xmpp-dna lab`: plays the association of domains on loopback, told step by step, and puts up what `check` can be tried on; `--once`
// judges and ends.
import { spawn } from "node:child_process"
import { once as onceOf } from "node:events"
import { styleText } from "node:util"
import { nearestWord } from "../gateway/did-you-mean.ts"
import { checkedScenes } from "../lab/checked-scenes.ts"
import { looking, seenOf } from "../inspect/looking.ts"
import type { Exhibit, ExhibitSeen } from "../lab/exhibit.ts"
import { exhibits as allExhibits, lookAtAll, type Raised, raiseExhibits } from "../lab/exhibits.ts"
import { Internet } from "../lab/internet.ts"
import { type Layout, wrapped } from "../lab/narrate.ts"
import { mainScenes, scenes as allScenes } from "../lab/programme.ts"
import type { LabPorts } from "../lab/ports.ts"
import { raiseCast, type Scene, type SceneReport } from "../lab/scene.ts"
import { playAll, reportDocument, tableLine, Theatre } from "../lab/theatre.ts"
import { createAskingWorld } from "../node/asking-world.ts"
import { createGatewayWorld } from "../node/gateway-world.ts"
import { exit, Stop } from "./exit.ts"
import { type LabFolder, labFolder } from "./lab-folder.ts"

export interface LabCommandOptions {
  readonly once?: boolean
  readonly json?: boolean
  readonly list?: boolean
  readonly shell?: boolean
}

/** How often it is looked whether the process that started the lab is still there, ms. */
const parentLookMs = 500

const ports: LabPorts = { world: (log) => createGatewayWorld({ log }) }

type Style = "bold" | "green" | "red"

/** Colour only on a terminal and where NO_COLOR does not forbid it; never the only sign. */
function layout(): Layout {
  const paint = (style: Style) => (text: string) => styleText(style, text, { stream: process.stdout })
  const columns = process.stdout.isTTY ? process.stdout.columns : 80
  return { width: Math.min(Math.max(columns, 60), 110), names: 0, bold: paint("bold"), good: paint("green"), bad: paint("red") }
}

const write = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

/** What is named, in the order of the programme. */
interface Chosen {
  readonly scenes: readonly Scene[]
  readonly exhibits: readonly Exhibit[]
}

/**
 * Runs the command.
 *
 * @param named ids of scenes and exhibits; the main scenes when none is named, everything with `once`, all exhibits with `shell`
 * @returns the exit status: 0, or 2 when something with `once` was not as expected; with `shell` that of the shell
 * @throws Stop for a scene that does not exist
 */
export async function lab(named: readonly string[], options: LabCommandOptions): Promise<number> {
  process.stdout.on("error", () => {
    // Whoever read this has seen enough, as `head` does; the exit status still tells.
  })
  const all: Chosen = { scenes: allScenes, exhibits: allExhibits }
  const chosen = named.length === 0 ? undefined : choose(named)
  if (options.list === true) return list(chosen ?? all, options.json === true)
  if (options.shell === true) return await shell(chosen ?? { scenes: [], exhibits: allExhibits })
  if (options.once === true || options.json === true) return await once(chosen ?? all, options.json === true)
  return await stay(chosen ?? { scenes: mainScenes, exhibits: [] })
}

function choose(named: readonly string[]): Chosen {
  const known = [...allScenes, ...allExhibits].map(({ id }) => id)
  for (const id of named) {
    if (known.includes(id)) continue
    const near = nearestWord(id, known)
    const hint = near === undefined ? "" : ` Did you mean ${near}?`
    throw new Stop(exit.usage, `there is no scene ${JSON.stringify(id)}.${hint} \`xmpp-dna lab --list\` names them all.`)
  }
  return { scenes: allScenes.filter(({ id }) => named.includes(id)), exhibits: allExhibits.filter(({ id }) => named.includes(id)) }
}

function list({ scenes, exhibits }: Chosen, json: boolean): number {
  const listed = [
    ...scenes.map(({ id, section, title, expected }) => ({ id, kind: "scene", section, title, expected, check: checkedScenes[id] ?? {} })),
    ...exhibits.map(({ id, section, title, domain, expected }) => ({ id, kind: "exhibit", section, title, expected: { [domain]: expected }, check: { [domain]: expected } })),
  ]
  if (json) write(JSON.stringify({ scenes: listed }, null, 2))
  else {
    for (const { id, kind, section, title, check } of listed) {
      write(`${id.padEnd(27)} ${section}\n    ${title}`)
      if (kind === "exhibit") for (const seen of Object.values(check)) write(`    ${foretold(seen)}`)
    }
  }
  return exit.ok
}

async function once({ scenes, exhibits }: Chosen, json: boolean): Promise<number> {
  const look = layout()
  const told = json ? undefined : (report: SceneReport): void => write(tableLine(report, look))
  const [played, checked] = await Promise.all([playAll(ports, scenes, told), checkAll(exhibits, told)])
  const reports = [...played, ...checked]
  const good = reports.filter(({ ok }) => ok).length
  if (json) write(reportDocument(reports))
  else write(`${good} of ${reports.length} scenes as expected`)
  return good === reports.length ? exit.ok : exit.bad
}

/** On an internet of their own, beside the scenes. */
async function checkAll(exhibits: readonly Exhibit[], told: ((report: SceneReport) => void) | undefined): Promise<readonly SceneReport[]> {
  if (exhibits.length === 0) return []
  const net = await Internet.start(ports)
  try {
    const look = looking(net, createAskingWorld)
    return await lookAtAll(net, await raiseExhibits(net, exhibits), async ({ domain }, { question, resolver }) => seenOf(await look(domain, question, resolver)), told)
  } finally {
    await net.close()
  }
}

async function stay({ scenes, exhibits }: Chosen): Promise<number> {
  // Listened for first: nobody should be able to interrupt the lab without its cleaning up.
  const { stopped, letGo } = untilStopped()
  const look = layout()
  const theatre = await Theatre.open(ports, scenes, look, write)
  let folder: LabFolder | undefined
  try {
    const raised = await raiseExhibits(theatre.net, exhibits)
    folder = await labFolder(theatre.net, thisProgram())
    theatre.programme()
    const telling = async (made: LabFolder): Promise<void> => {
      if (scenes.length > 0) await tell(theatre)
      await show(raised, made, look)
      write("")
      write("All of it stays up until Ctrl-C. In another shell, first:")
      write(`. ${made.file}`)
      const [first] = theatre.net.servers
      if (raised.length === 0 && first !== undefined) write(`then:          xmpp-dna check ${first.domain}`)
    }
    await Promise.race([telling(folder), stopped])
    await stopped
  } finally {
    // Whoever is told to end twice at once leaves nothing on the disk either.
    await folder?.remove()
    letGo()
    await theatre.close()
  }
  return exit.ok
}

async function tell(theatre: Theatre): Promise<void> {
  const reports = await theatre.play()
  const { dns } = theatre.net
  const [first] = theatre.net.servers
  const good = reports.filter(({ ok }) => ok).length
  write("")
  write(`${good} of ${reports.length} scenes as expected.`)
  write(`More scenes:   xmpp-dna lab --list      all, judged:   xmpp-dna lab --once`)
  write(`Ask its DNS:   dig @${dns.address} -p ${dns.port} SRV _xmpp-server._tcp.${first?.domain ?? ""}`)
}

async function show(raised: readonly Raised[], folder: LabFolder, { bold, width }: Layout): Promise<void> {
  for (const each of raised) {
    const { id, section, title, expected } = each.exhibit
    write("")
    write(bold(`${id}  (${section})`))
    write(wrapped(title, width, 0))
    write(`  ${wrapped(foretold(expected), width - 2, 2)}`)
    // To be pasted, so it stays on one line.
    write(await folder.commandFor(each))
  }
}

function foretold({ exit: status, level, findings }: ExhibitSeen): string {
  const telling = findings.filter((each) => !each.startsWith("info "))
  return `check: ${level ?? "could not tell"}${telling.length === 0 ? "" : `; ${telling.join(", ")}`}; exit ${status}`
}

const thisProgram = (): [string, string] => [process.execPath, process.argv[1] ?? ""]

/** A shell whose commands ask the lab; it ends with the shell. */
async function shell({ scenes, exhibits }: Chosen): Promise<number> {
  const net = await Internet.start(ports)
  let folder: LabFolder | undefined
  try {
    await raiseCast(net, scenes.flatMap(({ cast }) => cast))
    const raised = await raiseExhibits(net, exhibits)
    folder = await labFolder(net, thisProgram())
    const { bold } = layout()
    write(bold(`A lab with ${raised.length + net.servers.length} domains stands behind this shell; exit ends both.`))
    write("  xmpp-dna lab --list              what stands here, and what is wrong with it")
    const [first, second] = [...raised.map(({ exhibit }) => exhibit.domain), ...net.servers.map(({ domain }) => domain)]
    for (const domain of [first, second]) if (domain !== undefined) write(`  xmpp-dna check ${domain}`)
    return await shellIn(folder.environment)
  } finally {
    await folder?.remove()
    await net.close()
  }
}

async function shellIn(environment: LabFolder["environment"]): Promise<number> {
  const program = process.env["SHELL"] ?? "/bin/sh"
  const child = spawn(program, [], { stdio: "inherit", env: { ...process.env, ...environment } })
  // Ctrl-C is for what runs in the shell; whoever ends us ends the shell.
  const ignored = (): void => undefined
  const ended = (): void => void child.kill("SIGHUP")
  process.on("SIGINT", ignored).on("SIGTERM", ended).on("SIGHUP", ended)
  try {
    const [status] = (await onceOf(child, "exit")) as [number | null]
    return status ?? exit.bug
  } catch (error) {
    throw new Stop(exit.unavailable, `${program} cannot be started: ${error instanceof Error ? error.message : String(error)}`)
  } finally {
    process.off("SIGINT", ignored).off("SIGTERM", ended).off("SIGHUP", ended)
  }
}

const endings = ["SIGINT", "SIGTERM", "SIGHUP"] as const

/** Ctrl-C, SIGTERM, a reader of the output that went away, or the end of whoever started us (npm passes no SIGTERM on). */
function untilStopped(): { readonly stopped: Promise<void>; readonly letGo: () => void } {
  const parent = process.ppid
  let stop = (): void => undefined
  const stopped = new Promise<void>((resolve) => {
    stop = () => {
      clearInterval(watch)
      resolve()
    }
  })
  // The servers keep the process alive; a lab that could not be opened has none.
  const watch = setInterval(() => {
    if (process.ppid !== parent) stop()
  }, parentLookMs).unref()
  for (const signal of endings) process.on(signal, stop)
  process.stdout.on("error", stop)
  const letGo = (): void => {
    for (const signal of endings) process.off(signal, stop)
  }
  return { stopped, letGo }
}
