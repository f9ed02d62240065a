// What one response says about one question: the alias chain, the records at its end, or their absence (RFC 1034 4.3,
// RFC 2308, RFC 6672). Only records on the chain are looked at; everything else in a response is ignored.
import { Buffer } from "node:buffer"
import type { DnsReasonCode, RecordOf, RecordType } from "../model/dns-answer.ts"
import { classInternet, type DnsMessage, type ResourceRecord, rcodes } from "./message.ts"
import { DnsFormatError, type DnsName, isAtOrBelow, nameKey, sameName, substituteSuffix } from "./name.ts"
import { type RecordContent, shownName, typeNumbers } from "./records.ts"

/** Aliases followed for one question, over all responses. */
export const maxAliases = 16

export type Reading =
  | { readonly kind: "data"; readonly records: readonly ResourceRecord[]; readonly canonical: DnsName; readonly ttl: number }
  | { readonly kind: "no-data" | "name-error"; readonly canonical: DnsName; readonly ttl: number }
  /** The chain leaves this response: the question must be asked again for `canonical`. */
  | { readonly kind: "alias"; readonly canonical: DnsName; readonly ttl: number }
  | { readonly kind: "failure"; readonly code: DnsReasonCode; readonly detail: string }

const fail = (code: DnsReasonCode, detail: string): Reading => ({ kind: "failure", code, detail })

/** The next name of the chain at `owner`, with the TTL of the record that names it. */
function aliasAt(message: DnsMessage, owner: DnsName): { target: DnsName; ttl: number } | "ambiguous" | undefined {
  let found: { target: DnsName; ttl: number } | undefined
  for (const { content, name, ttl } of message.answers) {
    if (content.kind !== "CNAME" || !sameName(name, owner)) continue
    // RFC 2181 10.1: one CNAME for a name.
    if (found !== undefined && !sameName(found.target, content.target)) return "ambiguous"
    found = { target: content.target, ttl }
  }
  if (found !== undefined) return found
  for (const { content, name, ttl } of message.answers) {
    // RFC 6672 2.3: a DNAME redirects what is below its owner, never the owner itself.
    if (content.kind !== "DNAME" || sameName(name, owner) || !isAtOrBelow(owner, name)) continue
    return { target: substituteSuffix(owner, name, content.target), ttl }
  }
  return undefined
}

/** RFC 2308 5: an absence lasts for the lesser of the SOA's own TTL and its minimum field; without SOA it is not kept. */
function negativeTtl(message: DnsMessage, name: DnsName): number | undefined {
  for (const record of message.authorities) {
    if (record.content.kind === "SOA" && isAtOrBelow(name, record.name)) return Math.min(record.ttl, record.content.minimum)
  }
  return undefined
}

function withoutDuplicates(records: readonly ResourceRecord[]): ResourceRecord[] {
  if (records.length < 2) return [...records]
  const seen = new Map<string, ResourceRecord>()
  for (const record of records) seen.set(Buffer.from(record.octets).toString("latin1"), record)
  return [...seen.values()]
}

/**
 * @param message a response whose id and question were checked before
 * @param type number of the type that was asked
 * @param visited keys of the names already met on the chain; grows
 */
export function readAnswer(message: DnsMessage, name: DnsName, type: number, visited: Set<string>): Reading {
  let owner = name
  let ttl = Number.POSITIVE_INFINITY
  visited.add(nameKey(owner))
  for (;;) {
    const records = message.answers.filter(
      (record) => record.type === type && record.class === classInternet && sameName(record.name, owner),
    )
    if (records.length > 0) {
      if (message.rcode !== rcodes.noError) return fail("malformed", "records came with a response code that denies them")
      return {
        kind: "data",
        records: withoutDuplicates(records),
        canonical: owner,
        ttl: records.reduce((least, record) => Math.min(least, record.ttl), ttl),
      }
    }
    let alias: ReturnType<typeof aliasAt>
    try {
      alias = type === typeNumbers.CNAME ? undefined : aliasAt(message, owner)
    } catch (error) {
      if (error instanceof DnsFormatError) return fail("malformed", `a DNAME leads to no name: ${error.message}`)
      throw error
    }
    if (alias === undefined) break
    if (alias === "ambiguous") return fail("malformed", "two CNAME records disagree")
    owner = alias.target
    ttl = Math.min(ttl, alias.ttl)
    if (visited.has(nameKey(owner))) return fail("alias-loop", `the aliases lead back to ${shownName(owner)}`)
    visited.add(nameKey(owner))
    if (visited.size > maxAliases) return fail("alias-too-long", `more than ${maxAliases} aliases`)
  }
  const absence = negativeTtl(message, owner)
  if (message.rcode === rcodes.nameError) return { kind: "name-error", canonical: owner, ttl: Math.min(ttl, absence ?? 0) }
  if (absence !== undefined) return { kind: "no-data", canonical: owner, ttl: Math.min(ttl, absence) }
  if (owner !== name) return { kind: "alias", canonical: owner, ttl }
  // A referral: the server neither serves the zone nor asks others, so it says nothing about the records.
  if (!message.authoritative && !message.recursionAvailable && message.authorities.some((record) => record.content.kind === "NS")) {
    return fail("lame", "the server only refers to others")
  }
  return { kind: "no-data", canonical: owner, ttl: 0 }
}

const hex = (octets: Uint8Array): string => Buffer.from(octets).toString("hex")
const base64 = (octets: Uint8Array): string => Buffer.from(octets).toString("base64")

function modelRecord(content: RecordContent): RecordOf<RecordType> | undefined {
  switch (content.kind) {
    case "A":
    case "AAAA":
      return { address: content.address }
    case "CNAME":
    case "DNAME":
    case "NS":
      return { target: shownName(content.target) }
    case "SRV":
      return { priority: content.priority, weight: content.weight, port: content.port, target: shownName(content.target) }
    case "TLSA":
      return { usage: content.usage, selector: content.selector, matching: content.matching, association: hex(content.association) }
    case "TXT":
      return { strings: content.strings.map(base64) }
    case "SOA": {
      const { serial, refresh, retry, expire, minimum } = content
      return { primary: shownName(content.primary), mailbox: shownName(content.mailbox), serial, refresh, retry, expire, minimum }
    }
    default:
      return undefined
  }
}

/** Records as the model shows them. All are of the type that was asked, which `readAnswer` saw to. */
export function modelRecords<T extends RecordType>(_type: T, records: readonly ResourceRecord[]): RecordOf<T>[] {
  return records.flatMap((record) => modelRecord(record.content) ?? []) as RecordOf<T>[]
}
