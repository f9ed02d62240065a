// What each name of the signed test tree must come to; the same list is put to our validator and to unbound.
import type { DnsOutcome, DnsStatus } from "../../../src/model/dns-answer.ts"
import { matrix } from "./tree.ts"

export interface Case {
  readonly name: string
  readonly type: "A" | "AAAA" | "SRV" | "TLSA" | "TXT" | "SOA" | "NS" | "CNAME" | "DNAME"
  readonly status: DnsStatus
  readonly outcome: DnsOutcome
  /** Number of records, where it matters. */
  readonly count?: number
  /** A reason that must be given. */
  readonly why?: string
}

const secure = (name: string, type: Case["type"], outcome: DnsOutcome = "data", count?: number): Case => ({
  name,
  type,
  status: "secure",
  outcome,
  ...(count === undefined ? {} : { count }),
})
const insecure = (name: string, type: Case["type"], why: string, outcome: DnsOutcome = "data"): Case => ({
  name,
  type,
  status: "insecure",
  outcome,
  why,
})
const bogus = (name: string, type: Case["type"], why: string): Case => ({ name, type, status: "bogus", outcome: "failure", why })

/** The 21 questions put to every honest signed zone. */
export function standardCases(apex: string): Case[] {
  return [
    secure(`_xmpp-server._tcp.${apex}`, "SRV", "data", 1),
    secure(`host.${apex}`, "A", "data", 2),
    secure(`host.${apex}`, "AAAA"),
    secure(`_5269._tcp.host.${apex}`, "TLSA"),
    secure(`alias2.${apex}`, "A", "data", 2),
    secure(`alias.${apex}`, "CNAME"),
    secure(`host.${apex}`, "TXT", "no-data"),
    secure(`_xmpps-server._tcp.${apex}`, "SRV", "name-error"),
    secure(`_5270._tcp.host.${apex}`, "TLSA", "name-error"),
    secure(`ent.${apex}`, "A", "no-data"),
    secure(`b.ent.${apex}`, "TLSA", "no-data"),
    secure(`any.thing.wild.${apex}`, "TLSA"),
    secure(`other.wild.${apex}`, "TXT", "no-data"),
    secure(`blocked.wild.${apex}`, "A", "no-data"),
    secure(`below.blocked.wild.${apex}`, "A", "name-error"),
    secure(`one.cwild.${apex}`, "A", "data", 2),
    secure(`x.dn.${apex}`, "A"),
    secure(`x.dn.${apex}`, "CNAME", "data", 1),
    secure(`y.dn.${apex}`, "A", "name-error"),
    secure(apex, "TLSA", "no-data"),
    secure(apex, "SOA"),
  ]
}

export const cases: readonly Case[] = [
  ...matrix.flatMap(({ apex }) => standardCases(apex)),
  ...["sha384", "multi", "salted", "collide"].flatMap((zone) => standardCases(`${zone}.example`).filter((_, index) => index % 3 === 0)),
  secure(".", "SOA"),
  secure("example", "NS"),
  secure("gone.example", "A", "name-error"),
  secure("gone", "A", "name-error"),
  secure("mixed-ds.example", "SOA"),
  secure("host.rolling.example", "A"),
  secure("host.cut.two.deep.example", "A"),
  secure("two.deep.example", "A", "no-data"),
  secure("host.child.a13.example", "TXT", "no-data"),
  secure("gone.child.a13.example", "A", "name-error"),
  secure("_5269._tcp.host.iterations150.example", "TLSA"),
  secure("gone.iterations150.example", "A", "name-error"),
  secure("host.iterations151.example", "A"),
  insecure("gone.iterations151.example", "A", "nsec3-iterations", "name-error"),
  insecure("host.iterations151.example", "TXT", "nsec3-iterations", "no-data"),
  insecure("any.wild.iterations151.example", "A", "nsec3-iterations"),
  secure("host.optout.example", "A"),
  secure("host.optout.example", "TXT", "no-data"),
  secure("host.signed.optout.example", "A"),
  secure("gone.signed.optout.example", "A", "name-error"),
  insecure("gone.optout.example", "A", "opt-out", "name-error"),
  insecure("any.wild.optout.example", "A", "opt-out"),
  insecure("other.wild.optout.example", "TXT", "opt-out", "no-data"),
  insecure("host.unsigned.optout.example", "A", "opt-out"),
  insecure("host.a.b.optout.example", "A", "opt-out"),
  insecure("host.unsigned.h13b.example", "A", "unsigned-delegation"),
  insecure("gone.unsigned.h13b.example", "A", "unsigned-delegation", "name-error"),
  insecure("_5269._tcp.host.unsigned.example", "TLSA", "unsigned-delegation"),
  insecure("host.unsigned.example", "TXT", "unsigned-delegation", "no-data"),
  insecure("gone.unsigned.example", "TXT", "unsigned-delegation", "name-error"),
  insecure("host.below.unsigned.example", "A", "unsigned-delegation"),
  insecure("host.island.example", "A", "unsigned-delegation"),
  insecure("gone.island.example", "A", "unsigned-delegation", "name-error"),
  insecure("host.unknown-algorithm.example", "A", "algorithm-unsupported"),
  insecure("host.unknown-digest.example", "A", "algorithm-unsupported"),
  insecure("host.sha1-digest.example", "A", "algorithm-unsupported"),
  bogus("host.expired.example", "A", "signature-expired"),
  bogus("gone.expired.example", "A", "signature-expired"),
  bogus("host.future.example", "A", "signature-not-yet-valid"),
  bogus("host.corrupt.example", "A", "signature-invalid"),
  bogus("gone.corrupt.example", "A", "signature-invalid"),
  bogus("host.corrupt.example", "TXT", "signature-invalid"),
  bogus("host.corrupt-key.example", "A", "signature-invalid"),
  bogus("host.ds-mismatch.example", "A", "ds-mismatch"),
  bogus("host.ds-wrong-digest.example", "A", "ds-mismatch"),
  bogus("host.ds-wrong-tag.example", "A", "ds-mismatch"),
  bogus("host.protocol.example", "A", "ds-mismatch"),
  secure("host.unknown-flags.example", "A"),
  bogus("host.unknown-flags.example", "TXT", "denial-missing"),
  bogus("gone.unknown-flags.example", "A", "denial-missing"),
  bogus("host.unsigned-under-ds.example", "A", "key-missing"),
  bogus("host.short-digest.example", "A", "ds-mismatch"),
  bogus("host.no-zone-flag.example", "A", "ds-mismatch"),
  bogus("host.revoked.example", "A", "ds-mismatch"),
  bogus("host.partly.example", "A", "signature-missing"),
  bogus("host.partly.example", "AAAA", "signature-invalid"),
  secure("_5269._tcp.host.partly.example", "TLSA"),
  bogus("host.signer-parent.example", "A", "signature-invalid"),
  bogus("host.signer-child.example", "A", "signature-invalid"),
  bogus("host.labels-more.example", "A", "signature-invalid"),
  bogus("host.labels-less.example", "A", "denial-missing"),
  secure("host.short-ttl.example", "A"),
  secure("host.no-denial.example", "A"),
  bogus("host.no-denial.example", "TXT", "signature-missing"),
  bogus("gone.no-denial.example", "A", "signature-missing"),
  bogus("any.wild.no-denial.example", "A", "signature-missing"),
  secure("good.links.example", "A", "data", 2),
  secure("far.links.example", "A", "data", 2),
  secure("good.links.example", "TXT", "no-data"),
  secure("nowhere.links.example", "A", "name-error"),
  secure("host.dgood.links.example", "A", "data", 2),
  secure("gone.dgood.links.example", "A", "name-error"),
  secure("_5269._tcp.host.dgood.links.example", "TLSA"),
  secure("whatever.links.example", "A", "data", 2),
  secure("upper.links.example", "SRV"),
  secure("uPPer.LINKS.example", "SRV"),
  secure("many.links.example", "TLSA", "data", 60),
  secure("dgood.links.example", "DNAME"),
  insecure("insecure.links.example", "A", "unsigned-delegation"),
  insecure("host.dinsecure.links.example", "A", "unsigned-delegation"),
  insecure("intoinsecure.links.example", "A", "unsigned-delegation"),
  insecure("back.unsigned.example", "A", "unsigned-delegation"),
  bogus("bogus.links.example", "A", "signature-invalid"),
  bogus("host.dbogus.links.example", "A", "signature-invalid"),
  { name: "loop1.links.example", type: "A", status: "indeterminate", outcome: "failure", why: "alias-loop" },
]
