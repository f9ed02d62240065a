// The renewal of a hosted domain's certificate under POSH, day by day: published first, shown when nobody can remember a document
// without it, the old one named until its streams are gone (RFC 7711 6; POSH-08, POSH-17).
import type { Association } from "../../model/association.ts"
import type { Internet, LabServer, ServerSpec } from "../internet.ts"
import type { Got, Scene, Stage } from "../scene.ts"
import { asking, fromHosted, ownWeb, publishing, toHosted, wellKnown } from "./posh-hosting.ts"

const domain = "hut.example"
const host = "ridge.example"
const steady = "stay.example"
const early = "fore.example"
const later = "next.example"
const hour = 3_600_000
const step = 12 * hour
/** Documents last a week and are asked for again after half of it: what has less left than this is being asked for. */
const leastLeft = 85 * hour
/** By the clock on the wall: what a step sets going has this long to be done, ms. */
const settleMs = 5000

type Configure = NonNullable<ServerSpec["configure"]>

/** Moves in time, and hangs up on nobody for a week of silence. */
const patient = ({ configure = (settings) => settings, ...spec }: ServerSpec): ServerSpec => {
  const patiently: Configure = (settings, at) => {
    const configured = configure(settings, at)
    return { ...configured, federation: { ...(configured["federation"] as object), idle_timeout: "7d" } }
  }
  return { ...spec, movesInTime: true, configure: patiently }
}

/** Messages between the peer that stays and the hosted domain, each way, and what became of them. */
class Conversation {
  readonly #net: Internet
  readonly #ends: readonly [LabServer, LabServer]
  readonly #asking: readonly LabServer[]
  sent = 0
  delivered = 0

  /** @param asking all that ask for the document now and then */
  constructor(net: Internet, ends: readonly [LabServer, LabServer], asking: readonly LabServer[]) {
    this.#net = net
    this.#ends = ends
    this.#asking = asking
  }

  /** Half a day goes by; what they set going is waited for; a message goes each way. */
  async step(): Promise<void> {
    this.#net.movingClock.pass(step)
    await this.#renewed()
    await this.talk()
  }

  async talk(): Promise<void> {
    const [one, other] = this.#ends
    for (const [from, to] of [[one, other], [other, one]] as const) {
      this.sent += 1
      const id = this.#net.say(from, to, `message ${this.sent}`)
      const outcome = await this.#net.until(`message ${this.sent}`, () => this.#net.outcome(to.domain, id) ?? this.#net.outcome(from.domain, id), settleMs)
      if (outcome.kind === "received") this.delivered += 1
    }
  }

  /** Proofs that grow old are asked for again, which takes a moment of real time. */
  async #renewed(): Promise<void> {
    const { movingClock } = this.#net
    const fresh = (): boolean => this.#asking.flatMap(associations).every(({ until }) => until - movingClock.now() >= leastLeft)
    await soon(this.#net, "the proofs to be renewed", fresh)
  }

  /** Streams that were ever opened between the two, and refusals of either. */
  report(): Got {
    const [{ events }] = this.#ends
    const opened = events.filter(({ kind }) => kind === "associated").length
    return {
      messages: `${this.delivered} of ${this.sent} delivered`,
      "streams opened": opened,
      "streams ended or refused": events.filter(({ kind }) => kind === "closed" || kind === "refused").length,
    }
  }
}

function associations({ gateway: { incoming, outgoing } }: LabServer): readonly Association[] {
  return [...incoming.flatMap((stream) => stream.associations()), ...outgoing.flatMap(({ stream }) => (stream === undefined ? [] : [stream.association]))]
}

/** Looks again and again: nothing tells when a gateway has thought something over. */
async function soon(net: Internet, what: string, look: () => boolean): Promise<void> {
  const late = net.clock.monotonic() + settleMs
  while (!look()) {
    if (net.clock.monotonic() > late) throw new Error(`waited in vain for ${what}`)
    await new Promise<void>((resolve) => net.clock.after(2, resolve))
  }
}

/** Which certificate the peer got to see when it connected last. */
function seen(by: LabServer, certificates: Readonly<Record<string, Uint8Array>>): string {
  const shown = by.events.flatMap((event) => (event.kind === "associated" && event.direction === "out" ? [event.association.proof?.chain[0]] : [])).at(-1)
  return Object.entries(certificates).find(([, der]) => shown !== undefined && Buffer.from(der).equals(shown))?.[0] ?? "another one"
}

async function play({ net, server, exchange }: Stage): Promise<Got> {
  const hosted = server(domain)
  net.web({ host: domain, answers: { [wellKnown]: { location: `https://${host}${wellKnown}` } } })
  const { address } = hosted.s2s
  if (ownWeb(address) !== address) net.signed.zones.set(host, { A: [address], AAAA: ["::1"] })
  const talk = new Conversation(net, [server(steady), hosted], [steady, early, later].map(server))
  await talk.talk()
  const first = await exchange(domain, early)
  await talk.step()
  net.note("A new certificate with a new key is put in the place of the old one. Whoever fetched the document before knows nothing of it for a week.")
  const renewed = net.authority.issue({ names: { dns: [host] }, notBefore: net.movingClock.now() - hour })
  await hosted.renew(renewed)
  for (const { held: hold } of hosted.gateway.renewals) if (hold !== undefined) net.note(`Its gateway: "${hold.sentence}".`)
  const certificates = { "the old one": hosted.certificate.der, "the new one": renewed.der }
  const second = await exchange(early, domain)
  await talk.step()
  net.note("The document names both from now on. A week goes by, with messages twice a day.")
  const third = await exchange(domain, later)
  while (held(hosted) && talk.sent < 80) {
    await talk.step()
    // What the moment sets going is done in the background.
    if (overdue(net, hosted)) await soon(net, "the new certificate", () => !held(hosted))
  }
  net.note("Nobody can remember a document without the new certificate any more: it is shown.")
  const fourth = await exchange(later, domain)
  for (let more = 0; more < 14; more += 1) await talk.step()
  return {
    [`${domain} -> ${early}, before`]: first,
    [`${early} -> ${domain}, at once`]: second,
    [`${domain} -> ${later}, between`]: third,
    [`${later} -> ${domain}, after`]: fourth,
    [`${early} saw`]: seen(server(early), certificates),
    [`${later} saw`]: seen(server(later), certificates),
    [`${steady}, connected throughout`]: talk.report(),
  }
}

function held({ gateway: { renewals } }: LabServer): boolean {
  return renewals.some(({ held: hold }) => hold !== undefined)
}

function overdue(net: Internet, { gateway: { renewals } }: LabServer): boolean {
  return renewals.some(({ held: hold }) => hold?.until !== undefined && hold.until <= net.movingClock.now())
}

const rollover: Scene = {
  id: "posh-rollover",
  section: "RFC 7711 6",
  title: "the certificate is renewed: published at once, shown a week later, and nobody is refused",
  cast: [publishing(domain, host), asking(steady), asking(early), asking(later)].map(patient),
  expected: {
    [`${domain} -> ${early}, before`]: fromHosted(domain, early),
    [`${early} -> ${domain}, at once`]: toHosted(early, domain),
    [`${domain} -> ${later}, between`]: fromHosted(domain, later),
    [`${later} -> ${domain}, after`]: toHosted(later, domain),
    [`${early} saw`]: "the old one",
    [`${later} saw`]: "the new one",
    [`${steady}, connected throughout`]: { messages: "62 of 62 delivered", "streams opened": 2, "streams ended or refused": 0 },
  },
  play,
}

export const poshRolloverScenes: readonly Scene[] = [rollover]
