// Scenes about what lasts: an association ends, is kept, is withdrawn; a peer becomes weaker than it was; a stream breaks
// (security.md 10 to 13; XEP-0198; S1.1).
import type { Domain } from "../../model/domain.ts"
import type { FederationEvent } from "../../model/events.ts"
import { findingSentence } from "../../model/findings.ts"
import type { Internet, LabServer, ServerSpec } from "../internet.ts"
import { tlsaFields } from "../publish.ts"
import type { EndGot, ExchangeGot, Scene } from "../scene.ts"

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour
/** By the clock on the wall: what the passing of time set going has this long to be done, ms. */
const settleMs = 2000

interface Shortly {
  readonly message: ExchangeGot["message"]
  readonly sender: string
  readonly receiver: string
}

/** What came of a message and what each end holds, without the sentences: in them are dates and digests, others each time. */
function shortly({ message, sender, receiver }: ExchangeGot): Shortly {
  const said = ({ level, finding, evidence }: EndGot): string => [level ?? finding ?? "nothing", ...evidence].join("; ")
  return { message, sender: said(sender), receiver: said(receiver) }
}

const sent = (sender: string, receiver: string): Shortly => ({ message: "delivered", sender, receiver })
const refused = (sender: string, receiver: string): Shortly => ({ message: "bounced", sender, receiver })
const proven = (domain: string): string => `authenticated; pkix for ${domain}: proved`
const proving = (sender: string, receiver: string): Shortly => sent(proven(receiver), proven(sender))

/** So many events of a kind about this peer, on streams in this direction. */
function count({ events }: LabServer, kind: FederationEvent["kind"], direction: "in" | "out", peer: string): number {
  return events.filter((event) => {
    if (event.kind !== kind || event.direction !== direction) return false
    const pair = event.kind === "associated" ? event.association.pair : event.pair
    return (direction === "out" ? pair?.target : pair?.sender) === peer
  }).length
}

/** Looks again and again, since not everything that is set going tells when it is done. @returns whether it came */
async function soon(net: Internet, look: () => boolean): Promise<boolean> {
  const late = net.clock.monotonic() + settleMs
  while (!look() && net.clock.monotonic() < late) await pause(net, 2)
  return look()
}

/** Time passes, once what is on its way has been acknowledged: that is a matter of real time. */
async function later(net: Internet, ms: number): Promise<void> {
  await pause(net, 20)
  net.movingClock.pass(ms)
}

const pause = (net: Internet, ms: number): Promise<void> => new Promise((resolve) => void net.clock.after(ms, resolve))

/** Hangs up on nobody for a week of silence. */
const patient: NonNullable<ServerSpec["configure"]> = (settings) => ({ ...settings, federation: { ...(settings["federation"] as object), idle_timeout: "7d" } })

const [brief, wait] = ["brief.example", "wait.example"]

const ends: Scene = {
  id: "ends-and-renewed",
  section: "RFC 7712 1, RFC 5280 4.1.2.5",
  title: "a proof has an end: with it the streams end, and with a new certificate they come again",
  cast: [
    { domain: brief, what: "Lab CA, for two days", certificate: { from: "lab", lasts: 2 * day }, movesInTime: true, configure: patient },
    { domain: wait, what: "certificate of the Lab CA", movesInTime: true, configure: patient },
  ],
  expected: {
    [`${wait} -> ${brief}`]: proving(wait, brief),
    [`${brief} -> ${wait}`]: proving(brief, wait),
    "a day later": "delivered; connections: 1",
    "the streams ended": true,
    "two days later, each way": [
      refused(`cert.expired; pkix for ${brief}: refuted [cert.expired]`, "stream.error"),
      refused("stream.error", `cert.expired; pkix for ${brief}: refuted [cert.expired]`),
    ],
    "renewed, each way": [proving(wait, brief), proving(brief, wait)],
  },
  play: async ({ net, server, exchange }) => {
    const peer = server(wait)
    const there = await exchange(wait, brief)
    const back = await exchange(brief, wait)
    await later(net, day)
    const within = await exchange(wait, brief)
    const streams = count(peer, "connected", "out", brief)
    net.note("Two days later its certificate is no longer valid.")
    await later(net, day + hour)
    const ended = await soon(net, () => count(peer, "closed", "out", brief) === 1 && count(peer, "closed", "in", brief) === 1)
    const expired = [shortly(await exchange(wait, brief)), shortly(await exchange(brief, wait))]
    net.note("It is renewed.")
    await server(brief).renew(net.authority.issue({ names: { dns: [brief] }, notBefore: net.movingClock.now() - hour }))
    await later(net, hour)
    return {
      [`${wait} -> ${brief}`]: shortly(there),
      [`${brief} -> ${wait}`]: shortly(back),
      "a day later": `${within.message}; connections: ${streams}`,
      "the streams ended": ended,
      "two days later, each way": expired,
      "renewed, each way": [shortly(await exchange(wait, brief)), shortly(await exchange(brief, wait))],
    }
  },
}

const [mast, keel] = ["mast.example", "keel.example"]
const key = { usage: 3, selector: 1, matching: 1 } as const

const byTlsa = sent(`authenticated; pkix for ${keel}: refuted [cert.self-signed]; dane for ${keel}: proved`, proven(mast))

const withdrawn: Scene = {
  id: "kept-and-withdrawn",
  section: "RFC 7671 8.1, RFC 6698 4.1",
  title: "DNS is asked again: where it is silent the stream stays, where it says no the stream ends",
  cast: [
    { domain: mast, what: "certificate of the Lab CA", validates: true, movesInTime: true, configure: patient },
    {
      domain: keel,
      what: "self-signed; TLSA 3 1 1",
      certificate: { from: "self" },
      movesInTime: true,
      configure: patient,
      zone: { targets: [{ name: `xmpp.${keel}`, tlsa: [key] }] },
    },
  ],
  expected: {
    [`${mast} -> ${keel}`]: byTlsa,
    "TLSA cannot be asked for": "delivered; connections: 1",
    "TLSA names another key": ["dane.mismatch"],
    afterwards: refused(
      `dane.mismatch; pkix for ${keel}: refuted [cert.self-signed]; dane for ${keel}: refuted [dane.mismatch]`,
      "stream.error",
    ),
    "TLSA is right again": byTlsa,
  },
  play: async ({ net, server, exchange }) => {
    const [peer, other] = [server(mast), server(keel)]
    const owner = `_${other.s2s.port}._tcp.xmpp.${keel}`
    const says = (of: "leaf" | "stale") =>
      net.signed.zones.set(owner, { TLSA: [tlsaFields({ ...key, of }, { certificate: other.certificate, issuer: other.certificate })] })
    const asked = (): number => net.dns.queries.filter(({ name, type }) => name.toLowerCase() === owner && type === "TLSA").length
    const first = shortly(await exchange(mast, keel))
    net.note("An hour goes by. Nobody answers for TLSA.")
    net.dns.misbehave(owner, "servfail", "TLSA")
    const before = asked()
    await later(net, hour + minute)
    await soon(net, () => asked() > before)
    const kept = `${(await exchange(mast, keel)).message}; connections: ${count(peer, "connected", "out", keel)}`
    net.note("Then DNS answers again, and names another key.")
    net.dns.misbehave(owner, undefined, "TLSA")
    says("stale")
    await later(net, 8 * minute)
    await soon(net, () => count(peer, "closed", "out", keel) === 1)
    const why = peer.events.flatMap((event) => (event.kind === "refused" ? [event.finding] : []))
    const refuted = shortly(await exchange(mast, keel))
    net.note("The right one is back.")
    says("leaf")
    await later(net, 10 * minute)
    return { [`${mast} -> ${keel}`]: first, "TLSA cannot be asked for": kept, "TLSA names another key": why, afterwards: refuted, "TLSA is right again": shortly(await exchange(mast, keel)) }
  },
}

const [oak, elm, ash] = ["oak.example", "elm.example", "ash.example"]
const remembering = (domain: string, mode: "warn" | "enforce"): ServerSpec => ({
  domain,
  what: `encryption is enough; remembers, ratchet: ${mode}`,
  require: "encrypted",
  validates: true,
  proofs: ["pkix"],
  movesInTime: true,
  configure: (settings) => ({ ...settings, federation: { ...(settings["federation"] as object), ratchet: { mode } } }),
})

const weaker = `${oak} has kept reaching authenticated by pkix; it now reaches encrypted`

const ratchet: Scene = {
  id: "weaker-than-before",
  section: "RFC 7712 10, security.md 13",
  title: "a peer proved itself for a week and then does not: one server warns, another refuses",
  cast: [{ domain: oak, what: "Lab CA at first, then self-signed", require: "encrypted", movesInTime: true }, remembering(elm, "warn"), remembering(ash, "enforce")],
  expected: {
    "for eight days": "12 of 12",
    [`${elm} -> ${oak}`]: sent(`encrypted; pkix for ${oak}: refuted [cert.self-signed]`, proven(elm)),
    [`${elm} warns`]: [findingSentence("policy.ratchet", weaker)],
    [`${ash} -> ${oak}`]: refused(`policy.ratchet; pkix for ${oak}: refuted [cert.self-signed]`, "stream.error"),
    [`${oak} -> ${ash}`]: refused("stream.error", `policy.ratchet; pkix for ${oak}: refuted [cert.self-signed]`),
  },
  play: async ({ net, server, exchange }) => {
    const before: Shortly[] = []
    for (const days of [0, 4, 4]) {
      await later(net, days * day)
      for (const peer of [elm, ash]) before.push(shortly(await exchange(peer, oak)), shortly(await exchange(oak, peer)))
    }
    net.note("After eight days it shows a certificate that it signed itself.")
    await server(oak).renew(net.selfSigned([oak]))
    await later(net, day)
    return {
      "for eight days": `${before.filter(({ message, receiver }) => message === "delivered" && receiver.startsWith("authenticated")).length} of ${before.length}`,
      [`${elm} -> ${oak}`]: shortly(await exchange(elm, oak)),
      [`${elm} warns`]: server(elm).warnings.filter((sentence) => sentence.includes("[policy.ratchet]")),
      [`${ash} -> ${oak}`]: shortly(await exchange(ash, oak)),
      [`${oak} -> ${ash}`]: shortly(await exchange(oak, ash)),
    }
  },
}

const [ford, dike] = ["ford.example", "dike.example"]
/** By the clock on the wall: longer than it takes to come back, ms. */
const returnMs = 2500

const often = (times: number): string => (times === 1 ? "once" : times === 0 ? "never" : `${times} times`)

const resumed: Scene = {
  id: "broken-and-resumed",
  section: "XEP-0198 4, 5",
  title: "a stream breaks while messages are on their way: it is resumed, and each arrives once",
  cast: [
    { domain: ford, what: "certificate of the Lab CA" },
    { domain: dike, what: "Lab CA, at the end of a long cable", cable: true },
  ],
  expected: {
    [`${ford} -> ${dike}`]: proving(ford, dike),
    "messages lost on the way": ["once", "once", "once"],
    resumed: [
      ["enabled", "resumed"],
      ["enabled", "resumed"],
    ],
    afterwards: "delivered",
  },
  play: async ({ net, server, exchange }) => {
    const [from, to] = [server(ford), server(dike)]
    const heard = new Map<string, number>()
    const stop = net.observe({
      message: (domain: Domain, message) => {
        if (domain === dike && message.kind === "received") heard.set(message.id, (heard.get(message.id) ?? 0) + 1)
      },
    })
    try {
      const first = shortly(await exchange(ford, dike))
      net.note("What is sent now gets lost on its way, and then the cable breaks.")
      to.cable?.lose()
      const lost = [1, 2, 3].map((each) => net.say(from, to, `message ${each}`))
      await pause(net, 100)
      to.cable?.cut()
      const late = net.clock.monotonic() + returnMs
      while (net.clock.monotonic() < late && !lost.every((id) => heard.has(id))) await pause(net, 5)
      return {
        [`${ford} -> ${dike}`]: first,
        "messages lost on the way": lost.map((id) => often(heard.get(id) ?? 0)),
        resumed: [from, to].map(({ events }) => events.flatMap((event) => (event.kind === "management" ? [event.result] : []))),
        afterwards: (await exchange(ford, dike)).message,
      }
    } finally {
      stop()
    }
  },
}

export const lastingScenes: readonly Scene[] = [ends, withdrawn, ratchet, resumed]
