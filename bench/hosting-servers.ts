// Servers with very many hosted domains, each with its certificate, as the bench of hosting measures them.
import { mkdirSync, renameSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { CertificateAuthority, generateKey, type KeyPair } from "../src/lab/certificate-authority.ts"
import { createHash, randomBytes } from "node:crypto"
import { type PeerProcess, startProcess, temporaryFolder } from "../test/interop/peers/process.ts"

const project = dirname(dirname(fileURLToPath(import.meta.url)))
const day = 86_400_000

/** How ours keeps its domains: an included file each, or all in one file. */
export const kinds = ["ours, files", "ours, one file", "prosody", "ejabberd"] as const
export type HostingKind = (typeof kinds)[number]

export interface Certified {
  readonly domain: string
  readonly key: KeyPair
  readonly chainPem: string
  readonly keyPem: string
  readonly fingerprint: string
}

/** Certificates for as many domains as are asked for; made once, used for every server. */
export class Customers {
  readonly #authority = CertificateAuthority.create({ now: Date.now(), name: "Bench Root" })
  readonly #issuing = this.#authority.intermediate({ commonName: "Bench Issuing" })
  readonly #made: Certified[] = []

  get caPem(): string {
    return this.#authority.certificate.pem
  }

  upTo(count: number): readonly Certified[] {
    while (this.#made.length < count) this.#made.push(this.issue(`d${this.#made.length}.hosted.example`))
    return this.#made.slice(0, count)
  }

  issue(domain: string, key = generateKey("p256")): Certified {
    const now = Date.now()
    const issued = this.#issuing.issue({ names: { dns: [domain] }, key, notBefore: now - 1000, notAfter: now + 60 * day })
    return { domain, key, chainPem: issued.chainPem, keyPem: issued.keyPem, fingerprint: createHash("sha256").update(issued.der).digest("hex") }
  }
}

/** A server that was started; it need not serve yet. */
export interface HostingServer {
  readonly peer: PeerProcess
  readonly address: string
  /** Puts another certificate in the place of a domain's, and tells the server when it does not look by itself. */
  renew(certified: Certified): Promise<void>
  /** One more domain, and whatever makes the server take it up. */
  add(certified: Certified): Promise<void>
}

export interface HostingWorld {
  readonly address: string
  readonly caPem: string
  readonly dns: { readonly address: string; readonly port: number }
}

/** As a careful program does it: no reader sees half a file. */
function replace(path: string, text: string, mode = 0o600): void {
  writeFileSync(`${path}.new`, text, { mode })
  renameSync(`${path}.new`, path)
}

const text = (value: string): string => JSON.stringify(value)

export function startOurs(world: HostingWorld, customers: readonly Certified[], oneFile: boolean): HostingServer {
  const folder = temporaryFolder("hosting")
  const certificates = join(folder, "certificates")
  const tenants = join(folder, "tenants.d")
  const secrets = join(folder, "secrets")
  for (const each of [certificates, tenants, secrets]) mkdirSync(each, { mode: 0o700 })
  writeFileSync(join(folder, "roots.pem"), world.caPem)
  const install = ({ domain, chainPem, keyPem }: Certified): void => {
    replace(join(certificates, `${domain}.key`), keyPem)
    replace(join(certificates, `${domain}.crt`), chainPem)
  }
  const secretOf = (domain: string): string => {
    const file = join(secrets, domain)
    writeFileSync(file, `${randomBytes(24).toString("hex")}\n`, { mode: 0o600 })
    return file
  }
  const entry = (domain: string): string => `  - name: ${domain}\n    component: { secret: { file: ${text(secretOf(domain))} } }\n`
  const addFile = ({ domain }: Certified): void => replace(join(tenants, `${domain}.yaml`), `domains:\n${entry(domain)}`)
  for (const each of customers) install(each)
  let domains = oneFile ? customers.map(({ domain }) => entry(domain)).join("") : ""
  const file = join(folder, "config.yaml")
  const write = (): void =>
    replace(
      file,
      [
        `listen: { s2s: ["${world.address}:5269"], components: ["${world.address}:5347"] }`,
        "federation:",
        `  resolver: { address: "${world.dns.address}:${world.dns.port}", dnssec: off }`,
        `  trust: ${text(join(folder, "roots.pem"))}`,
        '  allow: { networks: ["127.0.0.0/8"], names: [example] }',
        `certificates: { dirs: [${text(certificates)}] }`,
        "limits: { unauthenticatedPerIp: 1000 }",
        "log: { level: info, format: json }",
        oneFile ? `domains:\n${domains}` : "include: [tenants.d/*.yaml]",
        "",
      ].join("\n"),
    )
  if (!oneFile) for (const each of customers) addFile(each)
  write()
  const peer = startProcess("gateway", process.execPath, [join(project, "src/cli/main.ts"), "serve", "--config", file], { folder })
  return {
    peer,
    address: world.address,
    renew: async (certified) => install(certified),
    add: async (certified) => {
      install(certified)
      if (!oneFile) return addFile(certified)
      domains += entry(certified.domain)
      write()
      peer.signal("SIGHUP")
    },
  }
}

const xmppPorts = "s2s_ports = { 5269 }; component_ports = { }; c2s_ports = { }; http_ports = { }; https_ports = { }; s2s_direct_tls_ports = { }"

/** A VirtualHost each, certificates found in Prosody's own folder of certificates. */
export function startProsody(world: HostingWorld, customers: readonly Certified[]): HostingServer {
  const folder = temporaryFolder("hosting-prosody")
  const certificates = join(folder, "certificates")
  for (const each of [certificates, join(folder, "store")]) mkdirSync(each)
  writeFileSync(join(folder, "roots.pem"), world.caPem)
  const install = ({ domain, chainPem, keyPem }: Certified): void => {
    replace(join(certificates, `${domain}.key`), keyPem)
    replace(join(certificates, `${domain}.crt`), chainPem)
  }
  const host = ({ domain }: Certified): string => `VirtualHost ${text(domain)}\n`
  for (const each of customers) install(each)
  let hosts = customers.map(host).join("")
  const file = join(folder, "prosody.cfg.lua")
  const write = (): void =>
    replace(
      file,
      [
        "run_as_root = true",
        "daemonize = false",
        `pidfile = ${text(join(folder, "prosody.pid"))}`,
        `data_path = ${text(join(folder, "store"))}`,
        `certificates = ${text(certificates)}`,
        'log = { { levels = { min = "info" }, to = "console", timestamps = false } }',
        `interfaces = { ${text(world.address)} }`,
        xmppPorts,
        'modules_enabled = { "posix", "tls", "s2s", "saslauth", "dialback", "disco", "admin_shell" }',
        'modules_disabled = { "c2s", "http", "limits" }',
        `admin_socket = ${text(join(folder, "admin.sock"))}`,
        'authentication = "internal_plain"',
        'storage = "memory"',
        hosts,
      ].join("\n"),
    )
  write()
  const peer = startProcess("prosody", "/usr/bin/prosody", ["--config", file, "-F"], { folder })
  const reload = async (): Promise<void> => peer.signal("SIGHUP")
  return {
    peer,
    address: world.address,
    renew: async (certified) => {
      install(certified)
      await reload()
    },
    add: async (certified) => {
      install(certified)
      hosts += host(certified)
      write()
      await reload()
      // A reload reads the file; a new VirtualHost is activated by the shell.
      const shell = startProcess("prosodyctl", "/usr/bin/prosodyctl", ["--config", file, "shell", `host:activate(${text(certified.domain)})`])
      await shell.exited
    },
  }
}

/** `hosts` and `certfiles`; told of changes over its own HTTP interface, as `ejabberdctl reload_config` does by Erlang's. */
export function startEjabberd(world: HostingWorld, customers: readonly Certified[]): HostingServer {
  const folder = temporaryFolder("hosting-ejabberd")
  const certificates = join(folder, "certificates")
  for (const each of [certificates, join(folder, "spool")]) mkdirSync(each)
  writeFileSync(join(folder, "roots.pem"), world.caPem)
  const install = ({ domain, chainPem, keyPem }: Certified): void => replace(join(certificates, `${domain}.pem`), `${keyPem}\n${chainPem}`)
  for (const each of customers) install(each)
  let hosts = customers.map(({ domain }) => `  - ${text(domain)}`).join("\n")
  const file = join(folder, "ejabberd.yml")
  const control = 5281
  const write = (): void =>
    replace(
      file,
      [
        "loglevel: info",
        "log_rotate_count: 0",
        "hosts:",
        hosts,
        "certfiles:",
        `  - ${text(join(certificates, "*.pem"))}`,
        `ca_file: ${text(join(folder, "roots.pem"))}`,
        "s2s_use_starttls: required",
        "listen:",
        `  - { port: 5269, ip: ${text(world.address)}, module: ejabberd_s2s_in, max_stanza_size: 524288, backlog: 128 }`,
        `  - { port: ${control}, ip: ${text(world.address)}, module: ejabberd_http, request_handlers: { /api: mod_http_api } }`,
        "api_permissions:",
        '  "bench":',
        "    from: mod_http_api",
        '    who: { access: { allow: { ip: "127.0.0.0/8" } } }',
        '    what: "*"',
        "shaper_rules: { s2s_shaper: none }",
        "modules:",
        "  mod_disco: {}",
        "  mod_s2s_dialback: {}",
        "  mod_http_api: {}",
        "",
      ].join("\n"),
    )
  write()
  const numbers = (address: string): string => `{${address.split(".").join(",")}}`
  writeFileSync(
    join(folder, "inetrc"),
    ['{resolv_conf, ""}.', '{hosts_file, ""}.', "{lookup, [file, dns]}.", `{nameserver, ${numbers(world.dns.address)}, ${world.dns.port}}.`, "{edns, false}.", ""].join("\n"),
  )
  const args = ["+K", "true", "+sbwt", "none", "-noinput", "-mnesia", "dir", text(join(folder, "spool")), "-s", "ejabberd"]
  const environment = {
    HOME: folder,
    ERL_LIBS: "/usr/lib/x86_64-linux-gnu",
    ERL_INETRC: join(folder, "inetrc"),
    ERL_CRASH_DUMP_BYTES: "0",
    EJABBERD_CONFIG_PATH: file,
    EJABBERD_LOG_PATH: join(folder, "ejabberd.log"),
    EJABBERD_PID_PATH: join(folder, "ejabberd.pid"),
  }
  const peer = startProcess("ejabberd", "/usr/bin/erl", args, { folder, stopWith: "SIGKILL", cwd: join(folder, "spool"), environment })
  const reload = async (): Promise<void> => {
    const answer = await fetch(`http://${world.address}:${control}/api/reload_config`, { method: "POST", body: "{}", signal: AbortSignal.timeout(120_000) })
    if (!answer.ok) throw new Error(`ejabberd: reload_config answered ${answer.status}: ${await answer.text()}`)
  }
  return {
    peer,
    address: world.address,
    renew: async (certified) => {
      install(certified)
      await reload()
    },
    add: async (certified) => {
      install(certified)
      hosts += `\n  - ${text(certified.domain)}`
      write()
      await reload()
    },
  }
}
