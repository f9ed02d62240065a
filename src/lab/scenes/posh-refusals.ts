// Scenes in which what is published for POSH proves nothing: a document that is wrong, bad or not to be had is a finding each, and
// nobody gets in by it (RFC 7711 3, 5, 6, 10; security.md 5, 17).
import type { FindingId } from "../../model/findings.ts"
import type { LabWebAnswer, ServerSpec } from "../internet.ts"
import type { ExchangeGot, Scene } from "../scene.ts"
import { failed } from "./expectations.ts"
import { asking, digest, fingerprints, hosted, type HostedStage, poshSays, publishes, wellKnown } from "./posh-hosting.ts"

interface Fault {
  readonly id: string
  readonly section: string
  readonly title: string
  readonly domain: string
  readonly host: string
  readonly peer: string
  readonly asks?: Partial<ServerSpec>
  readonly web: (stage: HostedStage) => void
  /** What POSH says. */
  readonly finding: FindingId
  readonly outcome?: "refuted" | "absent"
}

/** What there is to say of a refusal, whichever of its reasons speaks. */
interface Refused {
  readonly message: ExchangeGot["message"]
  readonly levels: readonly (string | null)[]
  readonly evidence: readonly string[]
  readonly told: string
}

const toldAlike = "both ends and the component the same, with a finding of the evidence"

function refusedWay({ message, bounce, sender, receiver }: ExchangeGot): Refused {
  const word = `[${sender.finding}]`
  const alike = sender.evidence.some((line) => line.includes(word)) && bounce?.text === sender.sentence && receiver.sentence?.includes(word) === true
  const told = alike ? toldAlike : `${sender.sentence} / ${bounce?.text} / ${receiver.sentence}`
  return { message, levels: [sender.level, receiver.level], evidence: sender.evidence, told }
}

/** The peer connects to the hosted domain, and stops there. */
function fault({ id, section, title, domain, host, peer, asks = {}, web, finding, outcome }: Fault): Scene {
  const way = `${peer} -> ${domain}`
  const evidence = [...failed(domain, "pkix.name-mismatch"), ...poshSays(domain, finding, outcome)]
  const expected: Refused = { message: "bounced", levels: [null, null], evidence, told: toldAlike }
  return {
    id,
    section,
    title,
    cast: [hosted(domain, host), asking(peer, asks)],
    expected: { [way]: expected },
    play: async ({ net, server, exchange }) => {
      web({ net, server: server(domain) })
      return { [way]: refusedWay(await exchange(peer, domain)) }
    },
  }
}

const says =
  (answer: LabWebAnswer) =>
  (stage: HostedStage): void =>
    publishes(stage, answer)

const wrongHash = fault({
  id: "posh-wrong-hash",
  section: "RFC 7711 3.3, 10",
  title: "302 to the host, whose document lists another certificate: the host's name counts for nothing",
  domain: "tenant.example",
  host: "tower.example",
  peer: "postman.example",
  web: ({ net, server }) => {
    const other = Buffer.concat([server.certificate.der, Buffer.from("another")])
    const host = net.web({ host: "tower.example", answers: { [wellKnown]: { json: { fingerprints: [{ "sha-256": digest(other) }], expires: 3600 } } } })
    publishes({ net, server }, { location: host.url(wellKnown) })
  },
  finding: "posh.mismatch",
  outcome: "refuted",
})

const weakerHash = fault({
  id: "posh-weaker-hash",
  section: "RFC 7711 3.3",
  title: "its sha-256 fits, its sha-512 is another certificate's: the stronger one speaks",
  domain: "loft.example",
  host: "mill.example",
  peer: "miller.example",
  web: (stage) => {
    const { der } = stage.server.certificate
    publishes(stage, { json: { fingerprints: [{ "sha-256": digest(der), "sha-512": digest(Buffer.from("another"), "sha-512") }], expires: 3600 } })
  },
  finding: "posh.weaker-hash",
  outcome: "refuted",
})

const expired = fault({
  id: "posh-expired",
  section: "RFC 7711 3.1, 6",
  title: "the right document says `expires` 0: nothing holds any more",
  domain: "ruin.example",
  host: "castle.example",
  peer: "knight.example",
  web: (stage) => publishes(stage, fingerprints(stage.server, 0)),
  finding: "posh.expired",
  // The domain says itself that nothing holds.
  outcome: "refuted",
})

const loop = fault({
  id: "posh-loop",
  section: "RFC 7711 10",
  title: "redirects that lead in a circle",
  domain: "round.example",
  host: "carousel.example",
  peer: "dizzy.example",
  web: (stage) => {
    const host = stage.net.web({ host: "carousel.example", answers: { "/on": { location: "/on-and-on" } } })
    host.answer("/on-and-on", { location: `https://round.example${wellKnown}` })
    publishes(stage, { location: host.url("/on") })
  },
  finding: "posh.delegation-loop",
})

const referenceToReference = fault({
  id: "posh-reference-twice",
  section: "RFC 7711 3.2",
  title: "a reference that leads to a second one, though that would lead to the fingerprints",
  domain: "hamlet.example",
  host: "parish.example",
  peer: "vicar.example",
  web: ({ net, server }) => {
    const last = net.web({ host: "parish.example", answers: { "/posh.json": fingerprints(server) } })
    const between = net.web({ host: "deanery.example", answers: { "/posh.json": { json: { url: last.url("/posh.json"), expires: 3600 } } } })
    publishes({ net, server }, { json: { url: between.url("/posh.json"), expires: 3600 } })
  },
  finding: "posh.reference-to-reference",
})

const insecureHop = fault({
  id: "posh-http-hop",
  section: "RFC 7711 10",
  title: "302 to an http: URL, which anybody on the way could answer: not followed",
  domain: "shed.example",
  host: "farm.example",
  peer: "fox.example",
  web: ({ net, server }) => {
    net.web({ host: "farm.example", answers: { "/posh.json": fingerprints(server) } })
    publishes({ net, server }, { location: "http://farm.example/posh.json" })
  },
  finding: "posh.redirect-insecure",
})

const wrongNameHttps = fault({
  id: "posh-wrong-name",
  section: "RFC 7711 3, 10, RFC 9525 6",
  title: "the domain's web server shows a certificate of another name: it is not asked",
  domain: "mask.example",
  host: "theatre.example",
  peer: "critic.example",
  web: ({ net, server }) => {
    net.web({ host: "mask.example", certificate: "wrong-name", answers: { [wellKnown]: fingerprints(server) } })
  },
  finding: "posh.tls-error",
})

const notFound = fault({
  id: "posh-404",
  section: "RFC 7711 3, RFC 7712 5.2",
  title: "404, so there is no document: PKIX alone decides",
  domain: "tent.example",
  host: "campsite.example",
  peer: "scout.example",
  web: ({ net }) => {
    net.web({ host: "tent.example" })
  },
  finding: "posh.not-published",
  outcome: "absent",
})

const serverError = fault({
  id: "posh-500",
  section: "RFC 7711 3",
  title: "500 says nothing, least of all that there is no document",
  domain: "booth.example",
  host: "fair-ground.example",
  peer: "clown.example",
  web: says({ status: 500 }),
  finding: "posh.http-error",
})

const slow = fault({
  id: "posh-slow",
  section: "RFC 7711 10",
  title: "a web server that takes the request and says nothing: given up in time",
  domain: "snail.example",
  host: "garden.example",
  peer: "hare.example",
  asks: { what: "asks for POSH with little patience", poshPatience: 300 },
  web: says({ silent: true }),
  finding: "posh.too-slow",
})

const huge = fault({
  id: "posh-huge",
  section: "RFC 7711 10",
  title: "the right document, and a hundred megabytes of blanks: not read to its end",
  domain: "whale.example",
  host: "ocean.example",
  peer: "shrimp.example",
  web: (stage) => publishes(stage, { ...fingerprints(stage.server), filler: 100_000_000 }),
  finding: "posh.too-large",
})

const gzip = fault({
  id: "posh-gzip",
  section: "RFC 7711 10, RFC 9110 12.5.3",
  title: "the right document in a gzip bomb that nobody asked for: not unpacked",
  domain: "balloon.example",
  host: "airfield.example",
  peer: "needle.example",
  web: (stage) => publishes(stage, { ...fingerprints(stage.server), gzip: true, filler: 10_000_000 }),
  finding: "posh.encoded",
})

const html = fault({
  id: "posh-html",
  section: "RFC 7711 3.1",
  title: "a page for people, with status 200: no document, and not silence either",
  domain: "kiosk.example",
  host: "plaza.example",
  peer: "reader.example",
  web: says({ headers: { "Content-Type": "text/html" }, body: "<!doctype html><title>Welcome</title>" }),
  finding: "posh.not-json",
})

const duplicates = fault({
  id: "posh-duplicates",
  section: "RFC 8259 4, RFC 7711 3.1",
  title: "two members of one name: readers would not agree, so nobody may",
  domain: "twins.example",
  host: "mirror.example",
  peer: "tailor.example",
  web: (stage) => {
    const right = JSON.stringify([{ "sha-256": digest(stage.server.certificate.der) }])
    const other = JSON.stringify([{ "sha-256": digest(Buffer.from("another")) }])
    publishes(stage, { body: `{"fingerprints":${other},"fingerprints":${right},"expires":3600}` })
  },
  finding: "posh.duplicate-member",
})

export const poshRefusalScenes: readonly Scene[] = [
  wrongHash,
  weakerHash,
  expired,
  loop,
  referenceToReference,
  insecureHop,
  wrongNameHttps,
  notFound,
  serverError,
  slow,
  huge,
  gzip,
  html,
  duplicates,
]
