// `xmpp-dna dns`: every record that a domain should have for XMPP, from options or from a gateway's configuration (docs/operating.md).
import { Buffer } from "node:buffer"
import { isLoopbackAddress } from "../dns/upstream.ts"
import type { Domain } from "../model/domain.ts"
import { noCertificates } from "../gateway/certificates.ts"
import { loadConfig, type SocketAddress } from "../gateway/config.ts"
import { makeSnapshot } from "../gateway/snapshot.ts"
import { endedSentence, type PublishedFile, readCertificateFile } from "../inspect/publish-certificate.ts"
import { type DnsPlace, dnsRecords, readPlace, type SrvName } from "../inspect/publish-dns.ts"
import { formatRecords, recordFormats, recordObjects } from "../inspect/publish-records.ts"
import { olderUsages, readKind } from "../inspect/publish-tlsa.ts"
import { createGatewayWorld } from "../node/gateway-world.ts"
import { createLog } from "../node/log.ts"
import { exit, Stop } from "./exit.ts"
import { domainOf, note, oneOf, print, readCertificates, told, ttlOf } from "./publish-world.ts"

export interface DnsOptions {
  readonly server: readonly string[]
  readonly directTls: readonly string[]
  readonly client: readonly string[]
  readonly clientDirectTls: readonly string[]
  readonly address: readonly string[]
  readonly cert: readonly string[]
  readonly caa: readonly string[]
  readonly kind: string
  readonly ttl: string
  readonly format: string
  readonly zone?: string
  readonly config?: string
  readonly allowInlineSecrets?: boolean
  readonly yesIMean?: boolean
  readonly json?: boolean
}

/** What a gateway's configuration says about one of its domains. */
interface Configured {
  readonly services: Partial<Record<SrvName, readonly DnsPlace[]>>
  readonly addresses: readonly string[]
  readonly certificates: readonly PublishedFile[]
}

const usualPorts: Readonly<Record<SrvName, number>> = { "xmpp-server": 5269, "xmpps-server": 5270, "xmpp-client": 5222, "xmpps-client": 5223 }

export const dnsCommand = (name: string, options: DnsOptions): Promise<number> =>
  told(options.json, async () => {
    const domain = domainOf(name)
    const kind = readKind(options.kind)
    if (kind.usage < 2 && options.yesIMean !== true) throw new Stop(exit.usage, olderUsages)
    const format = oneOf(options.format, recordFormats, "--format")
    const zone = options.zone === undefined ? undefined : domainOf(options.zone)
    const configured = options.config === undefined ? undefined : await fromConfig(domain, options.config, options.allowInlineSecrets === true)
    const asked = {
      "xmpp-server": places(options.server, "xmpp-server"),
      "xmpps-server": places(options.directTls, "xmpps-server"),
      "xmpp-client": places(options.client, "xmpp-client"),
      "xmpps-client": places(options.clientDirectTls, "xmpps-client"),
    }
    const usual = configured?.services ?? { "xmpp-server": [{ host: domain, port: usualPorts["xmpp-server"] }], "xmpp-client": [{ host: domain, port: usualPorts["xmpp-client"] }] }
    if (configured === undefined && Object.values(asked).every((each) => each === undefined)) note(`taken for granted: ${domain} port 5269 for servers, port 5222 for clients; --server, --client and the like say otherwise`)
    // Whoever names a server names all of them; what was not named is not made up.
    const named = configured !== undefined || Object.values(asked).every((each) => each === undefined) ? usual : {}
    const service = (srv: SrvName): readonly DnsPlace[] | undefined => asked[srv] ?? named[srv]
    const certificates = options.cert.length > 0 ? await readCertificates(options.cert) : (configured?.certificates ?? [])
    for (const file of certificates) {
      const ended = endedSentence(file, Date.now())
      if (ended !== undefined) note(ended)
    }
    const { records, notes } = dnsRecords({
      domain,
      ttl: ttlOf(options.ttl),
      services: { "xmpp-server": service("xmpp-server"), "xmpps-server": service("xmpps-server"), "xmpp-client": service("xmpp-client"), "xmpps-client": service("xmpps-client") },
      addresses: options.address.length > 0 ? options.address : (configured?.addresses ?? []),
      certificates,
      kind,
      caa: options.caa,
    })
    if (options.json === true) print({ schema: 1, kind: "dns", domain, records: recordObjects(records), notes, exit: exit.ok })
    else {
      process.stdout.write(`${formatRecords(records, format, zone === undefined ? {} : { zone }).join("\n")}\n`)
      notes.forEach(note)
    }
    return exit.ok
  })

/** undefined: not named; empty: `none`. */
function places(texts: readonly string[], srv: SrvName): readonly DnsPlace[] | undefined {
  if (texts.length === 0) return undefined
  if (texts.includes("none")) {
    if (texts.length > 1) throw new Stop(exit.usage, `"none" says that ${srv} is not offered, so that no server can be named beside it.`)
    return []
  }
  return texts.map((text) => readPlace(text, usualPorts[srv]))
}

/** The domain's servers are the gateway's listeners, under the name whose certificate is shown. Throws ConfigError as `serve` does. */
async function fromConfig(domain: Domain, path: string, allowInlineSecrets: boolean): Promise<Configured> {
  const world = createGatewayWorld({ log: createLog({ descriptor: 2, level: "warn" }) })
  const { config } = await loadConfig(path, { files: world.startFiles, environment: world.environment, now: world.clock.now(), allowInlineSecrets })
  const hosted = config.domains.get(domain)
  if (hosted === undefined) throw new Stop(exit.usage, `${domain} is not hosted by ${path}: ${[...config.domains.keys()].slice(0, 5).join(", ")}${config.domains.size > 5 ? ", ..." : ""}`)
  const { certificates } = await makeSnapshot(config, 1, noCertificates, { ...world, ownListeners: () => [] })
  const shown = certificates.pick(domain)
  if (shown === undefined) note(`${domain} has no certificate in the configured folders`)
  const host = hosted.certificate ?? domain
  const { s2s, directTls } = config.listen
  const ports = (listeners: readonly SocketAddress[]): DnsPlace[] => [...new Set(listeners.map(({ port }) => port))].filter((port) => port !== 0).map((port) => ({ host, port }))
  const reachable = [...s2s, ...directTls].map(({ address }) => address).filter((address) => address !== "::" && address !== "0.0.0.0" && !isLoopbackAddress(address))
  return {
    services: { "xmpp-server": ports(s2s), ...(directTls.length === 0 ? {} : { "xmpps-server": ports(directTls) }), "xmpp-client": [], "xmpps-client": [] },
    addresses: [...new Set(reachable)],
    certificates: shown === undefined ? [] : [readCertificateFile(Buffer.from(shown.credentials.certificatePem), shown.certificatePath, world.clock.now())],
  }
}
