// Zones signed by ldns and served by nsd: a tree no code of ours has touched.
import { execFileSync } from "node:child_process"
import { chmodSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { ZoneRecords, ZoneText } from "../../../src/lab/dns-zones.ts"
import type { NetworkAddress } from "../../../src/ports.ts"
import { startProcess, temporaryFolder, untilListening } from "./process.ts"

export interface LdnsZone {
  readonly apex: string
  /** As ldns-keygen calls it; undefined leaves the zone unsigned. */
  readonly algorithm?: string
  /** Arguments for ldns-signzone, as `-n -s abcd -t 5`. */
  readonly arguments?: readonly string[]
  /** Delegated without DS although signed. */
  readonly island?: boolean
  readonly records: ZoneText
  /** Further lines of the zone file, as they are. */
  readonly lines?: readonly string[]
}

export interface ForeignTree {
  readonly at: NetworkAddress
  /** DS records of the root in zone file form. */
  readonly anchors: string
  stop(): Promise<void>
}

const dotted = (name: string): string => (name === "." ? "." : `${name}.`)

function lines(name: string, records: ZoneRecords): string[] {
  const owner = dotted(name)
  return [
    ...(records.A ?? []).map((one) => `${owner} A ${one}`),
    ...(records.AAAA ?? []).map((one) => `${owner} AAAA ${one}`),
    ...(records.CNAME === undefined ? [] : [`${owner} CNAME ${dotted(records.CNAME)}`]),
    ...(records.DNAME === undefined ? [] : [`${owner} DNAME ${dotted(records.DNAME)}`]),
    ...(records.NS ?? []).map((one) => `${owner} NS ${dotted(one)}`),
    ...(records.SRV ?? []).map(([priority, weight, port, target]) => `${owner} SRV ${priority} ${weight} ${port} ${dotted(target)}`),
    ...(records.TLSA ?? []).map(([usage, selector, matching, hex]) => `${owner} TLSA ${usage} ${selector} ${matching} ${hex}`),
    ...(records.TXT ?? []).map((one) => `${owner} TXT "${one}"`),
  ]
}

/** @param zones the root among them; children before their parents */
export async function startNsd(at: NetworkAddress, zones: readonly LdnsZone[]): Promise<ForeignTree> {
  const folder = temporaryFolder("nsd")
  chmodSync(folder, 0o755)
  const run = (program: string, ...args: string[]): string =>
    execFileSync(program, args, { cwd: folder, encoding: "utf8", timeout: 30_000 }).trim()
  const delegations: { readonly apex: string; readonly lines: readonly string[] }[] = []
  let anchors = ""
  const files: string[] = []
  for (const [index, zone] of zones.entries()) {
    const { apex } = zone
    const below = delegations.filter(
      (one) =>
        one.apex !== apex &&
        (apex === "." || one.apex.endsWith(`.${apex}`)) &&
        !zones.slice(0, index).some((other) => other.apex !== one.apex && one.apex.endsWith(`.${other.apex}`)),
    )
    const text = [
      "$TTL 300",
      `${dotted(apex)} SOA ns.example. hostmaster.example. 1 3600 600 86400 300`,
      `${dotted(apex)} NS ns.example.`,
      ...Object.entries(zone.records).flatMap(([name, records]) => lines(name, records)),
      ...(zone.lines ?? []),
      ...below.flatMap((one) => one.lines),
    ]
    const file = `zone${index}`
    writeFileSync(join(folder, file), `${text.join("\n")}\n`)
    const cut = [`${dotted(apex)} NS ns.example.`]
    if (zone.algorithm === undefined) files.push(file)
    else {
      const bits = zone.algorithm.startsWith("RSA") ? ["-b", "2048"] : []
      const ksk = run("ldns-keygen", "-a", zone.algorithm, ...bits, "-k", dotted(apex))
      const zsk = run("ldns-keygen", "-a", zone.algorithm, ...bits, dotted(apex))
      run("ldns-signzone", ...(zone.arguments ?? []), "-o", dotted(apex), "-f", `${file}.signed`, file, ksk, zsk)
      files.push(`${file}.signed`)
      const ds = run("ldns-key2ds", "-n", "-2", `${ksk}.key`)
      if (apex === ".") anchors = `${ds}\n`
      else if (zone.island !== true) cut.push(ds)
    }
    delegations.push({ apex, lines: cut })
  }
  const settings = zones.map(({ apex }, index) => `zone:\n  name: "${apex}"\n  zonefile: "${files[index]}"\n`).join("")
  writeFileSync(
    join(folder, "nsd.conf"),
    `server:
  ip-address: ${at.address}@${at.port}
  username: ""
  chroot: ""
  zonesdir: "${folder}"
  database: ""
  pidfile: ""
  logfile: ""
  xfrdfile: "${folder}/xfrd.state"
  zonelistfile: "${folder}/zone.list"
  server-count: 1
  rrl-ratelimit: 0
remote-control:
  control-enable: no
${settings}`,
  )
  const process = startProcess("nsd", "/usr/sbin/nsd", ["-d", "-c", join(folder, "nsd.conf")], { folder })
  await untilListening(process, "nsd", at.address, at.port)
  return { at, anchors, stop: () => process.stop() }
}
