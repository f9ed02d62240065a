// Debian's Prosody 0.12 in the foreground with a configuration of our own, on one loopback address.
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type DnsServer, type Identity, type PeerProcess, startProcess, temporaryFolder, untilListening } from "./process.ts"

export interface PeerDomain {
  readonly name: string
  readonly identity: Identity
  /** XEP-0114 components of this server, each a domain of its own. */
  readonly components?: readonly { readonly name: string; readonly secret: string; readonly identity: Identity }[]
  /** A multi-user chat service (XEP-0045). */
  readonly rooms?: { readonly name: string; readonly identity: Identity }
  /** It offers no TLS and asks for none. */
  readonly inClear?: boolean
  /** Prosody: it offers no SASL, so that dialback is all there is. */
  readonly withoutSasl?: boolean
}

export interface ForeignServerOptions {
  /** Loopback address of its own; 5269 and 5347 are bound there. */
  readonly address: string
  readonly domains: readonly PeerDomain[]
  readonly dns: DnsServer
  /** Roots it believes, as PEM. */
  readonly caPem: string
  /** Prosody: s2s_secure_auth. ejabberd knows only "no dialback at all", so there it must be the opposite of `dialback`. */
  readonly secureAuth: boolean
  readonly dialback: boolean
  /** Also listen on 5222 for clients. */
  readonly clients?: boolean
  /** Log everything, stanzas included. */
  readonly debug?: boolean
}

export interface ForeignServer extends PeerProcess {
  readonly address: string
  readonly s2s: DnsServer
  readonly component: DnsServer
}

const lua = (text: string): string => JSON.stringify(text)

export interface ProsodyOptions {
  /** Also listen on 5270 without STARTTLS and use `_xmpps-server` when it finds one (XEP-0368). */
  readonly directTls?: boolean
  /** DS records, one a line; it then validates DNS and uses DANE for the servers it connects to. */
  readonly trustAnchors?: string
  /** Further modules of its own. */
  readonly modules?: readonly string[]
  /** Say `<errors/>` in the dialback feature. Its dialback stays as it is, which has none. */
  readonly saysErrors?: boolean
}

/** Runs after the module that offers dialback (XEP-0220 2.5). */
const saysErrors = `module:hook("s2s-stream-features", function(event)
  local dialback = event.features:get_child("dialback", "urn:xmpp:features:dialback");
  if dialback then dialback:tag("errors"):up(); end
end, -100);
`

export interface Prosody extends ForeignServer {
  /** Its configuration file, for prosodyctl. */
  readonly config: string
}

export async function startProsody(options: ForeignServerOptions & ProsodyOptions): Promise<Prosody> {
  const folder = temporaryFolder("prosody")
  const certificates = join(folder, "certificates")
  mkdirSync(certificates)
  mkdirSync(join(folder, "store"))
  writeFileSync(join(folder, "roots.pem"), options.caPem)
  const { trustAnchors } = options
  if (trustAnchors !== undefined) writeFileSync(join(folder, "anchors"), trustAnchors)
  const trusted = trustAnchors === undefined ? "" : ` trustfile = ${lua(join(folder, "anchors"))},`
  const install = (name: string, identity: Identity): void => {
    writeFileSync(join(certificates, `${name}.crt`), identity.chainPem)
    writeFileSync(join(certificates, `${name}.key`), identity.keyPem, { mode: 0o600 })
  }
  // Prosody reads a certificate for its default port context from the section itself, so each section names its own.
  const tls = (name: string): string =>
    `  ssl = { certificate = ${lua(join(certificates, `${name}.crt`))}, key = ${lua(join(certificates, `${name}.key`))}, cafile = ${lua(join(folder, "roots.pem"))} }`
  // A component has few of the modules above without being told.
  const own = options.saysErrors === true ? ['  modules_enabled = { "says_errors" }'] : []
  const sections: string[] = []
  for (const domain of options.domains) {
    install(domain.name, domain.identity)
    sections.push(`VirtualHost ${lua(domain.name)}`, tls(domain.name))
    const disabled = [...(domain.inClear === true ? ["tls"] : []), ...(domain.withoutSasl === true ? ["saslauth"] : [])]
    if (disabled.length > 0) sections.push(`  modules_disabled = { ${disabled.map(lua).join(", ")} }`)
    if (domain.inClear === true) sections.push("  s2s_require_encryption = false")
    for (const component of domain.components ?? []) {
      install(component.name, component.identity)
      sections.push(`Component ${lua(component.name)}`, `  component_secret = ${lua(component.secret)}`, ...own, tls(component.name))
    }
    if (domain.rooms !== undefined) {
      install(domain.rooms.name, domain.rooms.identity)
      sections.push(
        `Component ${lua(domain.rooms.name)} "muc"`,
        ...own,
        "  restrict_room_creation = false",
        "  muc_room_default_public = true",
        tls(domain.rooms.name),
      )
    }
  }
  const plugins = join(folder, "plugins")
  mkdirSync(plugins)
  writeFileSync(join(plugins, "mod_says_errors.lua"), saysErrors)
  const modules = ["tls", "s2s", "s2s_auth_certs", "saslauth", "disco", "ping", ...(options.clients === true ? ["c2s"] : []), ...(options.dialback ? ["dialback"] : []), ...(options.modules ?? []), ...(options.saysErrors === true ? ["says_errors"] : [])]
  const config = [
    "run_as_root = true",
    "daemonize = false",
    `pidfile = ${lua(join(folder, "prosody.pid"))}`,
    `data_path = ${lua(join(folder, "store"))}`,
    `certificates = ${lua(certificates)}`,
    `plugin_paths = { ${lua(plugins)} }`,
    `log = { { levels = { min = ${lua(options.debug === true ? "debug" : "info")} }, to = "console", timestamps = false } }`,
    `interfaces = { ${lua(options.address)} }`,
    "s2s_ports = { 5269 }",
    `s2s_direct_tls_ports = { ${options.directTls === true ? "5270" : ""} }`,
    "component_ports = { 5347 }",
    `component_interfaces = { ${lua(options.address)} }`,
    `c2s_ports = { ${options.clients === true ? "5222" : ""} }`,
    "c2s_direct_tls_ports = { }",
    "http_ports = { }",
    "https_ports = { }",
    `modules_enabled = { ${modules.map(lua).join(", ")} }`,
    `modules_disabled = { ${options.clients === true ? "" : '"c2s", '}"posix", "http", "limits", "admin_shell" }`,
    "s2s_require_encryption = true",
    `s2s_secure_auth = ${options.secureAuth}`,
    `use_dane = ${trustAnchors !== undefined}`,
    'authentication = "internal_plain"',
    'storage = "memory"',
    `ssl = { cafile = ${lua(join(folder, "roots.pem"))} }`,
    `unbound = { resolvconf = false, hoststxt = false,${trusted} forward = ${lua(`${options.dns.address}@${options.dns.port}`)}, options = { ["do-not-query-localhost:"] = "no" } }`,
    ...sections,
  ]
  const file = join(folder, "prosody.cfg.lua")
  writeFileSync(file, `${config.join("\n")}\n`)
  const peer = startProcess("prosody", "/usr/bin/prosody", ["--config", file, "-F"], { folder })
  try {
    await untilListening(peer, "prosody", options.address, 5269)
    // Without components nobody listens there.
    if (options.domains.some(({ components = [] }) => components.length > 0)) await untilListening(peer, "prosody", options.address, 5347)
  } catch (error) {
    await peer.stop()
    throw error
  }
  return Object.assign(peer, {
    config: file,
    address: options.address,
    s2s: { address: options.address, port: 5269 },
    component: { address: options.address, port: 5347 },
  })
}
