// One server of the lab: a gateway of ours, in this process, on an address of its own, with its certificate and component.
import type { Hosting } from "../federation/contract.ts"
import { altered } from "../gateway/altered.ts"
import { loadConfig } from "../gateway/config.ts"
import { type Gateway, type GatewayWorld, startGateway } from "../gateway/gateway.ts"
import { type Domain, parseDomain } from "../model/domain.ts"
import type { Resolver } from "../model/dns-answer.ts"
import type { FederationEvent } from "../model/events.ts"
import type { RequiredLevel } from "../model/policy.ts"
import type { Log, NetworkAddress, Tls, TlsCredentials } from "../ports.ts"
import { anchorSet } from "../x509/anchors.ts"
import type { AnyProoftype } from "../proof/prooftype.ts"
import { addProoftypes } from "../proof/registry.ts"
import type { XmlElement } from "../xml/element.ts"
import { Cable } from "./cable.ts"
import { type CertificateAuthority, type IssuedCertificate, type IssueOptions, selfSigned } from "./certificate-authority.ts"
import { ComponentClient } from "./component-client.ts"
import { MemoryFiles } from "./memory-files.ts"
import type { LabZone } from "./publish.ts"

export interface LabCertificate {
  /** `lab`: the lab's CA, which every server of the lab knows; `self`: signed by itself; `stranger`: a CA nobody knows. */
  readonly from: "lab" | "self" | "stranger"
  /** Names instead of the server's own domain. */
  readonly names?: readonly string[]
  readonly eku?: readonly ("serverAuth" | "clientAuth")[]
  readonly notBefore?: number
  readonly notAfter?: number
  /** In place of `notAfter`: so long from when it is issued, ms. */
  readonly lasts?: number
  /** Sends its root with the chain, as DANE-TA by digest needs it (RFC 7671 5.2.2). */
  readonly sendsRoot?: boolean
}

/** A further domain on a server, with a component of its own. */
export interface FurtherDomain {
  readonly domain: string
  /** In a few words, for the list of what runs where. */
  readonly what?: string
  /** A certificate of its own; unless given the server's is shown for it, too, whatever names that has. */
  readonly certificate?: LabCertificate
}

/** How one server is set up; what is not said is as an operator should have it. */
export interface ServerSpec {
  readonly domain: string
  /** Further domains that live here: same address, same port. */
  readonly also?: readonly FurtherDomain[]
  /** In a few words, for the list of what runs where. */
  readonly what?: string
  readonly certificate?: LabCertificate
  /** `federation.require`; authenticated unless given. */
  readonly require?: RequiredLevel
  /** Shows its certificate only when others connect to it, never when it connects itself. */
  readonly hidesCertificate?: boolean
  /** Published and served as Direct TLS instead of STARTTLS (XEP-0368). */
  readonly directTls?: boolean
  /** Takes both directions on one connection (XEP-0288); off unless given, so that each direction shows its own proof. */
  readonly bidi?: boolean
  /** Validates DNS from the lab's root, and proves by DANE as well as by PKIX. */
  readonly validates?: boolean
  /** `federation.proofs`; unless given PKIX, and DANE where it validates: who shows POSH asks for it. */
  readonly proofs?: readonly string[]
  /** Acknowledges stanzas and resumes streams (XEP-0198); on unless given. */
  readonly acknowledges?: boolean
  /** Whoever connects to it comes through a cable that the scene can cut. */
  readonly cable?: boolean
  /** Its time passes when the scene says so. */
  readonly movesInTime?: boolean
  /** Shows what its gateway picks from its folder, so that `renew` shows as it would elsewhere; otherwise always the certificate given. */
  readonly picksCertificate?: boolean
  /** How long it waits for a POSH document, ms. */
  readonly poshPatience?: number
  /** Changes the configuration, as its file would say it, before it is read. */
  readonly configure?: (settings: Readonly<Record<string, unknown>>, at: { readonly address: string; readonly webPort: number }) => Readonly<Record<string, unknown>>
  /** What DNS says about the domain, where that is more than SRV and an address. */
  readonly zone?: LabZone
  /** Asks the resolver that can be made to strip signatures. */
  readonly behindStripping?: boolean
  /** Another resolver in the place of the validating one: for weakening one check on purpose. */
  readonly alterResolver?: (validating: Resolver, upstream: NetworkAddress) => Resolver
  /** Prooftypes besides the built-in ones. */
  readonly prooftypes?: readonly AnyProoftype[]
  /** Changes what the federation core reads: for weakening one check on purpose. */
  readonly alter?: (hosting: Hosting) => Hosting
}

/** What a server needs of the internet around it. */
export interface ServerSurroundings {
  readonly world: (log: Log) => GatewayWorld
  readonly address: string
  readonly dns: NetworkAddress
  /** Of every web host of the lab; POSH asks there in place of 443. */
  readonly webPort: number
  /** DS records of the lab's root, one a line. */
  readonly dnsAnchors: string
  readonly authority: CertificateAuthority
  readonly stranger: () => CertificateAuthority
  /** A fresh one each time. */
  secret(): string
  readonly signal: AbortSignal
  event(domain: Domain, event: FederationEvent): void
  received(domain: Domain, stanza: XmlElement): void
}

export interface LabServer {
  readonly domain: Domain
  /** The same server as it is for each of its further domains. */
  readonly also: readonly LabServer[]
  readonly spec: ServerSpec
  readonly certificate: IssuedCertificate
  readonly credentials: TlsCredentials
  /** What others come through; undefined unless asked for. */
  readonly cable: Cable | undefined
  /** Where servers connect to, and how. */
  readonly s2s: NetworkAddress
  readonly transport: "starttls" | "direct-tls"
  readonly componentAddress: NetworkAddress
  readonly componentSecret: string
  readonly gateway: Gateway
  readonly component: ComponentClient
  /** Every event of its federation core, oldest first. */
  readonly events: readonly FederationEvent[]
  /** What its gateway warned of in its log, in sentences, oldest first. */
  readonly warnings: readonly string[]
  /**
   * Puts another certificate with its key in the place of the one on disk, and has the gateway look at it.
   *
   * @throws Error where the gateway refuses it
   */
  renew(certificate: IssuedCertificate): Promise<void>
  close(): Promise<void>
}

/** What the lab's zones allow a resolver to remember, ms. */
const rememberedMs = 60_000
const certificatePath = "/lab/certificates/server.pem"
const secretPath = (domain: string): string => `/lab/secrets/${domain}`
const silent: Log = { write: () => undefined }

/**
 * Starts one server and attaches its component.
 *
 * @throws ConfigError when nothing can be bound
 */
export async function startServer(spec: ServerSpec, around: ServerSurroundings): Promise<LabServer> {
  const domain = parseDomain(spec.domain)
  const further = (spec.also ?? []).map((each) => ({ each, domain: parseDomain(each.domain) }))
  const certificate = issue(domain, spec.certificate ?? { from: "lab" }, around)
  const root = (spec.certificate?.from === "stranger" ? around.stranger() : around.authority).certificate.pem
  const certificatePem = certificate.chainPem + (spec.certificate?.sendsRoot === true ? root : "")
  const credentials: TlsCredentials = { certificatePem, keyPem: certificate.keyPem }
  const ofTheirOwn = new Map(
    further.flatMap(({ each, domain: name }): [Domain, IssuedCertificate][] => (each.certificate === undefined ? [] : [[name, issue(name, each.certificate, around)]])),
  )
  const credentialsOf = new Map<Domain, TlsCredentials>([...ofTheirOwn].map(([name, { chainPem, keyPem }]) => [name, { certificatePem: chainPem, keyPem }]))
  const hosted = new Set([domain, ...further.map(({ domain: name }) => name)])
  const secrets = new Map([...hosted].map((name) => [name, around.secret()]))
  const files = new MemoryFiles({
    "/lab/config.yaml": configText(spec, around),
    ...Object.fromEntries([...secrets].map(([name, secret]) => [secretPath(name), secret])),
    "/lab/root.pem": around.authority.certificate.pem,
    "/lab/root.anchors": around.dnsAnchors,
    [certificatePath]: credentials.certificatePem + credentials.keyPem,
  })
  // Nothing of the lab is on disk, at the start as little as later.
  const warnings: string[] = []
  const { startFiles: _, ...machine } = around.world(warningsInto(warnings))
  const anchors = anchorSet([around.authority.certificate.der])
  const world: GatewayWorld = {
    ...machine,
    files,
    anchors: () => anchors,
    tls: spec.hidesCertificate === true ? hiding(machine.tls) : machine.tls,
    ...(spec.movesInTime === true ? { resolver: forgetting(machine) } : {}),
    ...(spec.alterResolver === undefined ? {} : { resolver: weakened(machine, spec.alterResolver, around.dns) }),
  }
  let given = credentials
  const { config } = await loadConfig("/lab/config.yaml", { files, environment: () => undefined, now: machine.clock.now() })
  const events: FederationEvent[] = []
  const gateway = await startGateway(config, world, {
    poshPort: around.webPort,
    ...(spec.poshPatience === undefined ? {} : { poshLimits: { patience: spec.poshPatience } }),
    event: (event) => {
      events.push(event)
      const own = ownEnd(event)
      around.event(further.find(({ domain: name }) => name === own)?.domain ?? domain, event)
    },
    // A gateway picks certificates by the names inside them; the lab also needs a server that shows the wrong one.
    alterHosting: (hosting) => {
      const shown = altered(hosting, {
        ...(spec.picksCertificate === true ? {} : { credentials: (asked: Domain) => credentialsOf.get(asked) ?? (hosted.has(asked) ? given : undefined) }),
        prooftypes: addProoftypes(hosting.prooftypes, spec.prooftypes ?? []),
      })
      return spec.alter === undefined ? shown : spec.alter(shown)
    },
  })
  const { addresses } = gateway
  const listens = spec.directTls === true ? addresses.directTls[0] : addresses.s2s[0]
  const componentAddress = addresses.components[0]
  const attached: ComponentClient[] = []
  let cable: Cable | undefined
  const close = async (): Promise<void> => {
    for (const component of attached) await component.close()
    await gateway.close()
    await cable?.close()
  }
  // A machine of its own: a gateway's dial refuses the gateway's own listeners.
  const neighbour = around.world(silent)
  const dial = neighbour.dial(() => ({ networks: config.allow.networks, names: config.allow.names, ownListeners: [] }))
  const attach = async (to: NetworkAddress, name: Domain): Promise<ComponentClient> => {
    const component = await ComponentClient.attach({
      dial,
      to,
      domain: name,
      secret: secrets.get(name) ?? "",
      signal: around.signal,
      received: (stanza) => around.received(name, stanza),
    })
    attached.push(component)
    return component
  }
  try {
    if (listens === undefined || componentAddress === undefined || "path" in componentAddress) throw new Error(`${domain} does not listen`)
    if (spec.cable === true) cable = await Cable.lay({ listen: neighbour.listen, dial, at: { address: around.address, port: 0 }, to: listens })
    const server: LabServer = {
      domain,
      also: [],
      spec,
      certificate,
      credentials,
      s2s: cable?.address ?? listens,
      cable,
      transport: spec.directTls === true ? "direct-tls" : "starttls",
      componentAddress,
      componentSecret: secrets.get(domain) ?? "",
      gateway,
      component: await attach(componentAddress, domain),
      events,
      warnings,
      renew: async ({ chainPem, keyPem }) => {
        given = { certificatePem: chainPem, keyPem }
        await files.write(certificatePath, Buffer.from(chainPem + keyPem))
        const result = await gateway.reload()
        if (!result.ok) throw new Error(result.problems.map(({ sentence }) => sentence).join(" "))
      },
      close,
    }
    const also = await Promise.all(
      further.map(async ({ each: { what = `also on the server of ${domain}`, ...each }, domain: name }): Promise<LabServer> => ({
        ...server,
        domain: name,
        spec: { ...spec, ...each, what },
        certificate: ofTheirOwn.get(name) ?? certificate,
        credentials: credentialsOf.get(name) ?? credentials,
        componentSecret: secrets.get(name) ?? "",
        component: await attach(componentAddress, name),
      })),
    )
    return { ...server, also }
  } catch (error) {
    await close()
    throw error
  }
}

/** Which of our domains an event is about. */
function ownEnd(event: FederationEvent): Domain | undefined {
  const pair = event.kind === "associated" ? event.association.pair : event.pair
  return event.direction === "out" ? pair?.sender : pair?.target
}

/** At most a few hundred: a lab may stay up for days. */
function warningsInto(warnings: string[]): Log {
  return {
    write: (level, _event, { text }) => {
      if (level !== "warn" && level !== "error") return
      warnings.push(String(text))
      if (warnings.length > 500) warnings.shift()
    },
  }
}

/** The weakened resolver still passes the test at start: it is the answers that are to be missed. */
function weakened(machine: GatewayWorld, alter: NonNullable<ServerSpec["alterResolver"]>, dns: NetworkAddress): GatewayWorld["resolver"] {
  return async (settings) => {
    const validating = await machine.resolver(settings)
    const weak = alter(validating, dns)
    return { resolve: (name, type, options) => weak.resolve(name, type, options), ability: async () => ({ able: true }) }
  }
}

/** A resolver's memory is by the machine's own clock: where time passes as the scene says, what was known is forgotten in time. */
function forgetting(machine: GatewayWorld): GatewayWorld["resolver"] {
  return async (settings) => {
    let resolver = await machine.resolver(settings)
    let asked = machine.clock.now()
    const fresh = async (): Promise<typeof resolver> => {
      const now = machine.clock.now()
      if (now - asked >= rememberedMs) resolver = await machine.resolver(settings)
      asked = now
      return resolver
    }
    return {
      resolve: async (name, type, options) => (await fresh()).resolve(name, type, options),
      ability: async (signal) => (await resolver.ability?.(signal)) ?? { able: true },
    }
  }
}

/** TLS that shows no certificate when it connects, as a server does that is not set up to. */
function hiding(tls: Tls): Tls {
  return {
    server: (channel, options) => tls.server(channel, options),
    client: (channel, { credentials: _, ...options }) => tls.client(channel, options),
  }
}

function issue(domain: Domain, { from, names, sendsRoot: _, lasts, ...validity }: LabCertificate, around: ServerSurroundings): IssuedCertificate {
  const options: IssueOptions = { names: { dns: names ?? [domain] }, ...validity, ...(lasts === undefined ? {} : { notAfter: around.authority.now + lasts }) }
  if (from === "self") return selfSigned({ ...options, now: around.authority.now })
  return (from === "lab" ? around.authority : around.stranger()).issue(options)
}

/** The configuration of one server, as an operator would write it. JSON is YAML 1.2. */
function configText(spec: ServerSpec, { address, dns, webPort }: ServerSurroundings): string {
  const settings = {
    node: "lab",
    listen: {
      s2s: spec.directTls === true ? [] : [`${address}:0`],
      direct_tls: spec.directTls === true ? [`${address}:0`] : [],
      components: [`${address}:0`],
    },
    federation: {
      require: spec.require ?? "authenticated",
      proofs: spec.proofs ?? (spec.validates === true ? ["pkix", "dane"] : ["pkix"]),
      timeout: "8s",
      bidi: spec.bidi ?? false,
      stream_management: spec.acknowledges ?? true,
      resolver: { address: `${dns.address}:${dns.port}`, ...(spec.validates === true ? { anchors: "/lab/root.anchors" } : { dnssec: "off" }) },
      trust: "/lab/root.pem",
      allow: { networks: ["127.0.0.0/8", "::1/128"], names: ["example", "test"] },
    },
    certificates: { dirs: ["/lab/certificates"], reload: "signal" },
    domains: [spec, ...(spec.also ?? [])].map(({ domain }) => ({ name: domain, component: { secret: { file: secretPath(domain) } } })),
    shutdown: { drain: "0s", deadline: "1s" },
  }
  return JSON.stringify(spec.configure?.(settings, { address, webPort }) ?? settings)
}
