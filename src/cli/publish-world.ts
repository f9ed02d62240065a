// What the publishing commands share: files, the resolver and the web as the options name them, notes, and mistakes as sentences.
import { createPublicKey } from "node:crypto"
import { readFile } from "node:fs/promises"
import { type AnchorSet as DnsAnchorSet, AnchorError as DnsAnchorError, parseAnchors } from "../dns/dnssec/anchors.ts"
import { createResolver, type StubResolver } from "../dns/resolver.ts"
import { type Domain, DomainError, parseDomain } from "../model/domain.ts"
import { ConfigError } from "../model/errors.ts"
import { CidrError, parseCidr, publicInternetOnly, type ReachPolicy } from "../model/reach.ts"
import { readDuration, readSocketAddress, ValueProblem } from "../gateway/config-values.ts"
import { mostFileOctets, type PublishedFile, PublishError, readCertificateFile } from "../inspect/publish-certificate.ts"
import type { TlsaSource } from "../inspect/publish-tlsa.ts"
import { type AskingWorld, createAskingWorld } from "../node/asking-world.ts"
import { nodeDnsTransport, systemUpstreams } from "../node/dns-transport.ts"
import { loadTrust } from "../node/trust.ts"
import type { NetworkAddress } from "../ports.ts"
import { AnchorError, type AnchorSet } from "../x509/anchors.ts"
import { exit, printable, Stop } from "./exit.ts"
import { readInputFile } from "./input-file.ts"

export interface AskOptions {
  readonly resolver?: readonly string[]
  readonly dnsAnchors?: string
  readonly caFile?: string
  readonly allow?: readonly string[]
  readonly timeout?: string
}

/** Words on lines of 80 columns; what is longer than a line stays whole. */
export function wrapped(text: string, indent: string): string {
  const lines: string[] = []
  for (const word of text.split(" ")) {
    const last = lines.at(-1)
    if (last === undefined || last.length + 1 + word.length > 80) lines.push(last === undefined ? word : indent + word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return `${lines.join("\n")}\n`
}

export const note = (text: string): void => void process.stderr.write(wrapped(`note: ${printable(text)}`, "      "))

/** One JSON document, on failure too; what the person did wrong is a sentence and a status. */
export async function told(json: boolean | undefined, run: () => Promise<number>): Promise<number> {
  try {
    return await run()
  } catch (error) {
    const mistake = [PublishError, DomainError, ValueProblem, CidrError].some((kind) => error instanceof kind)
    const known = mistake ? new Stop(exit.usage, (error as Error).message) : error
    if (json === true && known instanceof Stop) print({ error: known.message, exit: known.status })
    if (json === true && known instanceof ConfigError) print({ error: "the configuration is invalid", problems: known.problems, exit: exit.config })
    throw known
  }
}

export function print(document: unknown): void {
  process.stdout.write(`${JSON.stringify(document, null, 2)}\n`)
}

export async function readCertificates(files: readonly string[]): Promise<PublishedFile[]> {
  const found: PublishedFile[] = []
  for (const file of files) {
    const read = readCertificateFile(await readInputFile(file, mostFileOctets), file, Date.now())
    read.notes.forEach(note)
    found.push(read)
  }
  return found
}

/** A key, private or public, whose certificate is still to come. */
export async function readKey(file: string): Promise<TlsaSource> {
  const text = (await readInputFile(file, mostFileOctets)).toString("latin1")
  if (/-----BEGIN (?:X509 )?CERTIFICATE-----/.test(text)) throw new Stop(exit.usage, `${file} holds a certificate, not a key alone.`)
  if (text.includes("ENCRYPTED")) throw new Stop(exit.usage, `${file} is locked with a passphrase: give its public key (openssl pkey -in FILE -pubout).`)
  try {
    return { file, spki: createPublicKey(text).export({ type: "spki", format: "der" }) }
  } catch {
    // The library's own words may quote the file, which may hold a secret.
    throw new Stop(exit.usage, `${file} holds no key that can be read: a PEM file with a private or public key is needed.`)
  }
}

export const domainOf = (text: string): Domain => parseDomain(text)

/** Seconds of a TTL, from `3600` or `1h`. */
export function ttlOf(text: string): number {
  const seconds = /^\d{1,9}$/.test(text) ? Number(text) : readDuration(text, 1000, 604_800_000) / 1000
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > 604_800) throw new Stop(exit.usage, `${JSON.stringify(text)} is no TTL: write seconds, 1h or the like, up to 7d.`)
  return seconds
}

export function portOf(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (port < 1 || port > 65_535) throw new Stop(exit.usage, `${JSON.stringify(text)} is no port.`)
  return port
}

export function oneOf<Word extends string>(text: string, words: readonly Word[], option: string): Word {
  const found = words.find((word) => word === text)
  if (found === undefined) throw new Stop(exit.usage, `${option} ${JSON.stringify(text)}: one of ${words.join(", ")} is needed.`)
  return found
}

/** `--timeout`, ms. */
export const timeoutOf = (text: string | undefined, usual: string): number => readDuration(text ?? usual, 100, 30 * 86_400_000)

function reachOf(allow: readonly string[]): ReachPolicy {
  const networks = allow.filter((each) => each.includes("/"))
  return { ...publicInternetOnly, networks: networks.map(parseCidr), names: allow.filter((each) => !each.includes("/")).map((name) => parseDomain(name)) }
}

async function namedAnchors(file: string): Promise<DnsAnchorSet> {
  try {
    return parseAnchors(await readFile(file, "utf8"))
  } catch (error) {
    if (error instanceof DnsAnchorError || (error instanceof Error && "code" in error)) throw new Stop(exit.usage, `--dns-anchors ${file}: ${error.message}`)
    throw error
  }
}

export function trustOf({ caFile }: AskOptions): AnchorSet {
  try {
    return loadTrust(caFile === undefined ? "system" : { file: caFile })
  } catch (error) {
    if (!(error instanceof AnchorError) && !(error instanceof Error && "code" in error)) throw error
    throw new Stop(caFile === undefined ? exit.unavailable : exit.usage, `${caFile ?? "the system's trust anchors"}: ${error.message}`)
  }
}

export interface Asking {
  readonly resolver: StubResolver
  readonly reach: ReachPolicy
  readonly world: AskingWorld
  /** Asks one server and nobody else, and remembers nothing of it. */
  authoritative(at: NetworkAddress): StubResolver
}

/** The network as the options say; DNSSEC is always validated here. */
export async function asking(options: AskOptions): Promise<Asking> {
  const reach = reachOf(options.allow ?? [])
  const world = createAskingWorld(reach)
  const upstreams = (options.resolver ?? []).map((text) => readSocketAddress(text, 1, 53))
  const asked = upstreams.length > 0 ? upstreams : await systemUpstreams()
  if (asked.length === 0) throw new Stop(exit.unavailable, "no resolver is known: name one with --resolver.")
  const anchors = options.dnsAnchors === undefined ? {} : { anchors: await namedAnchors(options.dnsAnchors) }
  const transport = nodeDnsTransport()
  const { clock, random } = world
  return {
    reach,
    world,
    resolver: createResolver({ dnssec: anchors, upstreams: asked, transport, clock, random }),
    // The whole TTL counts, whatever is kept elsewhere for an hour at most.
    authoritative: (at) => createResolver({ dnssec: "off", upstreams: [at], transport, clock, random, limits: { maxTtl: 0x7fffffff } }),
  }
}
