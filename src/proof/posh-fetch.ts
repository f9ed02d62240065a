// Obtaining a POSH document over HTTPS (RFC 7711 3, 5, 10; POSH-01, POSH-02, POSH-20, POSH-27; security.md 17, 18): every hop under
// the dial guard, every web server judged before it is asked, nothing followed that the trail does not ask for.
import type { DnsAnswer } from "../model/dns-answer.ts"
import { DialError, HttpsError } from "../model/errors.ts"
import { guardAddress, guardName } from "../model/reach.ts"
import type { ProofPorts } from "./prooftype.ts"
import { largestDocument, type PoshUrl } from "./posh-document.ts"
import { type ExchangeFailure, follow, isRedirect, isSuccess, judgeWebServer, mostExchanges, type PoshExchange, type PoshMaterial } from "./posh-trail.ts"

/** Addresses of one host that are tried. */
const mostAddresses = 4
/** Octets of a web server's certificates: they are kept in evidence. */
const largestChain = 32_768

/** What is asked for, before anything was seen. */
export type PoshQuestion = Omit<PoshMaterial, "exchanges">

/** Asks until the trail ends. Rejects for nothing that the world does. */
export async function fetchTrail(question: PoshQuestion, ports: ProofPorts): Promise<PoshMaterial> {
  let material: PoshMaterial = { ...question, exchanges: [] }
  for (let step = follow(material); step.kind === "ask" && material.exchanges.length < mostExchanges; step = follow(material)) {
    material = { ...question, exchanges: [...material.exchanges, await exchange(step.url, question, ports)] }
  }
  return material
}

/** Material of somebody who could not wait, or was not let in. */
export function nothingFetched(question: PoshQuestion, url: PoshUrl, kind: ExchangeFailure, detail: string): PoshMaterial {
  return { ...question, exchanges: [nothing(url, null, kind, detail)] }
}

function nothing({ text }: PoshUrl, address: string | null, kind: ExchangeFailure, detail: string, chain: readonly Uint8Array[] = []): PoshExchange {
  return { url: text, address, chain, answer: null, failure: { kind, detail } }
}

async function exchange(url: PoshUrl, question: PoshQuestion, ports: ProofPorts): Promise<PoshExchange> {
  const { host } = url
  // security.md 17: special names before any lookup, and each address as it is dialled.
  const name = guardName(host, ports.reach)
  if (!name.ok) return nothing(url, null, "guarded", name.detail)
  const found = await addressesOf(host, question.port, ports)
  if ("kind" in found) return nothing(url, null, found.kind, found.detail)
  let last = nothing(url, null, "unreachable", "no address was tried")
  for (const address of found) {
    last = await ask(url, address, question, ports)
    // Another address may do where this one does not get as far as showing a certificate.
    const again = last.failure?.kind === "unreachable" || last.failure?.kind === "tls"
    if (!again || ports.signal.aborted) return last
  }
  return last
}

interface NoAddress {
  readonly kind: ExchangeFailure
  readonly detail: string
}

async function addressesOf(host: string, port: number, { resolver, reach, signal }: ProofPorts): Promise<readonly string[] | NoAddress> {
  const both = await Promise.all([resolver.resolve(host, "AAAA", { signal }), resolver.resolve(host, "A", { signal })])
  if (signal.aborted) return { kind: "dns", detail: `${host}: no address in time` }
  const failures = both.filter(lookupFailed)
  const guarded: string[] = []
  const families = both.map((answer) =>
    lookupFailed(answer)
      ? []
      : answer.records.slice(0, mostAddresses).flatMap(({ address }) => {
          const guard = guardAddress(address, reach, port)
          if (!guard.ok) guarded.push(guard.detail)
          return guard.ok ? [address] : []
        }),
  )
  const turns = Array.from({ length: mostAddresses }, (_, index) => families.flatMap((family) => family[index] ?? [])).flat()
  if (turns.length > 0) return turns.slice(0, mostAddresses)
  if (guarded[0] !== undefined) return { kind: "guarded", detail: guarded[0] }
  const [failure] = failures
  if (failure !== undefined) return { kind: "dns", detail: `${failure.name} ${failure.type}: ${failure.why[0]?.detail ?? failure.status}` }
  return { kind: "no-address", detail: `${host} has no address` }
}

function lookupFailed({ outcome, status }: DnsAnswer<unknown>): boolean {
  return outcome === "failure" || status === "bogus" || status === "indeterminate"
}

const httpsFailures: Record<HttpsError["failure"], ExchangeFailure> = {
  tls: "tls",
  refused: "certificate",
  protocol: "protocol",
  encoded: "encoded",
  "too-large": "too-large",
  timeout: "too-slow",
  closed: "closed",
}

async function ask(url: PoshUrl, address: string, { port, anchors, at }: PoshQuestion, { https, signal, source }: ProofPorts): Promise<PoshExchange> {
  const { host, path, text } = url
  let refused = ""
  let shown = false
  try {
    const { status, location, contentType, body, facts } = await https.get({
      host,
      path,
      to: { address, port },
      maxOctets: largestDocument,
      signal,
      ...(source === undefined ? {} : { source }),
      // POSH-01: judged before a byte of the request goes out.
      accept({ chain }) {
        const octets = chain.reduce((sum, der) => sum + der.length, 0)
        const server = octets > largestChain ? { ok: false, detail: `${host}: ${octets} octets of certificates` } : judgeWebServer(chain, host, anchors, at)
        shown = true
        if (!server.ok) refused = server.detail
        return server.ok
      },
    })
    // What a status does not ask for is not looked at, so it is not kept either.
    const answer = { status, location: isRedirect(status) ? (location ?? null) : null, contentType: contentType ?? null, body: isSuccess(status) ? body : new Uint8Array() }
    return { url: text, address, chain: facts.chain, answer, failure: null }
  } catch (error) {
    // Who never showed a certificate may not be there at all.
    if (signal.aborted) return shown ? nothing(url, address, "too-slow", "given up") : nothing(url, address, "unreachable", "no connection in time")
    if (error instanceof HttpsError) {
      const tooMuch = refused.endsWith(" octets of certificates")
      return nothing(url, address, httpsFailures[error.failure], refused === "" ? error.message : refused, tooMuch ? [] : error.chain)
    }
    if (error instanceof DialError) {
      const kind = error.failure === "guarded" || error.failure === "capped" ? error.failure : "unreachable"
      return nothing(url, address, kind, error.message)
    }
    throw error
  }
}
