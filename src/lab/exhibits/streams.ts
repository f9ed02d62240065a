// Exhibits whose server cannot be reached, or says what no stream can go on with (RFC 6120 3 to 5, RFC 7590 3, RFC 8305).
import { Worker } from "node:worker_threads"
import { once } from "node:events"
import { connect, type Socket } from "node:net"
import { type Exhibit, seen, seenAlone, stand, standing } from "../exhibit.ts"
import type { Internet } from "../internet.ts"
import { dialbackOffer, featuresOf, hangUp, openingOf, opens, proceed, saying, starttlsDemand, starttlsOffer, streamErrorOf } from "../plain-server.ts"

/** Short: what never comes is waited for so long. */
const patience = 4000

const demand = (domain: string): string => `${openingOf(domain)}${featuresOf(starttlsDemand)}`

/** Leads the domain to a port where nobody listens. */
function deadPort(net: Internet, domain: string, addresses: { readonly A?: readonly string[]; readonly AAAA?: readonly string[] }): void {
  net.signed.zones.set(`_xmpp-server._tcp.${domain}`, { SRV: [[0, 0, 1, `xmpp.${domain}`]] })
  net.signed.zones.set(`xmpp.${domain}`, addresses)
}

const refused: Exhibit = {
  id: "reach-refused",
  section: "RFC 6120 3.3",
  title: "nobody listens where DNS leads",
  domain: "reach-refused.example",
  expected: seenAlone("none", 2, "bad reach.refused"),
  raise: async (net) => {
    deadPort(net, "reach-refused.example", { A: ["127.0.0.1"] })
    return undefined
  },
}

const timeout: Exhibit = {
  id: "reach-timeout",
  section: "RFC 6120 3.3",
  title: "the address swallows every connection, as behind a firewall that drops packets",
  domain: "reach-timeout.example",
  expected: seenAlone(null, 3, "unknown reach.timeout"),
  raise: async (net) => {
    const hole = await blackHole()
    net.keep(hole)
    net.signed.zones.set("_xmpp-server._tcp.reach-timeout.example", { SRV: [[0, 0, hole.port, "xmpp.reach-timeout.example"]] })
    net.signed.zones.set("xmpp.reach-timeout.example", { A: ["127.0.0.1"] })
    return { question: { patience } }
  },
}

/** A port whose queue of connections is full, and nobody takes one out of it: what comes then is not even refused. */
async function blackHole(): Promise<{ readonly port: number; close(): Promise<void> }> {
  const program = `
    const { createServer } = require("node:net")
    const { parentPort } = require("node:worker_threads")
    const server = createServer(() => {}).listen({ host: "127.0.0.1", port: 0, backlog: 1 }, () => {
      parentPort.postMessage(server.address().port)
      // From here on it never looks at its port again, until it is ended.
      setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0))
    })`
  const worker = new Worker(program, { eval: true })
  const [port] = (await once(worker, "message")) as [number]
  const filling: Socket[] = Array.from({ length: 8 }, () => connect({ host: "127.0.0.1", port }).on("error", (error) => void error))
  return {
    port,
    close: async () => {
      for (const socket of filling) socket.destroy()
      await worker.terminate()
    },
  }
}

const addressDead: Exhibit = {
  id: "reach-address-dead",
  section: "RFC 6120 3.3",
  title: "one of two servers is down",
  domain: "reach-address-dead.example",
  expected: seen("authenticated", 0, "warn reach.address-dead"),
  raise: async (net) => {
    const domain = "reach-address-dead.example"
    const { port } = await stand(net, { domain })
    net.signed.zones.set(`_xmpp-server._tcp.${domain}`, { SRV: [[0, 0, port, `xmpp.${domain}`], [1, 0, 1, `second.${domain}`]] })
    net.signed.zones.set(`second.${domain}`, { A: ["127.0.0.1"] })
    return undefined
  },
}

const sixDead: Exhibit = {
  id: "reach-ipv6-dead",
  section: "RFC 8305 5",
  title: "the IPv6 address does not answer, the IPv4 address does",
  domain: "reach-ipv6-dead.example",
  expected: seen("authenticated", 0, "warn reach.ipv6-dead"),
  raise: async (net) => {
    const domain = "reach-ipv6-dead.example"
    await stand(net, { domain })
    net.signed.zones.set(`xmpp.${domain}`, { A: ["127.0.0.1"], AAAA: ["::1"] })
    return undefined
  },
}

const noFamily = standing("reach-no-ipv6", "RFC 6120 3.2.1", "there is no IPv6 address, and no other is asked for", seenAlone("none", 2, "bad reach.no-such-family"), () => ({}), { family: 6 })

const inClear = (id: string, section: string, title: string, expected: Exhibit["expected"], ...answers: readonly ((domain: string) => string)[]): Exhibit =>
  standing(id, section, title, expected, (_, domain) => ({ certificate: null, clear: saying(...answers.map((answer) => answer(domain))) }))

const hostUnknown = inClear("stream-host-unknown", "RFC 6120 4.9.3.6", "the server does not know the domain", seenAlone("none", 2, "bad stream.host-unknown"), () => openingOf("other.example") + streamErrorOf("host-unknown"))
const badXml = inClear("stream-bad-xml", "RFC 6120 11", "the server sends a comment, which no stream may hold", seenAlone("none", 2, "bad stream.bad-xml"), (domain) => `${openingOf(domain)}<!-- hello -->`)
const error = inClear("stream-error", "RFC 6120 4.9", "the server is out of order, and says so", seenAlone("none", 2, "bad stream.error"), (domain) => openingOf(domain) + streamErrorOf("internal-server-error"))
const closed = inClear("stream-closed", "RFC 6120 4.4", "the server hangs up without a word", seenAlone(null, 3, "unknown stream.closed"), () => hangUp)
const injected = inClear(
  "tls-starttls-injection",
  "RFC 6120 5.4.3.3",
  "bytes in clear come after the switch to TLS, as somebody on the path would put them there",
  seenAlone("none", 2, "bad tls.starttls-injection"),
  demand,
  () => `${proceed}<injected/>`,
)
const broken = inClear("tls-handshake-failed", "RFC 6120 5.4.3.2", "what answers the TLS handshake is no TLS", seenAlone("none", 2, "bad tls.handshake-failed"), demand, () => proceed, () => "HTTP/1.1 400 Bad Request\r\n\r\n")

const slow = standing("stream-too-slow", "RFC 6120 4.6", "the server takes the connection and says nothing", seenAlone(null, 3, "unknown stream.too-slow"), () => ({ clear: () => undefined }), { patience })
const slowBehind = standing("stream-too-slow-in-tls", "RFC 6120 4.6", "the server shows a good certificate, and says nothing more", seen(null, 3, "unknown stream.too-slow"), () => ({ behind: () => undefined }), { patience })
const clear = standing("tls-not-offered", "RFC 7590 3.1", "no TLS at all: dialback is the best there is", seenAlone("verified", 2, "bad tls.not-offered"), () => ({ certificate: null }))
const clearForClients = standing("tls-not-offered-to-clients", "RFC 7590 3.1", "no TLS for clients, who would send their passwords in clear", seenAlone("permissive", 2, "bad tls.not-offered"), () => ({ certificate: null, service: "xmpp-client" }), { service: "xmpp-client" })
const goodForClients = standing("clients-good", "RFC 6120 13.7.2.1", "nothing is wrong on the clients' side", seen("authenticated", 0), () => ({ service: "xmpp-client" }), { service: "xmpp-client" })
const optional = standing("tls-not-required", "RFC 7590 3.1", "TLS is offered and not asked for", seen("authenticated", 0, "info tls.not-required"), (_, domain) => ({ clear: saying(`${openingOf(domain)}${featuresOf(starttlsOffer)}`, proceed) }))
const otherName = standing("stream-from-mismatch", "RFC 6120 4.7.1", "the server answers by another of its names, with the right certificate", seen("authenticated", 0, "info stream.from-mismatch"), () => ({ behind: opens("another.example", dialbackOffer) }))
const sendsAway = standing("stream-sent-away", "RFC 7712 4.3", "the server proves itself, and then sends away who shows no certificate, as it may", seen("authenticated", 0, "info stream.error"), (_, domain) => ({ behind: saying(openingOf(domain) + streamErrorOf("policy-violation")) }))
const gone = standing("stream-host-unknown-in-tls", "RFC 6120 4.9.3.6", "the server shows a good certificate, and does not know the domain any more", seen("none", 2, "bad stream.host-unknown"), (_, domain) => ({ behind: saying(openingOf(domain) + streamErrorOf("host-unknown")) }))
const direct = standing("direct-tls-good", "XEP-0368 2", "nothing is wrong, and TLS begins at once", seen("authenticated", 0), () => ({ directTls: true }))

export const streamExhibits: readonly Exhibit[] = [
  refused,
  timeout,
  addressDead,
  sixDead,
  noFamily,
  hostUnknown,
  gone,
  badXml,
  error,
  sendsAway,
  closed,
  slow,
  slowBehind,
  otherName,
  clear,
  clearForClients,
  optional,
  injected,
  broken,
  direct,
  goodForClients,
]
