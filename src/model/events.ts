// What happened, as data: the log, the lab and the dashboard render these and derive nothing a second time.
import type { Association, Direction, DomainPair } from "./association.ts"
import type { Evidence } from "./evidence.ts"
import type { FindingId } from "./findings.ts"
import type { Instant, Verdict } from "./verdict.ts"

interface Common {
  readonly at: Instant
  /** `s2sin-…` or `s2sout-…`. */
  readonly stream: string
  readonly direction: Direction
}

export type FederationEvent = Common &
  (
    | { readonly kind: "discovered"; readonly pair: DomainPair; readonly endpoints: readonly string[]; readonly via: string; /** The way to the first one was validated. */ readonly signed?: boolean }
    | { readonly kind: "connected"; readonly pair: DomainPair | undefined; readonly peer: string; readonly transport: "starttls" | "direct-tls" }
    | { readonly kind: "opened"; readonly pair: DomainPair | undefined; readonly id: string }
    | { readonly kind: "secured"; readonly pair: DomainPair | undefined; readonly protocol: string; readonly cipher: string; readonly certificate: "shown" | "none" }
    | { readonly kind: "proof"; readonly pair: DomainPair; readonly verdict: Verdict }
    | { readonly kind: "external"; readonly pair: DomainPair; readonly result: "offered" | "sent" | "accepted" | "refused"; readonly detail?: string }
    | {
        readonly kind: "dialback"
        readonly pair: DomainPair
        readonly step: "result-sent" | "result-received" | "verify-sent" | "verify-answered" | "same-certificate" | "answered"
        readonly answer?: "valid" | "invalid" | "error"
        readonly detail?: string
      }
    | { readonly kind: "associated"; readonly association: Association }
    | { readonly kind: "refused"; readonly pair: DomainPair | undefined; readonly finding: FindingId; readonly sentence: string; readonly verdicts: readonly Verdict[]; readonly evidence?: () => readonly Evidence[] }
    | {
        readonly kind: "management"
        readonly pair: DomainPair
        readonly result: "enabled" | "failed" | "resumed" | "not-resumed"
        readonly resumable?: boolean
        readonly condition?: string
        /** Stanzas of the peer's that were taken before, on the stream that is resumed. */
        readonly handled?: number
      }
    | { readonly kind: "stanzas"; readonly pair: DomainPair; readonly count: number; readonly bytes: number }
    | { readonly kind: "closed"; readonly pair: DomainPair | undefined; readonly reason: string; readonly unacknowledged: number }
  )

export type EventSink = (event: FederationEvent) => void
