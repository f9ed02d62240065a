// A whole evening at the lab: the first screen, the scenes told as they happen, the table and the JSON document of `--once`.
import { Internet, type LabPorts } from "./internet.ts"
import { type Layout, Narrator, stepLine, webLine, wrapped } from "./narrate.ts"
import { playScene, raiseCast, type Scene, type SceneReport } from "./scene.ts"

/** Where a line goes; without its end. */
export type Write = (line: string) => void

/** Plays scenes one after the other, each cast leaving after its scene. */
export async function playAll(ports: LabPorts, scenes: readonly Scene[], told: (report: SceneReport) => void = () => {}): Promise<readonly SceneReport[]> {
  const net = await Internet.start(ports)
  try {
    const reports: SceneReport[] = []
    for (const scene of scenes) {
      const cast = await raiseCast(net, scene.cast)
      const report = await playScene(net, scene)
      told(report)
      reports.push(report)
      await Promise.all(cast.map((server) => net.removeServer(server)))
    }
    return reports
  } finally {
    await net.close()
  }
}

/** The one JSON document of `--once --json`. */
export function reportDocument(reports: readonly SceneReport[]): string {
  return JSON.stringify({ scenes: reports }, null, 2)
}

export function tableLine(report: SceneReport, layout: Layout): string {
  const { id, ok, ms, title, section } = report
  const mark = ok ? layout.good("ok ") : layout.bad("BAD")
  const lines = [`${mark}  ${id.padEnd(23)}${String(ms).padStart(5)} ms  ${section}`, `     ${wrapped(title, layout.width - 5, 0).replaceAll("\n", "\n     ")}`]
  if (!ok) for (const line of faults(report)) lines.push(`     ${wrapped(line, layout.width - 7, 0).replaceAll("\n", "\n       ")}`)
  return lines.join("\n")
}

/** Where `got` is not what was expected, by path. */
export function faults({ expected, got, broken }: SceneReport): readonly string[] {
  const found: string[] = broken === undefined ? [] : [broken]
  const compare = (path: string, wanted: unknown, had: unknown): void => {
    if (isPlain(wanted) && isPlain(had)) {
      for (const name of new Set([...Object.keys(wanted), ...Object.keys(had)])) compare(path === "" ? name : `${path}.${name}`, wanted[name], had[name])
    } else if (JSON.stringify(wanted) !== JSON.stringify(had)) found.push(`${path}: expected ${JSON.stringify(wanted)}, got ${JSON.stringify(had)}`)
  }
  if (broken === undefined) compare("", expected, got)
  return found
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

/** Longer pairs of names stand out. */
const widestNames = 32

/** A lab that stays: every cast is up from the start, to the end. */
export class Theatre {
  readonly net: Internet
  readonly #scenes: readonly Scene[]
  readonly #layout: Layout
  readonly #write: Write

  private constructor(net: Internet, scenes: readonly Scene[], layout: Layout, write: Write) {
    this.net = net
    this.#scenes = scenes
    this.#layout = layout
    this.#write = write
  }

  static async open(ports: LabPorts, scenes: readonly Scene[], layout: Layout, write: Write): Promise<Theatre> {
    const net = await Internet.start(ports)
    try {
      await raiseCast(net, scenes.flatMap(({ cast }) => cast))
      return new Theatre(net, scenes, layout, write)
    } catch (error) {
      await net.close()
      throw error
    }
  }

  /** What runs where. */
  programme(): void {
    const { net } = this
    const { bold } = this.#layout
    const servers = net.servers
    const name = Math.max(...servers.map(({ domain }) => domain.length), 3)
    const row = (what: string, at: string, words: string): void => this.#write(`  ${what.padEnd(name)}  ${at.padEnd(21)}  ${words}`)
    this.#write(bold("A small internet on loopback: no root, no network."))
    this.#write("")
    row("DNS", `${net.dns.address} port ${net.dns.port}`, "signed, with a root of its own")
    row("web", `${net.webAt.address} port ${net.webAt.port}`, "HTTPS hosts, by name")
    row("CA", '"Lab CA"', "every server knows its root")
    for (const { domain, s2s, spec } of servers) row(domain, `${s2s.address} port ${s2s.port}`, spec.what ?? "")
    if (this.#scenes.length === 0) return
    this.#write("")
    this.#write("Each server is a whole gateway with a component behind it. They now meet; on")
    this.#write("the left, milliseconds since the scene began. The boxes of the chart are:")
    this.#write("  DNS resolution > stream headers > TLS > association > authentication > stanzas")
  }

  async play(): Promise<readonly SceneReport[]> {
    const reports: SceneReport[] = []
    for (const scene of this.#scenes) reports.push(await this.#tell(scene))
    return reports
  }

  async #tell(scene: Scene): Promise<SceneReport> {
    const { net } = this
    const { bold, good, bad, width } = this.#layout
    this.#write("")
    this.#write(bold(`${scene.id}  (${scene.section})`))
    this.#write(wrapped(scene.title, width, 0))
    const [longest = 0, second = 0] = scene.cast.flatMap(({ domain, also = [] }) => [domain.length, ...also.map((each) => each.domain.length)]).sort((a, b) => b - a)
    const layout = { ...this.#layout, names: Math.min(longest + 4 + second, widestNames) }
    const narrator = new Narrator()
    const began = net.clock.monotonic()
    const stop = net.observe({
      event: (domain, event) => {
        const step = narrator.event(domain, event)
        if (step !== undefined) this.#write(stepLine(step, net.clock.monotonic() - began, layout))
      },
      web: (host, request, answer) => this.#write(webLine(host, request, answer, width)),
      note: (words) => this.#write(`      ${bold(wrapped(words, width - 6, 6))}`),
      message: (domain, message) => this.#write(stepLine(narrator.message(domain, message), net.clock.monotonic() - began, layout)),
    })
    const report = await playScene(net, scene)
    stop()
    if (report.ok) this.#write(`  ${good("ok")}  as expected, by both ends' own events and evidence`)
    else {
      this.#write(` ${bad("BAD")}  not as expected:`)
      for (const fault of faults(report)) this.#write(`      ${wrapped(fault, width - 8, 0).replaceAll("\n", "\n        ")}`)
    }
    return report
  }

  async close(): Promise<void> {
    await this.net.close()
  }
}
