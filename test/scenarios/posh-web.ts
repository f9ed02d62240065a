// Web hosts of scenarios: what domains publish for POSH, at an address of their own in the world in memory.
import { createHash } from "node:crypto"
import { createPosh } from "../../src/proof/posh.ts"
import { PoshMemory } from "../../src/proof/posh-memory.ts"
import { pkix } from "../../src/proof/pkix.ts"
import type { AnyProoftype } from "../../src/proof/prooftype.ts"
import type { IssuedCertificate } from "../../src/lab/certificate-authority.ts"
import type { WebHost, WebReply } from "../world/web.ts"
import { credentialsOf, good, type MemoryScene } from "./support.ts"

export const poshPath = "/.well-known/posh/xmpp-server.json"
export const digest = ({ der }: Pick<IssuedCertificate, "der">): string => createHash("sha256").update(der).digest("base64")

export function documentOf(certificates: readonly Pick<IssuedCertificate, "der">[], expires = 86_400): WebReply {
  return { status: 200, body: JSON.stringify({ fingerprints: certificates.map((each) => ({ "sha-256": digest(each) })), expires }) }
}
export const referenceTo = (url: string, expires = 86_400): WebReply => ({ status: 200, body: JSON.stringify({ url, expires }) })
export const redirectTo = (location: string): WebReply => ({ status: 302, headers: { location } })

export class Webs {
  readonly #scene: MemoryScene
  readonly #hosts: WebHost[] = []
  readonly #pages = new Map<string, WebReply>()
  #next = 1

  constructor(scene: MemoryScene) {
    this.#scene = scene
  }

  /** Starts a web host of this name; `page` says what it answers. */
  async host(name: string, certificate: IssuedCertificate = good(name), address = `127.0.9.${this.#next++}`): Promise<WebHost> {
    this.#scene.dns(name, { A: [address] })
    const host = await this.#scene.world.web(address, { credentials: credentialsOf(certificate), answer: (path) => this.#pages.get(`${name}${path}`) ?? { status: 404 } })
    this.#hosts.push(host)
    return host
  }

  /** From now on; undefined: 404. */
  page(name: string, reply: WebReply | undefined, path = poshPath): void {
    if (reply === undefined) this.#pages.delete(`${name}${path}`)
    else this.#pages.set(`${name}${path}`, reply)
  }

  /** A web host of this domain that publishes these certificates. */
  async publish(name: string, ...certificates: readonly Pick<IssuedCertificate, "der">[]): Promise<WebHost> {
    const host = await this.host(name)
    this.page(name, documentOf(certificates))
    return host
  }

  get requests(): readonly string[] {
    return this.#hosts.flatMap(({ requests }) => requests)
  }

  async close(): Promise<void> {
    for (const host of this.#hosts) await host.close()
  }
}

/** PKIX and a POSH with a memory of its own, as a gateway has them. */
export function withPosh(scene: MemoryScene, ...more: readonly AnyProoftype[]): readonly AnyProoftype[] {
  return [pkix, ...more, createPosh({ memory: new PoshMemory(scene.clock) })]
}
