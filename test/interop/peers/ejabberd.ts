// Debian's ejabberd 23.01 in the foreground, without Erlang distribution, with a configuration of our own, on one loopback address.
import { mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { startProcess, temporaryFolder, untilListening } from "./process.ts"
import type { ForeignServer, ForeignServerOptions } from "./prosody.ts"

/** ejabberd starts all listeners of one address in the order of the file; components are listed last. */
export async function startEjabberd(options: ForeignServerOptions): Promise<ForeignServer> {
  if (options.secureAuth === options.dialback) throw new Error("ejabberd verifies certificates strictly exactly when it has no dialback")
  const folder = temporaryFolder("ejabberd")
  mkdirSync(join(folder, "spool"))
  writeFileSync(join(folder, "roots.pem"), options.caPem)
  const certificates: string[] = []
  const installed = new Set<object>()
  const install = (name: string, identity: { chainPem: string; keyPem: string }): void => {
    // It reads each file: a certificate of hundreds of domains once.
    if (installed.has(identity)) return
    installed.add(identity)
    const file = join(folder, `${name}.pem`)
    writeFileSync(file, `${identity.keyPem}\n${identity.chainPem}`, { mode: 0o600 })
    certificates.push(file)
  }
  for (const domain of options.domains) {
    install(domain.name, domain.identity)
    for (const component of domain.components ?? []) install(component.name, component.identity)
    if (domain.rooms !== undefined) install(domain.rooms.name, domain.rooms.identity)
  }
  const components = options.domains.flatMap((domain) => domain.components ?? [])
  const rooms = options.domains.filter((domain) => domain.rooms !== undefined)
  const inClear = options.domains.filter((domain) => domain.inClear === true)
  const text = (value: string): string => JSON.stringify(value)
  const config = [
    `loglevel: ${options.debug === true ? "debug" : "info"}`,
    "log_rotate_count: 0",
    "hosts:",
    ...options.domains.map((domain) => `  - ${text(domain.name)}`),
    "certfiles:",
    ...certificates.map((file) => `  - ${text(file)}`),
    `ca_file: ${text(join(folder, "roots.pem"))}`,
    `s2s_cafile: ${text(join(folder, "roots.pem"))}`,
    "s2s_use_starttls: required",
    "listen:",
    `  - { port: 5269, ip: ${text(options.address)}, module: ejabberd_s2s_in, max_stanza_size: 524288, backlog: 128 }`,
    ...(options.clients === true ? [`  - { port: 5222, ip: ${text(options.address)}, module: ejabberd_c2s, starttls_required: true }`] : []),
    `  - port: 5347`,
    `    ip: ${text(options.address)}`,
    "    module: ejabberd_service",
    // Its own default of 5 loses connections on a busy machine.
    "    backlog: 128",
    "    access: all",
    ...(components.length === 0
      ? []
      : ["    hosts:", ...components.map((one) => `      ${text(one.name)}: { password: ${text(one.secret)} }`)]),
    ...(inClear.length === 0 ? [] : ["host_config:"]),
    ...inClear.flatMap((domain) => [`  ${text(domain.name)}:`, "    s2s_use_starttls: false"]),
    "shaper_rules: { s2s_shaper: none }",
    "modules:",
    "  mod_disco: {}",
    "  mod_ping: {}",
    ...(options.dialback ? ["  mod_s2s_dialback: {}"] : []),
    // A host's own list of modules would replace the one above, so this is the form that adds to it.
    ...(rooms.length === 0 ? [] : ["append_host_config:"]),
    ...rooms.flatMap((domain) => [
      `  ${text(domain.name)}:`,
      "    modules:",
      `      mod_muc: { host: ${text(domain.rooms?.name ?? "")}, access_create: all, default_room_options: { public: true } }`,
    ]),
  ]
  const file = join(folder, "ejabberd.yml")
  writeFileSync(file, `${config.join("\n")}\n`)
  const address = (value: string): string => `{${value.split(".").join(",")}}`
  writeFileSync(
    join(folder, "inetrc"),
    [
      '{resolv_conf, ""}.',
      '{hosts_file, ""}.',
      "{lookup, [file, dns]}.",
      `{nameserver, ${address(options.dns.address)}, ${options.dns.port}}.`,
      "{edns, false}.",
      "{cache_size, 0}.",
      "",
    ].join("\n"),
  )
  const libraries = "/usr/lib/x86_64-linux-gnu"
  const folders = readdirSync(libraries).filter((name) => /^ejabberd-[\d.]+(-\d+)?$/.test(name))
  if (folders.length === 0) throw new Error(`no ejabberd below ${libraries}`)
  const peer = startProcess(
    "ejabberd",
    "/usr/bin/erl",
    ["+K", "true", "+sbwt", "none", "-noinput", "-mnesia", "dir", JSON.stringify(join(folder, "spool")), "-s", "ejabberd"],
    {
      folder,
      stopWith: "SIGKILL", // an orderly end takes seconds and there is nothing to save
      cwd: join(folder, "spool"),
      environment: {
        HOME: folder,
        ERL_LIBS: libraries,
        ERL_INETRC: join(folder, "inetrc"),
        ERL_CRASH_DUMP_BYTES: "0",
        EJABBERD_CONFIG_PATH: file,
        EJABBERD_LOG_PATH: join(folder, "ejabberd.log"),
        EJABBERD_PID_PATH: join(folder, "ejabberd.pid"),
      },
    },
  )
  try {
    await untilListening(peer, "ejabberd", options.address, 5269)
    await untilListening(peer, "ejabberd", options.address, 5347)
    await peer.waitForLog(/Start accepting TCP connections at .*5347/)
  } catch (error) {
    await peer.stop()
    throw error
  }
  return Object.assign(peer, {
    address: options.address,
    s2s: { address: options.address, port: 5269 },
    component: { address: options.address, port: 5347 },
  })
}
