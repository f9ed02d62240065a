// What is so in the world of the stranger, whatever anybody says there: whose names are whose, which certificate proves what, and how a
// name may be written. The model reads it from here, never from what the gateway found out (security.md 1-3, 23).
import type { TlsCredentials } from "../../../src/ports.ts"
import { credentialsOf, good, own } from "../../scenarios/support.ts"

export const home = "home.example"
export const club = "club.example"
/** Hosted by the gateway, at first. */
export const ours: ReadonlySet<string> = new Set([home, club])
/** Whom the stranger would like to be. */
export const honest = "honest.example"

/** Domains of the stranger's, by what speaks for them: a certificate, DNS, or both. */
const both = "mal.example"
const certified = "cert.example"
const served = "dial.example"
const international = "xn--bcher-kva.example"
/** DNS leads to the stranger's server for these. */
export const ledThere: ReadonlySet<string> = new Set([both, served, international])

export type Shown = "good" | "self-signed" | "nothing"
const names: Readonly<Record<Shown, readonly string[]>> = { good: [both, certified, international], "self-signed": [served, both, honest], nothing: [] }
export const credentials: Readonly<Record<Shown, TlsCredentials | undefined>> = {
  good: credentialsOf(good(both, { names: { dns: [...names.good] } })),
  "self-signed": credentialsOf(own(served, { names: { dns: [...names["self-signed"]] } })),
  nothing: undefined,
}

/** A certificate of an authority that everybody knows, with this name. */
export function proves(shown: Shown, domain: string): boolean {
  return shown === "good" && names.good.includes(domain)
}

/** Whether it has the name, whoever signed it. */
export function bears(shown: Shown, domain: string): boolean {
  return names[shown].includes(domain)
}

/** The stranger's, until the operator of the gateway says that it is hosted there. */
export const adopted = served

export const domains: readonly string[] = [both, certified, served, international, honest, "nowhere.example", home, club]

/** Ways to write a domain, and whether it is still the same one (security.md 23). */
const spellings: readonly (readonly [write: (domain: string) => string, same: boolean])[] = [
  [(domain) => domain, true],
  [(domain) => domain.toUpperCase(), true],
  [(domain) => `${domain}.`, true],
  [(domain) => domain.replace(international, "bücher.example"), true],
  [(domain) => domain.replace(".", "。"), false],
  [(domain) => `${domain}..`, false],
  [(domain) => domain.replace("e", "ｅ"), false],
]

export interface Name {
  readonly written: string
  /** Whose it is; undefined: nobody's. */
  readonly meant: string | undefined
}

export function nameOf(which: number, spelling: number): Name {
  const domain = domains[which % domains.length]!
  const [write, same] = spellings[spelling % spellings.length]!
  return { written: write(domain), meant: same ? domain : undefined }
}

export interface Pair {
  readonly from: string
  readonly to: string
}
export const keyOf = ({ from, to }: Pair): string => `${from} ${to}`
