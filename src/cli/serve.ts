// `xmpp-dna serve`: loads the configuration, starts the gateway, reloads on SIGHUP, drains on SIGTERM (docs/operating.md).
import type { ConfigProblem } from "../model/errors.ts"
import { noCertificates } from "../gateway/certificates.ts"
import { makeSnapshot } from "../gateway/snapshot.ts"
import { type GatewayConfig, loadConfig } from "../gateway/config.ts"
import { type Gateway, startGateway } from "../gateway/gateway.ts"
import { createLog } from "../node/log.ts"
import { collectInTime, compileEarly, holdYoungGeneration } from "../node/engine.ts"
import { createGatewayWorld } from "../node/gateway-world.ts"
import { exit, printable } from "./exit.ts"
import { version } from "./version.ts"

export interface ServeOptions {
  readonly config: string
  readonly check?: boolean
  readonly allowInlineSecrets?: boolean
}

export async function serve(options: ServeOptions): Promise<number> {
  compileEarly()
  // Configuration is read before there is a log: its problems go to standard error as sentences.
  const early = createGatewayWorld({ log: createLog({ descriptor: 2, level: "warn" }) })
  const allowInlineSecrets = options.allowInlineSecrets === true
  const { config, warnings } = await loadConfig(options.config, {
    files: early.startFiles,
    environment: early.environment,
    now: early.clock.now(),
    allowInlineSecrets,
  })
  for (const warning of warnings) process.stderr.write(`warning  ${problemLine(warning)}\n`)
  if (options.check === true) return await check(config, early)
  const log = createLog({ level: config.log.level, format: config.log.format })
  const world = createGatewayWorld({ log })
  const started = world.clock.monotonic()
  const gateway = await startGateway(config, world, { version: version(), allowInlineSecrets, selfCheck: true })
  holdYoungGeneration()
  collectInTime()
  process.stderr.write(banner(options.config, gateway, world.clock.monotonic() - started))
  return await untilStopped(gateway)
}

function problemLine({ place, setting, sentence }: ConfigProblem): string {
  return printable(`${place}  ${setting === undefined ? "" : `${setting}  `}${sentence}`)
}

/** Everything short of binding: configuration, secrets, certificates and trust anchors. */
async function check(config: GatewayConfig, world: ReturnType<typeof createGatewayWorld>): Promise<number> {
  const made = await makeSnapshot(config, 1, noCertificates, { ...world, ownListeners: () => [] })
  for (const warning of made.warnings) process.stderr.write(`warning  ${printable(warning.sentence)}\n`)
  const count = config.domains.size
  process.stdout.write(
    `${config.sources.join(", ")}: good; ${count} domain${count === 1 ? "" : "s"}, ${made.warnings.length} warning${made.warnings.length === 1 ? "" : "s"}\n`,
  )
  return exit.ok
}

function banner(file: string, { addresses, config }: Gateway, ms: number): string {
  const shown = (list: readonly ({ address: string; port: number } | { path: string })[]) =>
    list.length === 0 ? "none" : list.map((at) => ("path" in at ? at.path : `${at.address} port ${at.port}`)).join(", ")
  const more = config.sources.length > 1 ? ` + ${config.sources.length - 1} included` : ""
  return [
    `xmpp-dna ${version()} ${config.node} · node ${process.versions.node} · config ${file}${more}`,
    `listening   s2s ${shown(addresses.s2s)} · direct TLS ${shown(addresses.directTls)}`,
    `            components ${shown(addresses.components)}${addresses.admin === undefined ? "" : ` · admin ${addresses.admin.path}`}`,
    `federation  requires ${config.require}, proofs ${[...config.proofs].join(" ")}, ${dnssecText(config)}`,
    `domains     ${config.domains.size}`,
    `ready in ${(ms / 1000).toFixed(1)} s · kill -HUP ${process.pid} reloads, -TERM drains`,
    "",
  ].join("\n")
}

function dnssecText({ dnssec, resolvers, dnsAnchors }: GatewayConfig): string {
  if (dnssec === "off") return "DNSSEC off: SRV and addresses are not proven"
  const named = resolvers.map(({ address, port }) => `${address} port ${port}`).join(", ")
  if (dnssec === "trust-ad") return `DNSSEC by the word of ${named}`
  return `DNSSEC validated here${dnsAnchors === undefined ? "" : " from own anchors"}`
}

function untilStopped(gateway: Gateway): Promise<number> {
  return new Promise((resolve, reject) => {
    let stopping = false
    // Also when the admin socket asked for it.
    gateway.ended.then(({ lost, inTime }) => resolve(lost === 0 && inTime ? exit.ok : exit.warn), reject)
    const reload = () => {
      gateway.reload().then((result) => {
        if (result.ok) process.stderr.write(`reloaded: ${result.changes.length === 0 ? "nothing changed" : result.changes.join("; ")}\n`)
        else for (const problem of result.problems) process.stderr.write(`not reloaded  ${problemLine(problem)}\n`)
      }, reject)
    }
    const stop = (hurry: boolean): void => {
      // A second signal does not wait.
      const ending = stopping || hurry ? gateway.close() : gateway.drain()
      stopping = true
      ending.catch(reject)
    }
    process.on("SIGHUP", reload)
    process.on("SIGTERM", () => stop(false))
    process.on("SIGINT", () => stop(true))
  }).then((status) => {
    for (const signal of ["SIGHUP", "SIGTERM", "SIGINT"]) process.removeAllListeners(signal)
    return status as number
  })
}
