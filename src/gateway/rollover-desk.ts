// Renewals of every hosted domain: which certificate each shows, which documents speak for it, what must be waited for; the
// planner with its memory (rollover.ts, rollover-state.ts; POSH-08, POSH-17).
import type { Domain } from "../model/domain.ts"
import type { TlsaRecord } from "../model/dns-answer.ts"
import type { Instant } from "../model/verdict.ts"
import type { Files, TlsCredentials } from "../ports.ts"
import { defaultTlsaPolicy, type TlsaPolicy } from "../proof/tlsa.ts"
import type { AnchorSet } from "../x509/anchors.ts"
import { CertificateError, parseCertificate } from "../x509/certificate.ts"
import { type CertificateSnapshot, type CertificateWarning, type ShownCertificate } from "./certificates.ts"
import { pemBlocks } from "./certificate-scan.ts"
import type { GatewayConfig, HostedDomain } from "./config.ts"
import { reason } from "./config-values.ts"
import { fingerprintsDocument, longestExpires } from "./posh-document.ts"
import { cacheSlack, fit, kinds, lookAgain, planRollover, type PublishedDocument, type RolloverCertificate, type RolloverDecision, type SeenTlsa, type TlsaMeasure, type TlsaSight } from "./rollover.ts"
import { emptyMemory, type KeptCertificate, type RetiredCertificate, type RolloverMemory, type RolloverStore } from "./rollover-state.ts"

/** How long a certificate that is shown no more stays in documents: streams opened with it are judged by them, ms. */
const retiredMs = 30 * 24 * 3_600_000
/** What DNS said is planned with for this long; self-checks come sooner. */
const sightMs = 2 * 24 * 3_600_000
const mostNextOctets = 256 * 1024

/** One document that is served now. */
export interface ServedDocument {
  readonly fingerprints: readonly string[]
  readonly expiresMs: number
  /** As it goes out. */
  readonly text: () => string
}

/** What is shown and held back for one domain, for `ctl certs`. Plain. */
export interface RolloverView {
  readonly domain: Domain
  /** The name whose certificate is shown, where that is another one. */
  readonly certificate?: Domain
  readonly onDisk: CertificateLine
  readonly served: CertificateLine
  /** Why they differ; absent where they do not. */
  readonly held?: { readonly because: RolloverDecision["because"]; readonly sentence: string; readonly until?: Instant }
  /** Names whose documents speak for it, and how long those may be remembered. */
  readonly posh: readonly { readonly name: Domain; readonly expiresMs: number; readonly fingerprints: readonly string[] }[]
  /** Certificates that are shown no more and are still named in documents. */
  readonly retired: readonly { readonly fingerprint: string; readonly until: Instant }[]
}

export interface CertificateLine {
  readonly fingerprint: string
  readonly notBefore: Instant
  readonly notAfter: Instant
}

interface Outcome {
  readonly hosted: HostedDomain
  readonly published: boolean
  readonly candidate: ShownCertificate
  readonly shown: ShownCertificate
  readonly decision: RolloverDecision
  readonly retired: readonly RetiredCertificate[]
  /** DER, the most relevant first. */
  readonly publish: readonly { readonly fingerprint: string; readonly der: Uint8Array }[]
}

/** What a new snapshot shows and publishes; nothing has happened until it is committed. */
export interface RolloverPlan {
  readonly certificates: CertificateSnapshot
  readonly documents: ReadonlyMap<Domain, ServedDocument>
  readonly warnings: readonly CertificateWarning[]
  /** When to plan again without a change on disk. */
  readonly again: Instant | undefined
  readonly outcomes: ReadonlyMap<Domain, Outcome>
  readonly suspended: ReadonlySet<Domain>
  readonly measure: Omit<TlsaMeasure, "domain">
}

/** What of the configuration decides about renewals. */
export type RolloverConfig = Pick<GatewayConfig, "domains" | "dnssec" | "proofs" | "daneUsages"> & { readonly listen: Pick<GatewayConfig["listen"], "posh" | "poshHttps"> }

export interface RolloverInput {
  readonly config: RolloverConfig
  /** As the folders have them now. */
  readonly certificates: CertificateSnapshot
  /** As they were shown until now; undefined at the start. */
  readonly previous: CertificateSnapshot | undefined
  readonly anchors: AnchorSet
  readonly now: Instant
}

/** One answer about TLSA records as a look into DNS brought it. */
export interface TlsaLook {
  readonly name: string
  readonly base: Domain
  readonly records: readonly TlsaRecord[]
  readonly ttlMs: number
}

export interface RolloverNews {
  readonly event: "cert.held" | "cert.switched"
  readonly domain: Domain
  readonly loud: boolean
  readonly text: string
}

export class RolloverDesk {
  readonly #files: Pick<Files, "read" | "stat">
  readonly #store: RolloverStore | undefined
  readonly #news: (news: RolloverNews) => void
  #memory: RolloverMemory = emptyMemory()
  #kept: ReadonlyMap<Domain, KeptCertificate> = new Map()
  #committed: RolloverPlan | undefined
  readonly #since = new Map<Domain, { readonly fingerprint: string; readonly at: Instant }>()
  readonly #sights = new Map<Domain, { readonly at: Instant; readonly answers: readonly SeenTlsa[] }>()
  readonly #abandoned = new Set<Domain>()
  /** What domains showed that show nothing for a while, since they are suspended. */
  readonly #parked = new Map<Domain, ShownCertificate>()
  readonly #told = new Map<Domain, string>()

  constructor(around: { readonly files: Pick<Files, "read" | "stat">; readonly store: RolloverStore | undefined; readonly news: (news: RolloverNews) => void }) {
    this.#files = around.files
    this.#store = around.store
    this.#news = around.news
  }

  /** Remembers what an earlier run left. Never rejects. */
  async open(now: Instant): Promise<void> {
    if (this.#store === undefined) return
    const { memory, held, lost } = await this.#store.open()
    this.#memory = memory
    this.#kept = held
    if (!lost) return
    // Nobody knows what was published: the worst is assumed, and the wait begins anew.
    for (const [domain, { leaf }] of held) memory.documents.set(domain, [{ fingerprints: [leaf.fingerprint], expiresMs: longestExpires * 1000, from: now, to: now }])
  }

  /** What is served now, by name; as the publisher asks. */
  document(name: Domain): ServedDocument | undefined {
    return this.#committed?.documents.get(name)
  }

  /** Decides for every domain. Changes nothing. */
  async plan(input: RolloverInput): Promise<RolloverPlan> {
    const { config, certificates, previous, now } = input
    const warnings: CertificateWarning[] = []
    const outcomes = new Map<Domain, Outcome>()
    const replaced = new Map<Domain, ShownCertificate>()
    let again = Number.POSITIVE_INFINITY
    const hosts = new Set([...config.domains.values()].flatMap(({ certificate, suspended }) => (certificate === undefined || suspended ? [] : [certificate])))
    for (const hosted of config.domains.values()) {
      const candidate = certificates.pick(hosted.name)
      if (candidate === undefined) continue
      // Something that is served may speak for it: its own document, or that of the name whose certificate it shows.
      const published = serves(config) && (hosted.posh?.serve === true || hosted.certificate !== undefined || hosts.has(hosted.name))
      const current = previous?.pick(hosted.name) ?? this.#parked.get(hosted.name) ?? (previous === undefined ? this.#restored(hosted.name) : undefined)
      const unchanged = current === undefined || current.leaf.fingerprint === candidate.leaf.fingerprint
      if (unchanged && !published && !this.#retiredOf(hosted.name, now).length) continue
      const before = this.#committed?.outcomes.get(hosted.name)
      if (before !== undefined && before.published === published && isSettled(before, hosted, current, candidate)) {
        outcomes.set(hosted.name, before)
        continue
      }
      const decision = this.#decide(hosted, published, current, candidate, input)
      const shown = decision.serve === "current" && current !== undefined ? current : candidate
      if (shown !== candidate) replaced.set(hosted.name, shown)
      const retired = this.#retire(hosted.name, published ? current : undefined, shown, now)
      const next = await this.#nextOf(hosted, warnings)
      outcomes.set(hosted.name, { hosted, published, candidate, shown, decision, retired, publish: listed([ofShown(candidate), ...next, ofShown(shown), ...retired]) })
      again = Math.min(again, dueAt(decision, now), ...retired.map(({ until }) => until))
    }
    return {
      certificates: certificates.with(replaced),
      documents: this.#documents(config, certificates, outcomes),
      warnings,
      again: Number.isFinite(again) ? again : undefined,
      outcomes,
      suspended: new Set([...config.domains.values()].flatMap(({ name, suspended }) => (suspended ? [name] : []))),
      measure: { policy: policyOf(config), anchors: input.anchors, now },
    }
  }

  #decide(hosted: HostedDomain, published: boolean, current: ShownCertificate | undefined, candidate: ShownCertificate, { config, anchors, now }: RolloverInput): RolloverDecision {
    const domain = hosted.name
    if (current !== undefined && this.#abandoned.has(domain)) return { serve: "candidate", because: "abandoned", sentence: `${domain}: the old certificate was given up by hand` }
    const since = this.#since.get(domain)
    return planRollover({
      domain,
      current: current === undefined ? undefined : asPlanned(current),
      candidate: asPlanned(candidate),
      since: since?.fingerprint === candidate.leaf.fingerprint ? since.at : now,
      documents: this.#remembered(hosted, published),
      tlsa: config.dnssec === "off" || !config.proofs.has("dane") ? { kind: "off" } : this.#sight(domain, now),
      policy: policyOf(config),
      anchors,
      now,
    })
  }

  /** What was shown before a restart, where the folders may have nothing of it any more. */
  #restored(domain: Domain): ShownCertificate | undefined {
    const kept = this.#kept.get(domain)
    if (kept === undefined) return undefined
    const { certificatePem, keyPem, path, leaf } = kept
    return { credentials: Object.freeze({ certificatePem, keyPem }), leaf, certificatePath: path, keyPath: path, names: new Set([domain]) }
  }

  /** Every document that speaks for the domain: its own, and that of the name whose certificate it shows. */
  #remembered(hosted: HostedDomain, published: boolean): readonly PublishedDocument[] | undefined {
    const names = hosted.certificate === undefined ? [hosted.name] : [hosted.name, hosted.certificate]
    const found = names.flatMap((name) => this.#memory.documents.get(name) ?? [])
    return found.length > 0 || published ? found : undefined
  }

  #sight(domain: Domain, now: Instant): TlsaSight {
    const sight = this.#sights.get(domain)
    return sight === undefined || sight.at + sightMs < now ? { kind: "unseen" } : { kind: "seen", answers: sight.answers }
  }

  #retiredOf(domain: Domain, now: Instant): readonly RetiredCertificate[] {
    return (this.#memory.retired.get(domain) ?? []).filter(({ until }) => until > now)
  }

  #retire(domain: Domain, current: ShownCertificate | undefined, shown: ShownCertificate, now: Instant): readonly RetiredCertificate[] {
    if (this.#abandoned.has(domain)) return []
    const retired = this.#retiredOf(domain, now).filter(({ fingerprint }) => fingerprint !== shown.leaf.fingerprint)
    if (current === undefined || current === shown || current.leaf.fingerprint === shown.leaf.fingerprint) return retired
    const until = Math.min(current.leaf.notAfter, now + retiredMs)
    return until <= now ? retired : [{ der: current.leaf.der, fingerprint: current.leaf.fingerprint, until }, ...retired]
  }

  /** Certificates announced in `posh.next`; one that cannot be read is said and left out. */
  async #nextOf(hosted: HostedDomain, warnings: CertificateWarning[]): Promise<{ fingerprint: string; der: Uint8Array }[]> {
    const found: { fingerprint: string; der: Uint8Array }[] = []
    for (const path of hosted.posh?.next ?? []) {
      try {
        const { size } = await this.#files.stat(path)
        if (size > mostNextOctets) throw new Error(`it has ${size} octets`)
        const text = Buffer.from(await this.#files.read(path)).toString("latin1")
        const [first] = [...pemBlocks(text)].filter(({ label }) => label === "CERTIFICATE")
        if (first === undefined) throw new Error("there is no certificate in it")
        const { der, fingerprint } = parseCertificate(Buffer.from(first.body, "base64"))
        found.push({ der, fingerprint })
      } catch (error) {
        const why = error instanceof CertificateError ? error.message : reason(error)
        warnings.push({ event: "cert.unreadable", domain: hosted.name, path, sentence: `${path}, which is the next certificate of ${hosted.name}, cannot be published: ${why}.` })
      }
    }
    return found
  }

  /** A document for each domain that serves one, and for each name whose certificate others show. */
  #documents(config: RolloverConfig, certificates: CertificateSnapshot, outcomes: ReadonlyMap<Domain, Outcome>): ReadonlyMap<Domain, ServedDocument> {
    if (!serves(config)) return new Map()
    const content = new Map<Domain, { certificates: Outcome["publish"][number][]; expiresMs: number[] }>()
    const add = (name: Domain, publish: Outcome["publish"], expiresMs: number | undefined): void => {
      const entry = content.get(name) ?? { certificates: [], expiresMs: [] }
      entry.certificates.push(...publish)
      if (expiresMs !== undefined) entry.expiresMs.push(expiresMs)
      content.set(name, entry)
    }
    for (const { hosted, publish } of outcomes.values()) {
      if (hosted.suspended) continue
      if (hosted.posh?.serve === true) add(hosted.name, publish, hosted.posh.expiresMs)
      // Customers' redirects and references lead to the name whose certificate is shown for them.
      if (hosted.certificate !== undefined) add(hosted.certificate, publish, config.domains.get(hosted.certificate)?.posh?.expiresMs ?? hosted.posh?.expiresMs)
    }
    const served = new Map<Domain, ServedDocument>()
    for (const [name, entry] of content) {
      const host = outcomes.get(name)
      const own = host === undefined ? certificates.pick(name) : undefined
      const all = listed([...entry.certificates, ...(host?.publish ?? []), ...(own === undefined ? [] : [ofShown(own)])])
      const expiresMs = entry.expiresMs.length === 0 ? longestExpires * 1000 : Math.min(...entry.expiresMs)
      const fingerprints = all.map(({ fingerprint }) => fingerprint)
      const before = this.document(name)
      if (before?.expiresMs === expiresMs && before.fingerprints.join() === fingerprints.join()) {
        served.set(name, before)
        continue
      }
      let text: string | undefined
      served.set(name, {
        fingerprints,
        expiresMs,
        text: () => (text ??= fingerprintsDocument(all.map(({ der }) => der), Math.floor(expiresMs / 1000))),
      })
    }
    return served
  }

  /** The plan holds from now on: documents may have been fetched as they were until this moment. */
  commit(plan: RolloverPlan, at: Instant): void {
    const { documents, outcomes } = plan
    const before = this.#committed
    this.#committed = plan
    let changed = false
    for (const [domain, { candidate, decision, shown, retired }] of outcomes) {
      const waiting = decision.serve === "current"
      if (!waiting) this.#since.delete(domain)
      else if (this.#since.get(domain)?.fingerprint !== candidate.leaf.fingerprint) this.#since.set(domain, { fingerprint: candidate.leaf.fingerprint, at })
      changed = this.#setRetired(domain, retired) || changed
      this.#tell(domain, decision, shown)
    }
    for (const [domain, { shown }] of before?.outcomes ?? []) if (plan.suspended.has(domain)) this.#parked.set(domain, shown)
    for (const domain of [...this.#parked.keys()]) if (!plan.suspended.has(domain)) this.#parked.delete(domain)
    for (const domain of [...this.#memory.retired.keys()]) if (!outcomes.has(domain) && !plan.suspended.has(domain)) changed = this.#setRetired(domain, []) || changed
    for (const domain of [...this.#told.keys()]) if (outcomes.get(domain)?.decision.serve !== "current") this.#told.delete(domain)
    this.#abandoned.clear()
    changed = this.#publish(documents, before?.documents, at) || changed
    this.#store?.hold(heldBack(outcomes))
    if (changed) this.#store?.save(this.#memory)
  }

  #setRetired(domain: Domain, retired: readonly RetiredCertificate[]): boolean {
    const names = (list: readonly RetiredCertificate[]) => list.map(({ fingerprint }) => fingerprint).join(" ")
    if (names(this.#memory.retired.get(domain) ?? []) === names(retired)) return false
    if (retired.length === 0) this.#memory.retired.delete(domain)
    else this.#memory.retired.set(domain, retired)
    return true
  }

  #tell(domain: Domain, decision: RolloverDecision, shown: ShownCertificate): void {
    if (decision.serve === "current") {
      if (this.#told.get(domain) === decision.because) return
      this.#told.set(domain, decision.because)
      const until = decision.until === undefined ? "" : `, until ${new Date(decision.until).toISOString().slice(0, 16)}Z at the latest`
      this.#news({ event: "cert.held", domain, loud: false, text: `${decision.sentence}${until}` })
    } else if (decision.because !== "first" && decision.because !== "unchanged") {
      const loud = decision.breaks === true
      this.#news({ event: "cert.switched", domain, loud, text: `${decision.sentence} (${shown.leaf.fingerprint.slice(0, 8)})` })
    }
  }

  #publish(documents: ReadonlyMap<Domain, ServedDocument>, before: ReadonlyMap<Domain, ServedDocument> | undefined, at: Instant): boolean {
    const { documents: memory } = this.#memory
    let changed = false
    for (const [name, document] of documents) {
      if (document === before?.get(name)) continue
      const { fingerprints, expiresMs } = document
      const history = memory.get(name) ?? []
      const last = history.at(-1)
      const same = last !== undefined && last.to === undefined && last.expiresMs === expiresMs && sameSet(last.fingerprints, fingerprints)
      if (same) continue
      memory.set(name, [...ended(history, at), { fingerprints, expiresMs, from: at }])
      changed = true
    }
    for (const [name, history] of memory) {
      if (documents.has(name)) continue
      // What is served no more is remembered by peers for a while.
      const left = ended(history, at)
      if (left.length === 0) memory.delete(name)
      else memory.set(name, left)
      changed ||= left.length !== history.length || history.at(-1)?.to === undefined
    }
    return changed
  }

  /** A look into DNS, complete: every server of the domain. A look that failed is not brought here. */
  seen(domain: Domain, looks: readonly TlsaLook[], at: Instant): void {
    const before = this.#sights.get(domain)?.answers ?? []
    const answers: SeenTlsa[] = []
    for (const look of looks) {
      const known = before.filter(({ name }) => name === look.name)
      const live = known.find(({ current }) => current)
      const records = [...look.records].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
      answers.push(...known.filter((each) => each !== live && each.lastSeen + each.ttlMs > at))
      if (live !== undefined && JSON.stringify(live.records) === JSON.stringify(records)) {
        answers.push({ ...live, lastSeen: at, ttlMs: Math.max(live.ttlMs, look.ttlMs) })
        continue
      }
      // It may have been there until just now.
      if (live !== undefined) answers.push({ ...live, current: false, lastSeen: at })
      answers.push({ ...look, records, firstSeen: at, lastSeen: at, current: true, first: live === undefined })
    }
    for (const gone of before) {
      if (looks.some(({ name }) => name === gone.name)) continue
      const left = gone.current ? { ...gone, current: false, lastSeen: at } : gone
      if (left.lastSeen + left.ttlMs > at) answers.push(left)
    }
    this.#sights.set(domain, { at, answers })
  }

  /** Domains that DNS holds back, or may hold back: looked at before others. */
  get wantSight(): readonly Domain[] {
    return [...(this.#committed?.outcomes ?? [])].filter(([, { decision }]) => decision.because === "tlsa" || decision.because === "dns-unseen").map(([domain]) => domain)
  }

  /**
   * The old certificate of this domain counts no more, from the next plan on: for a key that was stolen. Peers that
   * remember a document without the new one refuse it until they ask again.
   */
  abandon(domain: Domain): void {
    this.#abandoned.add(domain)
  }

  /** What is on disk, shown and published, by domain; those of which nothing is published and held back are not listed. */
  views(): readonly RolloverView[] {
    return [...(this.#committed?.outcomes.keys() ?? [])].flatMap((domain) => this.view(domain) ?? [])
  }

  view(domain: Domain): RolloverView | undefined {
    const outcome = this.#committed?.outcomes.get(domain)
    if (outcome === undefined) return undefined
    const { hosted, candidate, shown, decision, retired } = outcome
    const names = hosted.certificate === undefined ? [domain] : [domain, hosted.certificate]
    const posh = names.flatMap((name) => {
      const document = this.document(name)
      return document === undefined ? [] : [{ name, expiresMs: document.expiresMs, fingerprints: document.fingerprints }]
    })
    const { because, sentence, until } = decision
    return {
      domain,
      ...(hosted.certificate === undefined ? {} : { certificate: hosted.certificate }),
      onDisk: line(candidate),
      served: line(shown),
      ...(decision.serve === "candidate" ? {} : { held: { because, sentence, ...(until === undefined ? {} : { until }) } }),
      posh,
      retired: retired.map((each) => ({ fingerprint: each.fingerprint, until: each.until })),
    }
  }

  /** What DNS promises about the certificate shown: `3 1 1 current`; undefined where nothing is promised or nobody looked. */
  keyInDns(domain: Domain): string | undefined {
    const shown = this.#committed?.certificates.pick(domain)
    const live = (this.#sights.get(domain)?.answers ?? []).filter(({ current }) => current)
    if (this.#committed === undefined || shown === undefined || live.length === 0) return undefined
    const measure = { domain, ...this.#committed.measure }
    const records = kinds(live.flatMap((answer) => answer.records))
    return `${records} ${live.every((answer) => fit(answer, asPlanned(shown), measure) !== undefined) ? "current" : "other"}`
  }

  /** Everything that must survive is on disk. */
  async settled(): Promise<void> {
    await this.#store?.settled()
  }
}

/** Nothing about it can have changed since: what was shown is what is on disk, and nothing waits or ends. */
function isSettled({ hosted, candidate, shown, retired }: Outcome, now: HostedDomain, current: ShownCertificate | undefined, onDisk: ShownCertificate): boolean {
  return hosted === now && candidate === onDisk && shown === onDisk && current === onDisk && retired.length === 0 && (now.posh?.next ?? []).length === 0
}

/** Without a listener nothing is published, whatever domains ask for. */
const serves = ({ listen }: RolloverConfig): boolean => listen.posh.length + listen.poshHttps.length > 0

const policyOf = ({ daneUsages }: RolloverConfig): TlsaPolicy => ({ ...defaultTlsaPolicy, usages: daneUsages })

const ofShown = ({ leaf }: ShownCertificate) => ({ fingerprint: leaf.fingerprint, der: leaf.der })

const line = ({ leaf: { fingerprint, notBefore, notAfter } }: ShownCertificate): CertificateLine => ({ fingerprint, notBefore, notAfter })

/** Chains are taken apart once for each set of credentials. */
const chains = new WeakMap<TlsCredentials, readonly Uint8Array[]>()

/** DER as it is shown, the domain's own certificate first. */
export function chainOf({ credentials }: ShownCertificate): readonly Uint8Array[] {
  let chain = chains.get(credentials)
  if (chain === undefined) {
    chain = [...pemBlocks(credentials.certificatePem)].map(({ body }) => Buffer.from(body, "base64"))
    chains.set(credentials, chain)
  }
  return chain
}

function asPlanned(shown: ShownCertificate): RolloverCertificate {
  return {
    ...line(shown),
    // Only TLSA records ask for it.
    get chain() {
      return chainOf(shown)
    },
  }
}

function listed<T extends { readonly fingerprint: string; readonly der: Uint8Array }>(certificates: readonly T[]): { fingerprint: string; der: Uint8Array }[] {
  const byFingerprint = new Map<string, { fingerprint: string; der: Uint8Array }>()
  for (const { fingerprint, der } of certificates) if (!byFingerprint.has(fingerprint)) byFingerprint.set(fingerprint, { fingerprint, der })
  return [...byFingerprint.values()]
}

function sameSet(one: readonly string[], two: readonly string[]): boolean {
  return one.length === two.length && one.every((each) => two.includes(each))
}

/** The one served last ends now; those that nobody can remember are forgotten. */
function ended(history: readonly PublishedDocument[], at: Instant): readonly PublishedDocument[] {
  return history.map((each) => (each.to === undefined ? { ...each, to: at } : each)).filter(({ to, expiresMs }) => (to ?? at) + expiresMs + cacheSlack > at)
}

function dueAt({ serve, because, until = Number.POSITIVE_INFINITY }: RolloverDecision, now: Instant): Instant {
  if (serve === "candidate") return Number.POSITIVE_INFINITY
  return because === "tlsa" || because === "dns-unseen" ? Math.min(until, now + lookAgain) : until
}

/** Keys that a restart would not find: kept while an old certificate is shown. */
function heldBack(outcomes: ReadonlyMap<Domain, Outcome>): ReadonlyMap<Domain, { certificatePem: string; keyPem: string; fingerprint: string }> {
  const held = new Map<Domain, { certificatePem: string; keyPem: string; fingerprint: string }>()
  for (const [domain, { decision, shown }] of outcomes) {
    if (decision.serve !== "current") continue
    const { certificatePem, keyPem } = shown.credentials
    held.set(domain, { certificatePem, keyPem, fingerprint: shown.leaf.fingerprint })
  }
  return held
}
