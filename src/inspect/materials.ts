// Every prooftype's material, obtained once (RFC 7712 4.2): what secure DNS says belongs to a server and port, the rest to the domain.
import type { Endpoint } from "../model/endpoint.ts"
import type { AnyProoftype, ProofPorts, ProofSubject } from "../proof/prooftype.ts"
import { type Obtained, obtainAll } from "../proof/prove.ts"
import type { InspectPorts, InspectQuestion } from "./question.ts"
import { isUnpromised } from "./whither.ts"

export interface Material {
  /** Of the prooftypes that rest on secure DNS, which may forbid a connection. */
  readonly secureDns: Promise<readonly Obtained[]>
  /** Of all, in their own order. */
  readonly all: Promise<readonly Obtained[]>
}

export class Materials {
  readonly #prooftypes: readonly AnyProoftype[]
  readonly #proofPorts: ProofPorts
  readonly #subject: Omit<ProofSubject, "endpoint">
  readonly #byServer = new Map<string, Material>()
  #ofDomain: Promise<readonly Obtained[]> | undefined

  /**
   * @param signal gives it all up: a proof that is still asked for could not be obtained
   * @param patience comes earlier, and to the prooftypes alone, so that they can say what is missing
   */
  constructor({ domain, service }: InspectQuestion, ports: InspectPorts, signal: AbortSignal, patience: AbortSignal) {
    const { anchors, reach, resolver, https, clock } = ports
    this.#prooftypes = ports.prooftypes.map((prooftype) => ({ ...prooftype, obtain: (subject, given) => prooftype.obtain(subject, { ...given, signal: patience }) }))
    this.#proofPorts = { anchors, reach, resolver, https, at: clock.now(), signal }
    this.#subject = { source: domain, service, role: "outgoing" }
  }

  subject(endpoint: Endpoint | undefined): ProofSubject {
    return { ...this.#subject, endpoint }
  }

  /** Addresses of one server and port share what DNS says about it. */
  for(endpoint: Endpoint): Material {
    const { delegation, port } = endpoint
    const key = `${delegation.derived} ${port} ${delegation.via} ${delegation.because}`
    const known = this.#byServer.get(key)
    if (known !== undefined) return known
    // TLSA records of a server are the word of the domain only where the domain's DNS names the server.
    const prooftypes = isUnpromised(endpoint) ? this.#prooftypes.filter(({ needsSecureDns }) => !needsSecureDns) : this.#prooftypes
    const subject = this.subject(endpoint)
    const secureDns = obtainAll(prooftypes.filter(({ needsSecureDns }) => needsSecureDns), subject, this.#proofPorts)
    this.#ofDomain ??= obtainAll(prooftypes.filter(({ needsSecureDns }) => !needsSecureDns), subject, this.#proofPorts)
    const all = Promise.all([secureDns, this.#ofDomain]).then((parts) => {
      const obtained = parts.flat()
      return prooftypes.flatMap((prooftype) => obtained.filter((each) => each.prooftype === prooftype))
    })
    const material = { secureDns, all }
    this.#byServer.set(key, material)
    return material
  }
}
