// `xmpp-dna check`: asks about domains, a few at a time, and tells in the form that is wanted (docs/check.md).
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { createResolver } from "../dns/resolver.ts"
import { readDuration, readSocketAddress } from "../gateway/config-values.ts"
import { inspect } from "../inspect/ladder.ts"
import { type InspectPorts, type InspectQuestion, type Inspection, nobodysDomain } from "../inspect/question.ts"
import type { CheckReport, DomainResult } from "../inspect/report.ts"
import type { EvidenceFile } from "../model/evidence.ts"
import type { Service } from "../model/verdict.ts"
import { systemUpstreams } from "../node/dns-transport.ts"
import { createPosh } from "../proof/posh.ts"
import { selectProoftypes } from "../proof/registry.ts"
import { readPem, readTargets, serverAddress, type Target } from "./check-targets.ts"
import { exit, Stop } from "./exit.ts"
import { type AskOptions, asking, domainOf, oneOf, portOf, print, told, trustOf } from "./publish-world.ts"
import { progress } from "./progress.ts"
import { terminal } from "./terminal.ts"
import { version } from "./version.ts"

export interface CheckOptions extends AskOptions {
  readonly service: string
  readonly expect: string
  readonly failOn: string
  readonly warnExpiry: string
  readonly own?: boolean
  readonly from?: string
  readonly cert?: string
  readonly key?: string
  readonly connect?: string
  readonly directTls?: boolean
  readonly 4?: boolean
  readonly 6?: boolean
  readonly input?: string
  readonly concurrency: string
  readonly timeout: string
  readonly dnssec: string
  readonly httpsPort: string
  readonly evidence?: string
  readonly json?: boolean
  readonly jsonl?: boolean
  readonly nagios?: boolean
  readonly prometheus?: boolean
  readonly markdown?: boolean
  readonly quiet?: boolean
  readonly verbose?: boolean
  readonly color: string | false
}

const forms = ["json", "jsonl", "nagios", "prometheus", "markdown"] as const
type Form = (typeof forms)[number] | "text"
const endpointTime = 10_000
const day = 86_400_000

export async function checkCommand(given: readonly string[], options: CheckOptions): Promise<number> {
  try {
    return await told(options.json, () => checked(given, options))
  } catch (error) {
    if (options.nagios !== true || !(error instanceof Stop)) throw error
    const { nagiosMistake } = await import("./render-monitoring.ts")
    process.stdout.write(nagiosMistake(error.message))
    return exit.unknown
  }
}

async function checked(given: readonly string[], options: CheckOptions): Promise<number> {
  const form = formOf(options)
  oneOf(String(options.color), ["auto", "always", "never", "false"], "--color")
  const failOn = oneOf(options.failOn, ["bad", "warn"], "--fail-on")
  const questions = await questionsOf(await readTargets(given, options.input), options)
  const concurrency = /^\d{1,3}$/.test(options.concurrency) ? Number(options.concurrency) : 0
  if (concurrency < 1) throw new Stop(exit.usage, `--concurrency ${JSON.stringify(options.concurrency)}: a number from 1 to 999 is needed.`)
  const { ports, resolvers } = await portsOf(options)
  if (options.evidence !== undefined) await folder(options.evidence)

  const started = Date.now()
  const give = interruptions()
  const shown = progress(questions.length, options.quiet === true ? false : process.stderr.isTTY)
  const done: { at: number; result: DomainResult }[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    for (let at = next++; at < questions.length && !give.signal.aborted; at = next++) {
      const question = questions[at] as InspectQuestion
      shown.asks(question.domain)
      const inspection = await inspect(question, ports, give.signal)
      // What was cut short says nothing about the domain.
      if (give.signal.aborted) return
      if (options.evidence !== undefined) await keep(options.evidence, question, inspection)
      done.push({ at, result: inspection.result })
      shown.done(inspection.result.ok)
      if (form === "jsonl") process.stdout.write(`${JSON.stringify(inspection.result)}\n`)
    }
  }
  try {
    await Promise.all(Array.from({ length: Math.min(concurrency, questions.length) }, worker))
  } finally {
    shown.end()
    give.end()
  }
  const results = done.sort((a, b) => a.at - b.at).map(({ result }) => result)
  const report: CheckReport = {
    schema: 1,
    tool: { name: "xmpp-dna", version: version(), node: process.versions.node },
    started: new Date(started).toISOString(),
    tookMs: Date.now() - started,
    expect: expected(options.expect),
    exit: give.status() ?? statusOf(results, failOn === "warn" || form === "nagios"),
    resolver: { addresses: resolvers, validates: validates(results, options.dnssec) },
    results,
  }
  await tell(report, form, options)
  return report.exit
}

function formOf(options: CheckOptions): Form {
  const asked = forms.filter((form) => options[form] === true)
  if (asked.length > 1) throw new Stop(exit.usage, `${asked.map((form) => `--${form}`).join(" and ")} exclude each other.`)
  return asked[0] ?? "text"
}

const expected = (text: string): CheckReport["expect"] => oneOf(text, ["authenticated", "encrypted", "verified"], "--expect")

async function questionsOf(targets: readonly Target[], options: CheckOptions): Promise<InspectQuestion[]> {
  const which = oneOf(options.service, ["server", "client", "both"], "--service")
  const services: Service[] = [...(which === "client" ? [] : ["xmpp-server" as const]), ...(which === "server" ? [] : ["xmpp-client" as const])]
  if (options[4] === true && options[6] === true) throw new Stop(exit.usage, "-4 and -6 exclude each other: without them both are asked.")
  const everywhere = options.connect === undefined ? undefined : serverAddress(options.connect)
  if (options.directTls === true && everywhere === undefined && !targets.some(({ connect }) => connect !== undefined)) throw new Stop(exit.usage, "--direct-tls says how to --connect: DNS says it by itself.")
  const total = readDuration(options.timeout, 100, day)
  const from = await fromOf(options)
  const common = {
    expect: expected(options.expect),
    expiryWarning: readDuration(options.warnExpiry, 1000, 3650 * day),
    times: { total, endpoint: Math.min(total, endpointTime) },
    ...(from === undefined ? {} : { from }),
    ...(options.own === true ? { own: true } : {}),
    ...(options[4] === true ? { family: 4 as const } : options[6] === true ? { family: 6 as const } : {}),
  }
  return targets.flatMap(({ domain, connect = everywhere }) =>
    services.map((service) => ({ domain, service, ...common, ...(connect === undefined ? {} : { connect: { ...connect, transport: options.directTls === true ? ("direct-tls" as const) : ("starttls" as const) } }) })),
  )
}

async function fromOf({ from, cert, key }: CheckOptions): Promise<InspectQuestion["from"]> {
  if ((cert === undefined) !== (key === undefined)) throw new Stop(exit.usage, "--cert and --key belong together.")
  if (from === undefined) {
    if (cert !== undefined) throw new Stop(exit.usage, "--cert needs --from: whose certificate is it?")
    return undefined
  }
  const domain = domainOf(from)
  if (cert === undefined || key === undefined) return { domain }
  const [certificatePem, keyPem] = await Promise.all([readPem("--cert", cert), readPem("--key", key)])
  const { createSecureContext } = await import("node:tls")
  try {
    createSecureContext({ cert: certificatePem, key: keyPem })
  } catch {
    // The library's own words may quote the file, which holds a secret.
    throw new Stop(exit.usage, `--cert ${cert} and --key ${key} are no certificate with its key in PEM.`)
  }
  return { domain, credentials: { certificatePem, keyPem } }
}

async function portsOf(options: CheckOptions): Promise<{ ports: InspectPorts; resolvers: string[] }> {
  const dnssec = oneOf(options.dnssec, ["validate", "off"], "--dnssec")
  const { world, reach, resolver: validating } = await asking(options)
  const named = (options.resolver ?? []).map((text) => readSocketAddress(text, 1, 53))
  const upstreams = named.length > 0 ? named : await systemUpstreams()
  const { dial, tls, https, clock, random, dnsTransport } = world
  const resolver = dnssec === "validate" ? validating : createResolver({ dnssec: "off", upstreams, transport: dnsTransport, clock, random })
  const prooftypes = selectProoftypes(new Set(["pkix", "dane", "posh"]), { posh: createPosh({ port: portOf(options.httpsPort) }) })
  return {
    ports: { dial, tls, https, clock, random, resolver, anchors: trustOf(options), reach, prooftypes },
    resolvers: upstreams.map(({ address, port }) => (address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`)),
  }
}

/** Null: no answer came, so nothing is known of it. */
function validates(results: readonly DomainResult[], dnssec: string): boolean | null {
  if (dnssec === "off") return false
  const statuses = results.flatMap(({ discovery }) => discovery.answers.map(({ status }) => status))
  return statuses.length === 0 ? null : statuses.some((status) => status === "secure" || status === "insecure")
}

const warned = ({ findings }: DomainResult): boolean => findings.some(({ severity }) => severity === "warn")

/** The worst in the order bad, could not tell, warning, good. */
function statusOf(results: readonly DomainResult[], failOnWarning: boolean): number {
  if (results.some(({ ok, unknown }) => !ok && !unknown)) return exit.bad
  if (results.some(({ ok }) => !ok)) return exit.unknown
  return failOnWarning && results.some(warned) ? exit.warn : exit.ok
}

/** Ctrl-C, SIGTERM and a reader who went away end it with what there is; a second signal ends it at once. */
function interruptions(): { signal: AbortSignal; status(): number | undefined; end(): void } {
  const controller = new AbortController()
  let status: number | undefined
  const on = (code: number) => (): void => {
    status ??= code
    controller.abort(new Error("interrupted"))
  }
  const [interrupt, terminate] = [on(130), on(143)]
  const gone = (): void => controller.abort(new Error("nobody reads"))
  process.once("SIGINT", interrupt).once("SIGTERM", terminate)
  process.stdout.on("error", gone)
  return {
    signal: controller.signal,
    status: () => status,
    end: () => {
      process.off("SIGINT", interrupt).off("SIGTERM", terminate)
      process.stdout.off("error", gone)
    },
  }
}

async function folder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw new Stop(exit.usage, `--evidence ${path}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

async function keep(path: string, { domain, from }: InspectQuestion, { result, evidence }: Inspection): Promise<void> {
  const items = evidence()
  if (items.length === 0) return
  const [first] = result.findings
  const held = result.level === "authenticated"
  const file: EvidenceFile = {
    evidence: 1,
    tool: { name: "xmpp-dna", version: version() },
    recorded: result.started,
    direction: "out",
    pair: { sender: from?.domain ?? nobodysDomain, target: domain },
    decision: held ? "associated" : "refused",
    level: result.level,
    finding: held ? null : (first?.id ?? null),
    sentence: held ? "" : (first?.sentence ?? ""),
    items,
  }
  const name = `${result.started.replace(/[:.]/g, "-")}-out-${domain.slice(0, 80)}-${result.service}.evidence.json`
  try {
    await writeFile(join(path, name), `${JSON.stringify(file, null, 2)}\n`, { mode: 0o600 })
  } catch (error) {
    throw new Stop(exit.usage, `--evidence ${path}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

async function tell(report: CheckReport, form: Form, { quiet, verbose, color }: CheckOptions): Promise<void> {
  if (form === "jsonl") return
  if (form === "json") return print(report)
  if (form === "nagios" || form === "prometheus") {
    const { nagios, prometheus } = await import("./render-monitoring.ts")
    process.stdout.write(form === "nagios" ? nagios(report) : prometheus(report))
    return
  }
  if (form === "markdown") {
    const { markdown } = await import("./render-markdown.ts")
    process.stdout.write(markdown(report))
    return
  }
  const { text } = await import("./render-text.ts")
  const shown = terminal({ tty: process.stdout.isTTY, environment: process.env, color })
  process.stdout.write(text(report, shown, { quiet: quiet === true, verbose: verbose === true }))
}
