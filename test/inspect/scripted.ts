// The lab's server that says what it is told to, at a domain of a test: in clear or behind STARTTLS, for what no proper server does.
import type { Internet } from "../../src/lab/internet.ts"
import { featuresOf, openingOf, type PlainServer, proceed, type Script, saying, starttlsDemand, startPlainServer } from "../../src/lab/plain-server.ts"
import type { Service } from "../../src/model/verdict.ts"

export type { Script } from "../../src/lab/plain-server.ts"

export interface Scripted extends PlainServer {
  readonly port: number
}

export const header = (from: string, content = "jabber:server"): string => openingOf(from, content === "jabber:client" ? "xmpp-client" : "xmpp-server")

export interface BehindTls {
  readonly cert: string
  readonly key: string
  readonly script: Script
}

/** Offers STARTTLS, and says `script` behind it. */
export async function scriptedTls(net: Internet, domain: string, behind: BehindTls, service: Service = "xmpp-server"): Promise<Scripted> {
  return await scripted(net, domain, saying(`${openingOf(domain, service)}${featuresOf(starttlsDemand)}`, proceed), service, behind)
}

/** Starts it at 127.0.0.1 and leads the domain there. */
export async function scripted(net: Internet, domain: string, clear: Script, service: Service = "xmpp-server", behind?: BehindTls): Promise<Scripted> {
  const secured = behind === undefined ? {} : { behind: behind.script, certificate: { chainPem: behind.cert, keyPem: behind.key } }
  const server = await startPlainServer({ domain, service, clear, ...secured })
  const { port } = server.at
  net.signed.zones.set(`_${service}._tcp.${domain}`, { SRV: [[0, 0, port, `xmpp.${domain}`]] })
  net.signed.zones.set(`xmpp.${domain}`, { A: ["127.0.0.1"] })
  return { ...server, port }
}
