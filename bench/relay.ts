// Measures the relay path alone, in one process: cutter, route cache and outlet between two channels that do nothing.
import { Outlet, FlushList, InputPressure } from "../src/stream/outlet.ts"
import { Relay, RouteCache } from "../src/stream/relay.ts"

const scope = [
  ["", "jabber:server"],
  ["stream", "http://etherx.jabber.org/streams"],
  ["db", "jabber:server:dialback"],
] as const

/** The 193-byte message of the bench. */
export function message(index: number): string {
  const head = `<message from='bot@sender.a.example/one' to='sink@target.b.example/two' type='chat' id='m${String(index).padStart(8, "0")}'><body>`
  return `${head}${"x".repeat(193 - head.length - "</body></message>".length)}</body></message>`
}

function run(chunkBytes: number, stanzas: number): void {
  const text = Array.from({ length: 4000 }, (_, index) => message(index)).join("")
  const stream = Buffer.from(text)
  let writes = 0
  let bytes = 0
  const flushes = new FlushList()
  const outlet = new Outlet({ limit: 1 << 20, flushes })
  outlet.attach({
    backlog: 0,
    write(part) {
      writes += 1
      bytes += part.length
      return true
    },
  })
  const pressure = new InputPressure(1 << 22, { pause: () => undefined, resume: () => undefined })
  const cache = new RouteCache<Outlet>()
  let count = 0
  const relay = new Relay({
    contentNs: "jabber:server",
    scope,
    rootName: "stream:stream",
    unread: Buffer.alloc(0),
    handler: {
      stanza(view) {
        let target = cache.find(view, 1)
        if (target === undefined) {
          target = outlet
          cache.keep(view, 1, outlet)
        }
        target.appendView(view, pressure)
        count += 1
      },
      tree() {
        throw new Error("an ordinary message went to the tree parser")
      },
      closeTag: () => undefined,
      failed(error) {
        throw error
      },
      flushed: () => flushes.flush(),
    },
  })
  const started = process.cpuUsage()
  while (count < stanzas) {
    for (let at = 0; at < stream.length; at += chunkBytes) relay.chunk(stream.subarray(at, Math.min(stream.length, at + chunkBytes)))
  }
  const used = process.cpuUsage(started)
  const seconds = (used.user + used.system) / 1e6
  const per100k = (seconds / count) * 100_000
  process.stdout.write(
    `chunks of ${String(chunkBytes).padStart(6)} bytes: ${per100k.toFixed(3)} CPU s per 100,000 stanzas, ${(bytes / seconds / 1e6).toFixed(0)} MB/s, ${writes} writes\n`,
  )
}

for (const size of [65_536, 16_384, 4_096, 1_448, 193, 65_536]) run(size, 1_500_000)
