// The dial guard as pure functions: which names may be claimed and which addresses may be dialled (security.md 17).
import { type AddressBytes, addressText, type Cidr, inNetwork, parseAddress, parseCidr } from "./address.ts"
import { isIpLiteral, tryDomain } from "./domain.ts"

export { addressText, type Cidr, CidrError, parseAddress, parseCidr } from "./address.ts"

export interface OwnListener {
  readonly address: string
  readonly port: number
}

/** `federation.allow` and what we listen on ourselves. */
export interface ReachPolicy {
  /** Networks that may be dialled although they are special. */
  readonly networks: readonly Cidr[]
  /** Names allowed although they are special, with everything below them; lower case, no dots at the ends. */
  readonly names: readonly string[]
  /** Never dialled, whatever is allowed. "0.0.0.0" and "::" stand for every loopback address too; list the others one by one. */
  readonly ownListeners: readonly OwnListener[]
}

export type NameRefusal = "not-a-name" | "ip-literal" | "single-label" | "special-use"
export type AddressRefusal =
  | "not-an-address"
  | "loopback"
  | "private"
  | "shared"
  | "link-local"
  | "multicast"
  | "unspecified"
  | "documentation"
  | "benchmarking"
  | "reserved"
  | "mapped"
  | "translated"
  | "tunnel"
  | "own-listener"

export type GuardResult<Refusal extends string> =
  | { readonly ok: true }
  | { readonly ok: false; readonly refused: Refusal; readonly detail: string }

const allowed = { ok: true } as const

/** Nothing special may be reached. */
export const publicInternetOnly: ReachPolicy = { networks: [], names: [], ownListeners: [] }

/** RFC 6761 registry, RFC 9476, ICANN's private-use and never-delegated names, and habits of home routers. */
const specialUseNames = new Set([
  "alt",
  "arpa",
  "corp",
  "example",
  "example.com",
  "example.net",
  "example.org",
  "home",
  "internal",
  "intranet",
  "invalid",
  "lan",
  "local",
  "localdomain",
  "localhost",
  "mail",
  "onion",
  "private",
  "test",
])

/** The name itself and each name above it. */
function* upwards(name: string): Generator<string> {
  for (let rest = name; ; rest = rest.slice(rest.indexOf(".") + 1)) {
    yield rest
    if (!rest.includes(".")) return
  }
}

/**
 * Before any I/O for a claim: IP literals, single labels and special-use names are refused (security.md 17).
 *
 * @param name a domain as A-labels; anything else is refused
 */
export function guardName(name: string, policy: Pick<ReachPolicy, "names">): GuardResult<NameRefusal> {
  if (isIpLiteral(name)) return { ok: false, refused: "ip-literal", detail: `${name} is an IP address; only domain names can be proved` }
  const domain = tryDomain(name)
  if (domain === undefined) return { ok: false, refused: "not-a-name", detail: `${JSON.stringify(name)} is not a domain name` }
  for (const suffix of upwards(domain)) if (policy.names.includes(suffix)) return allowed
  for (const suffix of upwards(domain)) {
    if (specialUseNames.has(suffix))
      return { ok: false, refused: "special-use", detail: `${domain} is below the special-use name ${suffix} (RFC 6761)` }
  }
  if (!domain.includes(".")) return { ok: false, refused: "single-label", detail: `${domain} is a single label` }
  return allowed
}

const table = (rows: readonly (readonly [string, AddressRefusal, string])[]) =>
  rows.map(([network, refused, words]) => ({ network: parseCidr(network), refused, words }))

/** IANA special-purpose registries (RFC 6890), the more specific row first. */
const specialNetworks = table([
  ["0.0.0.0/32", "unspecified", "the unspecified address"],
  ["0.0.0.0/8", "reserved", '"this network"'],
  ["10.0.0.0/8", "private", "private (RFC 1918)"],
  ["100.64.0.0/10", "shared", "carrier-grade NAT (RFC 6598)"],
  ["127.0.0.0/8", "loopback", "loopback"],
  ["169.254.0.0/16", "link-local", "link-local (RFC 3927)"],
  ["172.16.0.0/12", "private", "private (RFC 1918)"],
  ["192.0.0.0/24", "reserved", "protocol assignments (RFC 6890)"],
  ["192.0.2.0/24", "documentation", "documentation (RFC 5737)"],
  ["192.88.99.0/24", "tunnel", "a 6to4 relay (RFC 7526)"],
  ["192.168.0.0/16", "private", "private (RFC 1918)"],
  ["198.18.0.0/15", "benchmarking", "benchmarking (RFC 2544)"],
  ["198.51.100.0/24", "documentation", "documentation (RFC 5737)"],
  ["203.0.113.0/24", "documentation", "documentation (RFC 5737)"],
  ["224.0.0.0/4", "multicast", "multicast"],
  ["240.0.0.0/4", "reserved", "reserved or broadcast"],
  ["::/128", "unspecified", "the unspecified address"],
  ["::1/128", "loopback", "loopback"],
  ["::ffff:0:0/96", "mapped", "IPv4-mapped"],
  ["::ffff:0:0:0/96", "translated", "IPv4-translated (RFC 2765)"],
  ["::/96", "mapped", "IPv4-compatible"],
  ["64:ff9b::/96", "translated", "NAT64 (RFC 6052)"],
  ["64:ff9b:1::/48", "translated", "local-use NAT64 (RFC 8215)"],
  ["100::/64", "reserved", "discard-only (RFC 6666)"],
  ["2001::/32", "tunnel", "Teredo (RFC 4380)"],
  ["2001:2::/48", "benchmarking", "benchmarking (RFC 5180)"],
  ["2001:db8::/32", "documentation", "documentation (RFC 3849)"],
  ["2001::/23", "reserved", "protocol assignments (RFC 2928)"],
  ["2002::/16", "tunnel", "6to4 (RFC 3056)"],
  ["3fff::/20", "documentation", "documentation (RFC 9637)"],
  ["fc00::/7", "private", "unique local (RFC 4193)"],
  ["fe80::/10", "link-local", "link-local"],
  ["fec0::/10", "private", "site-local (RFC 3879)"],
  ["ff00::/8", "multicast", "multicast"],
])

const globalUnicast = parseCidr("2000::/3")

/** Where an IPv6 form carries an IPv4 address that the packet will reach in the end. */
const embeddings: readonly (readonly [Cidr, (bytes: AddressBytes) => AddressBytes])[] = [
  [parseCidr("::ffff:0:0/96"), (bytes) => bytes.slice(12)],
  [parseCidr("::ffff:0:0:0/96"), (bytes) => bytes.slice(12)],
  [parseCidr("::/96"), (bytes) => bytes.slice(12)],
  [parseCidr("64:ff9b::/96"), (bytes) => bytes.slice(12)],
  [parseCidr("64:ff9b:1::/48"), (bytes) => bytes.slice(12)],
  [parseCidr("2002::/16"), (bytes) => bytes.slice(2, 6)],
  [parseCidr("2001::/32"), (bytes) => bytes.slice(12).map((byte) => byte ^ 0xff)],
]

function specialUse(bytes: AddressBytes): { refused: AddressRefusal; words: string } | undefined {
  for (const row of specialNetworks) if (inNetwork(bytes, row.network)) return row
  // Outside 2000::/3 nothing is global unicast (RFC 4291 2.4).
  if (bytes.length === 16 && !inNetwork(bytes, globalUnicast)) return { refused: "reserved", words: "not global unicast" }
  return undefined
}

function guardBytes(bytes: AddressBytes, networks: readonly Cidr[]): GuardResult<AddressRefusal> {
  if (!networks.some((network) => inNetwork(bytes, network))) {
    const special = specialUse(bytes)
    if (special !== undefined) return { ok: false, refused: special.refused, detail: `${addressText(bytes)} is ${special.words}` }
    return allowed
  }
  // ::1 and :: lie in ::/96 but embed nothing.
  if (bytes.length === 4 || addressText(bytes) === "::1" || addressText(bytes) === "::") return allowed
  // An allowed NAT64 or tunnel prefix is no way round: the IPv4 address inside is judged as well.
  const embedding = embeddings.find(([network]) => inNetwork(bytes, network))
  return embedding === undefined ? allowed : guardBytes(embedding[1](bytes), networks)
}

function isLoopback(bytes: AddressBytes): boolean {
  return bytes.length === 4 ? bytes[0] === 127 : addressText(bytes) === "::1"
}

function sameHost(address: AddressBytes, listener: AddressBytes): boolean {
  const unmapped = address.length === 16 && inNetwork(address, embeddings[0]![0]) ? address.slice(12) : address
  if (listener.every((byte) => byte === 0)) return isLoopback(unmapped) || unmapped.every((byte) => byte === 0)
  return unmapped.length === listener.length && unmapped.every((byte, index) => byte === listener[index])
}

/** What was said of addresses of late, by the networks that are allowed: hundreds of domains of one host lead to the same one. */
const judged = new WeakMap<ReachPolicy["networks"], Map<string, GuardResult<AddressRefusal>>>()
const judgedAtOnce = 256

function guardKnown(address: string, bytes: AddressBytes, networks: ReachPolicy["networks"]): GuardResult<AddressRefusal> {
  let known = judged.get(networks)
  if (known === undefined || known.size >= judgedAtOnce) judged.set(networks, (known = new Map()))
  let result = known.get(address)
  if (result === undefined) known.set(address, (result = guardBytes(bytes, networks)))
  return result
}

/**
 * The resolved address that is dialled next, without a second lookup in between (security.md 17).
 *
 * @param address a dotted quad or an IPv6 address, without brackets and zone
 * @param port where it is known; own listeners are refused only then
 */
export function guardAddress(address: string, policy: ReachPolicy, port?: number): GuardResult<AddressRefusal> {
  const bytes = parseAddress(address)
  if (bytes === undefined) return { ok: false, refused: "not-an-address", detail: `${JSON.stringify(address)} is not an IP address` }
  for (const listener of policy.ownListeners) {
    if (listener.port !== port) continue
    const own = parseAddress(listener.address)
    if (own !== undefined && sameHost(bytes, own)) {
      return { ok: false, refused: "own-listener", detail: `${address} port ${port} is our own listener` }
    }
  }
  return guardKnown(address, bytes, policy.networks)
}
