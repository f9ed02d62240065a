// A gateway over a folder of real files with an include folder and an admin socket, and whoever talks to that socket raw.
import { once } from "node:events"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { publicInternetOnly, type ReachPolicy } from "../../src/model/reach.ts"
import { createDial } from "../../src/node/dial.ts"
import { createFiles } from "../../src/node/files.ts"
import { createHttps } from "../../src/node/https.ts"
import { createListen } from "../../src/node/listen.ts"
import { systemClock } from "../../src/node/clock.ts"
import { systemRandom } from "../../src/node/random.ts"
import { createTls } from "../../src/node/tls.ts"
import type { Files, NetworkAddress } from "../../src/ports.ts"
import { anchorSet } from "../../src/x509/anchors.ts"
import type { AdminAnswer, AdminFailure } from "../../src/gateway/admin-protocol.ts"
import { loadConfig } from "../../src/gateway/config.ts"
import { type Gateway, type GatewayOptions, type GatewayWorld, startGateway } from "../../src/gateway/gateway.ts"
import { authority, certificateFor, type LogLine, patiently, secretFor } from "./gateway-fixture.ts"

export interface HostingOptions {
  /** In the main file, with certificates. */
  readonly domains: readonly string[]
  /** Further domains that get certificates. */
  readonly certified?: readonly string[]
  /** Files of the include folder. */
  readonly tenants?: Readonly<Record<string, string>>
  readonly peers?: Readonly<Record<string, NetworkAddress>>
  readonly socket?: string
  readonly more?: string
  readonly yaml?: (text: string) => string
  readonly options?: GatewayOptions
  /** Puts itself between the gateway and its files. */
  readonly files?: (files: Files) => Files
}

export interface Hosting {
  readonly gateway: Gateway
  readonly folder: string
  readonly socket: string
  readonly log: LogLine[]
  readonly s2s: NetworkAddress
  readonly components: NetworkAddress
  /** Path below the folder. */
  at(name: string): string
  read(name: string): string
  write(name: string, text: string): void
  has(name: string): boolean
  secret(domain: string): string
  ask(request: Readonly<Record<string, unknown>>): Promise<AdminAnswer>
  /** The result; throws what was refused. */
  done(request: Readonly<Record<string, unknown>>): Promise<Record<string, unknown>>
  refused(request: Readonly<Record<string, unknown>>): Promise<{ kind: AdminFailure; text: string }>
  logged(event: string, text?: RegExp): Promise<LogLine>
  stop(): Promise<void>
}

/** A tenant's file with one domain. */
export const tenant = (name: string, more = ""): string => `domains:\n  - name: ${name}\n    component: { secret: { file: ../secrets/${name} } }\n${more}`

export async function startHosting(options: HostingOptions): Promise<Hosting> {
  const folder = mkdtempSync(join(tmpdir(), "hosting-"))
  const at = (name: string): string => join(folder, name)
  const socket = options.socket ?? at("run/admin.sock")
  for (const name of ["certs", "tenants.d", "secrets", "run"]) mkdirSync(at(name), { mode: 0o700 })
  const secret = (domain: string): string => {
    if (!existsSync(at(`secrets/${domain}`))) writeFileSync(at(`secrets/${domain}`), secretFor(domain), { mode: 0o600 })
    return at(`secrets/${domain}`)
  }
  for (const domain of [...options.domains, ...(options.certified ?? [])]) {
    const { chainPem, keyPem } = certificateFor(domain)
    writeFileSync(at(`certs/${domain}.pem`), chainPem + keyPem, { mode: 0o600 })
  }
  const write = (name: string, text: string): void => writeFileSync(at(name), text, { mode: 0o640 })
  for (const [name, text] of Object.entries(options.tenants ?? {})) {
    for (const [, domain] of text.matchAll(/\.\.\/secrets\/([\w.-]+)/g)) secret(domain!)
    write(`tenants.d/${name}`, text)
  }
  const peers = Object.entries(options.peers ?? {}).map(([peer, { address, port }]) => `    - { peer: ${peer}, connect: "${address}:${port}" }\n`)
  const yaml = `listen: { s2s: ["127.0.0.1:0"], components: ["127.0.0.1:0"], admin: "unix:${socket}" }
federation:
  resolver: { dnssec: off }
  allow: { networks: [127.0.0.0/8], names: [example] }
${peers.length === 0 ? "" : `  overrides:\n${peers.join("")}`}certificates: { dirs: [certs] }
include: [tenants.d/*.yaml]
domains:${options.domains.length === 0 ? " []" : ""}
${options.domains.map((name) => `  - { name: ${name}, component: { secret: { file: ${secret(name)} } } }\n`).join("")}${options.more ?? ""}`
  write("gw.yaml", (options.yaml ?? ((text) => text))(yaml))
  const log: LogLine[] = []
  const waiting = new Set<() => void>()
  const listen = createListen()
  const tls = createTls()
  let reach: () => ReachPolicy = () => publicInternetOnly
  const dial = createDial({ reach: () => reach(), clock: systemClock, ownListeners: () => listen.ownListeners() })
  const files = (options.files ?? ((plain) => plain))(createFiles({ settle: 50 }))
  const world: GatewayWorld = {
    clock: systemClock,
    random: systemRandom,
    tls,
    https: createHttps({ dial, tls }),
    listen,
    files,
    log: {
      write: (level, event, fields) => {
        log.push({ level, event, fields })
        for (const look of [...waiting]) look()
      },
    },
    dial: (current) => {
      reach = current
      return dial
    },
    resolver: () => ({
      resolve: async (name) => {
        throw new Error(`no lookup was expected: ${name}`)
      },
    }),
    anchors: () => anchorSet([authority.certificate.der]),
    environment: () => undefined,
  }
  let gateway: Gateway
  try {
    const { config } = await loadConfig(at("gw.yaml"), { files, environment: () => undefined, now: Date.now() })
    gateway = await startGateway(config, world, options.options ?? {})
  } catch (error) {
    rmSync(folder, { recursive: true })
    throw error
  }
  const ask = async (request: Readonly<Record<string, unknown>>): Promise<AdminAnswer> => {
    const admin = await RawAdmin.connect(socket)
    try {
      return await admin.ask({ v: 1, ...request })
    } finally {
      admin.close()
    }
  }
  return {
    gateway,
    folder,
    socket,
    log,
    s2s: gateway.addresses.s2s[0]!,
    components: gateway.addresses.components[0] as NetworkAddress,
    at,
    read: (name) => readFileSync(at(name), "utf8"),
    write,
    has: (name) => existsSync(at(name)),
    secret,
    ask,
    done: async (request) => {
      const answer = await ask(request)
      if (!answer.ok) throw new Error(`${answer.error.kind}: ${answer.error.problems.map(({ sentence }) => sentence).join(" ")}`)
      return answer.result as Record<string, unknown>
    },
    refused: async (request) => {
      const answer = await ask(request)
      if (answer.ok) throw new Error(`not refused: ${JSON.stringify(answer.result)}`)
      return { kind: answer.error.kind, text: answer.error.problems.map(({ place, sentence }) => `${place ?? ""} ${sentence}`).join("\n") }
    },
    logged: (event, text = /(?:)/) =>
      patiently(`log line ${event} ${text}`, waiting, () => log.find((line) => line.event === event && text.test(String(line.fields.text)))),
    stop: async () => {
      await gateway.close()
      rmSync(folder, { recursive: true })
      if (!socket.startsWith(folder) && existsSync(dirname(socket))) rmSync(dirname(socket), { recursive: true })
    },
  }
}

/** One connection to an admin socket; answers come one a line. */
export class RawAdmin {
  readonly socket: Socket
  text = ""
  ended = false
  readonly #waiting = new Set<() => void>()
  #seen = 0

  private constructor(socket: Socket) {
    this.socket = socket
    const look = (): void => {
      for (const each of [...this.#waiting]) each()
    }
    const over = (): void => {
      this.ended = true
      look()
    }
    socket.on("data", (bytes: Buffer) => {
      this.text += bytes.toString("utf8")
      look()
    })
    // A reset is an end as well.
    socket.on("error", over)
    socket.on("close", over)
  }

  static async connect(path: string): Promise<RawAdmin> {
    const socket = connect({ path })
    await once(socket, "connect")
    return new RawAdmin(socket)
  }

  async ask(request: Readonly<Record<string, unknown>>): Promise<AdminAnswer> {
    this.send(`${JSON.stringify(request)}\n`)
    return JSON.parse(await this.line()) as AdminAnswer
  }

  send(text: string): void {
    this.socket.write(text)
  }

  line(): Promise<string> {
    return patiently(`an answer; so far ${JSON.stringify(this.text.slice(-500))}`, this.#waiting, () => {
      const end = this.text.indexOf("\n", this.#seen)
      if (end === -1 && this.ended) throw new Error(`the connection ended without an answer: ${JSON.stringify(this.text.slice(-500))}`)
      if (end === -1) return undefined
      const line = this.text.slice(this.#seen, end)
      this.#seen = end + 1
      return line
    })
  }

  over(): Promise<true> {
    return patiently("the end of the connection", this.#waiting, () => (this.ended ? true : undefined))
  }

  close(): void {
    this.socket.destroy()
  }
}
