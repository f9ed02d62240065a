// POSH material in evidence (security.md 25, 27): every exchange with the web server's chain, so that each link can be judged again;
// queries of URLs only as digests, which still show that one hop leads to the next.
import { Buffer } from "node:buffer"
import { createHash } from "node:crypto"
import type { EvidenceFact } from "../model/evidence.ts"
import type { AnchorSet } from "../x509/anchors.ts"
import { largestDocument, readDocument, withoutQuery } from "./posh-document.ts"
import { exchangeFailures, follow, isRedirect, isSuccess, judgeWebServer, mostExchanges, type PoshExchange, type PoshMaterial } from "./posh-trail.ts"
import { domain, fields, list, number, revived, text, wrong } from "./recorded.ts"

/** Of URLs and reasons, in characters. */
const longestText = 4096

/** A URL whose query is a digest of itself. */
function redacted(url: URL): string {
  if (url.search === "" || /^\?sha256:[0-9a-f]{64}$/.test(url.search)) return url.href.replace(/#.*$/s, "")
  const digest = createHash("sha256").update(url.search).digest("hex")
  return `${url.origin}${url.pathname}?sha256:${digest}`
}

function redactedText(text: string, base?: string): string {
  if (!text.includes("?")) return text
  const url = URL.parse(text, base)
  // As it would have been resolved; what is no URL leads nowhere.
  return url === null || (url.username !== "" && url.password !== "") ? withoutQuery(text) : redacted(url)
}

/** The body as text where it is one, with no query in it. A reference is written anew; it says the same. */
function recordBody(body: Uint8Array): unknown {
  const octets = Buffer.from(body)
  const read = readDocument(octets)
  if (read.kind === "reference" && read.url.includes("?")) {
    return { text: JSON.stringify({ url: redactedText(read.url), expires: Math.min(read.expires, Number.MAX_SAFE_INTEGER) }) }
  }
  const text = octets.toString("utf8")
  if (!Buffer.from(text, "utf8").equals(octets)) return { base64: octets.toString("base64") }
  return { text: text.replace(/(https?:[^"\s?#<>]*)\?[^"\s#<>]*/gi, "$1?…") }
}

export function recordPosh({ anchors, exchanges, ...material }: PoshMaterial): unknown {
  return {
    ...material,
    anchors: { digest: anchors.digest, count: anchors.count },
    exchanges: exchanges.map(({ url, address, chain, answer, failure }) => ({
      url: redactedText(url),
      address,
      chain: chain.map((der) => Buffer.from(der).toString("base64")),
      answer: answer === null ? null : { ...answer, location: answer.location === null ? null : redactedText(answer.location, url), body: recordBody(answer.body) },
      failure,
    })),
  }
}

function octets(value: unknown, most: number, what: string): Buffer {
  const read = Buffer.from(text(value, Math.ceil(most / 3) * 4 + 4, what), "base64")
  return read.length <= most ? read : wrong(`${what} is too long`)
}

const orNull = <T>(value: unknown, read: (value: unknown) => T): T | null => (value === null ? null : read(value))

function readBody(value: unknown, what: string): Uint8Array {
  const from = fields(value, what)
  if (from["base64"] !== undefined) return octets(from["base64"], largestDocument, what)
  // A query that was cut out may leave a text a little longer than it was.
  return Buffer.from(text(from["text"], largestDocument * 2, what))
}

function readExchange(value: unknown, what: string): PoshExchange {
  const from = fields(value, what)
  const answer = orNull(from["answer"], (given) => {
    const said = fields(given, `${what}.answer`)
    return {
      status: number(said["status"], 999, `${what}.answer.status`),
      location: orNull(said["location"], (location) => text(location, longestText, `${what}.answer.location`)),
      contentType: orNull(said["contentType"], (type) => text(type, longestText, `${what}.answer.contentType`)),
      body: readBody(said["body"], `${what}.answer.body`),
    }
  })
  const failure = orNull(from["failure"], (given) => {
    const said = fields(given, `${what}.failure`)
    const kind = exchangeFailures.find((each) => each === said["kind"]) ?? wrong(`${what}.failure.kind is unknown`)
    return { kind, detail: text(said["detail"], longestText, `${what}.failure.detail`) }
  })
  if ((answer === null) === (failure === null)) wrong(`${what} must have an answer or a failure`)
  if (answer !== null && answer.location !== null && !isRedirect(answer.status)) wrong(`${what}.answer leads on without a redirect`)
  if (answer !== null && answer.body.length > 0 && !isSuccess(answer.status)) wrong(`${what}.answer has a body that is not read`)
  return {
    url: text(from["url"], longestText, `${what}.url`),
    address: orNull(from["address"], (address) => text(address, longestText, `${what}.address`)),
    chain: list(from["chain"], 16, `${what}.chain`).map((der, index) => octets(der, 65_536, `${what}.chain[${index}]`)),
    answer,
    failure,
  }
}

function read(recorded: unknown, known: ReadonlyMap<string, AnchorSet>): PoshMaterial {
  const from = fields(recorded, "it")
  const source = domain(from["source"], longestText, "source")
  const service = from["service"]
  if (service !== "xmpp-server" && service !== "xmpp-client") wrong("service is unknown")
  if (typeof from["older"] !== "boolean") wrong("older is neither true nor false")
  const digest = text(fields(from["anchors"], "anchors")["digest"], longestText, "anchors.digest")
  const exchanges = list(from["exchanges"], mostExchanges, "exchanges").map((value, index) => readExchange(value, `exchanges[${index}]`))
  const material: PoshMaterial = {
    source,
    service,
    at: number(from["at"], Number.MAX_SAFE_INTEGER, "at"),
    port: number(from["port"], 65_535, "port"),
    older: from["older"] as boolean,
    anchors: known.get(digest) ?? wrong(`the trust anchors ${digest.slice(0, 16)}… are not known here; name their file with --anchors`),
    exchanges,
  }
  const step = follow(material)
  if (step.kind === "torn") wrong(step.detail)
  if (step.kind === "ask") wrong("it breaks off before the end")
  return material
}

/** Reads recorded material; whatever does not lead from the domain to an end, hop by hop, is not judged. */
export function revivePosh(recorded: unknown, known: ReadonlyMap<string, AnchorSet>): { material: PoshMaterial } | { cannotJudge: string } {
  return revived("posh", () => read(recorded, known))
}

function cameOf({ answer, failure }: PoshExchange): string {
  return answer === null ? (failure?.detail ?? "nothing") : `status ${answer.status}${answer.location === null ? "" : `, to ${withoutQuery(answer.location)}`}`
}

/** HTTP is the recorder's word; the chains of the web servers are checked again here (security.md 25). */
export function factsOfPosh({ anchors, at, exchanges }: PoshMaterial): readonly EvidenceFact[] {
  return exchanges.flatMap((exchange): EvidenceFact[] => {
    const shown = withoutQuery(exchange.url)
    const said: EvidenceFact = { fact: `HTTPS: ${shown}${exchange.address === null ? "" : ` at ${exchange.address}`}: ${cameOf(exchange)}`, mark: "attested" }
    const host = URL.parse(exchange.url)?.hostname ?? ""
    if (exchange.answer === null || !judgeWebServer(exchange.chain, host, anchors, at).ok) return [said]
    return [said, { fact: `HTTPS: the certificate of ${host} names it and leads to a trust anchor`, mark: "signed" }]
  })
}

/** Label and value for each exchange. */
export function linesOfPosh({ exchanges }: PoshMaterial): readonly (readonly [string, string])[] {
  return exchanges.map((exchange) => [withoutQuery(exchange.url), cameOf(exchange)] as const)
}
