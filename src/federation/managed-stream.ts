// Stream management on live streams: who may use it, whose session it is, and how a lost stream is resumed (XEP-0198;
// SM-1, SM-6; security.md 12). Associations are never resumed: on the new stream each pair is proven as on any other.
import { createHash } from "node:crypto"

import type { DomainPair } from "../model/association.ts"
import type { ServerProof } from "../model/verdict.ts"
import type { Clock, Random } from "../ports.ts"
import { ResumableSessions, type SessionBinding } from "../stream/resumable-sessions.ts"
import { RetainedLoad } from "../stream/retention.ts"
import { type FormerStream, type ManagementEvent, type ManagementOptions, StreamManagement } from "../stream/stream-management.ts"
import { type Federation, type ManagementShare, type StreamEnd, usesOf } from "./contract.ts"
import type { LiveStream } from "./live-stream.ts"
import { openCount } from "./pair-ledger.ts"
import { sourcePrefix } from "./proof-budget.ts"
import { refusal } from "./refusal.ts"
import type { IncomingSession } from "./session.ts"

/** Octets of one stream that wait for acknowledgements; beyond it a peer's silence fills the ordinary queue. */
const retainedPerStream = 1 << 20
/** How long a lost stream can be resumed, s. */
const resumableSeconds = 300

/** Streams of a gateway that can be resumed at once, those of one pair of domains with one certificate, and those of one network. */
const sessionLimits = { sessions: 4096, alike: 8, network: 512 }
/** Octets that all streams of a gateway retain together, and those to one network of peers. */
const retainedInAll = 64 << 20
const retainedPerNetwork = 16 << 20

/** What all streams of one gateway share. */
export function managementShare(clock: Pick<Clock, "monotonic">, random: Pick<Random, "bytes">): ManagementShare {
  return { sessions: new ResumableSessions(clock, random, sessionLimits), retained: new RetainedLoad(retainedInAll, retainedPerNetwork) }
}

type Surroundings = Pick<ManagementOptions, "clock" | "retained" | "resumable">

function surroundings({ ports, management }: Federation, { push }: LiveStream): Surroundings | undefined {
  if (management === undefined) return undefined
  // One operator may have any number of domains, and of streams with them: his network has one part.
  const load = management.retained.part(sourcePrefix(push.channel.remote.address))
  return { clock: ports.clock, retained: { limit: retainedPerStream, load }, resumable: resumableSeconds }
}

/**
 * For an accepted stream: the peer may ask for it once it is authenticated, by SASL or dialback.
 *
 * @param proof what the peer showed
 */
export function manageAccepted(federation: Federation, live: LiveStream, session: IncomingSession, proof: ServerProof | undefined): void {
  const around = surroundings(federation, live)
  const named = session.claimedPair
  if (around === undefined || named === undefined || !usesOf(federation.current(), named.sender).streamManagement) return
  live.management = new StreamManagement({
    ...around,
    role: "receiving",
    send: (xml) => live.push.send(xml),
    authenticated: () => openCount(live.ledger.state, "in") > 0,
    sessions: {
      store: federation.management!.sessions,
      network: sourcePrefix(live.push.channel.remote.address),
      // security.md 12: who speaks for one domain does not thereby get the session of the domain that a header names.
      binding: () => (session.authorised(named) === undefined ? undefined : bindingOf(named, proof)),
      supersede: () => live.push.close("conflict", "another stream goes on with this session"),
    },
    event: (event) => report(federation, live, session.name, "in", named, event),
  })
}

function bindingOf({ sender, target }: DomainPair, proof: ServerProof | undefined): SessionBinding {
  const leaf = proof?.chain[0]
  return { from: sender, to: target, leaf: leaf === undefined ? undefined : createHash("sha256").update(leaf).digest("hex") }
}

export interface Opened {
  readonly pair: DomainPair
  /** Our name of the stream. */
  readonly name: string
  /** The peer offered it behind our authentication. */
  readonly offered: boolean
}

/**
 * For a stream that we opened and on which we are authenticated. To be called before it is read.
 *
 * @returns begins: asks the peer to count, or first to go on with a lost stream; then resolves when it has answered, with how many of
 * the stanzas that stream left unacknowledged had arrived, undefined where the peer does not know. Rejects with OutgoingRefused
 */
export function manageOpened(federation: Federation, live: LiveStream, { pair, name, offered }: Opened): ((former: FormerStream | undefined, signal: AbortSignal) => Promise<number | undefined>) | undefined {
  const around = surroundings(federation, live)
  if (around === undefined || !offered || !usesOf(federation.current(), pair.target).streamManagement) return undefined
  let answered: (arrived: number | undefined) => void = () => {}
  const management = new StreamManagement({
    ...around,
    role: "initiating",
    send: (xml) => live.push.send(xml),
    authenticated: () => true,
    event(event) {
      report(federation, live, name, "out", pair, event)
      if (event.kind === "not-resumed") management.enable()
      if (event.kind === "resumed" || event.kind === "not-resumed") answered(event.arrived)
    },
  })
  live.management = management
  return async (former, signal) => {
    if (former === undefined || former.until <= federation.ports.clock.monotonic()) {
      management.enable()
      return undefined
    }
    return await new Promise<number | undefined>((resolve, reject) => {
      answered = resolve
      const ended = (end: StreamEnd): void => reject(refusal("stream.closed", end.detail, "unreachable"))
      void live.push.closed.then(ended)
      signal.addEventListener("abort", () => live.push.close("connection-timeout"), { once: true })
      management.resume(former)
    })
  }
}

function report(federation: Federation, live: LiveStream, stream: string, direction: "in" | "out", pair: DomainPair, event: ManagementEvent): void {
  const detail = event.kind === "enabled" ? { resumable: event.resumable } : event.kind === "resumed" ? { handled: live.management?.handled ?? 0 } : { condition: event.condition }
  federation.event({ kind: "management", at: federation.ports.clock.now(), stream, direction, pair, result: event.kind, ...detail })
}
