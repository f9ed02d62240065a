// A server that never stops sending, in clear, behind TLS and where it connects to us, is heard so far and no further: what an inspection
// costs is bounded in octets as well as in time (RFC 6120 13.12; security.md 24).
import assert from "node:assert/strict"
import { createCipheriv, createHmac } from "node:crypto"
import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { duplexPair } from "node:stream"
import { createSecureContext, TLSSocket } from "node:tls"
import { after, before, test } from "node:test"
import { inspect } from "../../src/inspect/ladder.ts"
import { Meter, mostOctets } from "../../src/inspect/meter.ts"
import type { DomainResult } from "../../src/inspect/report.ts"
import type { Service } from "../../src/model/verdict.ts"
import { featuresOf, mechanismsOf, proceed, starttlsDemand } from "../../src/lab/plain-server.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { patched } from "../attacks/weakened.ts"
import { type Inspector, inspector } from "./support.ts"
import { header } from "./scripted.ts"

let lab: Inspector
const closing: (() => Promise<void>)[] = []
/** What waits in the buffers of both machines when one of them hangs up. */
const underWay = 8 * 1024 * 1024

before(async () => {
  lab = await inspector()
})
after(async () => {
  for (const close of closing) await close()
  await lab.close()
})

/** Writes as fast as it is taken, until it is hung up on. */
function pour(into: Socket | TLSSocket, next: () => Buffer): void {
  const more = (): void => {
    while (!into.destroyed && into.write(next()));
  }
  into.on("drain", more)
  more()
}

function repeating(octets: string): () => Buffer {
  const piece = Buffer.from(octets.repeat(Math.ceil(65_536 / octets.length)))
  return () => piece
}

/** RFC 8446 7.1, without context. */
function expandLabel(secret: Buffer, label: string, length: number): Buffer {
  const name = Buffer.from(`tls13 ${label}`)
  return createHmac("sha256", secret).update(Buffer.of(0, length, name.length, ...name, 0, 1)).digest().subarray(0, length)
}

/** One record after the other, each a session ticket: TLS keeps them to itself (RFC 8446 4.6.1). `sent` records of this secret went before. */
function tickets(secret: Buffer, sent: number): () => Buffer {
  const [key, base] = [expandLabel(secret, "key", 16), expandLabel(secret, "iv", 12)]
  const length = 16_000
  const ticket = Buffer.alloc(4 + 13 + length)
  ticket.writeUInt32BE(0x04000000 + 13 + length)
  ticket.writeUInt32BE(3600, 4)
  ticket.writeUInt16BE(length, 4 + 9)
  const head = Buffer.of(23, 3, 3, 0, 0)
  head.writeUInt16BE(ticket.length + 1 + 16, 3)
  let sequence = sent
  return () => {
    const nonce = Buffer.from(base)
    nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ sequence) >>> 0, 8)
    sequence += 1
    const cipher = createCipheriv("aes-128-gcm", key, nonce).setAAD(head)
    return Buffer.concat([head, cipher.update(ticket), cipher.update(Buffer.of(22)), cipher.final(), cipher.getAuthTag()])
  }
}

interface Flood {
  /** Octets that the inspecting side has taken, more or less. */
  poured(): number
}

/** Says these in clear, and these behind TLS, one to what comes next; then pours: octets again and again, or tickets beneath TLS. */
async function flooding(domain: string, octets: string | typeof tickets, clear: readonly string[], behind: readonly string[] = [], service: Service = "xmpp-server"): Promise<Flood> {
  const { chainPem, keyPem } = lab.net.authority.issue({ names: { dns: [domain] } })
  const sockets = new Set<Socket>()
  let sent = 0
  const say = (on: Socket | TLSSocket, answers: readonly string[], then: () => void): void => {
    const left = [...answers]
    const hear = (): void => {
      const answer = left.shift()
      if (answer !== undefined) on.write(answer)
      if (left.length > 0) return
      on.off("data", hear)
      then()
    }
    on.on("data", hear)
  }
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => socket.destroy()).on("close", () => (sent += socket.bytesWritten))
    say(socket, clear, () => {
      if (typeof octets === "string" && behind.length === 0) return pour(socket, repeating(octets))
      // TLS is beside the socket and not on it, so that records of our own can follow those that it made.
      const [inner, outer] = duplexPair()
      outer.pipe(socket).pipe(outer)
      const secured = new TLSSocket(inner, { isServer: true, secureContext: createSecureContext({ cert: chainPem, key: keyPem, ciphers: "TLS_AES_128_GCM_SHA256", minVersion: "TLSv1.3" }) })
      secured.on("error", () => secured.destroy())
      let secret = Buffer.alloc(0)
      secured.on("keylog", (line: Buffer) => {
        const [, hex = ""] = /^SERVER_TRAFFIC_SECRET_0 \S+ (\S+)/.exec(line.toString()) ?? []
        if (hex !== "") secret = Buffer.from(hex, "hex")
      })
      // OpenSSL's own two tickets went before, and what was said.
      say(secured, behind, () => (typeof octets === "string" ? pour(secured, repeating(octets)) : pour(socket, octets(secret, 2 + behind.length))))
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  closing.push(async () => {
    const closed = once(server, "close")
    server.close()
    for (const socket of sockets) socket.destroy()
    await closed
  })
  lab.net.signed.zones.set(`_${service}._tcp.${domain}`, { SRV: [[0, 0, (server.address() as AddressInfo).port, `xmpp.${domain}`]] })
  lab.net.signed.zones.set(`xmpp.${domain}`, { A: ["127.0.0.1"] })
  return { poured: () => sent + [...sockets].reduce((sum, { destroyed, bytesWritten, writableLength }) => sum + (destroyed ? 0 : bytesWritten - writableLength), 0) }
}

/** It is cut off by its octets, long before. */
const times = { total: 60_000, endpoint: 30_000 }

async function look(domain: string, service: Service = "xmpp-server"): Promise<DomainResult> {
  const { result } = await inspect(lab.question(domain, { service, times }), lab.ports, new AbortController().signal)
  return result
}

/** Where octets are not counted, or only those that come out of TLS still are, time alone ends it. */
async function unmetered(domain: string, all = true): Promise<void> {
  const slow = async (): Promise<void> => {
    const { result } = await inspect(lab.question(domain, { times: { ...times, endpoint: 1500 } }), lab.ports, new AbortController().signal)
    assert.deepEqual([result.unknown, result.findings[0]?.id], [true, "stream.too-slow"])
  }
  await patched(Meter.prototype, "receives", () => true, () => (all ? patched(Meter.prototype, "hears", () => true, slow) : slow()))
}

const opening = (domain: string, features: string): string => `${header(domain)}${featuresOf(features)}`
const upToTls = (domain: string): string[] => [opening(domain, starttlsDemand), proceed]

test("attack: white space without end, before the header, between features and behind TLS", async () => {
  const cases: readonly (readonly [domain: string, octets: string, clear: string[], behind: string[], proof: string])[] = [
    ["before.example", " ", [" "], [], "untried"],
    ["between.example", " \n", [header("between.example")], [], "untried"],
    ["secured.example", " ", upToTls("secured.example"), [" "], "proved"],
    ["featureless.example", "\t", upToTls("featureless.example"), [header("featureless.example")], "proved"],
  ]
  for (const [domain, octets, clear, behind, proof] of cases) {
    const flood = await flooding(domain, octets, clear, behind)
    // Red, in clear and behind TLS.
    if (domain === "between.example" || domain === "secured.example") await unmetered(domain)
    const before = flood.poured()
    const result = await look(domain)
    assert.deepEqual([result.level, result.ok, result.unknown, result.findings[0]?.id, result.findings[0]?.severity], ["none", false, false, "stream.too-much", "bad"], domain)
    assert.equal(result.proofs.find(({ proof: name }) => name === "pkix")?.state, proof, domain)
    assert.match(result.findings[0]?.detail ?? "", new RegExp(`more than ${mostOctets} octets`), domain)
    assert.ok(flood.poured() - before < mostOctets + underWay, `${domain}: ${flood.poured() - before} octets`)
  }
})

test("attack: it floods after its features, when we part with it, or in place of an answer to the login", async () => {
  const parting = await flooding("parting.example", " ", upToTls("parting.example"), [opening("parting.example", "")])
  const result = await look("parting.example")
  assert.equal(result.level, "authenticated")
  assert.ok(parting.poured() < mostOctets + underWay, `${parting.poured()} octets`)

  const { chainPem, keyPem } = lab.net.authority.issue({ names: { dns: ["ours.example"] } })
  const from = { domain: parseDomain("ours.example"), credentials: { certificatePem: chainPem, keyPem } }
  const login = await flooding("login.example", " ", upToTls("login.example"), [opening("login.example", mechanismsOf("EXTERNAL")), " "])
  const { result: tried } = await inspect(lab.question("login.example", { from, times }), lab.ports, new AbortController().signal)
  assert.deepEqual([tried.level, tried.endpoints[0]?.login?.state], ["authenticated", "refused"])
  assert.match(tried.endpoints[0]?.login?.detail ?? "", /stream\.too-much/)
  assert.ok(login.poured() < mostOctets + underWay, `${login.poured()} octets`)
})

test("attack: session tickets without end, which nobody above TLS sees", async (t) => {
  const flood = await flooding("tickets.example", tickets, upToTls("tickets.example"), [header("tickets.example")])
  // Red: where just the decrypted octets count.
  await unmetered("tickets.example", false)
  const before = flood.poured()
  const result = await look("tickets.example")
  assert.deepEqual([result.level, result.ok, result.unknown, result.findings[0]?.id], ["none", false, false, "stream.too-much"])
  assert.match(result.findings[0]?.detail ?? "", new RegExp(`more than ${2 * mostOctets} octets, most of which TLS keeps to itself,`))
  t.diagnostic(`${before} octets in a second and a half, ${flood.poured() - before} where they count`)
})

test("attack: whoever connects to us while the other direction is waited for floods", async () => {
  await lab.net.addServer({ domain: "calls.example" })
  const { chainPem, keyPem } = lab.net.authority.issue({ names: { dns: ["mine.example"] } })
  const from = { domain: parseDomain("mine.example"), credentials: { certificatePem: chainPem, keyPem } }
  const world = (await import("../../src/node/gateway-world.ts")).createGatewayWorld({ log: { write: () => undefined } })
  let caller: Socket | undefined
  const ready = ({ port }: { port: number }): void => {
    caller = connect(port, "127.0.0.1")
    caller.on("error", () => caller?.destroy())
    pour(caller, repeating(" "))
  }
  const asking = { listen: world.listen, at: { address: "127.0.0.1", port: 0 }, asked: "operator" as const, patience: 1500, ready }
  const { result } = await inspect(lab.question("calls.example", { from }), lab.ports, new AbortController().signal, asking)
  assert.equal(result.reverse?.state, "no-connection")
  assert.ok((caller?.bytesWritten ?? 0) < mostOctets * 4 + underWay, `${caller?.bytesWritten} octets`)
})
