// Deliberately weakened copies: what a rule keeps out must get in where the rule is missing, or the test shows nothing.
import { X509Certificate } from "node:crypto"
import type { DomainPair } from "../../src/model/association.ts"
import type { ReferenceIdentity, Verdict } from "../../src/model/verdict.ts"
import { ClaimGuard, type Claimant } from "../../src/federation/claim-guard.ts"
import type { BudgetLimits } from "../../src/federation/proof-budget.ts"
import { KeyRing } from "../../src/federation/dialback.ts"
import { pkix, type PkixMaterial } from "../../src/proof/pkix.ts"
import type { Prooftype } from "../../src/proof/prooftype.ts"
import { parseCertificate } from "../../src/x509/certificate.ts"
import { matchIdentity } from "../../src/x509/identifiers.ts"
import { validatePath } from "../../src/x509/path.ts"

type Pkix = Prooftype<"pkix", PkixMaterial>
type Match = Pkix["match"]

const proved: Verdict = { outcome: "proved", by: "pkix", detail: "weakened", until: Date.UTC(2027, 0, 1) }
const refuted: Verdict = { outcome: "refuted", by: "pkix", finding: "cert.unknown-root", detail: "weakened, and still no" }

/** The PKIX prooftype with another rule in its place. */
export function weakenedPkix(match: Match): Pkix {
  return { ...pkix, match }
}

/** A valid path is enough, whatever the names. */
export const anyName = weakenedPkix(({ chain }, { anchors }, _reference, at) => (validatePath({ chain, anchors, at, purpose: "server" }).ok ? proved : refuted))

/** The right name is enough, whoever signed it. */
export const anyIssuer = weakenedPkix(({ chain }, _material, reference) => {
  const [leaf] = chain
  return leaf !== undefined && "matched" in matchIdentity(parseCertificate(leaf), reference.accept) ? proved : refuted
})

/** Names are looked for in every certificate that was sent, not in the leaf alone. */
export const anyCertificateOfTheChain = weakenedPkix(({ chain }, { anchors }, reference, at) => {
  const named = chain.some((der) => "matched" in matchIdentity(parseCertificate(der), reference.accept))
  return named && validatePath({ chain, anchors, at, purpose: "server" }).ok ? proved : refuted
})

/** As a program reads the platform's one error code: a certificate for servers only looks like a mere wrong purpose, so it goes on. */
export const purposeErrorIsHarmless = weakenedPkix((proof, material, reference, at) => {
  const honest = pkix.match(proof, material, reference, at)
  const [leaf] = proof.chain
  if (honest.outcome === "proved" || leaf === undefined) return honest
  const forServersOnly = new X509Certificate(leaf).keyUsage?.join() === "1.3.6.1.5.5.7.3.1"
  return forServersOnly && "matched" in matchIdentity(parseCertificate(leaf), reference.accept) ? proved : honest
})

/** Signatures and names alone: no name constraints. */
export const signaturesOnly = weakenedPkix(({ chain }, { anchors }, reference) => {
  const certificates = chain.map((der) => new X509Certificate(der))
  const leaf = chain[0]
  const linked = certificates.every((certificate, index) => {
    const issuer = certificates[index + 1]
    return issuer === undefined ? anchors.count > 0 : certificate.verify(issuer.publicKey)
  })
  return linked && leaf !== undefined && "matched" in matchIdentity(parseCertificate(leaf), reference.accept) ? proved : refuted
})

/** Judged against the names of another domain: what was heard first on the connection. */
export function judgedBy(accept: ReferenceIdentity["accept"]): Pkix {
  return weakenedPkix((proof, material, reference, at) => pkix.match(proof, material, { ...reference, accept }, at))
}

/** The verdict of the handshake is kept and never asked for again. */
export function remembered(): Pkix {
  const known = new Map<string, Verdict>()
  return weakenedPkix((proof, material, reference, at) => {
    const key = `${reference.source} ${Buffer.from(proof.chain[0] ?? []).toString("hex")}`
    const verdict = known.get(key) ?? pkix.match(proof, material, reference, at)
    known.set(key, verdict)
    // Not asked when it ends either: a proof that says itself that it is over is none.
    return verdict.outcome === "proved" ? { ...verdict, until: Math.max(verdict.until, at) } : verdict
  })
}

/** Vouches for everything. */
export class CredulousKeys extends KeyRing {
  override vouches(): boolean {
    return true
  }
}

/** One key for a pair, whatever the stream. */
export class KeysWithoutStreams extends KeyRing {
  override issue(pair: DomainPair, _id: string): string {
    return super.issue(pair, "always the same")
  }
  override vouches(pair: DomainPair, _id: string, key: string): boolean {
    return super.vouches(pair, "always the same", key)
  }
}

/** Computes and compares, for whoever asks, without remembering what was made. */
export class KeysWithoutMemory extends KeyRing {
  override vouches(pair: DomainPair, id: string, key: string): boolean {
    return super.issue(pair, id) === key
  }
}

/** Remembers failures by the pair alone. */
export class ClaimsByDomain extends ClaimGuard {
  override failed(pair: DomainPair, claimant: Claimant, detail: string): void {
    super.failed(pair, { ...claimant, address: "192.0.2.1", leaf: undefined }, detail)
  }
  override recentFailure(pair: DomainPair, claimant: Claimant): string | undefined {
    return super.recentFailure(pair, { ...claimant, address: "192.0.2.1", leaf: undefined })
  }
}

/** Works for strangers without an end. */
export const boundless: BudgetLimits = { stream: Number.POSITIVE_INFINITY, network: Number.POSITIVE_INFINITY, burst: Number.POSITIVE_INFINITY, networks: 4096 }

/** Puts another method in the place of one while `body` runs. */
export async function patched<T extends object, K extends keyof T>(target: T, name: K, replacement: T[K], body: () => Promise<void>): Promise<void> {
  const before = Object.getOwnPropertyDescriptor(target, name)
  if (before === undefined) throw new Error(`there is no ${String(name)} to weaken`)
  Object.defineProperty(target, name, typeof before.get === "function" ? { ...before, get: replacement as () => unknown } : { ...before, value: replacement })
  try {
    await body()
  } finally {
    Object.defineProperty(target, name, before)
  }
}
