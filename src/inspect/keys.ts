// Which keys a domain shows, and which it has announced in secure DNS or by POSH: a key that comes out of nowhere may be an attacker's,
// whatever an authority says about it (RFC 6698 2.1, RFC 7711 3; security.md 10).
import { createHash } from "node:crypto"
import type { DaneMaterial } from "../proof/dane-material.ts"
import { follow, type PoshMaterial } from "../proof/posh-trail.ts"
import { fingerprintOf, readCertificate } from "./describe.ts"
import type { Climb } from "./question.ts"

export interface ShownKey {
  /** Of the leaf's public key, as in the report. */
  readonly key: string
  /** Every form in which it, or an authority above it, can be announced. */
  readonly forms: readonly string[]
}

export interface Keys {
  /** One for each leaf. */
  readonly shown: readonly ShownKey[]
  /** `tlsa 3 1 1 …` of validated answers, `posh sha-256 …` */
  readonly announced: readonly string[]
}

/** Announcements of one domain that are looked at. */
const mostAnnounced = 64

export function keysOf(climbs: readonly Climb[]): Keys {
  const shown = new Map<string, ShownKey>()
  for (const { proof } of climbs) {
    const [leaf] = proof?.chain ?? []
    const certificate = leaf === undefined ? undefined : readCertificate(leaf)
    if (proof === undefined || leaf === undefined || certificate === undefined || shown.has(fingerprintOf(leaf))) continue
    shown.set(fingerprintOf(leaf), { key: fingerprintOf(certificate.spki), forms: formsOf(proof.chain) })
  }
  return { shown: [...shown.values()], announced: [...new Set(climbs.flatMap(announcedOf).map(shortest))].slice(0, mostAnnounced) }
}

/** As long as a key's whole octets are: their hash stands for them, so that nobody fills what is remembered. */
const shortest = (form: string): string => (form.length <= longestForm ? form : `${form.split(" ", 4).join(" ")} of ${hex("sha256", Buffer.from(form))}`)
const longestForm = 200

const hex = (algorithm: string, octets: Uint8Array): string => createHash(algorithm).update(octets).digest("hex")

function formsOf([leaf, ...above]: readonly Uint8Array[]): string[] {
  if (leaf === undefined) return []
  // RFC 7671 5: usages 1 and 3 name the leaf, 0 and 2 what stands above it or is it.
  const tlsa = (der: Uint8Array, usages: readonly number[]): string[] => {
    const spki = readCertificate(der)?.spki
    const selected = [der, ...(spki === undefined ? [] : [spki])]
    return selected.flatMap((octets, selector) =>
      [Buffer.from(octets).toString("hex"), hex("sha256", octets), hex("sha512", octets)].flatMap((association, matching) => usages.map((usage) => `tlsa ${usage} ${selector} ${matching} ${association}`)),
    )
  }
  const posh = ["sha1", "sha256", "sha384", "sha512"].map((algorithm) => `posh ${algorithm.replace("sha", "sha-")} ${createHash(algorithm).update(leaf).digest("base64")}`)
  return [...tlsa(leaf, [0, 1, 2, 3]), ...above.flatMap((der) => tlsa(der, [0, 2])), ...posh].map(shortest)
}

function announcedOf({ obtained }: Climb): string[] {
  return obtained.flatMap(({ prooftype, material }) => {
    if (prooftype.name === "dane" && isDane(material)) {
      const secure = material.tlsa.filter(({ of, status }) => of === "server" && status === "secure")
      return secure.flatMap(({ records }) => records.map(({ usage, selector, matching, association }) => `tlsa ${usage} ${selector} ${matching} ${association}`))
    }
    if (prooftype.name !== "posh" || !isPosh(material)) return []
    const step = follow(material)
    return step.kind === "fingerprints" ? step.descriptors.flatMap((descriptor) => [...descriptor].map(([name, digest]) => `posh ${name} ${digest.toString("base64")}`)) : []
  })
}

/** A prooftype that broke has other material. */
const isDane = (material: unknown): material is DaneMaterial => typeof material === "object" && material !== null && "tlsa" in material
const isPosh = (material: unknown): material is PoshMaterial => typeof material === "object" && material !== null && "exchanges" in material
