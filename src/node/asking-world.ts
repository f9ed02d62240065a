// The machine as a command sees it that asks others and serves nobody: no log, no files, so that it starts fast (security.md 17).
import type { DnsTransport } from "../dns/resolver.ts"
import type { ReachPolicy } from "../model/reach.ts"
import type { Clock, Dial, Https, Random, Tls } from "../ports.ts"
import { systemClock } from "./clock.ts"
import { createDial } from "./dial.ts"
import { nodeDnsTransport } from "./dns-transport.ts"
import { createHttps } from "./https.ts"
import { createListen, type NodeListen } from "./listen.ts"
import { Pace } from "./pace.ts"
import { systemRandom } from "./random.ts"
import { createTls } from "./tls.ts"

export interface AskingWorld {
  readonly clock: Clock
  readonly random: Random
  readonly dial: Dial
  /** For the one answer that comes as a connection. */
  readonly listen: NodeListen
  readonly tls: Tls
  /** Over `dial`, so guarded as that is. */
  readonly https: Https
  readonly dnsTransport: DnsTransport
}

/** @param reach what may be dialled */
export function createAskingWorld(reach: ReachPolicy): AskingWorld {
  const clock = systemClock
  const newPace = (): Pace => new Pace(clock)
  const listen = createListen({ newPace })
  const dial = createDial({ reach: () => reach, ownListeners: () => listen.ownListeners(), clock, newPace })
  const tls = createTls({ newPace })
  return { clock, random: systemRandom, dial, listen, tls, https: createHttps({ dial, tls }), dnsTransport: nodeDnsTransport({ sharedOnLoopback: true }) }
}
