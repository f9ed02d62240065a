// Makes random certificate chains from a seed, good and broken, each with the names of what is odd about it
// (RFC 5280 section 6). Keys come from a small pool, so that thousands of chains are quick to make.

import type { Buffer } from "node:buffer"
import {
  CertificateAuthority,
  commonNameSubject,
  generateKey,
  type IssueOptions,
  type IssuedCertificate,
  type KeyPair,
  selfSigned,
} from "../../src/lab/certificate-authority.ts"
import * as der from "../../src/lab/der-writer.ts"

export const NOW = Date.UTC(2026, 10, 20, 12)
const DAY = 86_400_000

export interface GeneratedChain {
  readonly id: number
  readonly roots: readonly Buffer[]
  /** Leaf first. */
  readonly presented: readonly Buffer[]
  /** What is odd about it, in the order it was applied; empty for a plain good chain. */
  readonly oddities: readonly string[]
}

/** Mulberry32: numbers in [0, 1) from a 32-bit seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

type Mutable = { -readonly [Key in keyof IssueOptions]: IssueOptions[Key] }

/** A chain being put together: options of the root, the intermediates from the root down, and the leaf. */
interface Draft {
  readonly root: Mutable
  readonly middle: Mutable[]
  readonly leaf: Mutable
  /** How the presented list is changed, after the certificates are made. */
  readonly arrange: ((list: Buffer[], made: Made) => Buffer[])[]
  selfSigned?: boolean
  extraRoots: Buffer[]
}

interface Made {
  readonly root: CertificateAuthority
  readonly authorities: readonly CertificateAuthority[]
  readonly leaf: IssuedCertificate
}

interface Tools {
  readonly random: () => number
  pick<T>(list: readonly T[]): T
  key(kind?: string): KeyPair
}

type Oddity = (draft: Draft, tools: Tools) => boolean | undefined

const unknownCritical = { oid: "1.3.6.1.4.1.55555.1", critical: true, value: der.nullValue() }
const names = (leaf: Mutable, dns: readonly string[]): void => {
  leaf.names = { ...leaf.names, dns }
}
/** Applies to a random intermediate; not at all where there is none. */
const onMiddle =
  (change: (middle: Mutable, tools: Tools) => void): Oddity =>
  (draft, tools) => {
    if (draft.middle.length === 0) return false
    change(tools.pick(draft.middle), tools)
    return undefined
  }
const constrain =
  (constraints: NonNullable<IssueOptions["nameConstraints"]>, leaf: (leaf: Mutable) => void): Oddity =>
  (draft, tools) => {
    const where = tools.pick([draft.root, ...draft.middle])
    where.nameConstraints = constraints
    leaf(draft.leaf)
    return undefined
  }
const rewrite =
  (change: NonNullable<NonNullable<IssueOptions["mutate"]>["rewrite"]>) =>
  (options: Mutable): void => {
    options.mutate = { rewrite: change }
  }

const earlyGeneralizedTime = rewrite((parts) => {
  const early = der.tlv(0x18, new TextEncoder().encode("20260101000000Z"))
  parts.validity = der.sequence(early, der.time(NOW + 50 * DAY))
})
const versionOne = rewrite((parts) => {
  parts.version = null
  parts.extensions = []
})
const duplicateExtension = rewrite((parts) => {
  parts.extensions.push(parts.extensions[0]!)
})
const explicitFalse = rewrite((parts) => {
  parts.extensions.push(
    der.sequence(der.objectIdentifier("1.3.6.1.4.1.55555.2"), der.tlv(1, Uint8Array.of(0)), der.octetString(der.nullValue())),
  )
})

export const ODDITIES: Readonly<Record<string, Oddity>> = {
  // The leaf.
  "leaf expired": ({ leaf }) => void Object.assign(leaf, { notBefore: NOW - 9 * DAY, notAfter: NOW - DAY }),
  "leaf not yet valid": ({ leaf }) => void (leaf.notBefore = NOW + DAY),
  "leaf eku server": ({ leaf }) => void (leaf.eku = ["serverAuth"]),
  "leaf eku client": ({ leaf }) => void (leaf.eku = ["clientAuth"]),
  "leaf eku any": ({ leaf }) => void (leaf.eku = ["any"]),
  "leaf eku email": ({ leaf }) => void (leaf.eku = ["emailProtection"]),
  "leaf eku absent": ({ leaf }) => void (leaf.eku = null),
  "leaf eku critical": ({ leaf }) => void (leaf.critical = { eku: true }),
  "leaf ku keyAgreement": ({ leaf }) => void (leaf.keyUsage = ["keyAgreement"]),
  "leaf ku contentCommitment": ({ leaf }) => void (leaf.keyUsage = ["contentCommitment"]),
  "leaf ku absent": ({ leaf }) => void (leaf.keyUsage = null),
  "leaf ku keyCertSign": ({ leaf }) => void (leaf.keyUsage = ["digitalSignature", "keyCertSign"]),
  "leaf is a CA": ({ leaf }) => void Object.assign(leaf, { ca: true, keyUsage: ["digitalSignature", "keyCertSign"] }),
  "leaf bc without ca": ({ leaf }) => void (leaf.basicConstraints = true),
  "leaf pathlen": ({ leaf }) => void Object.assign(leaf, { basicConstraints: true, pathLength: 0 }),
  "leaf unknown critical": ({ leaf }) => void (leaf.extensions = [unknownCritical]),
  "leaf unknown not critical": ({ leaf }) => void (leaf.extensions = [{ ...unknownCritical, critical: false }]),
  "leaf forged flip": ({ leaf }) => void (leaf.mutate = { signature: "flip" }),
  "leaf forged stranger": ({ leaf }) => void (leaf.mutate = { signature: "stranger" }),
  "leaf wrong issuer name": ({ leaf }) => rewrite((parts) => void (parts.issuer = commonNameSubject("Somebody Else")))(leaf) as undefined,
  "leaf sha1": ({ leaf }) => void (leaf.signatureName = "ecdsa-sha1"),
  "leaf rsa1024": ({ leaf }, { key }) => void (leaf.key = key("rsa1024")),
  "leaf secp256k1": ({ leaf }, { key }) => void (leaf.key = key("secp256k1")),
  "leaf aki absent": ({ leaf }) => void (leaf.authorityKeyId = null),
  "leaf aki wrong": ({ leaf }) => void (leaf.authorityKeyId = Uint8Array.of(1, 2, 3, 4)),
  "leaf ski absent": ({ leaf }) => void (leaf.subjectKeyId = null),
  "leaf version 1": ({ leaf }) => void versionOne(leaf),
  "leaf serial zero": ({ leaf }) => void (leaf.serial = 0n),
  "leaf serial long": ({ leaf }) => void (leaf.serial = 1n << 170n),
  "leaf no subject, critical SAN": ({ leaf }) => void (leaf.commonName = ""),
  "leaf no subject, SAN not critical": ({ leaf }) => void Object.assign(leaf, { commonName: "", critical: { names: false } }),
  "leaf names nobody": ({ leaf }) => void Object.assign(leaf, { commonName: "", names: {} }),
  "leaf algorithms differ": ({ leaf }) =>
    void (leaf.mutate = { outerAlgorithm: der.sequence(der.objectIdentifier("1.2.840.10045.4.3.3")) }),
  "leaf early GeneralizedTime": ({ leaf }) => void earlyGeneralizedTime(leaf),
  "leaf duplicate extension": ({ leaf }) => void duplicateExtension(leaf),
  "leaf explicit FALSE": ({ leaf }) => void explicitFalse(leaf),
  "leaf constrains names": ({ leaf }) => void (leaf.nameConstraints = { permitted: { dns: ["example"] } }),
  "leaf self-signed": (draft) => void (draft.selfSigned = true),
  "leaf no names": ({ leaf }) => void (leaf.names = {}),
  "leaf many kinds of names": ({ leaf }) =>
    void (leaf.names = {
      dns: ["a.example", "*.a.example"],
      ip: ["127.0.0.1", "::1"],
      email: ["someone@a.example"],
      srv: ["_xmpp-server.a.example"],
      xmppAddr: ["a.example"],
      uri: ["xmpp:a.example"],
    }),
  // Intermediates.
  "middle expired": onMiddle((middle) => void Object.assign(middle, { notBefore: NOW - 9 * DAY, notAfter: NOW - DAY })),
  "middle not yet valid": onMiddle((middle) => void (middle.notBefore = NOW + DAY)),
  "middle without bc": onMiddle((middle) => void (middle.basicConstraints = false)),
  "middle not a CA": onMiddle((middle) => void Object.assign(middle, { ca: false, basicConstraints: true })),
  "middle bc not critical": onMiddle((middle) => void (middle.critical = { basicConstraints: false })),
  "middle pathlen 0": ({ middle }) => (middle.length < 1 ? false : void (middle[0]!.pathLength = 0)),
  "middle pathlen 1": ({ middle }) => (middle.length < 1 ? false : void (middle[0]!.pathLength = 1)),
  "middle ku without keyCertSign": onMiddle((middle) => void (middle.keyUsage = ["digitalSignature", "cRLSign"])),
  "middle ku absent": onMiddle((middle) => void (middle.keyUsage = null)),
  "middle ski absent": onMiddle((middle) => void (middle.subjectKeyId = null)),
  "middle aki absent": onMiddle((middle) => void (middle.authorityKeyId = null)),
  "middle eku server": onMiddle((middle) => void (middle.eku = ["serverAuth"])),
  "middle eku client": onMiddle((middle) => void (middle.eku = ["clientAuth"])),
  "middle eku any": onMiddle((middle) => void (middle.eku = ["any"])),
  "middle eku both": onMiddle((middle) => void (middle.eku = ["serverAuth", "clientAuth"])),
  "middle forged": onMiddle((middle) => void (middle.mutate = { signature: "flip" })),
  "middle sha1": onMiddle((middle) => void (middle.signatureName = "ecdsa-sha1")),
  "middle rsa1024": onMiddle((middle, { key }) => void (middle.key = key("rsa1024"))),
  "middle secp256k1": onMiddle((middle, { key }) => void (middle.key = key("secp256k1"))),
  "middle unknown critical": onMiddle((middle) => void (middle.extensions = [unknownCritical])),
  "middle version 1": onMiddle(versionOne),
  "middle serial zero": onMiddle((middle) => void (middle.serial = 0n)),
  "middle early GeneralizedTime": onMiddle(earlyGeneralizedTime),
  "middle duplicate extension": onMiddle(duplicateExtension),
  "middle names the root": onMiddle((middle) => void (middle.commonName = "Root")),
  "middle self-issued below another": ({ middle }, { key }) => {
    if (middle.length === 0) return false
    middle.splice(1, 0, { ca: true, commonName: middle[0]!.commonName!, key: key() })
    return undefined
  },
  "middle algorithms mixed": (draft, { key }) => {
    draft.root.key = key("rsa2048")
    if (draft.middle[0] !== undefined) draft.middle[0].key = key("p384")
    if (draft.middle[1] !== undefined) draft.middle[1].key = key("ed25519")
    draft.leaf.key = key("p521")
    return undefined
  },
  "middle pss": (draft, { key }) => {
    draft.root.key = key("rsa2048")
    ;(draft.middle[0] ?? draft.leaf).signatureName = "rsa-pss-sha256"
    return undefined
  },
  // The root.
  "root expired": ({ root }) => void Object.assign(root, { notBefore: NOW - 90 * DAY, notAfter: NOW - DAY }),
  "root pathlen 0": ({ root }) => void (root.pathLength = 0),
  "root pathlen 1": ({ root }) => void (root.pathLength = 1),
  "root eku client": ({ root }) => void (root.eku = ["clientAuth"]),
  "root eku server": ({ root }) => void (root.eku = ["serverAuth"]),
  "root ku absent": ({ root }) => void (root.keyUsage = null),
  "root ku without keyCertSign": ({ root }) => void (root.keyUsage = ["cRLSign"]),
  "root ski absent": ({ root }) => void (root.subjectKeyId = null),
  "root bc not critical": ({ root }) => void (root.critical = { basicConstraints: false }),
  "root without bc": ({ root }) => void (root.basicConstraints = false),
  "root unknown critical": ({ root }) => void (root.extensions = [unknownCritical]),
  "root rsa1024": ({ root }, { key }) => void (root.key = key("rsa1024")),
  "root sha1": ({ root }) => void (root.signatureName = "ecdsa-sha1"),
  "root serial zero": ({ root }) => void (root.serial = 0n),
  "root version 1": ({ root }) => void versionOne(root),
  // Name constraints.
  "nc dns permitted": constrain({ permitted: { dns: ["example"] } }, (leaf) => names(leaf, ["a.example", "b.a.example"])),
  "nc dns permitted itself": constrain({ permitted: { dns: ["a.example"] } }, (leaf) => names(leaf, ["a.example"])),
  "nc dns not permitted": constrain({ permitted: { dns: ["b.example"] } }, (leaf) => names(leaf, ["a.example"])),
  "nc dns one not permitted": constrain({ permitted: { dns: ["a.example"] } }, (leaf) => names(leaf, ["a.example", "b.example"])),
  "nc dns label suffix": constrain({ permitted: { dns: ["a.example"] } }, (leaf) => names(leaf, ["ba.example"])),
  "nc dns case": constrain({ permitted: { dns: ["A.Example"] } }, (leaf) => names(leaf, ["b.a.EXAMPLE"])),
  "nc dns excluded": constrain({ excluded: { dns: ["a.example"] } }, (leaf) => names(leaf, ["b.a.example"])),
  "nc dns not excluded": constrain({ excluded: { dns: ["b.example"] } }, (leaf) => names(leaf, ["a.example"])),
  "nc dns everything": constrain({ permitted: { dns: [""] } }, (leaf) => names(leaf, ["a.example"])),
  "nc dns all excluded": constrain({ excluded: { dns: [""] } }, (leaf) => names(leaf, ["a.example"])),
  "nc dns permitted and excluded": constrain({ permitted: { dns: ["example"] }, excluded: { dns: ["b.example"] } }, (leaf) =>
    names(leaf, ["a.example", "b.example"]),
  ),
  "nc wildcard permitted": constrain({ permitted: { dns: ["example"] } }, (leaf) => names(leaf, ["*.a.example"])),
  "nc wildcard excluded": constrain({ excluded: { dns: ["a.example"] } }, (leaf) => names(leaf, ["*.a.example"])),
  "nc wildcard touches excluded": constrain({ excluded: { dns: ["b.a.example"] } }, (leaf) => names(leaf, ["*.a.example"])),
  "nc dns leading dot": constrain({ permitted: { dns: [".example"] } }, (leaf) => names(leaf, ["a.example"])),
  "nc ip permitted": constrain({ permitted: { ip: ["127.0.0.0/8"] } }, (leaf) => void (leaf.names = { ip: ["127.0.0.9"] })),
  "nc ip not permitted": constrain({ permitted: { ip: ["10.0.0.0/8"] } }, (leaf) => void (leaf.names = { ip: ["127.0.0.9"] })),
  "nc ip excluded": constrain({ excluded: { ip: ["127.0.0.0/30"] } }, (leaf) => void (leaf.names = { ip: ["127.0.0.3"] })),
  "nc ip other family": constrain({ permitted: { ip: ["2001:db8::/32"] } }, (leaf) => void (leaf.names = { ip: ["127.0.0.3"] })),
  "nc ip bad mask": constrain(
    { permitted: { raw: [der.context(7, Uint8Array.of(127, 0, 0, 0, 255, 0, 255, 0), false)] } },
    (leaf) => void (leaf.names = { ip: ["127.0.0.0"] }),
  ),
  "nc email permitted": constrain({ permitted: { email: ["a.example"] } }, (leaf) => void (leaf.names = { email: ["someone@a.example"] })),
  "nc email not permitted": constrain(
    { permitted: { email: ["a.example"] } },
    (leaf) => void (leaf.names = { email: ["someone@b.a.example"] }),
  ),
  "nc email subdomains": constrain(
    { permitted: { email: [".a.example"] } },
    (leaf) => void (leaf.names = { email: ["someone@b.a.example"] }),
  ),
  "nc email mailbox excluded": constrain(
    { excluded: { email: ["someone@a.example"] } },
    (leaf) => void (leaf.names = { email: ["someone@a.example"] }),
  ),
  "nc directory not permitted": constrain({ permitted: { directory: [commonNameSubject("Nobody")] } }, () => undefined),
  "nc directory excluded, other case": (draft, tools) => {
    tools.pick([draft.root, ...draft.middle]).nameConstraints = {
      excluded: { directory: [commonNameSubject((draft.leaf.commonName ?? "").toUpperCase())] },
    }
    return undefined
  },
  "nc other forms only": constrain({ permitted: { ip: ["10.0.0.0/8"], email: ["a.example"] } }, (leaf) => names(leaf, ["a.example"])),
  "nc SRVName under dns": constrain(
    { permitted: { dns: ["b.example"] } },
    (leaf) => void (leaf.names = { srv: ["_xmpp-server.a.example"] }),
  ),
  "nc XmppAddr under dns": constrain({ permitted: { dns: ["b.example"] } }, (leaf) => void (leaf.names = { xmppAddr: ["a.example"] })),
  "nc SRVName base": constrain({ permitted: { srv: ["_xmpp-server.a.example"] } }, (leaf) => names(leaf, ["a.example"])),
  "nc URI base, URI name": constrain({ permitted: { uri: ["a.example"] } }, (leaf) => void (leaf.names = { uri: ["https://b.example/"] })),
  "nc not critical": (draft, tools) => {
    const where = tools.pick([draft.root, ...draft.middle])
    where.nameConstraints = { permitted: { dns: ["b.example"] } }
    where.critical = { nameConstraints: false }
    names(draft.leaf, ["a.example"])
    return undefined
  },
  "nc empty": constrain({}, () => undefined),
  // What is presented.
  "list reversed": ({ arrange }) => void arrange.push(([leaf, ...rest]) => [leaf!, ...rest.reverse()]),
  "list shuffled": ({ arrange }, { random }) =>
    void arrange.push(([leaf, ...rest]) => {
      for (let at = rest.length - 1; at > 0; at--) {
        const other = Math.floor(random() * (at + 1))
        ;[rest[at], rest[other]] = [rest[other]!, rest[at]!]
      }
      return [leaf!, ...rest]
    }),
  "list with duplicates": ({ arrange }) => void arrange.push((list) => [...list, ...list.slice(1), list[0]!]),
  "list with the root": ({ arrange }) => void arrange.push((list, { root }) => [...list, root.certificate.der]),
  "list with a stranger": ({ arrange }, { key }) =>
    void arrange.push((list) => [list[0]!, selfSigned({ now: NOW, key: key(), names: { dns: ["c.example"] } }).der, ...list.slice(1)]),
  "list with a victim": ({ arrange }, { key }) =>
    void arrange.push((list, { root }) => [
      ...list,
      root.issue({ key: key(), commonName: "victim", names: { dns: ["victim.example"] } }).der,
    ]),
  "intermediate missing": ({ arrange, middle }, { random }) => {
    if (middle.length === 0) return false
    arrange.push((list) => list.filter((_, index) => index !== 1 + Math.floor(random() * (list.length - 1))))
    return undefined
  },
  "root unknown": (draft) => void draft.arrange.push((list, { root }) => [...list, root.certificate.der]),
  "namesake of an intermediate": ({ arrange, middle }, { key }) => {
    if (middle.length === 0) return false
    const { commonName } = middle[0]!
    arrange.push((list, { root }) => [
      list[0]!,
      root.intermediate({ commonName: commonName!, key: key() }).certificate.der,
      ...list.slice(1),
    ])
    return undefined
  },
  "cross-certificate of the root": (draft, { key }) => {
    const other = CertificateAuthority.create({ now: NOW, name: "Elder Root", key: key() })
    draft.root.notBefore = NOW - 90 * DAY
    draft.arrange.push((list, { root }) => [
      ...list,
      other.intermediate({ key: root.key, subject: root.certificate.subject }).certificate.der,
    ])
    draft.extraRoots.push(other.certificate.der)
    return undefined
  },
  "two CAs that certify each other": (draft, { key }) => {
    draft.arrange.push((list, { root }) => {
      const one = { key: key(), subject: commonNameSubject("One") }
      const two = { key: key(), subject: commonNameSubject("Two") }
      const begin = root.intermediate({ ...one })
      const [first, second] = [begin.intermediate({ ...two }), root.intermediate({ ...two })]
      return [...list, first.certificate.der, second.intermediate({ ...one }).certificate.der]
    })
    return undefined
  },
  "leaf is the anchor": (draft) => {
    draft.selfSigned = true
    draft.arrange.push((list) => {
      draft.extraRoots.push(list[0]!)
      return list
    })
    return undefined
  },
}

/** Oddities that replace the same thing, so that one chain does not carry both and mean neither. */
const EXCLUSIVE = (name: string): string => (name.startsWith("nc ") ? "nc" : name.split(" ").slice(0, 2).join(" "))

/** A generator of chains: the same seed makes the same shapes (keys and signatures differ from run to run). */
export function chainGenerator(seed: number): (id: number) => GeneratedChain {
  const random = seeded(seed)
  const pool = new Map<string, KeyPair[]>()
  const sizes: Readonly<Record<string, number>> = { p256: 24, rsa2048: 2 }
  const tools: Tools = {
    random,
    pick: (list) => list[Math.floor(random() * list.length)]!,
    key: (kind = "p256") => {
      let keys = pool.get(kind)
      if (keys === undefined) {
        keys = Array.from({ length: sizes[kind] ?? 3 }, () => generateKey(kind as Parameters<typeof generateKey>[0]))
        pool.set(kind, keys)
      }
      // Taken in turn, so that one chain does not meet the same key twice.
      const key = keys.shift()!
      keys.push(key)
      return key
    },
  }
  const all = Object.keys(ODDITIES)
  return (id) => {
    const depth = tools.pick([0, 1, 1, 2, 2, 3])
    const draft: Draft = {
      root: { commonName: "Root", key: tools.key() },
      middle: Array.from({ length: depth }, (_, index) => ({ ca: true, commonName: `Middle ${index + 1}`, key: tools.key() })),
      leaf: { commonName: `end ${id}`, key: tools.key(), names: { dns: ["a.example"] } },
      arrange: [],
      extraRoots: [],
    }
    const oddities: string[] = []
    // Every oddity has its turn alone; the other chains carry none to three at random.
    const wanted = id % 2 === 0 ? [all[(id / 2) % all.length]!] : Array.from({ length: tools.pick([0, 1, 2, 2, 3]) }, () => tools.pick(all))
    for (const name of wanted) {
      if (oddities.some((other) => EXCLUSIVE(other) === EXCLUSIVE(name))) continue
      if (ODDITIES[name]!(draft, tools) !== false) oddities.push(name)
    }
    const root = CertificateAuthority.create({ now: NOW, ...draft.root })
    const authorities: CertificateAuthority[] = [root]
    for (const options of draft.middle) authorities.push(authorities.at(-1)!.intermediate(options))
    const leaf = draft.selfSigned ? selfSigned({ now: NOW, ...draft.leaf }) : authorities.at(-1)!.issue(draft.leaf)
    const made = { root, authorities, leaf }
    let presented = draft.selfSigned ? [leaf.der] : [...leaf.chain]
    for (const change of draft.arrange) presented = change(presented, made)
    const bystander = CertificateAuthority.create({ now: NOW, name: "Bystander", key: tools.key() }).certificate.der
    const roots = oddities.includes("root unknown") ? [bystander] : [root.certificate.der, bystander]
    return { id, roots: [...roots, ...draft.extraRoots], presented: presented.slice(0, 16), oddities }
  }
}
