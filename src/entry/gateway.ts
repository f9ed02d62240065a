// `xmpp-dna/gateway`: the gateway of `xmpp-dna serve` as an object, from a file or from the same words in the program
// (docs/operating.md).
import { resolve } from "node:path"
import type { ConfigProblem } from "../model/errors.ts"
import type { Files, Log } from "../ports.ts"
import type { AnyProoftype } from "../proof/prooftype.ts"
import { addProoftypes } from "../proof/registry.ts"
import { altered } from "../gateway/altered.ts"
import { loadConfig } from "../gateway/config.ts"
import { type Gateway, type GatewayOptions, startGateway as startWith } from "../gateway/gateway.ts"
import { createGatewayWorld } from "../node/gateway-world.ts"
import { createLog } from "../node/log.ts"

export { ConfigError } from "../model/errors.ts"
export type { Association, DomainPair, FederationLevel } from "../model/association.ts"
export type { ConfigProblem } from "../model/errors.ts"
export type { FederationEvent } from "../model/events.ts"
export type { GatewayConfig } from "../gateway/config.ts"
export type { AnyProoftype, Exchange, PresentationContext, Prooftype } from "../proof/prooftype.ts"
export type { DrainResult, Gateway, GatewayAddresses, GatewayState, ReloadResult } from "../gateway/gateway.ts"
export type { Log, LogLevel } from "../ports.ts"

export type SecretPlace = { readonly file: string } | { readonly env: string } | { readonly credential: string }

/** What a configuration file says, as an object; the words are the file's (docs/operating.md). */
export interface GatewaySettings {
  readonly domains: readonly { readonly name: string; readonly component: { readonly secret: string | SecretPlace } }[]
  readonly certificates: { readonly dirs: readonly string[]; readonly reload?: "watch" | "signal"; readonly warn?: string }
  readonly federation: Readonly<Record<string, unknown>>
  readonly listen?: {
    readonly s2s?: readonly string[]
    readonly direct_tls?: readonly string[]
    readonly components?: readonly string[]
    readonly posh?: readonly string[]
    readonly posh_https?: readonly string[]
    readonly admin?: string
  }
  readonly [section: string]: unknown
}

export interface StartOptions {
  /** Where lines go: a log of the program's own, `json` or `pretty` on standard output, or nowhere (the default). */
  readonly log?: Log | "json" | "pretty" | "none"
  /** Accepts secrets written in a configuration file; in an object they are always accepted. */
  readonly allowInlineSecrets?: boolean
  /** Told of every step of every stream, after it was logged. */
  readonly event?: NonNullable<GatewayOptions["event"]>
  /**
   * Prooftypes of the program's own, in use beside those of `federation.proofs`; in both directions where they show something
   * in the stream (examples/token-prooftype).
   */
  readonly prooftypes?: readonly AnyProoftype[]
  /** Whether its own domains are judged in the background as their peers judge them; not unless true. DNS holds no renewal back without. */
  readonly selfCheck?: boolean
  /** Told what is allowed but should be looked at. */
  readonly warning?: (problem: ConfigProblem) => void
}

/** Stands for the object in messages; relative paths are relative to the working folder. */
const settingsName = "settings"

/**
 * Starts a gateway: binds its listeners and serves until `drain` or `close`.
 *
 * @param source path of a configuration file, or settings
 * @throws ConfigError with every problem: place, setting, sentence; Error for a prooftype whose name is taken
 */
export async function startGateway(source: string | GatewaySettings, options: StartOptions = {}): Promise<Gateway> {
  const { log = "none", event, warning, prooftypes = [] } = options
  addProoftypes([], prooftypes)
  const world = createGatewayWorld({ log: typeof log === "object" ? log : log === "none" ? { write: () => undefined } : createLog({ format: log }) })
  const path = typeof source === "string" ? source : resolve(settingsName)
  const files = typeof source === "string" ? world.files : withSettings(world.files, path, source)
  const allowInlineSecrets = typeof source !== "string" || options.allowInlineSecrets === true
  const { config, warnings } = await loadConfig(path, { files, environment: world.environment, now: world.clock.now(), allowInlineSecrets })
  for (const problem of warnings) warning?.(problem)
  return await startWith(config, { ...world, files }, {
    allowInlineSecrets,
    selfCheck: options.selfCheck === true,
    ...(event === undefined ? {} : { event }),
    ...(prooftypes.length === 0 ? {} : { alterHosting: (hosting) => altered(hosting, { prooftypes: addProoftypes(hosting.prooftypes, prooftypes) }) }),
  })
}

/** The machine's files with one more, which holds the settings; JSON is YAML 1.2. */
function withSettings(files: Files, path: string, settings: GatewaySettings): Files {
  const bytes = new TextEncoder().encode(JSON.stringify(settings))
  return { ...files, read: (asked) => (asked === path ? Promise.resolve(bytes) : files.read(asked)) }
}
