// Debian's unbound as a validating, or only forwarding, resolver on loopback, and what it thinks of a name.
import { chmodSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { classInternet, type DnsMessage, decodeMessage, encodeMessage, makeQuery, rcodes } from "../../../src/dns/message.ts"
import type { DnsName } from "../../../src/dns/name.ts"
import type { DnsStatus } from "../../../src/model/dns-answer.ts"
import { nodeDnsTransport } from "../../../src/node/dns-transport.ts"
import type { NetworkAddress } from "../../../src/ports.ts"
import { type PeerProcess, startProcess, temporaryFolder, untilListening } from "./process.ts"

export interface UnboundOptions {
  readonly at: NetworkAddress
  /** A resolver, or a server for all zones. */
  readonly forwardTo: NetworkAddress
  /** DS records in zone file form; without them it validates nothing. */
  readonly anchors?: string
}

/** Everything it answers by itself for names that tests use is switched off. */
function configuration(folder: string, { at, forwardTo, anchors }: UnboundOptions): string {
  const validation =
    anchors === undefined
      ? '  module-config: "iterator"\n'
      : `  module-config: "validator iterator"\n  trust-anchor-file: "${folder}/anchors"\n`
  return `server:
  verbosity: 0
  num-threads: 1
  interface: ${at.address}@${at.port}
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "${folder}"
  pidfile: ""
  use-syslog: no
  logfile: ""
  do-not-query-localhost: no
  do-ip6: no
  local-zone: "example." nodefault
  local-zone: "test." nodefault
  qname-minimisation: no
  aggressive-nsec: no
  harden-below-nxdomain: no
  val-sig-skew-min: 0
  val-sig-skew-max: 0
  val-bogus-ttl: 1
  ede: yes
  so-reuseport: no
  outgoing-range: 400
  num-queries-per-thread: 400
  msg-cache-size: 32m
  rrset-cache-size: 64m
  infra-host-ttl: 1
${validation}forward-zone:
  name: "."
  forward-addr: ${forwardTo.address}@${forwardTo.port}
remote-control:
  control-enable: no
`
}

export interface Unbound {
  readonly address: NetworkAddress
  readonly process: PeerProcess
  stop(): Promise<void>
}

export async function startUnbound(options: UnboundOptions): Promise<Unbound> {
  const folder = temporaryFolder("unbound")
  chmodSync(folder, 0o755)
  if (options.anchors !== undefined) writeFileSync(join(folder, "anchors"), options.anchors)
  writeFileSync(join(folder, "unbound.conf"), configuration(folder, options))
  const process = startProcess("unbound", "/usr/sbin/unbound", ["-d", "-c", join(folder, "unbound.conf")], { folder })
  await untilListening(process, "unbound", options.at.address, options.at.port)
  return { address: options.at, process, stop: () => process.stop() }
}

const transport = nodeDnsTransport()

async function query(at: NetworkAddress, name: DnsName, type: number, checkingDisabled: boolean): Promise<DnsMessage> {
  const edns = { udpPayload: 1232, version: 0, dnssecOk: false, flags: 0, options: [] }
  const octets = encodeMessage({ ...makeQuery(4711, { name, type, class: classInternet }, edns), authenticData: true, checkingDisabled })
  const signal = AbortSignal.timeout(20_000)
  const reply = decodeMessage(await transport.exchange(octets, at, "udp", signal, () => true))
  return reply.truncated ? decodeMessage(await transport.exchange(octets, at, "tcp", signal, () => true)) : reply
}

export interface Opinion {
  readonly status: DnsStatus
  readonly message: DnsMessage
}

/** AD is secure; an answer without is insecure; SERVFAIL that vanishes when checking is disabled is bogus (RFC 4035 3.2.2, 3.2.3). */
export async function opinionOf(at: NetworkAddress, name: DnsName, type: number): Promise<Opinion> {
  const message = await query(at, name, type, false)
  if (message.rcode !== rcodes.serverFailure) return { status: message.authenticData ? "secure" : "insecure", message }
  const unchecked = await query(at, name, type, true)
  return { status: unchecked.rcode === rcodes.serverFailure ? "indeterminate" : "bogus", message }
}
