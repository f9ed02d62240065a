// One internet for one test file: a private CA, DNS on loopback, an address for every server, and everything stopped at the end.
import { randomBytes } from "node:crypto"
import { createServer } from "node:net"
import { CertificateAuthority, type IssuedCertificate, selfSigned } from "../../src/lab/certificate-authority.ts"
import { type DnsResponder, startDnsResponder } from "../../src/lab/dns-responder.ts"
import type { Identity } from "./peers/process.ts"

const DAY = 86_400_000

/**
 * What is wrong with a certificate, if anything. `server-only`: serverAuth is its only purpose, as public CAs issue now.
 * `address-name`: the domain stands in it only as XmppAddr, which Prosody does not match (and which crashes ejabberd).
 */
export type Flaw = "self-signed" | "expired" | "wrong-name" | "address-name" | "server-only"

export interface World {
  readonly caPem: string
  /** For resolvers that follow names to addresses. */
  readonly dns: DnsResponder
  /**
   * For ejabberd, whose SRV lookups can be given a server but whose address lookups go to the C library:
   * the same SRV records with addresses as targets.
   */
  readonly numericDns: DnsResponder
  /** An address of 127.77.0.0/16 on which nobody listens at 5269. */
  address(): Promise<string>
  /**
   * SRV and address records; port 5269 with STARTTLS unless `directTls`, then 5270 and nothing else. The service is at the
   * domain's own name, or at `host`, which is published beside it.
   */
  publish(domain: string, address: string, options?: { directTls?: boolean; host?: string }): void
  /** @param also further names of the same certificate, where it has no flaw */
  identity(domain: string, flaw?: Flaw, also?: readonly string[]): Identity
  /** At least 128 bits, different every time. */
  secret(): string
  /** Stops the thing when the world ends. */
  add<T extends { stop(): Promise<void> } | { close(): Promise<void> }>(thing: T): T
  end(): Promise<void>
}

let next = 0

async function isFree(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once("error", () => resolve(false))
    server.listen(5269, address, () => server.close(() => resolve(true)))
  })
}

export async function createWorld(): Promise<World> {
  const now = Date.now()
  const authority = CertificateAuthority.create({ now, name: "Interop Root" })
  const asIdentity = (issued: IssuedCertificate): Identity => ({ chainPem: issued.chainPem, keyPem: issued.keyPem })
  const allocate = async (): Promise<string> => {
    for (let tries = 0; tries < 250; tries += 1) {
      next += 1
      const address = `127.77.${process.pid & 0xff}.${1 + (next % 250)}`
      if (await isFree(address)) return address
    }
    throw new Error("no free loopback address")
  }
  const dns = await startDnsResponder({ address: await allocate() })
  const numericDns = await startDnsResponder({ address: await allocate() })
  const things: ({ stop(): Promise<void> } | { close(): Promise<void> })[] = [dns, numericDns]
  return {
    caPem: authority.certificate.pem,
    dns,
    numericDns,
    address: allocate,
    publish(domain, address, { directTls = false, host = domain } = {}) {
      const name = directTls ? `_xmpps-server._tcp.${domain}` : `_xmpp-server._tcp.${domain}`
      const port = directTls ? 5270 : 5269
      dns.set(domain, { A: [address] })
      dns.set(name, { SRV: [[0, 0, port, host]] })
      numericDns.set(name, { SRV: [[0, 0, port, address]] })
    },
    identity(domain, flaw, also = []) {
      const foreign = { dns: ["somebody-else.example"] }
      const names = flaw === "wrong-name" ? foreign : flaw === "address-name" ? { ...foreign, xmppAddr: [domain] } : { dns: [domain, ...also] }
      if (flaw === "self-signed") return asIdentity(selfSigned({ now, names }))
      if (flaw === "expired") return asIdentity(authority.issue({ names, notBefore: now - 40 * DAY, notAfter: now - DAY }))
      return asIdentity(authority.issue({ names, ...(flaw === "server-only" ? { eku: ["serverAuth"] } : {}) }))
    },
    secret: () => randomBytes(24).toString("hex"),
    add(thing) {
      things.push(thing)
      return thing
    },
    async end() {
      await Promise.all(things.map((thing) => ("stop" in thing ? thing.stop() : thing.close())))
    },
  }
}
