// One real server with a virtual host for every way to be right or wrong, in a signed lab, and an inspector beside it; what `check`
// says of each is a table in the test files that use it.
import { inspect } from "../../src/inspect/ladder.ts"
import type { InspectQuestion } from "../../src/inspect/question.ts"
import { type DomainResult, domainSchema } from "../../src/inspect/report.ts"
import { type IssuedCertificate, selfSigned } from "../../src/lab/certificate-authority.ts"
import type { Internet } from "../../src/lab/internet.ts"
import { type LabTlsa, publish } from "../../src/lab/publish.ts"
import { wellKnown } from "../../src/lab/scenes/posh-hosting.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { fingerprintsDocument } from "../../src/gateway/posh-document.ts"
import { type Inspector, inspector } from "../inspect/support.ts"
import type { PeerDomain } from "./peers/prosody.ts"
import type { World } from "./world.ts"

const DAY = 86_400_000
const ee: LabTlsa = { usage: 3, selector: 1, matching: 1 }

/** Every virtual host is called after its case, below `example`. */
export const cases = ["good", "self-signed", "expired", "wrong-name", "missing-intermediate", "dane-good", "dane-stale", "posh", "dead-ipv6", "no-service", "unknown-host", "in-clear", "without-sasl"] as const
export type Case = (typeof cases)[number]
/** What a certificate names that is not the domain's own. */
export const elsewhere = "a-hoster.example"
export const domainOf = (name: Case): string => `${name}.example`

/** What an inspector without a certificate says: level, verdict, and every finding that is more than information. */
export const usual: Readonly<Record<Case, string>> = {
  good: "authenticated ok",
  "self-signed": "encrypted bad cert.self-signed",
  expired: "encrypted bad cert.expired",
  "wrong-name": "encrypted bad pkix.name-mismatch",
  "missing-intermediate": "encrypted bad cert.incomplete-chain",
  "dane-good": "authenticated ok",
  "dane-stale": "none bad dane.mismatch",
  posh: "authenticated ok",
  "dead-ipv6": "authenticated ok reach.ipv6-dead",
  "no-service": "none bad dns.srv-refused",
  "unknown-host": "none bad stream.host-unknown",
  "in-clear": "verified bad tls.not-offered",
  "without-sasl": "authenticated ok",
}

export interface CheckWorld {
  readonly net: Internet
  readonly address: string
  /** What the server is started with. */
  readonly domains: readonly PeerDomain[]
  readonly certificates: ReadonlyMap<Case, IssuedCertificate>
  readonly inspector: Inspector
  /** The cases in use, each with what is usually said of it. */
  readonly expected: readonly (readonly [Case, string])[]
  /** Of all prooftypes and dialback: `pkix proved, dane absent, ...`. */
  proofs(name: Case): Promise<string>
  look(name: Case, more?: Partial<InspectQuestion>): Promise<DomainResult>
  /** A domain of ours, with a certificate to log in with. */
  ours(name: string, kind: "good" | "server-only" | "self-signed"): NonNullable<InspectQuestion["from"]>
}

function certificateOf(name: Case, net: Internet, now: number, other: IssuedCertificate): IssuedCertificate {
  // ejabberd looks for a certificate by the names inside, and takes the first it has where none fits: so there is one of this kind.
  if (name === "wrong-name" || name === "posh") return other
  const names = { dns: [domainOf(name)] }
  if (name === "self-signed" || name === "dane-good") return selfSigned({ now, names })
  if (name === "expired") return net.authority.issue({ names, notBefore: now - 40 * DAY, notAfter: now - DAY })
  if (name === "missing-intermediate") return net.authority.intermediate({ commonName: "Middle" }).issue({ names })
  return net.authority.issue({ names })
}

/** Publishes all of it in the lab; the server is still to be started at `address`, with `domains`. */
export async function checkWorld(world: World, except: readonly Case[] = []): Promise<CheckWorld> {
  const here = await inspector()
  world.add({ close: () => here.close() })
  const { net } = here
  const address = await world.address()
  const now = Date.now()
  const other = net.authority.issue({ names: { dns: [elsewhere] } })
  const certificates = new Map<Case, IssuedCertificate>()
  const domains: PeerDomain[] = []
  for (const name of cases) {
    if (except.includes(name)) continue
    const domain = domainOf(name)
    const certificate = certificateOf(name, net, now, other)
    certificates.set(name, certificate)
    const tlsa = name === "dane-good" ? [ee] : name === "dane-stale" ? [{ ...ee, of: "stale" as const }] : []
    const zone = tlsa.length > 0 ? { targets: [{ name: `xmpp.${domain}`, tlsa }] } : undefined
    publish(net.signed.zones, { domain, zone, s2s: { address, port: 5269 }, transport: "starttls", certificate, issuer: net.authority.certificate })
    net.signed.zones.set(`_xmpp-client._tcp.${domain}`, { SRV: [[0, 0, 5222, `xmpp.${domain}`]] })
    if (name === "dead-ipv6") net.signed.zones.set(`xmpp.${domain}`, { A: [address], AAAA: ["::1"] })
    if (name === "no-service") net.signed.zones.set(`_xmpp-server._tcp.${domain}`, { SRV: [[0, 0, 0, "."]] })
    if (name === "no-service" || name === "unknown-host") continue
    const chainPem = name === "missing-intermediate" ? certificate.pem : certificate.chainPem
    domains.push({ name: domain, identity: { chainPem, keyPem: certificate.keyPem }, inClear: name === "in-clear", withoutSasl: name === "without-sasl" })
  }
  // Whichever of its certificates the server takes for a host that it has none for.
  const all = [...new Set(certificates.values())].map(({ der }) => der)
  net.web({ host: domainOf("posh"), answers: { [wellKnown]: { body: fingerprintsDocument(all, 86_400) } } })
  const look: CheckWorld["look"] = async (name, more = {}) => {
    const { result } = await inspect(here.question(domainOf(name), more), here.ports, new AbortController().signal)
    domainSchema.parse(result)
    return result
  }
  return {
    net,
    address,
    domains,
    certificates,
    inspector: here,
    expected: cases.flatMap((name) => (except.includes(name) ? [] : [[name, usual[name]] as const])),
    proofs: async (name) => (await look(name)).proofs.map(({ proof, state }) => `${proof} ${state}`).join(", "),
    look,
    ours(name, kind) {
      const names = { dns: [name] }
      const certificate = kind === "self-signed" ? selfSigned({ now, names }) : net.authority.issue({ names, ...(kind === "server-only" ? { eku: ["serverAuth"] } : {}) })
      return { domain: parseDomain(name), credentials: { certificatePem: certificate.chainPem, keyPem: certificate.keyPem } }
    },
  }
}

/** Level, whether it is as expected, and what was found that is more than information. */
export function told({ level, ok, unknown, findings }: DomainResult): string {
  const found = findings.filter(({ severity }) => severity !== "info").map(({ id }) => id)
  return [level ?? "none", ok ? "ok" : unknown ? "unknown" : "bad", ...found].join(" ")
}
