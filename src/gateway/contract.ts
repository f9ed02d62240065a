// What a gateway asks of the machine it runs on, and what it offers to whoever started it (types only).
import type { Domain } from "../model/domain.ts"
import type { ConfigProblem } from "../model/errors.ts"
import type { EventSink } from "../model/events.ts"
import type { OwnListener, ReachPolicy } from "../model/reach.ts"
import type { Clock, Dial, Files, Https, HttpServe, Listen, Log, NetworkAddress, Random, Store, Tls } from "../ports.ts"
import type { PoshMemoryLimits } from "../proof/posh-memory.ts"
import type { AnchorSet } from "../x509/anchors.ts"
import type { ClaimLimits } from "../federation/claim-guard.ts"
import type { Hosting, IncomingStream } from "../federation/contract.ts"
import type { ComponentSession, ComponentTimes } from "./component.ts"
import type { GatewayConfig, SocketPath, Trust } from "./config.ts"
import type { GatewayResolver, ResolverSettings } from "./dns-ability.ts"
import type { OwnStanding } from "./own-standing.ts"
import type { RolloverView } from "./rollover-outcome.ts"
import type { PoolView } from "./pool-contract.ts"

/** The machine, as a gateway sees it. */
export interface GatewayWorld {
  readonly clock: Clock
  readonly random: Random
  readonly tls: Tls
  readonly listen: Listen
  readonly files: Files
  /** Used in place of `files` until the gateway serves; may be faster by waiting for the disk. */
  readonly startFiles?: Files
  readonly log: Log
  /** Opens the memory in a folder; without it nothing outlives the process. Throws StoreError. */
  store?(folder: string): Store
  /** A guarded Dial; the policy is read afresh for every connection. */
  dial(reach: () => ReachPolicy): Dial
  /** Over that Dial, so under the same guard. */
  readonly https: Https
  /** For `listen.posh` and `listen.posh_https`; a world without one can have neither. */
  readonly httpServe?: HttpServe
  /** A stub resolver; without upstreams, with those of the system. Rejects with an Error whose message is a sentence. */
  resolver(settings: ResolverSettings): Promise<GatewayResolver> | GatewayResolver
  /** Root certificates. Rejects with an Error whose message is a sentence. */
  anchors(trust: Trust): Promise<AnchorSet> | AnchorSet
  /** What is bound at the moment; never dialled. */
  ownListeners?(): readonly OwnListener[]
  environment(name: string): string | undefined
}

export interface GatewayOptions {
  readonly version?: string
  /** Reads secrets from the configuration itself; for reloads. */
  readonly allowInlineSecrets?: boolean
  readonly componentTimes?: Partial<ComponentTimes>
  /** Every event of the federation core, after it was logged. */
  readonly event?: EventSink
  /** Changes what the federation core reads of every snapshot; for labs and tests, which weaken or break one thing with it. */
  readonly alterHosting?: (hosting: Hosting) => Hosting
  /** Where POSH documents are asked for in place of port 443; for labs, which may not bind that. */
  readonly poshPort?: number
  /** Of the memory of POSH documents, where others are wanted than the usual ones; for labs and tests, which cannot wait. */
  readonly poshLimits?: Partial<PoshMemoryLimits>
  /** Of what strangers may cost, where others are wanted than the usual ones; for labs and tests, which flood. */
  readonly claimLimits?: Partial<ClaimLimits>
  /** After the start and on change, our own domains are judged in the background as their peers judge them. */
  readonly selfCheck?: boolean
}

export interface GatewayAddresses {
  readonly s2s: readonly NetworkAddress[]
  readonly directTls: readonly NetworkAddress[]
  readonly components: readonly (NetworkAddress | SocketPath)[]
  /** Of POSH documents. */
  readonly posh: readonly (NetworkAddress | SocketPath)[]
  readonly poshHttps: readonly (NetworkAddress | SocketPath)[]
  /** Unless none is configured. */
  readonly admin?: SocketPath
}

export type ReloadResult =
  | { readonly ok: true; readonly changes: readonly string[]; readonly needRestart: readonly string[]; readonly warnings: readonly ConfigProblem[] }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] }

export interface DrainResult {
  /** Stanzas that were still waiting when the deadline came, and those of which nobody could be told any more. */
  readonly lost: number
  readonly inTime: boolean
}

export type GatewayState = "running" | "draining" | "closed"

export interface Gateway {
  readonly addresses: GatewayAddresses
  readonly state: GatewayState
  readonly config: GatewayConfig
  /** Reads the configuration again, or takes the one given; all or nothing. Never rejects. */
  reload(config?: GatewayConfig): Promise<ReloadResult>
  /** SIGTERM: serve a while longer, stop accepting, close components, flush queues, close streams; bounded by the deadline. */
  drain(): Promise<DrainResult>
  /** As `drain` without waiting for anything. */
  close(): Promise<DrainResult>
  /** Resolves when it has stopped, whoever asked for that. */
  readonly ended: Promise<DrainResult>
  /** For display. */
  readonly components: readonly ComponentSession[]
  readonly incoming: readonly IncomingStream[]
  readonly outgoing: readonly PoolView[]
  /** How our domains stand with their peers, as far as they have been judged. */
  readonly standings: ReadonlyMap<Domain, OwnStanding>
  /** Certificates on disk, shown and published, of the domains of which something is. */
  readonly renewals: readonly RolloverView[]
}
