// The machine as one gateway or one command sees it: every port of src/ports.ts, wired together.
import type { DnsTransport } from "../dns/resolver.ts"
import type { OwnListener, ReachPolicy } from "../model/reach.ts"
import type { Clock, Dial, Files, Https, HttpServe, Log, Random, Tls } from "../ports.ts"
import { systemClock } from "./clock.ts"
import { createDial, type DialLimits } from "./dial.ts"
import { nodeDnsTransport } from "./dns-transport.ts"
import { blockingFiles, createFiles, type WatchTimes } from "./files.ts"
import { createHttpServe } from "./http-serve.ts"
import { createHttps } from "./https.ts"
import { createListen, type NodeListen } from "./listen.ts"
import { createLog, type LogOptions } from "./log.ts"
import { Pace } from "./pace.ts"
import { systemRandom } from "./random.ts"
import { errorCode } from "./tcp.ts"
import { createTls } from "./tls.ts"

export interface NodeWorldOptions {
  /** What may be dialled; read afresh for every connection, since a reload changes it. */
  readonly reach: () => ReachPolicy
  readonly dialLimits?: Partial<DialLimits>
  /** A log made before, or how to make one. */
  readonly log?: Log | LogOptions
  readonly watch?: Partial<WatchTimes>
  /** Permissions of Unix sockets; 0660 by default. */
  readonly unixMode?: number
  /** False: every chunk is delivered as it comes, however small and fast. */
  readonly paced?: boolean
}

export interface NodeWorld {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly files: Files
  /** Of the same files, for the time before anything is served: reading waits for the disk. */
  readonly startFiles: Files
  readonly dial: Dial
  readonly listen: NodeListen
  readonly tls: Tls
  /** Over `dial`, so guarded as that is. */
  readonly https: Https
  /** Over `listen`, so known to the dial guard. */
  readonly httpServe: HttpServe
  readonly dnsTransport: DnsTransport
  /** What this world listens on now; its dial refuses these. */
  ownListeners(): readonly OwnListener[]
}

/** One for each gateway in a process: its dial refuses its own listeners, not those of its neighbours. */
export function createNodeWorld(options: NodeWorldOptions): NodeWorld {
  const clock = systemClock
  const log = options.log !== undefined && "write" in options.log ? options.log : createLog(options.log)
  const newPace = options.paced === false ? undefined : () => new Pace(clock)
  const listen = createListen({
    newPace,
    troubled: (code) => log.write("error", "gateway.error", { code, text: `a connection could not be accepted: ${code}` }),
    ...(options.unixMode === undefined ? {} : { unixMode: options.unixMode }),
  })
  const files = createFiles(options.watch)
  const ownListeners = (): readonly OwnListener[] => listen.ownListeners()
  const dial = createDial({
    reach: options.reach,
    ownListeners,
    clock,
    newPace,
    ...(options.dialLimits === undefined ? {} : { limits: options.dialLimits }),
  })
  const tls = createTls({ newPace })
  return {
    clock,
    random: systemRandom,
    log,
    files,
    startFiles: blockingFiles(files),
    listen,
    ownListeners,
    dial,
    tls,
    https: createHttps({ dial, tls }),
    httpServe: createHttpServe({
      listen,
      tls,
      clock,
      troubled: (error) => log.write("error", "gateway.error", { text: `an HTTP request could not be answered: ${errorCode(error)}` }),
    }),
    // Loopback needs no port to guess: one socket serves all queries there.
    dnsTransport: nodeDnsTransport({ sharedOnLoopback: true }),
  }
}
