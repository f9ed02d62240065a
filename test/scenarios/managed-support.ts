// Two servers that acknowledge what they get, a wire between them that swallows what a test wants, and a pool on one of them.
import assert from "node:assert/strict"
import { alteredText } from "../world/middle.ts"
import { Sender } from "./pool-support.ts"
import { type MemoryScene, memoryScene, type Server, type ServerOptions } from "./support.ts"

export const managed: Pick<ServerOptions, "uses"> = { uses: { streamManagement: true, piggyback: true } }

/** What goes over the wire, and what the network swallows of it. */
export class Wire {
  /** Every write towards the accepting side, and towards the other. */
  readonly there: string[] = []
  readonly back: string[] = []
  swallow: (text: string, towards: "server" | "client") => boolean = () => false

  readonly link = () => ({
    middle: alteredText((text, towards) => {
      if (this.swallow(text, towards)) return ""
      ;(towards === "server" ? this.there : this.back).push(text)
      return text
    }),
  })
}

export interface Two {
  readonly scene: MemoryScene
  readonly wire: Wire
  readonly a: Server
  readonly b: Server
  readonly sender: Sender
}

export async function two(options: { readonly a?: Partial<ServerOptions>; readonly b?: Partial<ServerOptions>; readonly idleMs?: number } = {}): Promise<Two> {
  const wire = new Wire()
  const scene = memoryScene({ link: wire.link })
  const b = await scene.server({ domains: ["b.example"], ...managed, ...options.b })
  const a = await scene.server({ domains: ["a.example"], ...managed, ...options.a })
  return { scene, wire, a, b, sender: new Sender(a, options.idleMs) }
}

export const current = (a: Server, sender: Sender) => {
  const stream = sender.pool.views.find(({ stream }) => stream !== undefined)?.stream
  assert.ok(stream !== undefined, a.findings.join())
  return stream
}
export const results = (server: Server) => server.of("management").map(({ result }) => result)

/** A stream that has lived for a while. */
export async function established({ scene, a, b, sender }: Two): Promise<void> {
  sender.send("b.example", ["hello"])
  await scene.eventually("it arrives and is acknowledged", () => b.bodies.length === 1 && sender.unacknowledged === 0)
  await scene.clock.advance(10_000)
  assert.deepEqual([results(a), results(b)], [["enabled"], ["enabled"]])
}
