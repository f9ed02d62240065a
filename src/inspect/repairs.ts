// What to paste where (RFC 6698 2.3, RFC 7711 3, RFC 6120 3.2.1): a finding's repair as records and files, where the facts give one;
// else the catalogue's sentence.
import { type FindingId, findings } from "../model/findings.ts"
import { parseAddress } from "../model/address.ts"
import { type Domain, tryDomain } from "../model/domain.ts"
import type { Service } from "../model/verdict.ts"
import type { Certificate } from "../x509/certificate.ts"
import { fingerprintsDocument, referenceDocument } from "../gateway/posh-document.ts"
import { poshPath } from "../proof/posh-document.ts"
import { createHash } from "node:crypto"
import type { ReportFix } from "./report.ts"

/** What is known where a finding arose. */
export interface RepairFacts {
  /** What was added to the catalogue's sentence. */
  readonly detail: string
  readonly domain: Domain
  readonly service: Service
  /** Of the endpoint it concerns. */
  readonly host: string | undefined
  readonly port: number | undefined
  /** The leaf it shows. */
  readonly leaf: Certificate | undefined
  /** Some proof holds for it; else somebody on the path may have shown it. */
  readonly vouched: boolean
}

const seconds = { ttl: 3600, posh: 86_400 }

const text = (words: string): ReportFix => ({ kind: "text", text: words, where: null })

/** Whoever stands on the path must not have his key published by those he deceives. */
function caution({ vouched }: RepairFacts): ReportFix[] {
  return vouched ? [] : [text("no proof vouches for the key that was shown here; compare it on the server itself, and only if it is the server's own")]
}

/** The names and addresses that the guard's sentences begin with, as they are allowed. */
function allowing(detail: string): string {
  const named = detail.split("; ").map((part) => part.split(": ").at(-1)?.split(" ")[0] ?? "")
  const options = named.flatMap((word) => {
    const octets = parseAddress(word)?.length
    return octets !== undefined ? [`--allow ${word}/${octets * 8}`] : tryDomain(word) !== undefined ? [`--allow ${word}`] : []
  })
  return `if it is meant, ask again with ${options.length === 0 ? "--allow and its network or name" : [...new Set(options)].join(" ")}`
}

/** `3 1 1` of the key in use: it outlives a renewal that keeps the key (RFC 7671 5.1). */
function tlsaRecord({ host, port, leaf }: RepairFacts): ReportFix | undefined {
  if (host === undefined || port === undefined || leaf === undefined) return undefined
  const digest = createHash("sha256").update(leaf.spki).digest("hex")
  return { kind: "record", text: `_${port}._tcp.${host}. ${seconds.ttl} IN TLSA 3 1 1 ${digest}`, where: null }
}

function poshFile(facts: RepairFacts): ReportFix[] {
  const { domain, service, host, leaf } = facts
  if (leaf === undefined) return []
  const path = poshPath(service)
  const where = `https://${domain}${path}`
  const file: ReportFix = { kind: "file", text: fingerprintsDocument([leaf.der], seconds.posh).trimEnd(), where }
  // POSH-11: who is hosted refers to the hoster's document, which changes with the certificate.
  const hosted = host !== undefined && host !== domain && !host.endsWith(`.${domain}`)
  if (!hosted) return [...caution(facts), file]
  return [{ kind: "file", text: referenceDocument(`https://${host}${path}`, seconds.posh).trimEnd(), where }, ...caution(facts), { ...file, where: `https://${host}${path}` }]
}

function srvRecord({ domain, service, host, port }: RepairFacts): ReportFix {
  // Where servers go without one there is an address; only where DNS names nothing is a name made up.
  const target = host ?? `xmpp.${domain}`
  return { kind: "record", text: `_${service}._tcp.${domain}. ${seconds.ttl} IN SRV 0 5 ${port ?? (service === "xmpp-server" ? 5269 : 5222)} ${target}.`, where: null }
}

/**
 * The ways to repair it, the best first. Empty: nothing can or need be done.
 */
export function repairsOf(id: FindingId, facts: RepairFacts): ReportFix[] {
  const { repair } = findings[id]
  // "nothing", or "nothing; publish … to use it".
  const words = repair === "nothing" ? [] : [text(repair.replace(/^nothing; /, "").replace(/^nothing, if that is meant; else /, "if that is not meant, "))]
  switch (id) {
    case "dane.mismatch":
    case "dane.unusable":
    case "dane.no-tlsa": {
      const record = tlsaRecord(facts)
      return record === undefined ? words : [...caution(facts), record, ...words]
    }
    case "posh.not-published":
    case "posh.mismatch":
    case "posh.no-fingerprints":
    case "posh.weaker-hash":
      return [...poshFile(facts), ...words]
    case "dns.no-srv-fallback":
      return [srvRecord(facts)]
    case "dns.no-server":
    case "dns.srv-refused":
      return [...words, text("with the server's own name in it:"), srvRecord(facts)]
    case "dns.guarded":
      return [text(allowing(facts.detail))]
    case "pkix.name-mismatch":
      return [text(`get a certificate that names ${facts.domain}`)]
    default:
      return words
  }
}
