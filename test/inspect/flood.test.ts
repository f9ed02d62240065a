// A server that never stops sending, in clear, behind TLS and where it connects to us, is heard so far and no further: what an inspection
// costs is bounded in octets as well as in time (RFC 6120 13.12; security.md 24).
import assert from "node:assert/strict"
import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { TLSSocket } from "node:tls"
import { after, before, test } from "node:test"
import { inspect } from "../../src/inspect/ladder.ts"
import { mostOctets } from "../../src/inspect/meter.ts"
import type { DomainResult } from "../../src/inspect/report.ts"
import type { Service } from "../../src/model/verdict.ts"
import { featuresOf, mechanismsOf, proceed, starttlsDemand } from "../../src/lab/plain-server.ts"
import { parseDomain } from "../../src/model/domain.ts"
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
function pour(into: Socket | TLSSocket, octets: string): void {
  const piece = Buffer.from(octets.repeat(Math.ceil(65_536 / octets.length)))
  const more = (): void => {
    while (!into.destroyed && into.write(piece));
  }
  into.on("drain", more)
  more()
}

interface Flood {
  /** Octets that the inspecting side has taken, more or less. */
  poured(): number
}

/** Says these in clear, and these behind TLS, one to what comes next; then pours. */
async function flooding(domain: string, octets: string, clear: readonly string[], behind: readonly string[] = [], service: Service = "xmpp-server"): Promise<Flood> {
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
      if (behind.length === 0) return pour(socket, octets)
      const secured = new TLSSocket(socket, { isServer: true, cert: chainPem, key: keyPem })
      secured.on("error", () => secured.destroy())
      say(secured, behind, () => pour(secured, octets))
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
    const result = await look(domain)
    assert.deepEqual([result.level, result.ok, result.unknown, result.findings[0]?.id, result.findings[0]?.severity], ["none", false, false, "stream.too-much", "bad"], domain)
    assert.equal(result.proofs.find(({ proof: name }) => name === "pkix")?.state, proof, domain)
    assert.match(result.findings[0]?.detail ?? "", new RegExp(`more than ${mostOctets} octets`), domain)
    assert.ok(flood.poured() < mostOctets + underWay, `${domain}: ${flood.poured()} octets`)
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

test("attack: whoever connects to us while the other direction is waited for floods", async () => {
  await lab.net.addServer({ domain: "calls.example" })
  const { chainPem, keyPem } = lab.net.authority.issue({ names: { dns: ["mine.example"] } })
  const from = { domain: parseDomain("mine.example"), credentials: { certificatePem: chainPem, keyPem } }
  const world = (await import("../../src/node/gateway-world.ts")).createGatewayWorld({ log: { write: () => undefined } })
  let caller: Socket | undefined
  const ready = ({ port }: { port: number }): void => {
    caller = connect(port, "127.0.0.1")
    caller.on("error", () => caller?.destroy())
    pour(caller, " ")
  }
  const asking = { listen: world.listen, at: { address: "127.0.0.1", port: 0 }, asked: "operator" as const, patience: 1500, ready }
  const { result } = await inspect(lab.question("calls.example", { from }), lab.ports, new AbortController().signal, asking)
  assert.equal(result.reverse?.state, "no-connection")
  assert.ok((caller?.bytesWritten ?? 0) < mostOctets * 4 + underWay, `${caller?.bytesWritten} octets`)
})
