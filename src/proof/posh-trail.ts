// The way from a domain to its POSH document, told from what was seen on it (RFC 7711 3, 6, 10; POSH-01 to POSH-03, POSH-12,
// POSH-17, POSH-20, POSH-21, POSH3-4). One pure function says what an exchange means, for whoever asks and for whoever judges.
import type { Domain } from "../model/domain.ts"
import type { FindingId } from "../model/findings.ts"
import type { Instant, Service } from "../model/verdict.ts"
import type { AnchorSet } from "../x509/anchors.ts"
import { matchIdentity } from "../x509/identifiers.ts"
import { validatePath } from "../x509/path.ts"
import { type Descriptor, isProblem, keepsService, olderUrl, type PoshDocument, type PoshUrl, readDocument, readOlderDocument, readUrl, wellKnownUrl, withoutQuery } from "./posh-document.ts"

/** Why an exchange came to nothing. `certificate`: of the web server, which was then not asked. */
export const exchangeFailures = ["certificate", "tls", "protocol", "closed", "encoded", "too-large", "too-slow", "unreachable", "capped", "guarded", "dns", "no-address"] as const
export type ExchangeFailure = (typeof exchangeFailures)[number]

/** One HTTPS request and what came of it. */
export interface PoshExchange {
  readonly url: string
  /** Of the server that was asked, or was to be asked last. */
  readonly address: string | null
  /** Of the web server, DER, leaf first. */
  readonly chain: readonly Uint8Array[]
  readonly answer: {
    readonly status: number
    /** null unless the status is that of a redirect. */
    readonly location: string | null
    readonly contentType: string | null
    /** Empty unless the status is a success. */
    readonly body: Uint8Array
  } | null
  /** null where there is an answer. */
  readonly failure: { readonly kind: ExchangeFailure; readonly detail: string } | null
}

export interface PoshMaterial {
  readonly source: Domain
  readonly service: Service
  /** When it was asked for, ms since 1970: documents hold from then on. */
  readonly at: Instant
  /** What stands for port 443; another one in labs only. */
  readonly port: number
  /** Whether the older form was to be asked for, too. */
  readonly older: boolean
  /** That web servers were judged with. */
  readonly anchors: AnchorSet
  readonly exchanges: readonly PoshExchange[]
}

/** security.md 11: a document is believed this long at most, ms. */
export const longestDocumentLife = 7 * 24 * 3_600_000
const mostRedirects = 10
/** Both forms at the domain, ten redirects, one reference. */
export const mostExchanges = mostRedirects + 3

export type PoshStep =
  | { readonly kind: "ask"; readonly url: PoshUrl }
  /** What was seen does not hang together. */
  | { readonly kind: "torn"; readonly detail: string }
  | { readonly kind: "none"; readonly detail: string }
  /** `withdrawn`: the domain says itself that nothing holds any more. */
  | { readonly kind: "failed"; readonly finding: FindingId; readonly detail: string; readonly withdrawn: boolean }
  | { readonly kind: "fingerprints"; readonly descriptors: readonly Descriptor[]; readonly until: Instant }
  | { readonly kind: "certificates"; readonly leaves: readonly Buffer[]; readonly until: Instant }

type End = Exclude<PoshStep, { kind: "ask" | "torn" }>

export interface WebServerJudgement {
  readonly ok: boolean
  /** Why not, or what its certificate says. */
  readonly detail: string
}

/**
 * POSH-01, POSH-14: a web server's certificate leads to an anchor and names the host that was asked, whatever led there. It proves
 * the host of a document and never adds a name to the XMPP domain's (security.md 5).
 */
export function judgeWebServer(chain: readonly Uint8Array[], host: string, anchors: AnchorSet, at: Instant): WebServerJudgement {
  const path = validatePath({ chain, anchors, at, purpose: "server" })
  if (!path.ok) return { ok: false, detail: `${host}: ${path.detail}` }
  const [leaf] = path.path
  if (leaf === undefined) return { ok: false, detail: `${host}: an empty path` }
  const identity = matchIdentity(leaf, [{ type: "DNS-ID", value: host }])
  if ("matched" in identity) return { ok: true, detail: `DNS-ID ${identity.matched.presented}` }
  return { ok: false, detail: `${host}: the certificate is for ${identity.presented.slice(0, 8).join(", ") || "nobody"}` }
}

const judged = new WeakMap<PoshExchange, { readonly anchors: AnchorSet; readonly judgement: WebServerJudgement }>()

/** The web server of one exchange; worked out once, since the trail is followed anew after every hop. */
function judgeExchange(exchange: PoshExchange, host: string, { anchors, at }: PoshMaterial): WebServerJudgement {
  const before = judged.get(exchange)
  if (before?.anchors === anchors) return before.judgement
  const judgement = judgeWebServer(exchange.chain, host, anchors, at)
  judged.set(exchange, { anchors, judgement })
  return judgement
}

const failureFindings: Record<ExchangeFailure, FindingId> = {
  certificate: "posh.tls-error",
  tls: "posh.tls-error",
  protocol: "posh.http-error",
  closed: "posh.http-error",
  encoded: "posh.encoded",
  "too-large": "posh.too-large",
  "too-slow": "posh.too-slow",
  unreachable: "posh.unreachable",
  capped: "posh.capped",
  guarded: "posh.guarded",
  dns: "posh.unreachable",
  "no-address": "posh.unreachable",
}

const failed = (finding: FindingId, detail: string): End => ({ kind: "failed", finding, detail, withdrawn: finding === "posh.expired" })

/** POSH-20: of the redirects; clients may treat permanent ones as temporary, which is what never remembering them does. */
export const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status)
export const isSuccess = (status: number): boolean => status >= 200 && status < 300

/** Where on the way we are. */
interface Place {
  readonly url: PoshUrl
  readonly form: "final" | "older"
  /** Still at the domain's own URI. */
  readonly first: boolean
  /** Seconds, once a reference was followed. */
  readonly referenced: number | undefined
}

class Walk {
  readonly #material: PoshMaterial
  readonly #seen = new Set<string>()
  #redirects = 0

  constructor(material: PoshMaterial) {
    this.#material = material
  }

  run(): PoshStep {
    const { source, service, exchanges } = this.#material
    let place: Place = { url: wellKnownUrl(source, service), form: "final", first: true, referenced: undefined }
    this.#seen.add(place.url.text)
    for (const [index, exchange] of exchanges.entries()) {
      if (exchange.url !== place.url.text) return { kind: "torn", detail: `${withoutQuery(place.url.text)} was to be asked, not ${withoutQuery(exchange.url)}` }
      const next = this.#after(place, exchange)
      if ("kind" in next) return index === exchanges.length - 1 ? next : { kind: "torn", detail: "something was asked after the end" }
      place = next
    }
    return { kind: "ask", url: place.url }
  }

  #after(place: Place, exchange: PoshExchange): Place | End {
    const { address, answer, failure } = exchange
    const { source } = this.#material
    const shown = withoutQuery(place.url.text)
    if (answer === null) {
      const { kind, detail } = failure ?? { kind: "protocol" as const, detail: "nothing was seen" }
      // Without an address there is no web server of this name; what leads elsewhere promises one.
      if (kind === "no-address" && place.first && place.form === "final") return { kind: "none", detail: `${source} has no address` }
      return failed(failureFindings[kind], `${shown}${address === null ? "" : ` at ${address}`}: ${detail}`)
    }
    const server = judgeExchange(exchange, place.url.host, this.#material)
    if (!server.ok) return failed("posh.tls-error", server.detail)
    const { status, location, body } = answer
    if (isRedirect(status)) return this.#redirected(place, location)
    if (isSuccess(status)) return this.#read(place, place.form === "final" ? readDocument(body) : readOlderDocument(body))
    // POSH-03: 404 says that there is none; at a place that the domain itself refers to, it is an error.
    if (status !== 404 || !place.first) return failed("posh.http-error", `${shown}: status ${status}`)
    if (place.form === "older" || !this.#material.older) return { kind: "none", detail: `${shown}: status 404` }
    return { url: olderUrl(source, this.#material.service), form: "older", first: true, referenced: undefined }
  }

  #redirected(place: Place, location: string | null): Place | End {
    const { service, port } = this.#material
    const from = withoutQuery(place.url.text)
    if (location === null) return failed("posh.http-error", `${from}: a redirect that leads nowhere`)
    this.#redirects += 1
    if (this.#redirects > mostRedirects) return failed("posh.too-many-redirects", from)
    const url = readUrl(location, place.url, port)
    if (url.kind === "problem") return failed(url.finding, `${from} redirects, and ${url.detail}`)
    if (place.form === "older" && !keepsService(url.path, service)) return failed("posh.wrong-service", `${from} to ${withoutQuery(url.text)}`)
    return this.#onTo(url, from, { ...place, first: false })
  }

  #onTo(url: PoshUrl, from: string, place: Omit<Place, "url">): Place | End {
    if (this.#seen.has(url.text)) return failed("posh.delegation-loop", `${from} to ${withoutQuery(url.text)}`)
    this.#seen.add(url.text)
    return { ...place, url }
  }

  #read(place: Place, read: PoshDocument | ReturnType<typeof readDocument>): Place | End {
    const { at, port } = this.#material
    const from = withoutQuery(place.url.text)
    if (isProblem(read)) return failed(read.finding, read.detail === "" ? from : `${from}: ${read.detail}`)
    if (read.kind === "certificates") return { ...read, until: at + longestDocumentLife }
    if (read.kind === "reference") {
      // POSH-12
      if (place.referenced !== undefined) return failed("posh.reference-to-reference", from)
      const url = readUrl(read.url, undefined, port)
      if (url.kind === "problem") return failed(url.finding, `${from} refers, and ${url.detail}`)
      return this.#onTo(url, from, { form: "final", first: false, referenced: read.expires })
    }
    // POSH-17: the delegation lasts as long as both of them say.
    const seconds = Math.min(read.expires, place.referenced ?? Number.POSITIVE_INFINITY)
    return { kind: "fingerprints", descriptors: read.descriptors, until: at + Math.min(seconds * 1000, longestDocumentLife) }
  }
}

const known = new WeakMap<PoshMaterial, PoshStep>()

/** What the exchanges so far come to: what to ask next, or how it ended. Worked out once for each material. */
export function follow(material: PoshMaterial): PoshStep {
  let step = known.get(material)
  if (step === undefined) {
    step = new Walk(material).run()
    known.set(material, step)
  }
  return step
}
