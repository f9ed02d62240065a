// Signed DNS for scenarios: what the world's resolver says, called secure unless a rule says otherwise.
import type { DnsAnswer, RecordOf, RecordType, Resolver } from "../../src/model/dns-answer.ts"
import type { FederationPorts } from "../../src/federation/contract.ts"
import type { IssuedCertificate } from "../../src/lab/certificate-authority.ts"
import { tlsa } from "../proof/tlsa-support.ts"

export type Rule = "secure" | "insecure" | "bogus" | "fails" | "silent"

/** Rules by `NAME TYPE` or by the end of a name (`.example`); the first that is there holds. May be changed at any time. */
export class SignedDns {
  readonly rules = new Map<string, Rule>()
  readonly asked: string[] = []
  /** How long signatures last from now on, ms. */
  signatures = 30 * 86_400_000

  /** For `ServerOptions.ports`. */
  readonly ports = (ports: FederationPorts): FederationPorts => ({ ...ports, resolver: this.#over(ports) })

  #over({ resolver, clock }: FederationPorts): Resolver {
    const rule = (name: string, type: string): Rule => this.rules.get(`${name} ${type}`) ?? [...this.rules].find(([end]) => end.startsWith(".") && name.endsWith(end))?.[1] ?? "secure"
    return {
      resolve: async <T extends RecordType>(name: string, type: T, options: { readonly signal?: AbortSignal }): Promise<DnsAnswer<RecordOf<T>>> => {
        this.asked.push(`${name} ${type}`)
        const answer = await resolver.resolve(name, type, options)
        const what = rule(name, type)
        if (what === "insecure") return answer
        if (what === "secure") return { ...answer, status: answer.outcome === "failure" ? answer.status : "secure", signaturesUntil: clock.now() + this.signatures }
        if (what === "silent") await new Promise<void>((resolve) => options.signal?.addEventListener("abort", () => resolve(), { once: true }))
        return { ...answer, records: [], outcome: "failure", status: what === "bogus" ? "bogus" : "indeterminate", why: [{ code: "servfail", detail: what }] }
      },
    }
  }

  tlsaAsked(): string[] {
    return this.asked.filter((question) => question.endsWith(" TLSA"))
  }
}

/** A TLSA record for the world's zone table. */
export function tlsaRow(certificate: Pick<IssuedCertificate, "der">, parameters = "3 1 1"): readonly [number, number, number, string] {
  const { usage, selector, matching, association } = tlsa(certificate.der, parameters)
  return [usage, selector, matching, association]
}
