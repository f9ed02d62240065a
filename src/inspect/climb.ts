// One endpoint of somebody else's domain, step by step to the point before a stanza could be sent (RFC 7712 4.2, RFC 6120 4 to 6):
// connect, open, TLS, features, every proof judged, and with a certificate of ours the login. Never a stanza is sent.
import type { Endpoint } from "../model/endpoint.ts"
import { DialError, StreamClosed } from "../model/errors.ts"
import { findingSentence } from "../model/findings.ts"
import { type ContentNamespace, ns } from "../model/namespaces.ts"
import type { ServerProof } from "../model/verdict.ts"
import type { Channel, SecuredChannel, TlsCredentials } from "../ports.ts"
import { partWithin } from "../stream/closing.ts"
import { headerXml } from "../stream/open.ts"
import { authXml, awaitExternal } from "../stream/sasl-external.ts"
import { continueStarttls, starttlsXml } from "../stream/starttls.ts"
import { XmlStream } from "../stream/xml-stream.ts"
import { match, type Obtained, type Proven, termsOf } from "../proof/prove.ts"
import type { ProofSubject } from "../proof/prooftype.ts"
import { type Opened, openAnswer, proofOf } from "../federation/associate.ts"
import { noProof } from "../federation/connecting.ts"
import { deadline } from "../federation/deadline.ts"
import { exporterOptions, Presentation } from "../federation/exchange.ts"
import { leave } from "../federation/leaving.ts"
import { OutgoingRefused, refusal, refusalOf } from "../federation/refusal.ts"
import type { Material, Materials } from "./materials.ts"
import { Meter, metering } from "./meter.ts"
import { type Climb, type InspectPorts, type InspectQuestion, nobodysDomain, type Trouble } from "./question.ts"
import type { EndpointResult } from "./report.ts"

type Step = EndpointResult["steps"][number]["step"]
type Login = NonNullable<EndpointResult["login"]>

/** Of one negotiation; nothing larger is needed to judge it. */
const limits = { stanzaBytes: 65_536, depth: 32 }
const closingMs = 1000

/**
 * Climbs one endpoint. Never rejects because of the world: what went wrong is `trouble`.
 *
 * @param limit of this endpoint, ms
 */
export async function climb(question: InspectQuestion, ports: InspectPorts, materials: Materials, endpoint: Endpoint, limit: number, signal: AbortSignal): Promise<Climb> {
  const attempt = new Attempt(question, ports, endpoint, materials.subject(endpoint))
  const patience = deadline(ports.clock, limit, `the negotiation with ${endpoint.address}`, signal)
  try {
    return await attempt.run(materials.for(endpoint), AbortSignal.any([patience.signal, attempt.tooMuch]))
  } finally {
    patience.done()
  }
}

class Attempt {
  readonly #question: InspectQuestion
  readonly #ports: InspectPorts
  readonly #endpoint: Endpoint
  readonly #subject: ProofSubject
  readonly #content: ContentNamespace
  readonly #began: number
  readonly #meter = new Meter()
  readonly #steps: EndpointResult["steps"] = []
  #channel: Channel | undefined
  #stream: XmlStream | undefined
  #before: Opened | undefined
  #proof: ServerProof | undefined
  #after: Opened | undefined
  #login: Login | undefined

  constructor(question: InspectQuestion, ports: InspectPorts, endpoint: Endpoint, subject: ProofSubject) {
    this.#question = question
    this.#ports = ports
    this.#endpoint = endpoint
    this.#subject = subject
    this.#content = question.service === "xmpp-server" ? ns.server : ns.client
    this.#began = ports.clock.monotonic()
  }

  /** Aborts when the server says more than it may. */
  get tooMuch(): AbortSignal {
    return this.#meter.signal
  }

  async run(material: Material, signal: AbortSignal): Promise<Climb> {
    const { clock } = this.#ports
    let trouble: Trouble | undefined
    let sentAway: Trouble | undefined
    let ended: unknown
    try {
      await this.#negotiate(material, signal)
    } catch (error) {
      ended = error
      const met = troubleOf(error, signal)
      if (this.#proof !== undefined && isAboutUs(error)) sentAway = met
      else trouble = met
    }
    let obtained: readonly Obtained[] = []
    let proven: Proven | undefined
    try {
      obtained = await material.all
      // What the server showed is judged though it ended the stream afterwards.
      proven = match(obtained, this.#subject, this.#proof ?? noProof, clock.now())
      if (ended === undefined) this.#login = await this.#logIn(proven, signal)
      else if (sentAway !== undefined && this.#credentials !== undefined) this.#login = { as: this.#question.from?.domain ?? nobodysDomain, by: "external", state: "refused", detail: sentAway.detail }
    } catch (error) {
      ended ??= error
      trouble ??= troubleOf(error, signal)
    }
    this.#step("closed")
    this.#part(ended)
    return {
      service: this.#question.service,
      endpoint: this.#endpoint,
      steps: this.#steps,
      ms: this.#elapsed(),
      before: this.#before,
      proof: this.#proof,
      after: this.#after,
      proven,
      obtained,
      login: this.#login ?? null,
      trouble,
      sentAway,
    }
  }

  async #negotiate(material: Material, signal: AbortSignal): Promise<void> {
    const { dial, prooftypes } = this.#ports
    const tls = metering(this.#ports.tls, this.#ports.clock)
    const { service, domain, from } = this.#question
    const giveUp = new AbortController()
    const dialling = dial.connect(this.#endpoint, { signal: AbortSignal.any([signal, giveUp.signal]) }).then((channel) => this.#meter.on(channel))
    // What comes too late is ended; what went wrong is said below.
    void dialling.then((channel) => this.#arrived(channel), () => undefined)
    const { forbidden } = termsOf(await material.secureDns)
    // DANE-11: not a byte to a server that secure DNS forbids; the report says so all the same.
    if (forbidden !== undefined) {
      const forbids = refusal(forbidden.finding, forbidden.detail, "unreachable")
      giveUp.abort(forbids)
      throw forbids
    }
    const channel = await dialling
    const credentials = this.#credentials
    const options = { serverName: domain, alpn: service, signal, ...exporterOptions(prooftypes), ...(credentials === undefined ? {} : { credentials }) }
    let secured: SecuredChannel
    if (this.#endpoint.transport === "direct-tls") {
      secured = await tls.client(channel, options)
      this.#stream = new XmlStream(secured.channel, limits)
    } else {
      const stream = new XmlStream(channel, limits)
      this.#stream = stream
      stream.send(this.#header())
      this.#before = await openAnswer(stream, signal, this.#content)
      this.#step("opened")
      if (this.#before.features.starttls === undefined) throw refusal("tls.not-offered", this.#before.header.version === undefined ? "a server of version 0.9" : "", "refused")
      stream.send(starttlsXml)
      const switched = await continueStarttls(stream, tls, options)
      if (switched === "refused") throw refusal("tls.not-offered", "it offers STARTTLS and then refuses it", "refused")
      secured = switched
      // CORE-18: nothing learnt before TLS counts after it.
      stream.restart(secured.channel)
    }
    this.#channel = secured.channel
    this.#step("secured")
    this.#proof = proofOf(secured.facts, "tls-server")
    this.#stream.send(this.#header())
    this.#after = await openAnswer(this.#stream, signal, this.#content)
    const pair = { sender: from?.domain ?? nobodysDomain, target: domain }
    const presentation = new Presentation(prooftypes, secured.facts, pair, this.#after.header.id ?? "")
    this.#proof = presentation.inFeatures(this.#proof, this.#after.element, this.#ports.clock.now())
    this.#step("features")
    this.#meter.restart()
  }

  get #credentials(): TlsCredentials | undefined {
    return this.#question.service === "xmpp-server" ? this.#question.from?.credentials : undefined
  }

  #arrived(channel: Channel): void {
    this.#channel ??= channel
    if (this.#steps.some(({ step }) => step === "closed")) channel.destroy()
    else this.#step("connected")
  }

  /** RFC 6120 4.7.1: a client that has not authenticated does not say who it is. */
  #header(): string {
    const { service, domain, from } = this.#question
    return headerXml({ content: this.#content, to: domain, ...(service === "xmpp-client" ? {} : { from: from?.domain ?? nobodysDomain }) })
  }

  /** RFC 6120 6, XEP-0178 3: whether the server takes our certificate; nothing follows. */
  async #logIn({ combined }: Proven, signal: AbortSignal): Promise<Login | undefined> {
    const { service, from } = this.#question
    const [stream, after] = [this.#stream, this.#after]
    if (service !== "xmpp-server" || from?.credentials === undefined || stream === undefined || after === undefined) return undefined
    const as = from.domain
    // security.md 4: a server that is stopped is told nothing more.
    if (combined.outcome === "stop") return { as, by: null, state: "untried", detail: "its proof forbids to go on" }
    if (!after.features.mechanisms.includes("EXTERNAL")) {
      const dialback = offersDialback(after)
      return { as, by: dialback ? "dialback" : null, state: dialback ? "untried" : "not-offered", detail: dialback ? "only a running gateway could answer for a dialback key" : "" }
    }
    stream.send(authXml(as))
    try {
      const result = await awaitExternal(stream, signal)
      if (!result.accepted) return { as, by: "external", state: "refused", detail: result.words ?? result.condition }
      stream.restart()
      stream.send(headerXml({ content: ns.server, from: as, to: this.#question.domain }))
      await openAnswer(stream, signal)
      return { as, by: "external", state: "accepted", detail: "" }
    } catch (error) {
      // Some servers say by a stream error, or by closing, that they do not take the certificate.
      const { finding, detail } = troubleOf(error, signal)
      return { as, by: "external", state: "refused", detail: findingSentence(finding, detail) }
    }
  }

  #part(error: unknown): void {
    const { clock } = this.#ports
    this.#meter.restart()
    if (this.#stream !== undefined && error === undefined) {
      this.#stream.lastWords()
      partWithin(this.#stream.channel, clock, closingMs)
    } else if (this.#channel !== undefined) leave(this.#stream, this.#channel, error, clock, closingMs)
  }

  #elapsed(): number {
    return Math.max(0, Math.round(this.#ports.clock.monotonic() - this.#began))
  }

  #step(step: Step): void {
    this.#steps.push({ step, ms: this.#elapsed() })
  }
}

/** Dialback is offered in features, or in the old way by its namespace on the header (DB-02); before TLS that is required by neither. */
export function offersDialback({ features, header }: Opened): boolean {
  if (features.starttls?.required === true) return false
  return features.dialback !== undefined || header.dialbackDeclared
}

/** Conditions by which servers part with a peer that proves too little for them (RFC 6120 4.9.3, RFC 7712 4.3). */
const aboutUs: ReadonlySet<string> = new Set(["not-authorized", "policy-violation", "unsupported-feature", "invalid-from", "remote-connection-failed"])

function isAboutUs(error: unknown): boolean {
  return error instanceof StreamClosed && error.condition !== undefined && aboutUs.has(error.condition)
}

/** @throws what is a mistake of our own */
function troubleOf(error: unknown, signal: AbortSignal): Trouble {
  const refused = refusalOf(error, signal)
  if (!(refused instanceof OutgoingRefused)) throw refused
  // Unlike a server that has to give up, we know then that we know nothing: a machine without IPv6 is the usual cause.
  if (error instanceof DialError && error.failure === "unreachable") return { finding: "reach.no-route", detail: refused.failure.detail }
  return { finding: refused.failure.finding, detail: refused.failure.detail }
}
