// The lab's DNS: an authoritative server for any names on loopback, UDP and TCP, that can misbehave on purpose.
// It calls itself authoritative and recursive at once (AA and RA), so stub resolvers and forwarders both take it as their upstream.
// A signed tree (dns-signed-tree.ts) is another way to make the answer sections.
import { createSocket, type Socket as UdpSocket } from "node:dgram"
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import { createServer, type Server, type Socket as TcpSocket } from "node:net"
import { classInternet, type DnsMessage, decodeMessage, encodeMessage, opcodeQuery, rcodes } from "../dns/message.ts"
import { DnsFormatError, type DnsName } from "../dns/name.ts"
import { shownName, typeName } from "../dns/records.ts"
import { answerFrom, type ZoneAnswer, type ZoneRecords, ZoneTable, type ZoneText } from "./dns-zones.ts"

export type { ZoneRecords, ZoneText } from "./dns-zones.ts"

/** What the server does wrong for a name (and type). `truncate` sets TC on UDP only; TCP then answers in full. */
export type Misbehaviour =
  | "servfail"
  | "refused"
  | "formerr"
  | "no-edns"
  | "drop"
  | "truncate"
  | "truncate-always"
  | "garbage"
  | "wrong-id"
  | "wrong-question"
  | "close"
  | "header-only"
  | { readonly delay: number }

export interface LoggedQuery {
  /** As it was asked, letter case kept. */
  readonly name: string
  readonly type: string
  readonly protocol: "udp" | "tcp"
  readonly edns: boolean
}

export interface DnsResponder {
  readonly address: string
  readonly port: number
  /** Replaces every record of a name; undefined removes the name. */
  set(name: string, records: ZoneRecords | undefined): void
  /** Misbehaves for the name from now on; without type for every type; undefined ends it. */
  misbehave(name: string, how: Misbehaviour | undefined, type?: string): void
  /** Oldest first; the last 10,000. */
  readonly queries: LoggedQuery[]
  close(): Promise<void>
}

export interface DnsResponderOptions {
  readonly address?: string
  readonly port?: number
  readonly zones?: ZoneText
  /** Answers instead of the table of zones. */
  readonly answer?: AnswerMaker
  /** Changes a reply before it is sent, as a liar on the path would. Undefined: nothing is sent. */
  readonly rewrite?: (query: DnsMessage, reply: DnsMessage) => DnsMessage | undefined
}

export type AnswerMaker = (name: DnsName, type: number, dnssecOk: boolean) => ZoneAnswer

const maxLogged = 10_000
const plainUdpPayload = 512

class Responder implements DnsResponder {
  readonly address: string
  readonly port: number
  readonly queries: LoggedQuery[] = []
  readonly #udp: UdpSocket
  readonly #tcp: Server
  readonly #zones: ZoneTable
  readonly #answer: AnswerMaker
  readonly #rewrite: NonNullable<DnsResponderOptions["rewrite"]>
  readonly #bad = new Map<string, Misbehaviour>()
  readonly #connections = new Set<TcpSocket>()
  readonly #delays = new Set<NodeJS.Timeout>()

  constructor(udp: UdpSocket, tcp: Server, zones: ZoneTable, { answer, rewrite }: Pick<DnsResponderOptions, "answer" | "rewrite">) {
    const bound = udp.address()
    this.address = bound.address
    this.port = bound.port
    this.#udp = udp
    this.#tcp = tcp
    this.#zones = zones
    this.#answer = answer ?? ((name, type) => answerFrom(zones, name, type))
    this.#rewrite = rewrite ?? ((_query, reply) => reply)
    udp.on("message", (query, from) => {
      // An asker that is gone is no error of the server.
      this.#serve(query, "udp", (reply) => udp.send(reply, from.port, from.address, () => undefined))
    })
    tcp.on("connection", (socket) => this.#accept(socket))
  }

  set(name: string, records: ZoneRecords | undefined): void {
    this.#zones.set(name, records)
  }

  misbehave(name: string, how: Misbehaviour | undefined, type = "*"): void {
    const key = `${name.toLowerCase()} ${type}`
    if (how === undefined) this.#bad.delete(key)
    else this.#bad.set(key, how)
  }

  async close(): Promise<void> {
    for (const timer of this.#delays) clearTimeout(timer)
    for (const socket of this.#connections) socket.destroy()
    const closed = [once(this.#udp, "close"), once(this.#tcp, "close")]
    this.#udp.close()
    this.#tcp.close()
    await Promise.all(closed)
  }

  #accept(socket: TcpSocket): void {
    this.#connections.add(socket)
    socket.on("close", () => this.#connections.delete(socket))
    socket.on("error", () => socket.destroy())
    socket.setNoDelay(true)
    let held = Buffer.alloc(0)
    socket.on("data", (chunk: Buffer) => {
      held = Buffer.concat([held, chunk])
      while (held.length >= 2 && held.length >= held.readUInt16BE(0) + 2) {
        const end = held.readUInt16BE(0) + 2
        const query = Buffer.from(held.subarray(2, end))
        held = Buffer.from(held.subarray(end))
        this.#serve(
          query,
          "tcp",
          (reply) => {
            const framed = Buffer.alloc(reply.length + 2)
            framed.writeUInt16BE(reply.length, 0)
            framed.set(reply, 2)
            if (socket.writable) socket.write(framed)
          },
          () => socket.destroy(),
        )
      }
    })
  }

  #serve(octets: Uint8Array, protocol: "udp" | "tcp", send: (reply: Uint8Array) => void, hangUp: () => void = () => undefined): void {
    let query: DnsMessage
    try {
      query = decodeMessage(octets)
    } catch (error) {
      if (!(error instanceof DnsFormatError)) throw error
      // Only the id can be told; a forwarder then knows at once that it was not understood.
      if (octets.length >= 2) send(Uint8Array.of(octets[0]!, octets[1]!, 0x80, rcodes.formatError, 0, 0, 0, 0, 0, 0, 0, 0))
      return
    }
    const question = query.questions[0]
    if (query.response || question === undefined) return
    this.queries.push({ name: shownAsAsked(question.name), type: typeName(question.type), protocol, edns: query.edns !== undefined })
    if (this.queries.length > maxLogged) this.queries.splice(0, this.queries.length - maxLogged)
    const name = shownName(question.name)
    const how = this.#bad.get(`${name} ${typeName(question.type)}`) ?? this.#bad.get(`${name} *`)
    const reply = () => this.#reply(query, protocol, how)
    if (how === undefined) {
      const sent = reply()
      if (sent.length > 0) send(sent)
    } else if (typeof how === "object") {
      const timer = setTimeout(() => {
        this.#delays.delete(timer)
        send(reply())
      }, how.delay)
      this.#delays.add(timer)
    } else if (how === "close") hangUp()
    else if (how !== "drop") send(spoil(reply(), how))
  }

  #reply(query: DnsMessage, protocol: "udp" | "tcp", how: Misbehaviour | undefined): Uint8Array {
    const question = query.questions[0]!
    const edns = query.edns
    const failing = failureCode(how, edns !== undefined)
    const supported = query.opcode === opcodeQuery && question.class === classInternet && query.questions.length === 1
    const found = this.#answer(question.name, question.type, edns?.dnssecOk === true)
    const base: DnsMessage = {
      ...query,
      response: true,
      authoritative: true,
      truncated: false,
      recursionAvailable: true,
      reserved: false,
      authenticData: false,
      rcode: failing ?? (supported ? found.rcode : rcodes.notImplemented),
      answers: [],
      authorities: [],
      additionals: [],
      edns:
        edns === undefined || how === "no-edns"
          ? undefined
          : { udpPayload: 4096, version: 0, dnssecOk: edns.dnssecOk, flags: 0, options: [] },
    }
    if (base.rcode !== found.rcode) return encodeMessage(base)
    const told = this.#rewrite(query, { ...base, answers: found.answers, authorities: found.authorities })
    if (told === undefined) return new Uint8Array(0)
    const full = encodeMessage(told)
    const payload = Math.max(plainUdpPayload, edns?.udpPayload ?? plainUdpPayload)
    const tooLong = protocol === "udp" && (full.length > payload || how === "truncate")
    return tooLong || how === "truncate-always" ? encodeMessage({ ...base, truncated: true }) : full
  }
}

function shownAsAsked(name: Parameters<typeof shownName>[0]): string {
  return name.labels.length === 0 ? "." : name.labels.map((label) => Buffer.from(label).toString("latin1")).join(".")
}

function failureCode(how: Misbehaviour | undefined, edns: boolean): number | undefined {
  if (how === "servfail" || how === "header-only") return rcodes.serverFailure
  if (how === "refused") return rcodes.refused
  return how === "formerr" || (how === "no-edns" && edns) ? rcodes.formatError : undefined
}

/** The reply with its id, its question or everything behind the header made wrong. */
function spoil(reply: Uint8Array, how: Misbehaviour): Uint8Array {
  const spoilt = Uint8Array.from(reply)
  if (how === "wrong-id") spoilt[0]! ^= 0xff
  // One letter of the first label.
  if (how === "wrong-question" && spoilt.length > 13) spoilt[13]! ^= 0x02
  if (how === "garbage") {
    const end = 12 + spoilt.subarray(12).indexOf(0) + 5
    for (let index = end; index < spoilt.length; index += 1) spoilt[index] = 0xff
    spoilt[7] = 7
  }
  if (how === "header-only") {
    spoilt.fill(0, 4, 12)
    return spoilt.subarray(0, 12)
  }
  return spoilt
}

/**
 * Starts the server; with port 0 on a free port, the same for UDP and TCP.
 *
 * @param options address: loopback, 127.0.0.1 unless given; zones: what it answers
 * @throws when the address cannot be bound, or a record of the table makes no sense
 */
export async function startDnsResponder(options: DnsResponderOptions = {}): Promise<DnsResponder> {
  const { address = "127.0.0.1", port = 0, zones = {} } = options
  const table = new ZoneTable(zones)
  // The free TCP port may be taken on UDP: try a few.
  for (let attempt = 1; ; attempt += 1) {
    const tcp = createServer()
    tcp.listen(port, address)
    await once(tcp, "listening")
    const udp = createSocket(address.includes(":") ? "udp6" : "udp4")
    udp.bind((tcp.address() as AddressInfo).port, address)
    try {
      await once(udp, "listening")
    } catch (error) {
      udp.close()
      tcp.close()
      if (port !== 0 || attempt >= 8) throw error
      continue
    }
    return new Responder(udp, tcp, table, options)
  }
}
