// Two servers of a kind on loopback, as the bench measures them: real processes, own certificates, own DNS.
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { startEjabberd } from "../test/interop/peers/ejabberd.ts"
import { type PeerProcess, startProcess, temporaryFolder, untilListening } from "../test/interop/peers/process.ts"
import { startProsody } from "../test/interop/peers/prosody.ts"
import type { World } from "../test/interop/world.ts"

export const kinds = ["ours", "prosody", "ejabberd"] as const
export type Kind = (typeof kinds)[number]

export interface Account {
  readonly domain: string
  readonly secret: string
}

export interface Server {
  readonly pid: number
  readonly address: string
  /** Port of XEP-0114. */
  readonly port: number
  readonly components: readonly Account[]
}

export interface Pair {
  readonly left: Server
  readonly right: Server
  /** What they logged, for when a run fails. */
  readonly lines: () => string
  stop(): Promise<void>
}

const project = dirname(dirname(fileURLToPath(import.meta.url)))

async function startOne(
  kind: Kind,
  world: World,
  name: string,
  components: readonly Account[],
): Promise<{ server: Server; peer: PeerProcess }> {
  const address = await world.address()
  for (const domain of [name, ...components.map((one) => one.domain)]) world.publish(domain, address)
  if (kind === "ours") return startOurs(world, address, components)
  const options = {
    address,
    domains: [
      {
        name,
        identity: world.identity(name),
        components: components.map(({ domain, secret }) => ({ name: domain, secret, identity: world.identity(domain) })),
      },
    ],
    caPem: world.caPem,
  }
  const peer =
    kind === "prosody"
      ? await startProsody({ ...options, dns: world.dns, secureAuth: true, dialback: true })
      : await startEjabberd({ ...options, dns: world.numericDns, secureAuth: false, dialback: true })
  return { server: { pid: peer.pid, address, port: peer.component.port, components }, peer }
}

async function startOurs(world: World, address: string, components: readonly Account[]): Promise<{ server: Server; peer: PeerProcess }> {
  const folder = temporaryFolder("bench")
  const certificates = join(folder, "certificates")
  mkdirSync(certificates)
  writeFileSync(join(folder, "roots.pem"), world.caPem)
  for (const { domain } of components) {
    const identity = world.identity(domain)
    writeFileSync(join(certificates, `${domain}.crt`), identity.chainPem)
    writeFileSync(join(certificates, `${domain}.key`), identity.keyPem, { mode: 0o600 })
  }
  const config = {
    listen: { s2s: [`${address}:5269`], components: [`${address}:5347`] },
    federation: {
      resolver: { address: `${world.dns.address}:${world.dns.port}`, dnssec: "off" },
      trust: join(folder, "roots.pem"),
      allow: { networks: ["127.0.0.0/8"], names: ["example"] },
    },
    certificates: { dirs: [certificates] },
    domains: components.map(({ domain, secret }) => ({ name: domain, component: { secret } })),
    // The others have no bound on unfinished connections from one address, and here all come from one.
    limits: { unauthenticatedPerIp: 1000 },
    log: { level: "info", format: "json" },
  }
  const file = join(folder, "config.yaml")
  writeFileSync(file, JSON.stringify(config))
  const program = [join(project, "src/cli/main.ts"), "serve", "--config", file, "--allow-inline-secrets"]
  const peer = startProcess("gateway", process.execPath, program, { folder })
  try {
    await untilListening(peer, "gateway", address, 5269)
    await untilListening(peer, "gateway", address, 5347)
  } catch (error) {
    await peer.stop()
    throw error
  }
  return { server: { pid: peer.pid, address, port: 5347, components }, peer }
}

/** @param senders components on the left, `s<n>.left.example`; @param receivers on the right, `d<n>.right.example` */
export async function startPair(kind: Kind, world: World, senders: number, receivers: number): Promise<Pair> {
  const accounts = (count: number, letter: string, side: string): Account[] =>
    Array.from({ length: count }, (_, index) => ({ domain: `${letter}${index}.${side}.example`, secret: world.secret() }))
  const left = await startOne(kind, world, "left.example", accounts(senders, "s", "left"))
  try {
    const right = await startOne(kind, world, "right.example", accounts(receivers, "d", "right"))
    return {
      left: left.server,
      right: right.server,
      lines: () => [...left.peer.lines.slice(-15), "--", ...right.peer.lines.slice(-15)].join("\n"),
      stop: async () => void (await Promise.all([left.peer.stop(), right.peer.stop()])),
    }
  } catch (error) {
    await left.peer.stop()
    throw error
  }
}
