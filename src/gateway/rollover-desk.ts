// Renewals of every hosted domain: which certificate each shows, which documents speak for it, what must be waited for; the
// planner with its memory (rollover.ts, rollover-state.ts; POSH-08, POSH-17).
import type { Domain } from "../model/domain.ts"
import type { Instant } from "../model/verdict.ts"
import type { Files } from "../ports.ts"
import type { CertificateWarning, ShownCertificate } from "./certificates.ts"
import type { HostedDomain } from "./config.ts"
import { longestExpires } from "./posh-document.ts"
import { cacheSlack, fittingRecord, kinds, lookAgain, planRollover, type PublishedDocument, type RolloverDecision } from "./rollover.ts"
import {
  asPlanned,
  documentsOf,
  line,
  listed,
  nextOf,
  type NotableDomains,
  notableDomains,
  ofShown,
  type Outcome,
  policyOf,
  type RolloverInput,
  type RolloverNews,
  type RolloverPlan,
  type RolloverView,
  type ServedDocument,
  serves,
} from "./rollover-outcome.ts"
import { emptyMemory, type HeldCertificate, lentBy, ownOf, type RetiredCertificate, type RolloverMemory, type RolloverStore } from "./rollover-state.ts"
import { type TlsaLook, TlsaSights } from "./tlsa-sights.ts"

/** How long a certificate that is shown no more stays in documents: streams opened with it are judged by them, ms. */
const retiredMs = 30 * 24 * 3_600_000
/** Of these; a renewal that runs wild must not crowd out what is shown. */
const mostRetired = 24
/** Documents of one name that are remembered: the later ones hold back whatever the earlier ones do. */
const mostHistory = 500

export class RolloverDesk {
  readonly #files: Pick<Files, "read" | "stat">
  readonly #store: RolloverStore | undefined
  readonly #news: (news: RolloverNews) => void
  /** Somebody looks into DNS and brings what is there. */
  readonly #looks: boolean
  #memory: RolloverMemory = emptyMemory()
  /** What was published before is not known. */
  #lost = false
  #committed: RolloverPlan | undefined
  #notable: NotableDomains | undefined
  readonly #since = new Map<Domain, { readonly fingerprint: string; readonly at: Instant }>()
  readonly #sights = new TlsaSights()
  readonly #abandoned = new Set<Domain>()
  /** What domains showed that show nothing for a while, since they are suspended. */
  readonly #parked = new Map<Domain, ShownCertificate>()
  readonly #told = new Map<Domain, string>()

  constructor(around: { readonly files: Pick<Files, "read" | "stat">; readonly store: RolloverStore | undefined; readonly news: (news: RolloverNews) => void; readonly looks: boolean }) {
    this.#files = around.files
    this.#store = around.store
    this.#news = around.news
    this.#looks = around.looks
  }

  /** Remembers what an earlier run left. Never rejects. */
  async open(): Promise<void> {
    if (this.#store === undefined) return
    const { memory, lost } = await this.#store.open()
    this.#memory = memory
    this.#lost = lost
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
    // Whoever gives one up while this is planned has the next plan do it.
    const abandoned: ReadonlySet<Domain> = new Set(this.#abandoned)
    this.#notable = notableDomains(config.domains, this.#notable)
    const hosts = new Set([...this.#notable.speaking.values()].flatMap(({ certificate, suspended }) => (certificate === undefined || suspended ? [] : [certificate])))
    for (const hosted of this.#concerned(input, hosts, abandoned)) {
      const candidate = certificates.pick(hosted.name)
      if (candidate === undefined) continue
      // Something that is served may speak for it: its own document, or that of the name whose certificate it shows.
      const published = serves(config) && (hosted.posh?.serve === true || hosted.certificate !== undefined || hosts.has(hosted.name))
      const current = previous?.pick(hosted.name) ?? this.#parked.get(hosted.name) ?? (previous === undefined ? await this.#restored(hosted, candidate, now) : undefined)
      const unchanged = current === undefined || current.leaf.fingerprint === candidate.leaf.fingerprint
      if (unchanged && !published && !this.#retiredOf(hosted.name, now).length) continue
      const before = this.#committed?.outcomes.get(hosted.name)
      if (before !== undefined && before.published === published && isSettled(before, hosted, current, candidate)) {
        outcomes.set(hosted.name, before)
        continue
      }
      // Customers who show it show it no more either.
      const givenUp = abandoned.has(hosted.name) || (hosted.certificate !== undefined && abandoned.has(hosted.certificate))
      const decision = givenUp ? abandonment(hosted.name, current, candidate) : this.#decide(hosted, published, current, candidate, input)
      const shown = decision.serve === "current" && current !== undefined ? current : candidate
      if (shown !== candidate) replaced.set(hosted.name, shown)
      const retired = givenUp ? [] : this.#retire(hosted.name, published ? current : undefined, shown, now)
      const next = await nextOf(hosted, this.#files, warnings)
      outcomes.set(hosted.name, { hosted, published, candidate, shown, decision, retired, next: next.map(({ fingerprint }) => fingerprint), publish: listed([ofShown(candidate), ...next, ofShown(shown), ...retired]) })
      again = Math.min(again, dueAt(decision, now), ...retired.map(({ until }) => until))
    }
    return {
      certificates: certificates.with(replaced),
      documents: documentsOf({
        config,
        outcomes,
        served: (name) => this.document(name),
        wasListed: (name, fingerprint) => this.#memory.documents.get(name)?.some(({ fingerprints }) => fingerprints.includes(fingerprint)) === true,
      }),
      warnings,
      again: Number.isFinite(again) ? again : undefined,
      outcomes,
      abandoned,
      suspended: this.#notable.suspended,
      measure: { policy: policyOf(config), anchors: input.anchors, now },
    }
  }

  /** Domains for which there may be something to decide: of thousands with certificates of their own these are few. */
  #concerned({ config, certificates, previous }: RolloverInput, hosts: ReadonlySet<Domain>, abandoned: ReadonlySet<Domain>): readonly HostedDomain[] {
    // At the start each of them may have shown something else before.
    if (previous === undefined) return [...config.domains.values()]
    const names = new Set<Domain>([
      ...this.#notable!.speaking.keys(),
      ...hosts,
      ...abandoned,
      ...(this.#committed?.outcomes.keys() ?? []),
      ...this.#memory.retired.keys(),
      ...this.#parked.keys(),
      ...previous.differences(certificates),
    ])
    return [...names].flatMap((name) => config.domains.get(name) ?? [])
  }

  #decide(hosted: HostedDomain, published: boolean, current: ShownCertificate | undefined, candidate: ShownCertificate, { config, anchors, now }: RolloverInput): RolloverDecision {
    const domain = hosted.name
    const since = this.#since.get(domain)
    return planRollover({
      domain,
      current: current === undefined ? undefined : asPlanned(current),
      candidate: asPlanned(candidate),
      since: since?.fingerprint === candidate.leaf.fingerprint ? since.at : now,
      documents: this.#remembered(hosted, published),
      tlsa: !this.#looks || config.dnssec === "off" || !config.proofs.has("dane") ? { kind: "off" } : this.#sights.of(domain, now),
      policy: policyOf(config),
      anchors,
      now,
    })
  }

  /** What was shown before a restart, where the folders have another one now: renewed while nobody served, or held back. */
  async #restored({ name, certificate }: HostedDomain, { leaf }: ShownCertificate, now: Instant): Promise<ShownCertificate | undefined> {
    const own = await this.#store?.kept(ownOf(name), leaf.fingerprint)
    const kept = own ?? (certificate === undefined ? undefined : await this.#store?.kept(lentBy(certificate), leaf.fingerprint))
    if (kept === undefined) return undefined
    // Nobody knows what was published: the worst is assumed, and the wait begins anew.
    const names = !this.#lost ? [] : own !== undefined || certificate === undefined ? [name] : [name, certificate]
    for (const each of names) if (!this.#memory.documents.has(each)) this.#memory.documents.set(each, [{ fingerprints: [kept.leaf.fingerprint], expiresMs: longestExpires * 1000, from: now, to: now }])
    return { credentials: Object.freeze({ certificatePem: kept.certificatePem, keyPem: kept.keyPem }), leaf: kept.leaf, certificatePath: kept.path, keyPath: kept.path, names: new Set([name]) }
  }

  /** Every document that speaks for the domain: its own, and that of the name whose certificate it shows. */
  #remembered(hosted: HostedDomain, published: boolean): readonly PublishedDocument[] | undefined {
    const names = hosted.certificate === undefined ? [hosted.name] : [hosted.name, hosted.certificate]
    const found = names.flatMap((name) => this.#memory.documents.get(name) ?? [])
    return found.length > 0 || published ? found : undefined
  }

  #retiredOf(domain: Domain, now: Instant): readonly RetiredCertificate[] {
    return (this.#memory.retired.get(domain) ?? []).filter(({ until }) => until > now)
  }

  #retire(domain: Domain, current: ShownCertificate | undefined, shown: ShownCertificate, now: Instant): readonly RetiredCertificate[] {
    const retired = this.#retiredOf(domain, now).filter(({ fingerprint }) => fingerprint !== shown.leaf.fingerprint)
    if (current === undefined || current === shown || current.leaf.fingerprint === shown.leaf.fingerprint) return retired
    const until = Math.min(current.leaf.notAfter, now + retiredMs)
    return until <= now ? retired : [{ der: current.leaf.der, fingerprint: current.leaf.fingerprint, until }, ...retired].slice(0, mostRetired)
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
    for (const domain of [...this.#since.keys()]) if (!outcomes.has(domain)) this.#since.delete(domain)
    for (const domain of plan.abandoned) this.#abandoned.delete(domain)
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
    } else if (decision.breaks === true || (decision.because !== "first" && decision.because !== "unchanged")) {
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
      memory.set(name, [...ended(history, at).slice(-mostHistory), { fingerprints, expiresMs, from: at }])
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
    this.#sights.seen(domain, looks, at)
  }

  /** What DNS said of domains that are hosted no more is forgotten. */
  forgetOthers(hosted: (domain: Domain) => boolean): void {
    this.#sights.forgetOthers(hosted)
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
    const live = this.#sights.current(domain)
    if (this.#committed === undefined || shown === undefined || live.length === 0) return undefined
    const measure = { domain, ...this.#committed.measure }
    const records = kinds(live.flatMap((answer) => answer.records))
    return `${records} ${live.every((answer) => fittingRecord(answer, asPlanned(shown), measure) !== undefined) ? "current" : "other"}`
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

function sameSet(one: readonly string[], two: readonly string[]): boolean {
  return one.length === two.length && one.every((each) => two.includes(each))
}

/** The one served last ends now; those that nobody can remember are forgotten. */
function ended(history: readonly PublishedDocument[], at: Instant): readonly PublishedDocument[] {
  return history.map((each) => (each.to === undefined ? { ...each, to: at } : each)).filter(({ to, expiresMs }) => (to ?? at) + expiresMs + cacheSlack > at)
}

function abandonment(domain: Domain, current: ShownCertificate | undefined, candidate: ShownCertificate): RolloverDecision {
  if (current === undefined || current.leaf.fingerprint === candidate.leaf.fingerprint) return { serve: "candidate", because: "unchanged", sentence: `${domain} shows what is on disk` }
  return { serve: "candidate", because: "abandoned", sentence: `${domain}: the old certificate was given up by hand` }
}

function dueAt({ serve, because, until = Number.POSITIVE_INFINITY }: RolloverDecision, now: Instant): Instant {
  if (serve === "candidate") return Number.POSITIVE_INFINITY
  return because === "tlsa" || because === "dns-unseen" ? Math.min(until, now + lookAgain) : until
}

/** Keys that a restart might not find: of what is held back, and of all that something published names. */
function* heldBack(outcomes: ReadonlyMap<Domain, Outcome>): Generator<HeldCertificate> {
  for (const [domain, { hosted: { certificate }, published, decision, shown }] of outcomes) {
    const { credentials, leaf: { fingerprint } } = shown
    if (decision.serve === "current") yield { owner: ownOf(domain), fingerprint, credentials }
    else if (published) yield { owner: certificate === undefined ? ownOf(domain) : lentBy(certificate), fingerprint, credentials }
  }
}
