// DNS records as people paste them: zone file lines, RFC 3597 lines for servers that do not know a type, nsupdate (RFC 2136),
// JSON and Terraform (RFC 1035 5.1, RFC 2782, RFC 3597 5, RFC 6698 2.2, RFC 8659 4.1.1).
import { Buffer } from "node:buffer"
import { nameFromText } from "../dns/name.ts"
import { encodeContent } from "../dns/records.ts"
import { parseAddress } from "../model/address.ts"

export type PublishedContent =
  | { readonly type: "A" | "AAAA"; readonly address: string }
  | { readonly type: "SRV"; readonly priority: number; readonly weight: number; readonly port: number; /** "." : no such service. */ readonly target: string }
  | { readonly type: "TLSA"; readonly usage: number; readonly selector: number; readonly matching: number; /** Lower-case hexadecimal. */ readonly association: string }
  | { readonly type: "CAA"; readonly tag: "issue" | "issuewild" | "iodef"; readonly value: string }

export interface PublishedRecord {
  /** Owner: A-labels and underscored labels, no final dot. */
  readonly name: string
  /** Seconds. */
  readonly ttl: number
  readonly content: PublishedContent
  /** For people; left out where a format has no comments. */
  readonly comment?: string
}

export const recordFormats = ["zone", "generic", "nsupdate", "json", "terraform"] as const
export type RecordFormat = (typeof recordFormats)[number]

const dotted = (name: string): string => (name === "." ? "." : `${name}.`)

/** The fields as a zone file has them. */
export function presented(content: PublishedContent): string {
  switch (content.type) {
    case "A":
    case "AAAA":
      return content.address
    case "SRV":
      return `${content.priority} ${content.weight} ${content.port} ${dotted(content.target)}`
    case "TLSA":
      return `${content.usage} ${content.selector} ${content.matching} ${content.association}`
    case "CAA":
      return `0 ${content.tag} "${content.value}"`
  }
}

const typeNumber = { A: 1, AAAA: 28, SRV: 33, TLSA: 52, CAA: 257 } as const satisfies Record<PublishedContent["type"], number>

/** The fields as octets. */
export function encoded(content: PublishedContent): Buffer {
  switch (content.type) {
    case "A":
    case "AAAA":
      return Buffer.from(parseAddress(content.address) as Uint8Array)
    case "SRV":
      return Buffer.from(encodeContent({ ...content, kind: "SRV", target: nameFromText(content.target) }))
    case "TLSA":
      return Buffer.from(encodeContent({ ...content, kind: "TLSA", association: Buffer.from(content.association, "hex") }))
    case "CAA":
      return Buffer.concat([Buffer.from([0, content.tag.length]), Buffer.from(content.tag + content.value, "latin1")])
  }
}

function zoneLine({ name, ttl, content, comment }: PublishedRecord): string {
  return `${dotted(name)} ${ttl} IN ${content.type} ${presented(content)}${comment === undefined ? "" : `   ; ${comment}`}`
}

/** RFC 3597 5: any server and any web form that knows no TLSA takes the type by its number. */
function genericLine({ name, ttl, content }: PublishedRecord): string {
  const octets = encoded(content)
  return `${dotted(name)} ${ttl} IN TYPE${typeNumber[content.type]} \\# ${octets.length} ${octets.toString("hex")}`
}

function recordObject({ name, ttl, content, comment }: PublishedRecord) {
  const { type, ...fields } = content
  return { name, ttl, type, value: presented(content), fields, comment: comment ?? null }
}

/** What `--format json` and `--json` hold. */
export type RecordObject = ReturnType<typeof recordObject>
export const recordObjects = (records: readonly PublishedRecord[]): readonly RecordObject[] => records.map(recordObject)

/** Adds only: what is there stays, since a change of keys has both. */
function nsupdate(records: readonly PublishedRecord[], zone: string | undefined): string[] {
  const adds = records.map(({ name, ttl, content }) => `update add ${dotted(name)} ${ttl} IN ${content.type} ${presented(content)}`)
  return [...(zone === undefined ? [] : [`zone ${dotted(zone)}`]), ...adds, "send"]
}

/** A list that a `for_each` of any provider's resource goes through: no resource for these types is common to all. */
function terraform(records: readonly PublishedRecord[]): string[] {
  const item = ({ name, ttl, content }: PublishedRecord): string =>
    `    { name = ${JSON.stringify(name)}, type = ${JSON.stringify(content.type)}, ttl = ${ttl}, value = ${JSON.stringify(presented(content))} },`
  return ["locals {", "  xmpp_dna_records = [", ...records.map(item), "  ]", "}"]
}

/**
 * @param options.zone for nsupdate; it finds the zone by itself where none is named
 * @returns lines without their ends
 */
export function formatRecords(records: readonly PublishedRecord[], format: RecordFormat, options: { readonly zone?: string } = {}): readonly string[] {
  switch (format) {
    case "zone":
      return records.map(zoneLine)
    case "generic":
      return records.map(genericLine)
    case "nsupdate":
      return nsupdate(records, options.zone)
    case "json":
      return [JSON.stringify(recordObjects(records), null, 2)]
    case "terraform":
      return terraform(records)
  }
}
