// The built-in prooftypes by name; one word here makes a prooftype known everywhere.
import type { AnyProoftype } from "./prooftype.ts"
import { createDane, dane } from "./dane.ts"
import { pkix } from "./pkix.ts"
import { posh } from "./posh.ts"
import type { TlsaPolicy } from "./tlsa.ts"

export const builtInProoftypes: readonly AnyProoftype[] = [pkix, dane, posh]

export interface ProoftypeOptions {
  /** Prooftypes of the user's; taking a built-in name is an error (security.md 4). */
  readonly extra?: readonly AnyProoftype[]
  /** What `dane` takes of TLSA records, where that differs from the default. */
  readonly tlsa?: TlsaPolicy
  /** Takes the place of the built-in `posh`: one with a memory, or with the older form. */
  readonly posh?: AnyProoftype
}

/**
 * Prooftypes in use, with a user's own beside them.
 *
 * @throws Error naming a prooftype whose name is taken (security.md 4)
 */
export function addProoftypes(inUse: readonly AnyProoftype[], extra: readonly AnyProoftype[]): readonly AnyProoftype[] {
  const taken = new Set(builtInProoftypes.map(({ name }) => name))
  for (const { name } of extra) {
    if (taken.has(name)) throw new Error(`two prooftypes are called ${name}`)
    taken.add(name)
  }
  return [...inUse, ...extra]
}

/**
 * The prooftypes a set of names selects, with a user's own beside the built-in ones.
 *
 * @param names as in `federation.proofs`; order does not matter
 * @throws Error naming an unknown or doubled prooftype
 */
export function selectProoftypes(names: ReadonlySet<string>, options: ProoftypeOptions = {}): readonly AnyProoftype[] {
  const known = new Map<string, AnyProoftype>()
  for (const prooftype of [...builtInProoftypes, ...(options.extra ?? [])]) {
    if (known.has(prooftype.name)) throw new Error(`two prooftypes are called ${prooftype.name}`)
    known.set(prooftype.name, prooftype)
  }
  if (options.tlsa !== undefined) known.set("dane", createDane(options.tlsa))
  if (options.posh !== undefined) known.set("posh", options.posh)
  return [...names].map((name) => {
    const prooftype = known.get(name)
    if (prooftype === undefined) throw new Error(`there is no prooftype ${name}; known: ${[...known.keys()].join(", ")}`)
    return prooftype
  })
}
