// Connecting to one endpoint while its proofs are obtained (RFC 7673 3.2 to 3.4; DANE-05, DANE-11, DANE-33): not a byte goes
// out before secure DNS had its say.
import type { DomainPair } from "../model/association.ts"
import type { Endpoint } from "../model/endpoint.ts"
import { DialError } from "../model/errors.ts"
import { findingSentence } from "../model/findings.ts"
import type { ServerProof } from "../model/verdict.ts"
import type { Channel } from "../ports.ts"
import { match, type Obtained, startAsking, termsOf } from "../proof/prove.ts"
import { proofPorts, subjectOf } from "./claims.ts"
import type { Federation, Hosting } from "./contract.ts"
import { pause } from "./deadline.ts"
import { refusal } from "./refusal.ts"

export interface Connected {
  readonly channel: Channel
  /** Nothing may go in clear here but the negotiation of TLS, whatever policy allows (DANE-33). */
  readonly tlsPromised: boolean
  /** Of the prooftypes in use: all, or as many as what was shown needs. */
  material(proof: ServerProof): Promise<readonly Obtained[]>
  /** The material is not needed. */
  giveUp(): void
}

/** What a server has shown that has shown nothing. */
export const noProof: ServerProof = { chain: [], presentedAs: "tls-server", protocol: "", cipher: "", serverName: undefined, alpn: undefined }

/**
 * Dials, and asks for the verification material at the same time: it needs only domain and endpoint.
 *
 * @param source address of the peer whose claim caused this connection
 * @param webLater web servers are asked only where the rest does not prove
 * @throws OutgoingRefused when secure DNS forbids the endpoint; DialError
 */
export async function connectTo(
  federation: Federation,
  hosting: Hosting,
  pair: DomainPair,
  endpoint: Endpoint,
  signal: AbortSignal,
  source: string | undefined,
  webLater = false,
): Promise<Connected> {
  const subject = subjectOf(pair.target, "outgoing", endpoint)
  const ports = proofPorts(federation, hosting, signal, source)
  // POSH-16: asked for at once, beside the connection, unless others at this place showed that they need no web server.
  const asking = startAsking(hosting.prooftypes, subject, ports, webLater)
  const allowed = (obtained: readonly Obtained[]): { readonly tls: boolean } => {
    const terms = termsOf(obtained)
    if (terms.forbidden === undefined) return terms
    const { finding, detail } = terms.forbidden
    const proven = match(obtained, subject, noProof, federation.ports.clock.now())
    // DANE-11: not this server; another one of the domain may do.
    throw refusal(finding, detail, "unreachable", {
      verdicts: proven.verdicts,
      evidence: () => proven.evidence(pair),
      retryable: true,
      cause: new Error(findingSentence(finding, detail)),
    })
  }
  const giveUp = new AbortController()
  const stop = (): void => giveUp.abort(signal.reason)
  if (signal.aborted) stop()
  else signal.addEventListener("abort", stop, { once: true })
  const dialling = dial(federation, endpoint, giveUp.signal, source)
  try {
    const [channel, { tls }] = await Promise.all([dialling, asking.secureDns.then(allowed)])
    return { channel, tlsPromised: tls, material: (proof) => asking.for(proof, () => federation.ports.clock.now()), giveUp: asking.giveUp }
  } catch (error) {
    giveUp.abort(error)
    asking.giveUp()
    // Whichever of the two came too late is not needed; a connection that came about all the same is ended.
    void dialling.then(
      (channel) => channel.destroy(),
      () => {},
    )
    throw error
  } finally {
    signal.removeEventListener("abort", stop)
  }
}

async function dial(federation: Federation, endpoint: Endpoint, signal: AbortSignal, source: string | undefined): Promise<Channel> {
  return source === undefined ? await federation.ports.dial.connect(endpoint, { signal }) : await connectForClaim(federation, endpoint, signal, source)
}

/** Between two looks for a place, ms. */
const placeWait = { first: 100, longest: 1000 }

/**
 * A claim beyond the caps waits for a place while its time lasts: a peer of many domains claims them all at once, and
 * refusing the seventeenth would bounce its stanzas.
 */
async function connectForClaim({ ports: { dial, clock } }: Federation, endpoint: Endpoint, signal: AbortSignal, source: string): Promise<Channel> {
  for (let wait = placeWait.first; ; wait = Math.min(wait * 2, placeWait.longest)) {
    try {
      return await dial.connect(endpoint, { signal, source })
    } catch (error) {
      if (!(error instanceof DialError) || error.failure !== "capped" || signal.aborted) throw error
      await pause(clock, wait, signal)
      if (signal.aborted) throw error
    }
  }
}
