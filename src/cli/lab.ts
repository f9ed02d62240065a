// `xmpp-dna lab`: plays the association of domains on loopback, told step by step; `--once` judges and ends.
import { styleText } from "node:util"
import { nearestWord } from "../gateway/did-you-mean.ts"
import type { Layout } from "../lab/narrate.ts"
import { mainScenes, scenes as allScenes } from "../lab/programme.ts"
import type { LabPorts } from "../lab/ports.ts"
import type { Scene } from "../lab/scene.ts"
import { playAll, reportDocument, tableLine, Theatre } from "../lab/theatre.ts"
import { createGatewayWorld } from "../node/gateway-world.ts"
import { exit, Stop } from "./exit.ts"

export interface LabCommandOptions {
  readonly once?: boolean
  readonly json?: boolean
  readonly list?: boolean
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

/**
 * Runs the command.
 *
 * @param named scene ids; the main ones when none is named, all of them with `once`
 * @returns the exit status: 0, or 2 when a scene with `once` was not as expected
 * @throws Stop for a scene that does not exist
 */
export async function lab(named: readonly string[], options: LabCommandOptions): Promise<number> {
  process.stdout.on("error", () => {
    // Whoever read this has seen enough, as `head` does; the exit status still tells.
  })
  const chosen = named.map(sceneCalled)
  if (options.list === true) return list(named.length === 0 ? allScenes : chosen, options.json === true)
  if (options.once === true || options.json === true) return await once(named.length === 0 ? allScenes : chosen, options.json === true)
  return await stay(named.length === 0 ? mainScenes : chosen)
}

function sceneCalled(id: string): Scene {
  const scene = allScenes.find((one) => one.id === id)
  if (scene !== undefined) return scene
  const near = nearestWord(
    id,
    allScenes.map((one) => one.id),
  )
  const hint = near === undefined ? "" : ` Did you mean ${near}?`
  throw new Stop(exit.usage, `there is no scene ${JSON.stringify(id)}.${hint} \`xmpp-dna lab --list\` names them all.`)
}

function list(scenes: readonly Scene[], json: boolean): number {
  if (json) write(JSON.stringify({ scenes: scenes.map(({ id, section, title, expected }) => ({ id, section, title, expected })) }, null, 2))
  else for (const { id, section, title } of scenes) write(`${id.padEnd(24)}${section}\n    ${title}`)
  return exit.ok
}

async function once(scenes: readonly Scene[], json: boolean): Promise<number> {
  const look = layout()
  const reports = await playAll(ports, scenes, json ? undefined : (report) => write(tableLine(report, look)))
  const good = reports.filter(({ ok }) => ok).length
  if (json) write(reportDocument(reports))
  else write(`${good} of ${reports.length} scenes as expected`)
  return good === reports.length ? exit.ok : exit.bad
}

async function stay(scenes: readonly Scene[]): Promise<number> {
  // Listened for first: nobody should be able to interrupt the lab without its cleaning up.
  const stopped = untilStopped()
  const theatre = await Theatre.open(ports, scenes, layout(), write)
  try {
    theatre.programme()
    await Promise.race([tell(theatre), stopped])
    await stopped
  } finally {
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
  write(`${good} of ${reports.length} scenes as expected. All of it stays up until Ctrl-C.`)
  write(`More scenes:   xmpp-dna lab --list      all, judged:   xmpp-dna lab --once`)
  write(`Ask its DNS:   dig @${dns.address} -p ${dns.port} SRV _xmpp-server._tcp.${first?.domain ?? ""}`)
}

/** Ctrl-C, SIGTERM, a reader of the output that went away, or the end of whoever started us (npm passes no SIGTERM on). */
function untilStopped(): Promise<void> {
  return new Promise((resolve) => {
    const parent = process.ppid
    const stop = (): void => {
      clearInterval(watch)
      process.off("SIGINT", stop)
      process.off("SIGTERM", stop)
      process.off("SIGHUP", stop)
      resolve()
    }
    const watch = setInterval(() => {
      if (process.ppid !== parent) stop()
    }, parentLookMs)
    process.on("SIGINT", stop)
    process.on("SIGTERM", stop)
    process.on("SIGHUP", stop)
    process.stdout.on("error", stop)
  })
}
