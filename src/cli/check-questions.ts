// What is asked about each domain, and with which network, as the options of `check` and `watch` say it (docs/check.md).
import { createResolver } from "../dns/resolver.ts"
import { readDuration, readSocketAddress } from "../gateway/config-values.ts"
import type { InspectPorts, InspectQuestion } from "../inspect/question.ts"
import type { CheckReport } from "../inspect/report.ts"
import type { Service } from "../model/verdict.ts"
import { systemUpstreams } from "../node/dns-transport.ts"
import type { Listen } from "../ports.ts"
import { createPosh } from "../proof/posh.ts"
import { selectProoftypes } from "../proof/registry.ts"
import { readPem, serverAddress, type Target } from "./check-targets.ts"
import { exit, Stop } from "./exit.ts"
import { type AskOptions, asking, domainOf, oneOf, portOf, trustOf } from "./publish-world.ts"

/** What both commands take. */
export interface QuestionOptions extends AskOptions {
  readonly service: string
  readonly expect: string
  readonly warnExpiry: string
  readonly own?: boolean
  readonly from?: string
  readonly cert?: string
  readonly key?: string
  readonly connect?: string
  readonly directTls?: boolean
  readonly 4?: boolean
  readonly 6?: boolean
  readonly at?: string
  readonly timeout: string
  readonly dnssec: string
  readonly httpsPort: string
}

const endpointTime = 10_000
const day = 86_400_000

export const expected = (text: string): CheckReport["expect"] => oneOf(text, ["authenticated", "encrypted", "verified"], "--expect")

export async function questionsOf(targets: readonly Target[], options: QuestionOptions): Promise<InspectQuestion[]> {
  const which = oneOf(options.service, ["server", "client", "both"], "--service")
  const services: Service[] = [...(which === "client" ? [] : ["xmpp-server" as const]), ...(which === "server" ? [] : ["xmpp-client" as const])]
  if (options[4] === true && options[6] === true) throw new Stop(exit.usage, "-4 and -6 exclude each other: without them both are asked.")
  const everywhere = options.connect === undefined ? undefined : serverAddress(options.connect)
  if (options.directTls === true && everywhere === undefined && !targets.some(({ connect }) => connect !== undefined)) throw new Stop(exit.usage, "--direct-tls says how to --connect: DNS says it by itself.")
  const total = readDuration(options.timeout, 100, day)
  const from = await fromOf(options)
  const at = momentOf(options.at)
  const common = {
    expect: expected(options.expect),
    expiryWarning: readDuration(options.warnExpiry, 1000, 3650 * day),
    times: { total, endpoint: Math.min(total, endpointTime) },
    ...(from === undefined ? {} : { from }),
    ...(options.own === true ? { own: true } : {}),
    ...(at === undefined ? {} : { at }),
    ...(options[4] === true ? { family: 4 as const } : options[6] === true ? { family: 6 as const } : {}),
  }
  return targets.flatMap(({ domain, connect = everywhere }) =>
    services.map((service) => ({ domain, service, ...common, ...(connect === undefined ? {} : { connect: { ...connect, transport: options.directTls === true ? ("direct-tls" as const) : ("starttls" as const) } }) })),
  )
}

/** ISO 8601, a date or a date with time: the platform's reader takes far more, `1` among it. */
function momentOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const at = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?$/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(at)) throw new Stop(exit.usage, `--at ${JSON.stringify(text)} is no date: write it like 2026-11-22 or 2026-11-22T13:00:00Z.`)
  return at
}

export function concurrencyOf(text: string): number {
  const concurrency = /^\d{1,3}$/.test(text) ? Number(text) : 0
  if (concurrency < 1) throw new Stop(exit.usage, `--concurrency ${JSON.stringify(text)}: a number from 1 to 999 is needed.`)
  return concurrency
}

async function fromOf({ from, cert, key }: QuestionOptions): Promise<InspectQuestion["from"]> {
  if ((cert === undefined) !== (key === undefined)) throw new Stop(exit.usage, "--cert and --key belong together.")
  if (from === undefined) {
    if (cert !== undefined) throw new Stop(exit.usage, "--cert needs --from: whose certificate is it?")
    return undefined
  }
  const domain = domainOf(from)
  if (cert === undefined || key === undefined) return { domain }
  const [certificatePem, keyPem] = await Promise.all([readPem("--cert", cert), readPem("--key", key)])
  const { createSecureContext } = await import("node:tls")
  try {
    createSecureContext({ cert: certificatePem, key: keyPem })
  } catch {
    // The library's own words may quote the file, which holds a secret.
    throw new Stop(exit.usage, `--cert ${cert} and --key ${key} are no certificate with its key in PEM.`)
  }
  return { domain, credentials: { certificatePem, keyPem } }
}

export async function portsOf(options: QuestionOptions): Promise<{ ports: InspectPorts; resolvers: string[]; listen: Listen }> {
  const dnssec = oneOf(options.dnssec, ["validate", "off"], "--dnssec")
  const { world, reach, resolver: validating } = await asking(options)
  const named = (options.resolver ?? []).map((text) => readSocketAddress(text, 1, 53))
  const upstreams = named.length > 0 ? named : await systemUpstreams()
  const { dial, tls, https, clock, random, dnsTransport, listen } = world
  const resolver = dnssec === "validate" ? validating : createResolver({ dnssec: "off", upstreams, transport: dnsTransport, clock, random })
  const prooftypes = selectProoftypes(new Set(["pkix", "dane", "posh"]), { posh: createPosh({ port: portOf(options.httpsPort) }) })
  return {
    listen,
    ports: { dial, tls, https, clock, random, resolver, anchors: trustOf(options), reach, prooftypes },
    resolvers: upstreams.map(({ address, port }) => (address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`)),
  }
}
