// Our own gateway as an operator runs it: `xmpp-dna serve --config FILE` in a process of its own, with its own folder.
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Bot, startBot } from "./bot.ts"
import { type DnsServer, type Identity, type PeerProcess, startProcess, temporaryFolder, untilListening } from "./peers/process.ts"
import type { Flaw, World } from "./world.ts"

const program = join(import.meta.dirname, "../../src/cli/main.ts")

export interface OurSetup {
  /** Hosted domains, each with a component; with the flaw of its certificate, and the name of it where that is another one. */
  readonly domains: readonly { readonly name: string; readonly flaw?: Flaw; readonly identity?: Identity; readonly certificate?: string }[]
  readonly require: "authenticated" | "encrypted" | "verified"
  /** Publish and serve Direct TLS instead of STARTTLS. */
  readonly directTls?: boolean
  /** One certificate has the names of all domains. */
  readonly oneCertificate?: boolean
  /** A free one unless given. */
  readonly address?: string
  /** Roots it believes, as PEM, where those are not the world's. */
  readonly roots?: string
  /** For one attempt to reach a peer, as in the configuration. */
  readonly timeout?: string
}

export interface OurGateway extends PeerProcess {
  readonly address: string
  readonly component: DnsServer
  secret(domain: string): string
  /** A XEP-0114 bot attached as this hosted domain. */
  bot(domain: string): Promise<Bot>
}

/** What tests read of a line of its log. */
export interface LogLine {
  readonly ev?: string
  readonly sid?: string
  readonly dir?: string
  readonly from?: string
  readonly to?: string
  readonly step?: string
  readonly answer?: string
  readonly result?: string
  readonly resumable?: boolean
  readonly level_reached?: string
  readonly proof?: string
  readonly finding?: string
  readonly reason?: string
  readonly count?: number
}

/** The events of this kind so far, oldest first. */
export function linesOf(gateway: OurGateway, event: string): LogLine[] {
  return gateway.lines.flatMap((line) => {
    if (!line.startsWith("{")) return []
    const read = JSON.parse(line) as LogLine
    return read.ev === event ? [read] : []
  })
}

/** The log comes by another way than stanzas and may be later: asserts again until it holds, for five seconds at most. */
export async function eventually(assertion: () => void): Promise<void> {
  for (let tries = 0; tries < 250; tries += 1) {
    try {
      return assertion()
    } catch {
      // What still fails after the last try is thrown below.
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  assertion()
}

/** Starts it, publishes its domains in DNS, and returns once it listens. The log is JSON lines, in `lines`. */
export async function startOurs(world: World, setup: OurSetup): Promise<OurGateway> {
  const folder = temporaryFolder("gateway")
  const certificates = join(folder, "certificates")
  mkdirSync(certificates)
  writeFileSync(join(folder, "roots.pem"), setup.roots ?? world.caPem)
  const address = setup.address ?? (await world.address())
  const secrets = new Map<string, string>()
  const [first] = setup.domains
  const one = setup.oneCertificate === true && first !== undefined ? world.identity(first.name, undefined, setup.domains.slice(1).map(({ name }) => name)) : undefined
  for (const { name, flaw, identity: given } of setup.domains) {
    const identity = given ?? one ?? world.identity(name, flaw)
    writeFileSync(join(certificates, `${name}.crt`), identity.chainPem)
    writeFileSync(join(certificates, `${name}.key`), identity.keyPem, { mode: 0o600 })
    secrets.set(name, world.secret())
    world.publish(name, address, { directTls: setup.directTls === true })
  }
  // JSON is YAML 1.2.
  const config = {
    node: "interop",
    listen: {
      s2s: [`${address}:5269`],
      direct_tls: setup.directTls === true ? [`${address}:5270`] : [],
      components: [`${address}:5347`],
    },
    federation: {
      require: setup.require,
      ...(setup.timeout === undefined ? {} : { timeout: setup.timeout }),
      resolver: { address: `${world.dns.address}:${world.dns.port}`, dnssec: "off" },
      trust: join(folder, "roots.pem"),
      allow: { networks: ["127.0.0.0/8"], names: ["example"] },
    },
    certificates: { dirs: [certificates], reload: "signal" },
    domains: setup.domains.map(({ name, certificate }) => ({ name, ...(certificate === undefined ? {} : { certificate }), component: { secret: secrets.get(name) } })),
    shutdown: { drain: "0s", deadline: "2s" },
    log: { level: "debug", format: "json" },
  }
  const file = join(folder, "config.yaml")
  writeFileSync(file, JSON.stringify(config, undefined, 2), { mode: 0o600 })
  const gateway = startProcess("our gateway", process.execPath, [program, "serve", "--config", file, "--allow-inline-secrets"], { folder })
  try {
    await untilListening(gateway, "our gateway", address, 5269)
    await untilListening(gateway, "our gateway", address, 5347)
  } catch (error) {
    await gateway.stop()
    throw error
  }
  const component = { address, port: 5347 }
  const secret = (domain: string): string => {
    const found = secrets.get(domain)
    if (found === undefined) throw new Error(`${domain} is not hosted here`)
    return found
  }
  world.add(gateway)
  return Object.assign(gateway, {
    address,
    component,
    secret,
    bot: async (domain: string) => world.add(await startBot({ domain, secret: secret(domain), server: component })),
  })
}
