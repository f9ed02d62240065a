// `federation.resolver`: which mode of DNSSEC goes with which resolvers, anchors and prooftypes (security.md 15, 16; docs/operating.md).
import { dirname, isAbsolute, join } from "node:path"
import { AnchorError, type AnchorSet, parseAnchors } from "../dns/dnssec/anchors.ts"
import { isLoopbackAddress } from "../dns/upstream.ts"
import type { ConfigProblem } from "../model/errors.ts"
import type { RawConfig } from "./config-schema.ts"
import type { ConfigText, SettingPath } from "./config-text.ts"
import { reason } from "./config-values.ts"

/** What the mode of DNSSEC allows beside it. */
export function checkDnssec(raw: Pick<RawConfig, "federation">, text: ConfigText, problems: ConfigProblem[]): void {
  const { address, dnssec, anchors } = raw.federation.resolver
  const base: SettingPath = ["federation", "resolver"]
  const problem = (path: SettingPath, setting: string, sentence: string): void => void problems.push({ place: text.place(path), setting, sentence })
  if (dnssec === "trust-ad" && address === undefined) {
    problem([...base, "dnssec"], "federation.resolver.dnssec", "`trust-ad` believes another validator, so name it: `address: 127.0.0.1:53`, a validating resolver on this machine.")
  }
  for (const [index, each] of (address === undefined ? [] : [address].flat()).entries()) {
    // security.md 16: on the way to another machine anybody could set the AD bit.
    if (dnssec !== "trust-ad" || isLoopbackAddress(each.address)) continue
    const path = Array.isArray(address) ? [...base, "address", index] : [...base, "address"]
    problem(path, "federation.resolver.address", `\`trust-ad\` is for a validating resolver on this machine, and ${each.address} is not a loopback address: name one, or write \`dnssec: validate\`.`)
  }
  if (anchors !== undefined && dnssec !== "validate") {
    problem([...base, "anchors"], "federation.resolver.anchors", `Anchors are used by \`dnssec: validate\` only; this is \`${dnssec}\`: remove one of the two.`)
  }
  const dane = raw.federation.proofs?.indexOf("dane") ?? -1
  if (dnssec === "off" && dane >= 0) {
    const sentence = "DANE rests on signed DNS, and `federation.resolver.dnssec` is off: it could never prove anything. Remove dane."
    problem(["federation", "proofs", dane], `federation.proofs[${dane}]`, sentence)
  }
}

/** The file of `resolver.anchors`: DS or DNSKEY records, as a zone file writes them. */
export async function readDnsAnchors(
  raw: Pick<RawConfig, "federation">,
  text: ConfigText,
  read: (path: string) => Promise<Uint8Array>,
  problems: ConfigProblem[],
): Promise<AnchorSet | undefined> {
  const { anchors } = raw.federation.resolver
  if (anchors === undefined) return undefined
  const path = isAbsolute(anchors) ? anchors : join(dirname(text.file), anchors)
  const from = { place: text.place(["federation", "resolver", "anchors"]), setting: "federation.resolver.anchors" }
  let bytes: Uint8Array
  try {
    bytes = await read(path)
  } catch (error) {
    problems.push({ ...from, sentence: `${path} cannot be read: ${reason(error)}.` })
    return undefined
  }
  try {
    return parseAnchors(new TextDecoder().decode(bytes))
  } catch (error) {
    if (!(error instanceof AnchorError)) throw error
    problems.push({ ...from, sentence: `${path} cannot be used: ${error.message}. Write DS or DNSKEY records, one a line, as in a zone file.` })
    return undefined
  }
}
