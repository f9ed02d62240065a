// Validated lookups per second: ours beside Debian's unbound asked by a plain client, both forwarding to the same warm
// unbound that validates nothing; 10,000 TLSA names, 64 in flight, alternating. Usage: node bench/dnssec.ts [names] [rounds]

import { classInternet, decodeMessage, encodeMessage, makeQuery } from "../src/dns/message.ts"
import { nameFromText } from "../src/dns/name.ts"
import { typeNumbers } from "../src/dns/records.ts"
import { createResolver } from "../src/dns/resolver.ts"
import { startDnsResponder } from "../src/lab/dns-responder.ts"
import { SignedTree } from "../src/lab/dns-signed-tree.ts"
import { makeSigningKey } from "../src/lab/dns-signer.ts"
import type { ZoneRecords } from "../src/lab/dns-zones.ts"
import { systemClock } from "../src/node/clock.ts"
import { nodeDnsTransport } from "../src/node/dns-transport.ts"
import { systemRandom } from "../src/node/random.ts"
import { startUnbound } from "../test/interop/peers/unbound.ts"
import { cpuSeconds } from "./process-figures.ts"

const count = Number(process.argv[2] ?? 10_000)
const rounds = Number(process.argv[3] ?? 3)
const inFlight = 64
const algorithm = Number(process.env["BENCH_ALGORITHM"] ?? 13)

const now = Math.floor(Date.now() / 1000)
const names = Array.from({ length: count }, (_, index) => `_5269._tcp.h${index}.zone.example`)
const records: Record<string, ZoneRecords> = {}
for (const name of names) records[name] = { TLSA: [[3, 1, 1, "ab".repeat(32)]] }
const tree = new SignedTree({
  validity: { inception: now - 3600, expiration: now + 86400 },
  ttl: 3600,
  zones: {
    ".": { keys: [makeSigningKey(13)] },
    example: { keys: [makeSigningKey(8)] },
    "zone.example": { keys: [makeSigningKey(algorithm)], records },
  },
})
const responder = await startDnsResponder({ answer: (name, type, dnssecOk) => tree.answer(name, type, dnssecOk) })
const source = { address: responder.address, port: responder.port }
const plain = await startUnbound({ at: { address: "127.0.0.1", port: 15361 }, forwardTo: source })
const transport = nodeDnsTransport()

/** Runs the task for every name, so many at once. */
async function each(task: (name: string) => Promise<void>): Promise<number> {
  const start = performance.now()
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < names.length) {
      const name = names[next]!
      next += 1
      await task(name)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
  return (performance.now() - start) / 1000
}

/** One plain question with one fresh socket; true when the answer is marked authentic. */
async function asked(address: string, port: number, name: string, dnssecOk: boolean): Promise<boolean> {
  const edns = { udpPayload: 1232, version: 0, dnssecOk, flags: 0, options: [] }
  const question = { name: nameFromText(name), type: typeNumbers.TLSA, class: classInternet }
  const query = encodeMessage({ ...makeQuery(systemRandom.bytes(1)[0]!, question, edns), authenticData: true, checkingDisabled: dnssecOk })
  const accept = (reply: Uint8Array): boolean => reply[0] === query[0] && reply[1] === query[1]
  return decodeMessage(await transport.exchange(query, { address, port }, "udp", AbortSignal.timeout(5_000), accept)).authenticData
}

interface Row {
  readonly label: string
  readonly perSecond: number
  /** CPU microseconds a lookup: this process, and the validating daemon. */
  readonly ours: number
  readonly daemon: number
}

async function measured(label: string, task: (name: string) => Promise<void>, daemonPid?: number): Promise<Row> {
  const before = process.cpuUsage()
  const daemonBefore = daemonPid === undefined ? 0 : cpuSeconds(daemonPid)
  const seconds = await each(task)
  const used = process.cpuUsage(before)
  const daemon = daemonPid === undefined ? 0 : (cpuSeconds(daemonPid) - daemonBefore) * 1000
  return { label, perSecond: count / seconds, ours: (used.user + used.system) / count, daemon: (daemon * 1000) / count }
}

const rows: Row[] = []
let failures = 0
try {
  await each(async (name) => void (await asked("127.0.0.1", 55361, name, true)))
  for (let round = 1; round <= rounds; round += 1) {
    const unbound = await startUnbound({ at: { address: "127.0.0.1", port: 15362 }, forwardTo: plain.address, anchors: tree.anchorText() })
    const ask = async (name: string): Promise<void> => {
      if (!(await asked("127.0.0.1", 55362, name, false))) failures += 1
    }
    rows.push(await measured("unbound, uncached", ask, unbound.process.pid))
    rows.push(await measured("unbound, cached", ask, unbound.process.pid))
    await unbound.stop()
    const resolver = createResolver({
      dnssec: { anchors: tree.anchors() },
      upstreams: [plain.address],
      transport: nodeDnsTransport({ sharedOnLoopback: true }),
      clock: systemClock,
      random: systemRandom,
      limits: { cacheEntries: count * 2, cacheOctets: 256 * 1024 * 1024 },
    })
    const resolve = async (name: string): Promise<void> => {
      if ((await resolver.resolve(name, "TLSA", {})).status !== "secure") failures += 1
    }
    rows.push(await measured("ours, uncached", resolve))
    rows.push(await measured("ours, cached", resolve))
  }
} finally {
  await plain.stop()
  await responder.close()
}

console.log(`${count} names, ${inFlight} in flight, ${rounds} rounds, zone algorithm ${algorithm}; ${failures} not secure`)
console.log("row                    lookups/s (best of rounds)   CPU us a lookup: this process + validating daemon")
const best = new Map<string, Row>()
for (const row of rows) if ((best.get(row.label)?.perSecond ?? 0) < row.perSecond) best.set(row.label, row)
for (const { label, perSecond, ours, daemon } of best.values()) {
  console.log(
    `${label.padEnd(22)} ${Math.round(perSecond).toLocaleString("en").padStart(12)} ${ours.toFixed(1).padStart(20)} + ${daemon.toFixed(1)}`,
  )
}
const ratio = (a: string, b: string): string => ((best.get(a)?.perSecond ?? 0) / (best.get(b)?.perSecond ?? 1)).toFixed(2)
console.log(`uncached, ours / unbound: ${ratio("ours, uncached", "unbound, uncached")} (needed: 1)`)
console.log(`cached, ours / unbound: ${ratio("ours, cached", "unbound, cached")} (needed: 10)`)
process.exitCode = failures === 0 ? 0 : 1
