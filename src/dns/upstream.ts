// Asking the configured resolvers: UDP with EDNS, TCP on truncation, own deadlines, several upstreams, and every check
// that an answer is one to our question (RFC 1035 7.3, RFC 5452 9, RFC 6891 6.2.5, RFC 7766 5).
import { inNetwork, parseAddress, parseCidr } from "../model/address.ts"
import type { DnsReason } from "../model/dns-answer.ts"
import { Stop, type StopSignal } from "../model/stop.ts"
import type { Clock, NetworkAddress, Random } from "../ports.ts"
import { classInternet, type DnsMessage, decodeMessage, type Edns, encodeMessage, makeQuery, opcodeQuery, rcodes } from "./message.ts"
import { DnsFormatError, type DnsName, identicalName, lowerOctet } from "./name.ts"

/** Moves one query and its answer; the resolver does all judging. */
export interface DnsTransport {
  /**
   * Sends the query and waits for a message that `accept` takes. Messages it does not take are dropped, up to a bound of
   * the transport's own. Off loopback every UDP query leaves from a fresh random port.
   *
   * @param query one message, without the length octets of TCP
   * @throws anything when there is no such message; at once when the signal aborts
   */
  exchange(
    query: Uint8Array,
    upstream: NetworkAddress,
    protocol: "udp" | "tcp",
    signal: StopSignal,
    accept: (reply: Uint8Array) => boolean,
  ): Promise<Uint8Array>
}

export interface UpstreamTimes {
  /** First UDP attempt, ms; doubled in the second round. */
  readonly attempt: number
  /** How long an upstream that kept silent is asked last, ms. */
  readonly penalty: number
}

export interface Upstreams {
  readonly addresses: readonly NetworkAddress[]
  readonly transport: DnsTransport
  readonly clock: Clock
  readonly random: Random
  readonly times: UpstreamTimes
}

export type Asked =
  | { readonly message: DnsMessage; readonly octets: Uint8Array; readonly upstream: string; readonly why: readonly DnsReason[] }
  | {
      readonly message: undefined
      readonly rcode: number | undefined
      readonly why: readonly DnsReason[]
      /** Info codes of extended errors that came with the failure (RFC 8914), and who sent them. */
      readonly extendedErrors: readonly number[]
      readonly upstream?: string
    }

/** How a question is put. */
export interface Manner {
  /** With DO and CD: signatures are wanted, and what another validator thinks of them is not (RFC 4035 3.2.2, RFC 6840 5.9). */
  readonly dnssec: boolean
  /** 0; 1 takes another way: the next upstream first, or TCP where there is one upstream only. */
  readonly attempt: number
  /**
   * `authentic`: with AD, which asks for the resolver's own verdict (RFC 6840 5.7); `unchecked`: with CD, for what it
   * would hold back.
   */
  readonly flags?: "authentic" | "unchecked"
  /** Asks this one only, by its label. */
  readonly upstream?: string
}

const plainManner: Manner = { dnssec: false, attempt: 0 }
/** RFC 8914 2 */
const extendedErrorOption = 15

/** DNS flag day 2020: no fragments. */
const udpPayload = 1232
const loopbackNetworks = [parseCidr("127.0.0.0/8"), parseCidr("::1")]

export function isLoopbackAddress(address: string): boolean {
  const bytes = parseAddress(address)
  return bytes !== undefined && loopbackNetworks.some((network) => inNetwork(bytes, network))
}

/** Letter case by chance: an answer must repeat it, which costs a blind forger one bit a letter. */
function randomCase(name: DnsName, random: Random): DnsName {
  return {
    labels: name.labels.map((label) => {
      const noise = random.bytes(label.length)
      return label.map((octet, index) => {
        const lower = lowerOctet(octet)
        return lower >= 0x61 && lower <= 0x7a && (noise[index]! & 1) === 1 ? lower - 0x20 : lower
      })
    }),
  }
}

const questionStart = 12
/** What a server may answer without repeating the question, having failed to read it. */
const questionlessCodes: readonly number[] = [rcodes.formatError, rcodes.serverFailure, rcodes.notImplemented, rcodes.refused]

/** Before anything is decoded: a response, our id, our question (letter case aside: that is judged by the caller). */
function answersQuery(query: Uint8Array, reply: Uint8Array): boolean {
  if (reply.length < questionStart || reply[0] !== query[0] || reply[1] !== query[1]) return false
  if ((reply[2]! & 0x80) === 0 || ((reply[2]! >> 3) & 0xf) !== opcodeQuery) return false
  const questions = (reply[4]! << 8) | reply[5]!
  if (questions === 0) return questionlessCodes.includes(reply[3]! & 0xf)
  const end = questionEnd(query)
  if (questions !== 1 || reply.length < end) return false
  for (let index = questionStart; index < end; index += 1) {
    const got = reply[index]!
    const sent = query[index]!
    if (got !== sent && lowerOctet(got) !== lowerOctet(sent)) return false
  }
  return true
}

/** Of our own query: one uncompressed name, type and class. */
function questionEnd(query: Uint8Array): number {
  let at = questionStart
  while (query[at] !== 0) at += 1 + query[at]!
  return at + 5
}

class UpstreamFailure extends Error {
  readonly reason: DnsReason
  /** Whether asking the same upstream again may help. */
  readonly again: boolean
  readonly rcode: number | undefined
  readonly extendedErrors: readonly number[]
  constructor(reason: DnsReason, again: boolean, message?: DnsMessage) {
    super(reason.detail)
    this.reason = reason
    this.again = again
    this.rcode = message?.rcode
    this.extendedErrors = message === undefined ? [] : extendedErrorsOf(message)
  }
}

function extendedErrorsOf({ edns }: DnsMessage): number[] {
  const options = (edns?.options ?? []).filter(({ code, value }) => code === extendedErrorOption && value.length >= 2)
  return options.slice(0, 8).map(({ value }) => (value[0]! << 8) | value[1]!)
}

interface Session {
  readonly address: NetworkAddress
  readonly label: string
  readonly loopback: boolean
  /** Monotonic ms until which it is asked last. */
  avoidUntil: number
  /** Monotonic ms until which EDNS is left out. */
  plainUntil: number
}

export class UpstreamPool {
  readonly #upstreams: Upstreams
  readonly #sessions: readonly Session[]

  constructor(upstreams: Upstreams) {
    this.#upstreams = upstreams
    this.#sessions = upstreams.addresses.map((address) => ({
      address,
      label: address.address.includes(":") ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`,
      loopback: isLoopbackAddress(address.address),
      avoidUntil: 0,
      plainUntil: 0,
    }))
  }

  get labels(): readonly string[] {
    return this.#sessions.map(({ label }) => label)
  }

  /**
   * One question to the upstreams in turn; a second round for those that kept silent or made no sense.
   *
   * @param signal the whole question's deadline
   */
  async ask(name: DnsName, type: number, signal: StopSignal, manner: Manner = plainManner): Promise<Asked> {
    const why: DnsReason[] = []
    let rcode: number | undefined
    let failed: { extendedErrors: readonly number[]; upstream?: string } = { extendedErrors: [] }
    const now = this.#upstreams.clock.monotonic()
    const sessions = manner.upstream === undefined ? this.#sessions : this.#sessions.filter(({ label }) => label === manner.upstream)
    const start = sessions.length === 0 ? 0 : manner.attempt % sessions.length
    let candidates = sessions
    if (sessions.length > 1) {
      const turned = [...sessions.slice(start), ...sessions.slice(0, start)]
      candidates = turned.sort((a, b) => Number(a.avoidUntil > now) - Number(b.avoidUntil > now))
    }
    if (candidates.length === 0) why.push({ code: "no-upstream", detail: "no resolver is configured" })
    for (let round = 1; round <= 2 && candidates.length > 0; round += 1) {
      const silent: Session[] = []
      for (const session of candidates) {
        if (signal.aborted)
          return { message: undefined, rcode, why: [...why, { code: "timeout", detail: "the time for the lookup is over" }], ...failed }
        try {
          const { message, octets } = await this.#askOne(session, name, type, this.#upstreams.times.attempt * round, signal, manner)
          return { message, octets, upstream: session.label, why }
        } catch (error) {
          if (!(error instanceof UpstreamFailure)) throw error
          why.push(error.reason)
          rcode = error.rcode ?? rcode
          if (error.rcode !== undefined) failed = { extendedErrors: error.extendedErrors, upstream: session.label }
          if (error.again) silent.push(session)
        }
      }
      candidates = silent
    }
    return { message: undefined, rcode, why, ...failed }
  }

  async #askOne(
    session: Session,
    name: DnsName,
    type: number,
    ms: number,
    signal: StopSignal,
    manner: Manner,
  ): Promise<{ message: DnsMessage; octets: Uint8Array }> {
    const { clock } = this.#upstreams
    const plain = !manner.dnssec && clock.monotonic() < session.plainUntil
    const edns = plain ? "none" : manner.dnssec ? "dnssec" : "plain"
    const overTcp = manner.attempt > 0 && this.#sessions.length === 1
    const { flags } = manner
    let reply = await this.#once(session, name, type, overTcp ? "tcp" : "udp", edns, flags, ms, signal)
    if (manner.dnssec && refusesEdns(reply.message)) {
      throw this.#failure(session, "rcode", "the resolver refuses EDNS, without which nothing can be validated", false, reply.message)
    }
    if (edns === "plain" && refusesEdns(reply.message)) {
      // RFC 6891 6.2.2: a server that does not know EDNS is asked without it, for a while.
      session.plainUntil = clock.monotonic() + 300_000
      reply = await this.#once(session, name, type, "udp", "none", flags, ms, signal)
    }
    if (reply.message.truncated || reply.caseChanged) reply = await this.#once(session, name, type, "tcp", edns, flags, ms * 2, signal)
    const { message } = reply
    if (message.truncated) throw this.#failure(session, "malformed", "an answer over TCP is truncated", false)
    if (message.rcode === rcodes.noError || message.rcode === rcodes.nameError) return reply
    const code = message.rcode === rcodes.serverFailure ? "servfail" : message.rcode === rcodes.refused ? "refused" : "rcode"
    throw this.#failure(session, code, `the resolver answered with response code ${message.rcode}`, false, message)
  }

  #failure(session: Session, code: DnsReason["code"], detail: string, again: boolean, message?: DnsMessage): UpstreamFailure {
    return new UpstreamFailure({ code, detail, upstream: session.label }, again, message)
  }

  async #once(
    session: Session,
    name: DnsName,
    type: number,
    protocol: "udp" | "tcp",
    manner: "none" | "plain" | "dnssec",
    flags: Manner["flags"],
    ms: number,
    signal: StopSignal,
  ): Promise<{ message: DnsMessage; octets: Uint8Array; caseChanged: boolean }> {
    const { clock, random, transport, times } = this.#upstreams
    const [high, low] = random.bytes(2)
    // RFC 5452 9: unpredictable id; off loopback the letters of the name as well.
    const asked = session.loopback ? name : randomCase(name, random)
    const dnssecOk = manner === "dnssec"
    const edns: Edns | undefined = manner === "none" ? undefined : { udpPayload, version: 0, dnssecOk, flags: 0, options: [] }
    const question = { name: asked, type, class: classInternet }
    const query = encodeMessage({
      ...makeQuery((high! << 8) | low!, question, edns),
      authenticData: flags === "authentic",
      checkingDisabled: dnssecOk || flags === "unchecked",
    })
    const deadline = new Stop()
    const stop = () => deadline.abort()
    const cancel = clock.after(ms, stop)
    signal.addEventListener("abort", stop)
    let octets: Uint8Array
    try {
      octets = await transport.exchange(query, session.address, protocol, deadline, (reply) => answersQuery(query, reply))
    } catch (error) {
      if (signal.aborted) throw this.#failure(session, "timeout", "the time for the lookup is over", false)
      session.avoidUntil = clock.monotonic() + times.penalty
      if (deadline.aborted) throw this.#failure(session, "timeout", `no answer over ${protocol} in ${ms} ms`, true)
      throw this.#failure(session, "network", error instanceof Error ? error.message : "the transport failed", true)
    } finally {
      cancel()
      signal.removeEventListener("abort", stop)
    }
    // The transport is not trusted to have asked: this is the check that counts.
    if (!answersQuery(query, octets)) throw this.#failure(session, "mismatch", "the answer is to another question", true)
    let message: DnsMessage
    try {
      message = decodeMessage(octets)
    } catch (error) {
      if (!(error instanceof DnsFormatError)) throw error
      throw this.#failure(session, "malformed", error.message, true)
    }
    const repeated = message.questions[0]
    const caseChanged = !session.loopback && protocol === "udp" && repeated !== undefined && !identicalName(repeated.name, asked)
    return { message, octets, caseChanged }
  }
}

function refusesEdns(message: DnsMessage): boolean {
  if (message.rcode === rcodes.badVersion) return true
  return message.edns === undefined && (message.rcode === rcodes.formatError || message.rcode === rcodes.notImplemented)
}
