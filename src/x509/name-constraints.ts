// Name constraints (RFC 5280 4.2.1.10, 6.1.4; ID-13): every name of a certificate against the subtrees of a CA above it.
// What cannot be compared is refused, never let through.

import type { Buffer } from "node:buffer"
import type { Certificate } from "./certificate.ts"
import type { NameConstraints } from "./extensions.ts"
import { type DistinguishedName, EMAIL_ADDRESS, type GeneralName, isWithin, nameText, shown, type TextName } from "./names.ts"

/** Counts comparisons over a whole validation; `spend` throws what its maker chose when they are used up. */
export interface ComparisonMeter {
  spend(count: number): void
}

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/

/** The labels of a DNS name in lower case, or undefined where it is none. A wildcard is allowed as the first label if told. */
export function dnsLabels(name: string, wildcard: boolean): string[] | undefined {
  if (name.length > 253) return undefined
  const labels = name.replace(/[A-Z]+/g, (upper) => upper.toLowerCase()).split(".")
  return labels.every((label, index) => LABEL.test(label) || (wildcard && index === 0 && label === "*" && labels.length > 1))
    ? labels
    : undefined
}

const endsWith = (labels: readonly string[], tail: readonly string[]): boolean =>
  labels.length >= tail.length && tail.every((label, index) => labels[labels.length - tail.length + index] === label)

type Form = "dns" | "ip" | "email" | "directory"
/** How a name stands to a subtree; for a wildcard `touches` is that some name it stands for is inside. */
interface Relation {
  readonly inside: boolean
  readonly touches: boolean
}
const relation = (inside: boolean, touches = inside): Relation => ({ inside, touches })

function dnsRelation(labels: readonly string[], base: readonly string[]): Relation {
  if (labels[0] !== "*") return relation(endsWith(labels, base))
  // `*.P` stands for every x.P: all of them lie below B when P does; one of them is B itself, or above nothing else.
  const parent = labels.slice(1)
  const inside = endsWith(parent, base)
  return relation(inside, inside || (base.length === labels.length && endsWith(base, parent)))
}

function emailRelation(address: string, base: string): Relation | undefined {
  const at = address.lastIndexOf("@")
  const domain = dnsLabels(address.slice(at + 1), false)
  if (at < 1 || domain === undefined) return undefined
  const baseAt = base.lastIndexOf("@")
  const subdomains = baseAt < 0 && base.startsWith(".")
  const baseDomain = dnsLabels(base.slice(subdomains ? 1 : baseAt + 1), false)
  if (baseAt === 0 || baseDomain === undefined) return undefined
  if (subdomains) return relation(domain.length > baseDomain.length && endsWith(domain, baseDomain))
  const sameDomain = domain.length === baseDomain.length && endsWith(domain, baseDomain)
  if (baseAt < 0) return relation(sameDomain)
  // The local part is case-sensitive where it permits, and not where it excludes.
  const [local, baseLocal] = [address.slice(0, at), base.slice(0, baseAt)]
  return relation(sameDomain && local === baseLocal, sameDomain && local.toLowerCase() === baseLocal.toLowerCase())
}

/** Whether the mask of an iPAddress constraint is a row of ones and then zeros. */
function isPrefixMask(mask: Buffer): boolean {
  const bits = [...mask].map((octet) => octet.toString(2).padStart(8, "0")).join("")
  return /^1*0*$/.test(bits)
}

function ipRelation(address: Buffer, base: Buffer): Relation {
  const size = base.length / 2
  if (address.length !== size) return relation(false)
  return relation(address.every((octet, index) => (octet & base[size + index]!) === (base[index]! & base[size + index]!)))
}

/** Names of one form that a certificate presents, ready to compare; `undefined` stands for one that cannot be. */
interface Subjects {
  readonly dns: readonly { readonly text: string; readonly labels: readonly string[] | undefined }[]
  readonly ip: readonly Buffer[]
  readonly email: readonly string[]
  readonly directory: readonly DistinguishedName[]
  /** Other forms present, which no subtree can be compared with. */
  readonly others: ReadonlySet<string>
}

const gathered = new WeakMap<Certificate, Subjects>()

/** The domain part of an SRVName or XmppAddr, to be held against dNSName subtrees (ID-13). */
function domainOf(name: TextName<"srv"> | TextName<"xmppAddr">): string {
  if (name.type === "srv") return name.text.slice(name.text.indexOf(".") + 1)
  const bare = name.text.split("/", 1)[0]!
  return bare.slice(bare.indexOf("@") + 1)
}

function subjectsOf(certificate: Certificate): Subjects {
  const known = gathered.get(certificate)
  if (known !== undefined) return known
  const dns: { text: string; labels: readonly string[] | undefined }[] = []
  const ip: Buffer[] = []
  const email: string[] = []
  const directory: DistinguishedName[] = certificate.subject.rdns.length === 0 ? [] : [certificate.subject]
  const others = new Set<string>()
  for (const name of certificate.subjectAltNames ?? []) {
    switch (name.type) {
      case "dns":
        dns.push({ text: name.text, labels: dnsLabels(name.text, true) })
        break
      // ID-13 (RFC 9525): a CA constrained for dNSName would be free for these forms, so their domain is held to the same subtrees.
      case "srv":
      case "xmppAddr":
        dns.push({ text: name.text, labels: dnsLabels(domainOf(name), name.type === "srv") })
        break
      case "ip":
        ip.push(name.octets)
        break
      case "email":
        email.push(name.text)
        break
      case "directory":
        directory.push(name.name)
        break
      case "uri":
        others.add("uri")
        break
      default:
        others.add(name.form)
    }
  }
  // RFC 5280 4.2.1.10: an rfc822Name constraint also holds for emailAddress in the subject.
  for (const { type, text } of certificate.subject.rdns.flat()) if (type === EMAIL_ADDRESS) email.push(text ?? "")
  const subjects = { dns, ip, email, directory, others }
  gathered.set(certificate, subjects)
  return subjects
}

interface Base {
  readonly form: Form
  readonly labels: readonly string[]
  readonly source: GeneralName
}

type Subtrees = Readonly<Record<Form, readonly Base[]>>

interface Prepared {
  readonly permitted: Subtrees
  readonly excluded: Subtrees
  /** Forms with a subtree that cannot be compared with anything. */
  readonly foreign: ReadonlySet<string>
  /** Why the constraints themselves are unusable. */
  readonly broken: string | undefined
}

const prepared = new WeakMap<NameConstraints, Prepared>()

function prepareBase(base: GeneralName): Base | string {
  switch (base.type) {
    case "dns": {
      // An empty base holds every name. A leading dot or a wildcard is no dNSName (RFC 5280 4.2.1.10).
      const labels = base.text === "" ? [] : dnsLabels(base.text, false)
      return labels === undefined ? `the dNSName constraint "${shown(base.text)}" is malformed` : { form: "dns", labels, source: base }
    }
    case "ip": {
      const size = base.octets.length
      if ((size !== 8 && size !== 32) || !isPrefixMask(base.octets.subarray(size / 2))) return "an iPAddress constraint is malformed"
      return { form: "ip", labels: [], source: base }
    }
    case "email":
      return emailRelation("someone@a.example", base.text) === undefined
        ? `the rfc822Name constraint "${shown(base.text)}" is malformed`
        : { form: "email", labels: [], source: base }
    case "directory":
      return { form: "directory", labels: [], source: base }
    // RFC 4985 section 4 is not implemented; a CA constrained so is refused whole, or the forms would differ in strength (ID-13).
    case "srv":
    case "xmppAddr":
      return `${base.type === "srv" ? "SRVName" : "XmppAddr"} constraints are not supported`
    default:
      return `form ${base.type === "uri" ? "uri" : base.form}`
  }
}

function prepare(constraints: NameConstraints): Prepared {
  const known = prepared.get(constraints)
  if (known !== undefined) return known
  const foreign = new Set<string>()
  let broken: string | undefined
  const bases = (list: readonly GeneralName[]): Subtrees => {
    const byForm: Record<Form, Base[]> = { dns: [], ip: [], email: [], directory: [] }
    for (const item of list) {
      const base = prepareBase(item)
      if (typeof base !== "string") byForm[base.form].push(base)
      else if (base.startsWith("form ")) foreign.add(base.slice(5))
      else broken ??= base
    }
    return byForm
  }
  const result = { permitted: bases(constraints.permitted), excluded: bases(constraints.excluded), foreign, broken }
  prepared.set(constraints, result)
  return result
}

type Compare = (base: Base) => Relation | undefined

/** One name against all subtrees of its form: within a permitted one if there are any, and touching no excluded one. */
function against(rules: Prepared, form: Form, what: string, compare: Compare, meter: ComparisonMeter): string | undefined {
  const permitted = rules.permitted[form]
  const excluded = rules.excluded[form]
  if (permitted.length === 0 && excluded.length === 0) return undefined
  meter.spend(permitted.length + excluded.length)
  for (const base of excluded) {
    const found = compare(base)
    if (found === undefined) return `${what} cannot be compared with the constraints`
    if (found.touches) return `${what} is in an excluded subtree`
  }
  if (permitted.length === 0) return undefined
  for (const base of permitted) {
    const found = compare(base)
    if (found === undefined) return `${what} cannot be compared with the constraints`
    if (found.inside) return undefined
  }
  return `${what} is in no permitted subtree`
}

/**
 * Why a certificate breaks the constraints of a CA above it, or undefined.
 * The caller leaves out self-issued certificates other than the last (RFC 5280 6.1.3 b, c).
 */
export function constraintViolation(constraints: NameConstraints, certificate: Certificate, meter: ComparisonMeter): string | undefined {
  const rules = prepare(constraints)
  if (rules.broken !== undefined) return rules.broken
  const subjects = subjectsOf(certificate)
  meter.spend(1 + rules.foreign.size)
  for (const form of rules.foreign) if (subjects.others.has(form)) return `constraints on names of the form ${form} are not supported`
  for (const { text, labels } of subjects.dns) {
    const found = against(
      rules,
      "dns",
      `"${shown(text)}"`,
      (base) => (labels === undefined ? undefined : dnsRelation(labels, base.labels)),
      meter,
    )
    if (found !== undefined) return found
  }
  for (const octets of subjects.ip) {
    const compare: Compare = (base) => (base.source.type === "ip" ? ipRelation(octets, base.source.octets) : undefined)
    const found = against(rules, "ip", `the address ${[...octets].join(".")}`, compare, meter)
    if (found !== undefined) return found
  }
  for (const text of subjects.email) {
    const compare: Compare = (base) => (base.source.type === "email" ? emailRelation(text, base.source.text) : undefined)
    const found = against(rules, "email", `"${shown(text)}"`, compare, meter)
    if (found !== undefined) return found
  }
  for (const name of subjects.directory) {
    const compare: Compare = (base) => (base.source.type === "directory" ? relation(isWithin(name, base.source.name)) : undefined)
    const found = against(rules, "directory", nameText(name), compare, meter)
    if (found !== undefined) return found
  }
  return undefined
}
