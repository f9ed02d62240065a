// Two servers of a kind on loopback, as the bench measures them: real processes, own certificates, own DNS.
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { startEjabberd } from "../test/interop/peers/ejabberd.ts"
import { type Identity, type PeerProcess, startProcess, temporaryFolder, untilListening } from "../test/interop/peers/process.ts"
import { startProsody } from "../test/interop/peers/prosody.ts"
import type { Flaw, World } from "../test/interop/world.ts"
import type { Relay } from "./delaying.ts"

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

/** What differs from two servers that reach each other at once, each domain with a certificate of its own. */
export interface PairOptions {
  /** One certificate for all domains of a server, which names each of them. */
  readonly oneCertificate?: boolean
  /** The SRV records of all domains of a server lead to one name. */
  readonly oneHost?: boolean
  /** What is wrong with the certificates on the left: where something is, they take dialback. */
  readonly leftFlaw?: Flaw
  /** Between the servers, both ways. */
  readonly relay?: Relay
  /** By Direct TLS alone; only ours. */
  readonly directTls?: boolean
  /** Ours close idle streams after this time, s. */
  readonly idle?: number
  /** Ours say on SIGUSR2 what is left after a collection, or how long their loop kept others waiting. */
  readonly probe?: "heap" | "loop"
}

/** Octets after a collection of garbage. */
export interface HeapFigures {
  readonly heapUsed: number
  readonly external: number
  readonly rss: number
}

/** Since the last time, ms: how late a tick of the loop was, and how long the thread worked between two; the hundredth part and the worst. */
export interface LoopFigures {
  readonly late: number
  readonly latest: number
  readonly worked: number
  readonly longest: number
}

export interface Pair {
  readonly left: Server
  readonly right: Server
  /** Of both processes, where the pair was started with `probe: "heap"`. */
  heaps(): Promise<readonly HeapFigures[]>
  /** Of the process on the right, where the pair was started with `probe: "loop"`. */
  loop(): Promise<LoopFigures>
  /** What they logged, for when a run fails. */
  readonly lines: () => string
  stop(): Promise<void>
}

const project = dirname(dirname(fileURLToPath(import.meta.url)))

/** One server of a pair, and what its certificates are. */
interface Side {
  readonly kind: Kind
  readonly name: string
  readonly address: string
  readonly components: readonly Account[]
  readonly identity: (domain: string) => Identity
  readonly options: PairOptions
}

async function startOne(
  kind: Kind,
  world: World,
  name: string,
  components: readonly Account[],
  options: PairOptions,
): Promise<{ server: Server; peer: PeerProcess }> {
  const address = await world.address()
  const { relay, directTls = false } = options
  const published = relay === undefined ? address : await world.address()
  const port = directTls ? 5270 : 5269
  await relay?.relay({ address: published, port }, { address, port })
  for (const domain of [name, ...components.map((one) => one.domain)]) world.publish(domain, published, { directTls, ...(options.oneHost === true ? { host: name } : {}) })
  const flaw = name.startsWith("left.") ? options.leftFlaw : undefined
  const shared = options.oneCertificate === true ? world.identity(name, flaw, components.map((one) => one.domain)) : undefined
  const side: Side = { kind, name, address, components, options, identity: (domain) => shared ?? world.identity(domain, flaw) }
  return kind === "ours" ? startOurs(world, side) : startForeign(world, side)
}

async function startForeign(world: World, { kind, name, address, components, identity, options }: Side): Promise<{ server: Server; peer: PeerProcess }> {
  const started = {
    address,
    domains: [
      {
        name,
        identity: identity(name),
        components: components.map(({ domain, secret }) => ({ name: domain, secret, identity: identity(domain) })),
      },
    ],
    caPem: world.caPem,
  }
  const peer =
    kind === "prosody"
      ? await startProsody({ ...started, dns: world.dns, secureAuth: options.leftFlaw === undefined, dialback: true })
      : await startEjabberd({ ...started, dns: world.numericDns, secureAuth: false, dialback: true })
  return { server: { pid: peer.pid, address, port: peer.component.port, components }, peer }
}

async function startOurs(world: World, { address, components, identity, options }: Side): Promise<{ server: Server; peer: PeerProcess }> {
  const folder = temporaryFolder("bench")
  const certificates = join(folder, "certificates")
  mkdirSync(certificates)
  writeFileSync(join(folder, "roots.pem"), world.caPem)
  const install = (name: string, { chainPem, keyPem }: Identity): void => {
    writeFileSync(join(certificates, `${name}.crt`), chainPem)
    writeFileSync(join(certificates, `${name}.key`), keyPem, { mode: 0o600 })
  }
  if (options.oneCertificate === true) install("all", identity(""))
  else for (const { domain } of components) install(domain, identity(domain))
  const { directTls = false, probe, leftFlaw, idle } = options
  const config = {
    listen: { s2s: directTls ? [] : [`${address}:5269`], direct_tls: directTls ? [`${address}:5270`] : [], components: [`${address}:5347`] },
    federation: {
      resolver: { address: `${world.dns.address}:${world.dns.port}`, dnssec: "off" },
      trust: join(folder, "roots.pem"),
      allow: { networks: ["127.0.0.0/8"], names: ["example"] },
      ...(leftFlaw === undefined ? {} : { require: "encrypted" }),
      ...(idle === undefined ? {} : { idle_timeout: `${idle}s` }),
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
  const probing = probe === undefined ? [] : ["--expose-gc", "--import", join(project, `bench/${probe}-probe.ts`)]
  const peer = startProcess("gateway", process.execPath, [...probing, ...program], { folder })
  try {
    await untilListening(peer, "gateway", address, directTls ? 5270 : 5269)
    await untilListening(peer, "gateway", address, 5347)
  } catch (error) {
    await peer.stop()
    throw error
  }
  return { server: { pid: peer.pid, address, port: 5347, components }, peer }
}

async function probed<F>(peer: PeerProcess, probe: "heap" | "loop"): Promise<F> {
  const from = peer.lines.length
  peer.signal("SIGUSR2")
  const said = `${probe}-probe `
  const line = await peer.waitForLog(new RegExp(`^${said}`), { from })
  return JSON.parse(line.slice(said.length)) as F
}

/**
 * @param kind of both servers, or of left and right
 * @param senders components on the left, `s<n>.left.example`
 * @param receivers on the right, `d<n>.right.example`
 */
export async function startPair(kind: Kind | readonly [Kind, Kind], world: World, senders: number, receivers: number, options: PairOptions = {}): Promise<Pair> {
  const [leftKind, rightKind] = typeof kind === "string" ? [kind, kind] : kind
  const accounts = (count: number, letter: string, side: string): Account[] =>
    Array.from({ length: count }, (_, index) => ({ domain: `${letter}${index}.${side}.example`, secret: world.secret() }))
  const left = await startOne(leftKind, world, "left.example", accounts(senders, "s", "left"), options)
  try {
    const right = await startOne(rightKind, world, "right.example", accounts(receivers, "d", "right"), options)
    return {
      left: left.server,
      right: right.server,
      heaps: () => Promise.all([left.peer, right.peer].map((peer) => probed<HeapFigures>(peer, "heap"))),
      loop: () => probed<LoopFigures>(right.peer, "loop"),
      lines: () => [...left.peer.lines.slice(-15), "--", ...right.peer.lines.slice(-15)].join("\n"),
      stop: async () => void (await Promise.all([left.peer.stop(), right.peer.stop()])),
    }
  } catch (error) {
    await left.peer.stop()
    throw error
  }
}
