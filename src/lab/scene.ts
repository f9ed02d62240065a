// What a scene of the lab is, how one is played, and how `got` is computed from both ends' own events and evidence.
import { isDeepStrictEqual } from "node:util"
import type { Association, Direction } from "../model/association.ts"
import type { Domain } from "../model/domain.ts"
import type { FederationEvent } from "../model/events.ts"
import type { Evidence, EvidenceFile } from "../model/evidence.ts"
import { judge, readEvidenceFile } from "../proof/judge.ts"
import { builtInProoftypes } from "../proof/registry.ts"
import { Internet, type LabPorts, type LabServer, type ServerSpec } from "./internet.ts"

/** One end's own account of one direction of one pair. */
export interface EndGot {
  /** The level reached, null where nothing was associated. */
  readonly level: string | null
  /** What the association rests on: `certificate` on this stream, `dialback`, or `dns` alone (below `authenticated`). */
  readonly by: "certificate" | "dialback" | "dns" | null
  /** How SASL EXTERNAL went at this end. */
  readonly external: "accepted" | "refused" | null
  /** Id of the finding, and the sentence that the operator of this end reads. */
  readonly finding: string | null
  readonly sentence: string | null
  /** The evidence this end holds, judged again by the pure judge with built-in prooftypes and the lab's root. */
  readonly evidence: readonly string[]
}

export interface ExchangeGot {
  readonly message: "delivered" | "bounced"
  /** The stanza error the sending component got. */
  readonly bounce: { readonly condition: string; readonly text: string } | null
  readonly sender: EndGot
  readonly receiver: EndGot
}

/** Plain data; keys are `sender -> receiver`. */
export type Got = Readonly<Record<string, unknown>>

/** What a scene may use while it is played. */
export interface Stage {
  readonly net: Internet
  server(domain: string): LabServer
  /** One message from component to component, and what both ends say about its way. */
  exchange(from: string, to: string): Promise<ExchangeGot>
}

export interface Scene {
  readonly id: string
  /** Of the RFC or XEP it shows. */
  readonly section: string
  readonly title: string
  /** Servers it needs. Domains are its own, so that all scenes can be up at once. */
  readonly cast: readonly ServerSpec[]
  readonly expected: Got
  play(stage: Stage): Promise<Got>
}

export interface SceneReport {
  readonly id: string
  readonly section: string
  readonly title: string
  readonly ok: boolean
  readonly expected: Got
  readonly got: Got
  /** From the first step to the last, ms. */
  readonly ms: number
  /** Why it could not be played to its end. */
  readonly broken?: string
}

/** The longest a scene may take, ms: one takes a second or two where the machine has nothing else to do. */
export const sceneMs = 20_000

/** Plays a scene whose cast is on stage. Never throws: what goes wrong is a report that is not ok. */
export async function playScene(net: Internet, scene: Scene): Promise<SceneReport> {
  const began = net.clock.monotonic()
  const stage: Stage = { net, server: (domain) => net.server(domain), exchange: (from, to) => exchange(net, from, to) }
  let got: Got = {}
  let broken: string | undefined
  let cancel = () => {}
  const late = new Promise<never>((_, reject) => {
    cancel = net.clock.after(sceneMs, () => reject(new Error(`the scene took longer than ${sceneMs / 1000} s`)))
  })
  try {
    got = await Promise.race([scene.play(stage), late])
  } catch (error) {
    broken = error instanceof Error ? error.message : String(error)
  } finally {
    cancel()
  }
  const { id, section, title, expected } = scene
  const ok = broken === undefined && isDeepStrictEqual(got, expected)
  const ms = Math.round(net.clock.monotonic() - began)
  return { id, section, title, ok, expected, got, ms, ...(broken === undefined ? {} : { broken }) }
}

export async function raiseCast(net: Internet, cast: readonly ServerSpec[]): Promise<readonly LabServer[]> {
  return await Promise.all(cast.map((spec) => net.addServer(spec)))
}

export interface PlayOptions {
  /** Changes a server before it starts, as for weakening one check on purpose. */
  readonly change?: (spec: ServerSpec) => ServerSpec
}

/** A scene on an internet of its own, from nothing to nothing. */
export async function playAlone(ports: LabPorts, scene: Scene, { change = (spec) => spec }: PlayOptions = {}): Promise<SceneReport> {
  const net = await Internet.start(ports)
  try {
    await raiseCast(net, scene.cast.map(change))
    return await playScene(net, scene)
  } finally {
    await net.close()
  }
}

async function exchange(net: Internet, fromDomain: string, toDomain: string): Promise<ExchangeGot> {
  const from = net.server(fromDomain)
  const to = net.server(toDomain)
  const before = { from: from.events.length, to: to.events.length }
  const id = net.say(from, to, `hello from ${from.domain}`)
  const outcome = await net.until(`the end of the message from ${from.domain}`, () => net.outcome(to.domain, id) ?? net.outcome(from.domain, id), sceneMs)
  const bounced = outcome.kind === "bounced"
  const ours = () => about(from.events.slice(before.from), from.domain, to.domain, "out")
  const theirs = () => about(to.events.slice(before.to), from.domain, to.domain, "in")
  // The sender bounces as soon as it knows; the other end may hear of it a moment later.
  const connected = from.events.slice(before.from).some(({ kind }) => kind === "connected")
  if (bounced && connected) await net.until(`${to.domain} to see the end of the stream`, () => theirs().find(({ kind }) => kind === "closed"), sceneMs)
  return {
    message: bounced ? "bounced" : "delivered",
    bounce: outcome.kind === "bounced" ? { condition: outcome.condition, text: outcome.text } : null,
    sender: endGot(net, ours()),
    receiver: endGot(net, theirs()),
  }
}

/** Events of one pair in one direction. */
function about(events: readonly FederationEvent[], sender: Domain, target: Domain, direction: Direction): readonly FederationEvent[] {
  return events.filter((event) => {
    if (event.direction !== direction) return false
    const pair = event.kind === "associated" ? event.association.pair : event.pair
    return pair?.sender === sender && pair.target === target
  })
}

function endGot(net: Internet, events: readonly FederationEvent[]): EndGot {
  let association: Association | undefined
  let refused: (FederationEvent & { kind: "refused" }) | undefined
  let ended: (FederationEvent & { kind: "closed" }) | undefined
  let external: EndGot["external"] = null
  for (const event of events) {
    if (event.kind === "associated") association ??= event.association
    else if (event.kind === "refused") refused ??= event
    else if (event.kind === "closed") ended ??= event
    else if (event.kind === "external" && (event.result === "accepted" || event.result === "refused")) external = event.result
  }
  const evidence = association?.evidence() ?? refused?.evidence?.() ?? []
  return {
    level: association?.level ?? null,
    by: association === undefined ? null : typeof association.via === "object" ? "dialback" : association.via,
    external,
    finding: refused?.finding ?? null,
    sentence: refused?.sentence ?? (association === undefined ? (ended?.reason ?? null) : null),
    evidence: judged(net, evidence),
  }
}

/** Each item through the same door as `xmpp-dna judge`: as text, read, judged with our own prooftypes and the lab's root. */
function judged(net: Internet, items: readonly Evidence[]): readonly string[] {
  const [first] = items
  if (first === undefined) return []
  const file: EvidenceFile = {
    evidence: 1,
    tool: { name: "xmpp-dna", version: "0" },
    recorded: first.at,
    direction: first.role === "incoming" ? "in" : "out",
    pair: first.pair,
    decision: "associated",
    level: null,
    finding: null,
    sentence: "",
    items,
  }
  const roots = { prooftypes: builtInProoftypes, anchors: [net.anchors], dnsAnchors: [net.signed.zones.anchors] }
  const judgement = judge(readEvidenceFile(JSON.stringify(file)), roots)
  return judgement.items.map(({ prooftype, source, now, result }) => {
    // Of a prooftype that is not built in, or with a name that only a delegation adds which the evidence does not show.
    if (now === undefined) return `${prooftype} for ${source}: cannot be judged by itself`
    const verdict = now.outcome === "proved" ? "proved" : `${now.outcome} [${now.finding}]`
    return `${prooftype} for ${source}: ${verdict}${result === "same" ? "" : `, recorded otherwise (${result})`}`
  })
}
