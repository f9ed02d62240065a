// What a stranger may do next, as data that a test can draw at random and make smaller: every element of the stream layer, in any order.
import fc from "fast-check"
import { domains, type Shown } from "./facts.ts"

export interface Written {
  readonly which: number
  readonly spelling: number
}
/** Undefined: as the header of the stream has it. */
export interface WrittenPair {
  readonly from: Written | undefined
  readonly to: Written | undefined
}

type Answer = "valid" | "invalid" | "error" | "silence" | "another"

/** How the stranger's server answers, until it thinks better of it. */
export interface Mood {
  readonly shown: Shown
  readonly starttls: boolean
  readonly external: boolean
  readonly bidi: boolean
  readonly errors: boolean
  readonly management: boolean
  readonly auth: "success" | "failure" | "silence"
  /** The first pair of a stream, and further ones. */
  readonly result: Answer
  readonly further: Answer
  readonly verify: "valid" | "invalid" | "error" | "silence" | "another id" | "another pair"
  readonly counts: "right" | "silence" | "too far"
  readonly resumes: "resumed" | "failed" | "silence"
}

type Simple = "starttls" | "bidi" | "features" | "success" | "request" | "error" | "end"

export type Words =
  | { readonly say: "header"; readonly pair: WrittenPair; readonly without: "from" | "to" | "nothing" }
  | { readonly say: Simple }
  | { readonly say: "auth"; readonly authzid: Written | undefined }
  | { readonly say: "claim"; readonly pair: WrittenPair; readonly key: number }
  /** Whether a key is the gateway's: one that it made, with something else in one place or in none. */
  | { readonly say: "ask"; readonly key: number; readonly other: "nothing" | "pair" | "id" | "key"; readonly pair: WrittenPair }
  | { readonly say: "answer"; readonly to: "result" | "verify"; readonly pair: WrittenPair; readonly type: "valid" | "invalid" | "error"; readonly id: number; readonly key: number }
  | { readonly say: "stanza"; readonly pair: WrittenPair; readonly kind: "message" | "presence" | "iq"; readonly form: number }
  | { readonly say: "enable"; readonly resume: boolean }
  | { readonly say: "resume"; readonly session: number; readonly h: number }
  | { readonly say: "acknowledge"; readonly h: number }
  | { readonly say: "half"; readonly pair: WrittenPair }

/** How far it goes at once: `counting` is in, with a session that can be gone on with. */
type Far = "connected" | "secured" | "introduced" | "in" | "counting"

/** As whom it comes. */
interface As {
  readonly shown: Shown
  readonly pair: WrittenPair
}

export type Move =
  | ({ readonly do: "open"; readonly by: "starttls" | "direct-tls" | "clear"; readonly far: Far; readonly settled: boolean } & As & { readonly bidi: boolean })
  | { readonly do: "say"; readonly line: number; readonly words: Words; readonly settled: boolean }
  | { readonly do: "cut"; readonly line: number }
  /** Goes on with a session that it had, or one that somebody else had. */
  | ({ readonly do: "return"; readonly session: number; readonly cut: boolean; readonly other: "nothing" | "pair" | "certificate"; readonly h: number } & As)
  /** A component of ours writes to somebody, or both do. */
  | { readonly do: "write"; readonly from: number; readonly to: number; readonly times: number; readonly settled: boolean }
  | { readonly do: "mood"; readonly mood: Mood }
  | { readonly do: "wait"; readonly ms: number }
  /** The operator asks for more or less, stops serving a domain, or begins to serve one that was the stranger's. */
  | { readonly do: "reload"; readonly what: "verified" | "encrypted" | "authenticated" | "drop" | "adopt" }
  /** A component of ours goes away, or comes back. */
  | { readonly do: "component"; readonly which: number }
  | { readonly do: "honest" }

const weighted = <T>(...choices: readonly (readonly [weight: number, value: T])[]) => fc.oneof(...choices.map(([weight, value]) => ({ weight, arbitrary: fc.constant(value) })))
const spelling = weighted([30, 0], [1, 1], [1, 2], [1, 3], [1, 4], [1, 5], [1, 6])
// Those of the stranger's first: there the interesting things happen.
const theirs = fc.record({ which: weighted([6, 0], [3, 1], [6, 2], [2, 3], [3, 4], [1, 5], [1, 6]), spelling })
const ours = fc.record({ which: weighted([8, domains.length - 2], [4, domains.length - 1], [1, 4], [1, 0]), spelling })
const mostly = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 2, arbitrary })
const pair: fc.Arbitrary<WrittenPair> = fc.record({ from: mostly(theirs), to: mostly(ours) })
const header: fc.Arbitrary<WrittenPair> = fc.record({ from: theirs, to: ours })
const shown = weighted<Shown>([4, "good"], [4, "self-signed"], [2, "nothing"])
const key = fc.nat(3)
const id = fc.nat(5)
const likely = weighted([3, true], [1, false])

export const mood: fc.Arbitrary<Mood> = fc.record({
  shown: weighted<Shown>([4, "good"], [3, "self-signed"], [0, "nothing"]),
  starttls: weighted([6, true], [1, false]),
  external: likely,
  bidi: likely,
  errors: likely,
  management: likely,
  auth: weighted<Mood["auth"]>([4, "success"], [1, "failure"], [1, "silence"]),
  result: weighted<Answer>([6, "valid"], [1, "invalid"], [1, "error"], [1, "silence"], [1, "another"]),
  further: weighted<Answer>([3, "valid"], [1, "invalid"], [1, "error"], [1, "silence"], [3, "another"]),
  verify: weighted<Mood["verify"]>([5, "valid"], [2, "invalid"], [1, "error"], [1, "silence"], [2, "another id"], [2, "another pair"]),
  counts: weighted<Mood["counts"]>([4, "right"], [2, "silence"], [1, "too far"]),
  resumes: weighted<Mood["resumes"]>([2, "resumed"], [1, "failed"], [1, "silence"]),
})

const simple = fc.constantFrom<Simple[]>("starttls", "bidi", "features", "success", "request", "request", "error", "end")
const weighed = <T>(...choices: readonly (readonly [weight: number, arbitrary: fc.Arbitrary<T>])[]) => fc.oneof(...choices.map(([weight, arbitrary]) => ({ weight, arbitrary })))
const type = weighted<"valid" | "invalid" | "error">([4, "valid"], [1, "invalid"], [1, "error"])
const kind = weighted<"message" | "presence" | "iq">([6, "message"], [1, "presence"], [1, "iq"])
const form = fc.oneof(fc.constant(0), fc.nat(7))
const place = weighted<"nothing" | "pair" | "id" | "key">([2, "nothing"], [1, "pair"], [1, "id"], [1, "key"])
const words = weighed<Words>(
  [1, fc.record({ say: fc.constant("header"), pair: fc.oneof(pair, header), without: weighted<"from" | "to" | "nothing">([5, "nothing"], [1, "from"], [1, "to"]) })],
  [2, fc.record({ say: simple })],
  [2, fc.record({ say: fc.constant("auth"), authzid: fc.oneof(fc.constant(undefined), theirs) })],
  [6, fc.record({ say: fc.constant("claim"), pair, key })],
  [3, fc.record({ say: fc.constant("ask"), key: id, other: place, pair: header })],
  [4, fc.record({ say: fc.constant("answer"), to: fc.constantFrom<("result" | "verify")[]>("result", "verify"), pair, type, id, key })],
  [16, fc.record({ say: fc.constant("stanza"), pair, kind, form })],
  [3, fc.record({ say: fc.constant("enable"), resume: likely })],
  [1, fc.record({ say: fc.constant("resume"), session: fc.nat(5), h: fc.nat(3) })],
  [1, fc.record({ say: fc.constant("acknowledge"), h: fc.nat(4) })],
  [1, fc.record({ say: fc.constant("half"), pair })],
)

const settled = likely
const far = weighted<Far>([1, "connected"], [1, "secured"], [3, "introduced"], [9, "in"], [7, "counting"])
const by = weighted<"starttls" | "direct-tls" | "clear">([5, "starttls"], [3, "direct-tls"], [1, "clear"])
const open: fc.Arbitrary<Move> = fc.record({ do: fc.constant("open"), shown, pair: header, by, bidi: fc.boolean(), far, settled })
const other = weighted<"nothing" | "pair" | "certificate">([2, "nothing"], [1, "pair"], [1, "certificate"])
const whom = weighted([6, 0], [2, 1], [6, 2], [2, 3], [1, 4], [1, 5])
const what = weighted<"verified" | "encrypted" | "authenticated" | "drop" | "adopt">([2, "verified"], [3, "encrypted"], [1, "authenticated"], [1, "drop"], [1, "adopt"])
const move = weighed<Move>(
  [5, open],
  [24, fc.record({ do: fc.constant("say"), line: fc.nat(3), words, settled })],
  [1, fc.record({ do: fc.constant("cut"), line: fc.nat(5) })],
  [4, fc.record({ do: fc.constant("return"), session: fc.nat(3), cut: likely, other, shown, pair: header, h: weighted([6, 0], [1, 1], [1, 2]) })],
  [6, fc.record({ do: fc.constant("write"), from: fc.nat(2), to: whom, times: fc.integer({ min: 1, max: 3 }), settled })],
  [2, fc.record({ do: fc.constant("mood"), mood })],
  [1, fc.record({ do: fc.constant("wait"), ms: fc.constantFrom(10, 300, 6000, 70_000) })],
  [2, fc.record({ do: fc.constant("reload"), what })],
  [1, fc.record({ do: fc.constant("component"), which: fc.nat(1) })],
  [1, fc.record({ do: fc.constant("honest") })],
)

export interface Play {
  readonly mood: Mood
  readonly moves: readonly Move[]
  /** Octets that travel at once; 0: what was written at once. */
  readonly chunk: number
}

/** @param moods in which the stranger's server begins */
export const play = (longest: number, moods = mood): fc.Arbitrary<Play> =>
  fc.record({ mood: moods, moves: fc.tuple(open, fc.array(move, { minLength: 1, maxLength: longest, size: "max" })).map(([first, others]) => [first, ...others]), chunk: weighted([6, 0], [1, 1], [1, 13]) })
