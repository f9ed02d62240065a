// Measures the relay path alone, in one process: cutter, route cache and outlet between two channels that do nothing;
// with and without acknowledgements.
import { Outlet, FlushList, InputPressure } from "../src/stream/outlet.ts"
import { Relay } from "../src/stream/relay.ts"
import { RouteCache } from "../src/stream/route-cache.ts"
import { StreamManagement } from "../src/stream/stream-management.ts"
import { element } from "../src/xml/element.ts"

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

/** A peer that answers each request one input chunk later. */
function acknowledging(outlet: Outlet): { readonly management: StreamManagement; answer(): void } {
  const management = new StreamManagement({
    role: "initiating",
    clock: { monotonic: () => performance.now(), after: (ms, callback) => ((timer) => () => clearTimeout(timer))(setTimeout(callback, ms)) },
    send: () => undefined,
    authenticated: () => true,
    retained: { limit: 1 << 20 },
    resumable: 0,
    event: () => undefined,
  })
  management.enable()
  management.element(element("enabled", "urn:xmpp:sm:3"))
  let due: number | undefined
  return {
    management,
    answer() {
      if (due !== undefined) management.element(element("a", "urn:xmpp:sm:3", { h: String(due) }))
      due = management.unansweredSince === undefined ? undefined : outlet.written >>> 0
    },
  }
}

function run(chunkBytes: number, stanzas: number, acknowledged: boolean): void {
  const text = Array.from({ length: 4000 }, (_, index) => message(index)).join("")
  const stream = Buffer.from(text)
  let writes = 0
  let bytes = 0
  const flushes = new FlushList()
  const outlet = new Outlet({ limit: 1 << 20, flushes })
  const peer = acknowledged ? acknowledging(outlet) : undefined
  outlet.attach(
    {
      backlog: 0,
      write(part) {
        writes += 1
        bytes += part.length
        return true
      },
    },
    peer?.management.carry(outlet),
  )
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
      flushed() {
        flushes.flush()
        peer?.answer()
      },
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
    `chunks of ${String(chunkBytes).padStart(6)} bytes: ${per100k.toFixed(3)} CPU s per 100,000 stanzas, ${(bytes / seconds / 1e6).toFixed(0)} MB/s, ${writes} writes${acknowledged ? ", acknowledged" : ""}\n`,
  )
  peer?.management.over(false)
}

for (const size of [65_536, 16_384, 4_096, 1_448, 193, 65_536]) for (const acknowledged of [false, true]) run(size, 1_500_000, acknowledged)
