// The other direction (RFC 7712 4.3): the domain's server connects to us, because its operator makes it or because we ping it (XEP-0199),
// and how it proves itself then is what every server it connects to sees. Our own receiving role judges it; nothing is delivered.
import type { Association, DomainPair } from "../model/association.ts"
import type { FederationEvent } from "../model/events.ts"
import { ns } from "../model/namespaces.ts"
import type { Verdict } from "../model/verdict.ts"
import type { Channel, Listen, NetworkAddress, TlsCredentials } from "../ports.ts"
import { ClaimGuard } from "../federation/claim-guard.ts"
import type { Delivery, Federation, Hosting, IncomingHooks, IncomingStream, OutgoingStream } from "../federation/contract.ts"
import { deadline } from "../federation/deadline.ts"
import { KeyRing } from "../federation/dialback.ts"
import { openOutgoing } from "../federation/initiating.ts"
import { acceptStream } from "../federation/receiving.ts"
import { OutgoingRefused } from "../federation/refusal.ts"
import { fingerprintOf, verdictResult } from "./describe.ts"
import { Meter, metering, meteringDial } from "./meter.ts"
import type { InspectPorts, InspectQuestion } from "./question.ts"
import type { ReverseResult } from "./report.ts"

export interface ReverseQuestion {
  readonly listen: Listen
  /** Where the DNS of our domain leads servers to; STARTTLS. */
  readonly at: NetworkAddress
  /** `ping`: it is asked to by a ping over a stream of ours; `operator`: somebody makes it. */
  readonly asked: ReverseResult["asked"]
  /** How long it is waited for, ms. */
  readonly patience: number
  /** Told once it is listened, with the port that was found for 0. */
  readonly ready?: (at: NetworkAddress) => void
}

/** What a domain of ours needs for it: without a certificate no server would come. */
export interface Answering {
  readonly domain: DomainPair["sender"]
  readonly credentials: TlsCredentials
}

const closingMs = 1000
/** What arrives on the stream is not for anybody. */
const nowhere: Delivery = { raw: () => undefined, tree: () => undefined }

/**
 * Waits for the domain's server to connect and to prove itself.
 *
 * @returns never rejects because of the world
 * @throws Error when it cannot be listened there
 */
export async function reverse({ domain }: InspectQuestion, ours: Answering, given: InspectPorts, asking: ReverseQuestion, signal: AbortSignal): Promise<ReverseResult> {
  const ports = { ...given, dial: meteringDial(given.dial), tls: metering(given.tls, given.clock) }
  const pair = { sender: domain, target: ours.domain }
  const seen = new Sighting(pair)
  const federation: Federation = {
    ports,
    current: () => hosting,
    event: (event) => seen.event(event),
    keys: new KeyRing(ports.random, ports.clock),
    claims: new ClaimGuard(ports.clock),
  }
  const hosting = hostingOf(ours, ports, asking.patience)
  const streams = new Set<IncomingStream>()
  const hooks: IncomingHooks = { delivery: () => nowhere, flushed: () => undefined, authenticated: () => undefined }
  const accept = (channel: Channel): void => {
    if (streams.size >= mostStreams) return channel.destroy()
    const stream = acceptStream(federation, new Meter().on(channel), "starttls", hooks)
    streams.add(stream)
    void stream.closed.then(() => streams.delete(stream))
  }
  const limit = deadline(ports.clock, asking.patience, `waiting for ${domain}`, signal)
  const listener = await asking.listen.listen(asking.at, accept)
  let ping: OutgoingStream | undefined
  try {
    asking.ready?.(listener.address)
    if (asking.asked === "ping") {
      ping = await openOutgoing(federation, { sender: ours.domain, target: domain }, limit.signal)
      ping.channel.write(Buffer.from(pingXml(ours.domain, domain, Buffer.from(ports.random.bytes(8)).toString("hex"))))
    }
    await seen.end(limit.signal)
    return seen.result(asking.asked, "")
  } catch (error) {
    if (!(error instanceof OutgoingRefused)) throw error
    return seen.result(asking.asked, `it could not be asked to: ${error.message}`)
  } finally {
    limit.done()
    ping?.close()
    for (const stream of streams) stream.close()
    await listener.close()
  }
}

/** Of one server that is waited for; whoever else comes is not why we listen. */
const mostStreams = 16

function pingXml(from: string, to: string, id: string): string {
  return `<iq type='get' id='${id}' from='${from}' to='${to}'><ping xmlns='${ns.ping}'/></iq>`
}

/** Takes whoever comes with TLS, so that it shows all it has: what that is worth is the report's to say. */
function hostingOf({ domain, credentials }: Answering, { prooftypes, anchors, reach }: InspectPorts, patience: number): Hosting {
  return {
    hosts: (asked) => asked === domain,
    reserved: () => false,
    credentials: (asked) => (asked === domain ? credentials : undefined),
    anyDomain: domain,
    policy: { require: "encrypted", proofs: new Set(prooftypes.map(({ name }) => name)), exceptions: [], generation: 1 },
    prooftypes,
    anchors,
    reach,
    limits: { stanza: 65_536, unauthenticatedStanza: 65_536, depth: 32, pendingClaims: 4 },
    times: { negotiation: patience, verification: patience, dialbackAnswer: patience, closing: closingMs },
    override: () => undefined,
    dialback: true,
  }
}

/** What is seen of the server that is waited for, and when that is all. */
class Sighting {
  readonly #pair: DomainPair
  readonly #verdicts = new Map<string, Verdict>()
  readonly #connections = new Map<string, { address: string; tls: string | null }>()
  #stream: string | undefined
  #association: Association | undefined
  #refused: string | undefined
  #over: (() => void) | undefined

  constructor(pair: DomainPair) {
    this.#pair = pair
  }

  event(event: FederationEvent): void {
    if (event.direction !== "in") return
    if (event.kind === "connected") this.#connections.set(event.stream, { address: event.peer, tls: null })
    if (event.kind === "secured") {
      const connection = this.#connections.get(event.stream)
      if (connection !== undefined) connection.tls = event.protocol
    }
    const pair = event.kind === "associated" ? event.association.pair : event.pair
    if (pair?.sender !== this.#pair.sender || pair.target !== this.#pair.target) return
    if (this.#association !== undefined) return
    if (event.stream !== this.#stream) this.#verdicts.clear()
    this.#stream = event.stream
    if (event.kind === "proof") this.#verdicts.set(event.verdict.by, event.verdict)
    // Anybody can claim the name and be refused: that says nothing about the domain, and its own server may still come.
    if (event.kind === "refused") this.#refused = event.sentence
    if (event.kind !== "associated") return
    this.#association = event.association
    this.#over?.()
  }

  /** Until it is known, or the time is over. */
  async end(signal: AbortSignal): Promise<void> {
    if (this.#association !== undefined || signal.aborted) return
    await new Promise<void>((resolve) => {
      this.#over = resolve
      signal.addEventListener("abort", () => resolve(), { once: true })
    })
  }

  result(asked: ReverseResult["asked"], why: string): ReverseResult {
    const connection = this.#stream === undefined ? undefined : this.#connections.get(this.#stream)
    const verdicts = this.#association?.verdicts ?? [...this.#verdicts.values()]
    const proofs = verdicts.map(verdictResult)
    const byKey = typeof this.#association?.via === "object"
    if (connection !== undefined) proofs.push({ ...verdictless, proof: "dialback", state: byKey ? "proved" : "untried" })
    const leaf = this.#association?.proof?.chain[0]
    const shown = verdicts.find(({ outcome }) => outcome === "proved") ?? verdicts.find(({ outcome }) => outcome !== "absent")
    const weak = shown?.outcome === "unavailable" ? "unavailable" : "refuted"
    const state = connection === undefined ? "no-connection" : this.#association === undefined ? "unavailable" : this.#association.level === "authenticated" ? "proved" : weak
    const refused = this.#refused === undefined ? "somebody who called himself so proved nothing" : `somebody who called himself so was refused, which anybody can be: ${this.#refused}`
    return {
      state,
      asked,
      address: connection?.address ?? null,
      tls: connection?.tls ?? null,
      level: this.#association?.level ?? null,
      proofs,
      certificate: leaf === undefined ? null : fingerprintOf(leaf),
      detail: this.#association !== undefined ? "" : why !== "" || connection === undefined ? why : refused,
    }
  }
}

const verdictless = { detail: "", finding: null, needsSecureDns: false, facts: [], until: null }
