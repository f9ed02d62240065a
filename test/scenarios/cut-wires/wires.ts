// Two servers of ours whose connections break at any octet, in either direction, while both send: what becomes of each message.
import assert from "node:assert/strict"
import fc from "fast-check"
import { Sender } from "../pool-support.ts"
import { memoryScene, type Server } from "../support.ts"

/** Octets after which a connection is lost, each way. */
interface Cut {
  readonly toServer: number
  readonly toClient: number
}

type Move =
  | { readonly do: "send"; readonly by: "a" | "b"; readonly count: number; readonly settled: boolean }
  | { readonly do: "wait"; readonly ms: number }
  /** The network takes the connection that is in use, between two octets. */
  | { readonly do: "lose"; readonly by: "a" | "b" }

export interface Wires {
  /** Of the connections in their order; later ones hold. */
  readonly cuts: readonly (Cut | undefined)[]
  readonly moves: readonly Move[]
  readonly bidi: boolean
  readonly management: boolean
  readonly chunk: number
  /** Only streams break that have lived for a while and can be gone on with: then it is known what arrived (docs/decisions/0022). */
  readonly gentle: boolean
}

// Most of what a connection takes before the first stanza is certificates.
const octets = fc.oneof(fc.integer({ min: 0, max: 2000 }), fc.integer({ min: 2000, max: 6000 }), fc.integer({ min: 6000, max: 16_000 }))
const side = fc.constantFrom<("a" | "b")[]>("a", "b")
const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("send"), by: side, count: fc.integer({ min: 1, max: 4 }), settled: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("wait"), ms: fc.constantFrom(1, 50, 1000, 7000, 30_000, 310_000) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("lose"), by: side }) },
)
export const wires = (longest: number): fc.Arbitrary<Wires> =>
  fc.record({
    cuts: fc.array(fc.option(fc.record({ toServer: octets, toClient: octets }), { nil: undefined }), { maxLength: 8 }),
    moves: fc.array(move, { minLength: 1, maxLength: longest, size: "max" }),
    bidi: fc.boolean(),
    management: fc.boolean(),
    chunk: fc.constantFrom(0, 0, 0, 1, 700),
    gentle: fc.constant(false),
  })

/** More than a connection takes until its session is known on both sides. */
const negotiated = 8000
/** A stream that is lost earlier in its life is not gone on with twice, ms. */
const aWhile = 6000

/** As `wires`, where what is lost can be gone on with. With both directions on one connection its initiator alone could ask for it. */
export const gentleWires = (longest: number): fc.Arbitrary<Wires> =>
  wires(longest).map(({ cuts, ...rest }) => ({
    ...rest,
    cuts: cuts.map((cut) => cut && { toServer: negotiated + cut.toServer, toClient: negotiated + cut.toClient }),
    bidi: false,
    management: true,
    gentle: true,
  }))

export interface Outcome {
  readonly body: string
  readonly delivered: number
  readonly bounces: readonly string[]
}

/** Every stream of its own is one that is acknowledged, as far as it knows. */
function counted(server: Server): boolean {
  const opened = server.of("associated").filter(({ direction }) => direction === "out").length
  return server.of("management").filter(({ direction, result }) => direction === "out" && (result === "enabled" || result === "resumed")).length === opened
}

/** One play, and what became of each message. */
export async function run({ cuts, moves, bidi, management, chunk, gentle }: Wires): Promise<readonly Outcome[]> {
  let connections = 0
  const link = () => {
    const cut = cuts[connections++]
    return { ...(chunk === 0 ? {} : { chunk }), ...(cut === undefined ? {} : { cut }) }
  }
  const scene = memoryScene({ link })
  const uses = { bidi, streamManagement: management, piggyback: true, pipelining: true }
  const b = await scene.server({ domains: ["b.example"], uses })
  const a = await scene.server({ domains: ["a.example"], uses })
  const ends = { a: { server: a, sender: new Sender(a), to: "b.example" }, b: { server: b, sender: new Sender(b), to: "a.example" } }
  const sent: { readonly body: string; readonly by: "a" | "b"; readonly refused: boolean }[] = []
  for (const each of moves) {
    if (each.do === "send") {
      for (let one = 0; one < each.count; one++) {
        const body = `${each.by}${sent.length}`
        const { sender, to } = ends[each.by]
        // What a domain that is left alone is sent comes back at once: by the router, which is not here.
        const refused = sender.send(to, [body]) !== "queued"
        sent.push({ body, by: each.by, refused })
      }
      if (each.settled) await scene.settle()
      // A few at a time, and in flight when a connection is lost by the next move.
      if (gentle && each.settled) await scene.clock.advance(aWhile)
    } else if (each.do === "wait") await scene.clock.advance(each.ms)
    else if (!gentle || counted(ends[each.by].server)) {
      for (const { stream } of ends[each.by].sender.pool.views) stream?.channel.destroy()
      if (gentle) await scene.clock.advance(aWhile)
    }
  }
  await scene.clock.advance(900_000)
  const outcomes = sent.map(({ body, by, refused }): Outcome => {
    const other: Server = by === "a" ? b : a
    const bounces = ends[by].sender.bounced.filter((bounce) => bounce.body === body || bounce.body === `rerouted ${body}`).map(({ reason }) => reason.text)
    return { body, delivered: other.bodies.filter((delivered) => delivered === body).length, bounces: [...bounces, ...(refused ? ["refused"] : [])] }
  })
  const unaccounted = [a, b].flatMap(({ bodies }) => bodies).filter((body) => !sent.some((one) => one.body === body))
  assert.deepEqual(unaccounted, [], "nobody sent that")
  for (const { sender } of Object.values(ends)) await scene.until(sender.pool.close())
  await scene.close()
  assert.equal(scene.clock.pending, 0, "timers are left behind")
  return outcomes
}
