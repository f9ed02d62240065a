// From two SRV answers to an ordered list of targets, or to the reason why there is none (RFC 6120 3.2, XEP-0368 3 and 5,
// RFC 7673 3.1; security.md 6 and 7). Pure: the answers and the chance are arguments.
import { orderSrv } from "../dns/srv.ts"
import type { DnsAnswer, DnsStatus, SrvRecord } from "../model/dns-answer.ts"
import { type Domain, tryDomain } from "../model/domain.ts"
import { type DiscoveryFinding, type DnsGround, type Endpoint, groundOf } from "../model/endpoint.ts"
import { guardName, type ReachPolicy } from "../model/reach.ts"

export type SrvAnswer = DnsAnswer<SrvRecord>

export interface SrvTarget {
  readonly target: Domain
  readonly port: number
  readonly transport: Endpoint["transport"]
  /** Of the SRV answer that names the target, its whole alias chain included (DANE-01). */
  readonly because: DnsStatus
  readonly ground: DnsGround
}

/** A record or target that leads nowhere, and why; kept for reports. */
export interface Skipped {
  readonly target: string
  readonly reason: "root" | "port-zero" | "not-a-name" | "guarded" | "over-limit" | "lookup-failed" | "bogus" | "no-address"
  readonly detail: string
}

/** A hostile answer has a thousand records; a report needs a few. */
export const maxSkipped = 32

export type Plan =
  | { readonly kind: "targets"; readonly targets: readonly SrvTarget[]; readonly skipped: readonly Skipped[]; readonly leftOut: number }
  /** No SRV record: the domain's own addresses and the default port (CORE-03). `because`: the status of the absence. */
  | { readonly kind: "fallback"; readonly because: DnsStatus; readonly grounds: readonly DnsGround[] }
  | {
      readonly kind: "none"
      readonly outcome: "no-service" | "not-found" | "unavailable" | "refused"
      readonly finding: DiscoveryFinding
      readonly detail: string
      readonly skipped: readonly Skipped[]
    }

/** Bogus, SERVFAIL, silence and nonsense are failures; "no records" is not, signed or unsigned. */
export function failed(answer: DnsAnswer<unknown>): boolean {
  return answer.outcome === "failure" || answer.status === "bogus" || answer.status === "indeterminate"
}

/** A failed validation is somebody's fault or somebody's attack, and not only silence; where the root fails, it is the clock. */
export function failureFinding(answer: DnsAnswer<unknown>): "dns.bogus" | "dns.clock" | "dns.servfail" {
  if (answer.why.some(({ code }) => code === "clock")) return "dns.clock"
  return answer.status === "bogus" ? "dns.bogus" : "dns.servfail"
}

/** The last reason is the one that ended it. */
export function failureDetail(answer: DnsAnswer<unknown>): string {
  const reason = answer.why.at(-1)
  const words = reason === undefined ? answer.status : reason.detail
  return `${answer.name} ${answer.type}: ${words}${reason?.upstream === undefined ? "" : ` (${reason.upstream})`}`
}

/** RFC 6120 3.2.1 (3): the one record whose target is the root says "not here". */
function decidedlyNot(answer: SrvAnswer): boolean {
  return answer.records.length === 1 && answer.records[0]!.target === "."
}

const weakness: readonly DnsStatus[] = ["secure", "insecure", "indeterminate", "bogus"]

function weakest(a: DnsStatus, b: DnsStatus): DnsStatus {
  return weakness.indexOf(a) > weakness.indexOf(b) ? a : b
}

function none(
  outcome: Extract<Plan, { kind: "none" }>["outcome"],
  finding: DiscoveryFinding,
  detail: string,
  skipped: readonly Skipped[] = [],
): Plan {
  return { kind: "none", outcome, finding, detail, skipped }
}

/**
 * @param plain answer for `_xmpp-server` (STARTTLS)
 * @param direct answer for `_xmpps-server` (Direct TLS)
 * @param maxTargets more are left out, the last ones in order
 * @param fraction uniform, 0 <= x < 1
 */
export function planTargets(
  plain: SrvAnswer,
  direct: SrvAnswer,
  reach: Pick<ReachPolicy, "names">,
  maxTargets: number,
  fraction: () => number,
): Plan {
  // DANE-02: a failed SRV lookup ends the attempt; neither addresses nor a guess take its place.
  if (failed(plain)) return none("unavailable", failureFinding(plain), failureDetail(plain))
  const directFailed = failed(direct)
  // security.md 7: some name servers break on names they do not know. Only where nothing is lost by it: the other answer is
  // there, and unsigned, so that whoever spoils this one could have spoilt that one.
  const brokenServer = directFailed && plain.status === "insecure" && plain.outcome === "data" && !decidedlyNot(plain)
  if (directFailed && !brokenServer) return none("unavailable", failureFinding(direct), failureDetail(direct))
  const notPlain = plain.outcome === "data" && decidedlyNot(plain)
  const notDirect = !directFailed && direct.outcome === "data" && decidedlyNot(direct)
  const [plainGround, directGround] = [groundOf(plain), groundOf(direct)]
  const candidates = [
    ...(notPlain ? [] : plain.records.map((record) => ({ ...record, transport: "starttls" as const, ground: plainGround }))),
    ...(notDirect || directFailed ? [] : direct.records.map((record) => ({ ...record, transport: "direct-tls" as const, ground: directGround }))),
  ]
  if (candidates.length === 0) {
    // CORE-01; DTLS-5: a refused Direct TLS leaves `_xmpp-server` only, which has nothing, and never the addresses.
    if (notPlain || notDirect) return none("no-service", "dns.srv-refused", `${notPlain ? plain.name : direct.name} has the target "."`)
    return { kind: "fallback", because: weakest(plain.status, direct.status), grounds: [plainGround, directGround] }
  }
  const targets: SrvTarget[] = []
  const skipped: Skipped[] = []
  let leftOut = 0
  const skip = (target: string, reason: Skipped["reason"], why: string): void => {
    if (skipped.length < maxSkipped) skipped.push({ target, reason, detail: why })
  }
  // DTLS-1: both services are one set for priority and weight; DANE-04: whatever their signatures.
  for (const { target, port, transport, ground } of orderSrv(candidates, fraction)) {
    const label = `${target} port ${port}`
    if (target === ".") {
      skip(label, "root", 'the target "." stands beside others')
      continue
    }
    const domain = tryDomain(target)
    if (port === 0) skip(label, "port-zero", "port 0 is no port")
    else if (domain === undefined) skip(label, "not-a-name", "the target is not a host name")
    else {
      const guard = guardName(domain, reach)
      if (!guard.ok) skip(label, "guarded", guard.detail)
      else if (targets.length >= maxTargets) {
        leftOut += 1
        skip(label, "over-limit", `more than ${maxTargets} targets`)
      } else targets.push({ target: domain, port, transport, because: ground.status, ground })
    }
  }
  if (targets.length > 0) return { kind: "targets", targets, skipped, leftOut }
  // CORE-03: there was an SRV answer, so its uselessness is no reason for the addresses.
  const detail = skipped
    .map((skip) => `${skip.target}: ${skip.detail}`)
    .slice(0, 4)
    .join("; ")
  if (skipped.some((skip) => skip.reason === "guarded")) return none("refused", "dns.guarded", detail, skipped)
  return none("not-found", "dns.target-unresolvable", detail, skipped)
}
