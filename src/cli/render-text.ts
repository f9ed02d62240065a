// A report for people, at 80 columns: what holds, what fails, whose move it is and what to paste (RFC 7712 4.2); many domains as a table.
import { type FindingId, findings as catalogue } from "../model/findings.ts"
import type { CheckReport, DomainResult, EndpointResult, ProofResult, ReportFinding, ReportFix } from "../inspect/report.ts"
import { dateText, lengthText } from "./table.ts"
import { columns, hanging, type Mark, padded, type Terminal, widthOf, wrap } from "./terminal.ts"

export interface TextOptions {
  /** One line for each domain. */
  readonly quiet: boolean
  readonly verbose: boolean
}

/** Good domains beyond this many rows are counted, not listed. */
const mostRows = 20

export function text(report: CheckReport, shown: Terminal, options: TextOptions): string {
  const { results, expect } = report
  if (results.length === 0) return "Nothing was asked to its end.\n"
  const domains = new Set(results.map(({ domain }) => domain))
  if (options.quiet) return `${results.map((result) => headline(result, expect, shown).join("\n")).join("\n")}\n`
  if (domains.size > 1 && !options.verbose) return table(report, shown)
  const parts = results.map((result) => domainText(result, report, shown, options.verbose).join("\n"))
  // Of all of them together, so once.
  if (!results.every(({ ok }) => ok)) parts.push(`Exit ${report.exit}. More: -v or --json; for a ticket: --markdown`)
  return `${parts.join("\n\n")}\n`
}

/** Of the whole domain. */
export function markOf({ ok, unknown, findings }: DomainResult): Mark {
  if (!ok) return unknown ? "unknown" : "bad"
  return findings.some(({ severity }) => severity === "warn") ? "warn" : "good"
}

/** One sentence that can be read alone. */
export function summaryOf({ ok, unknown, level, proofs, findings, reverse }: DomainResult, expect: CheckReport["expect"]): string {
  const [gravest] = findings.filter(({ severity }) => severity === "bad" || severity === "unknown")
  // What was not asked, and how it would be, is all that there is to say then.
  const why = gravest === undefined ? "" : gravest.id === "dns.guarded" ? `: ${gravest.detail}, which is not asked without --allow` : `: ${gravest.sentence}`
  if (ok) {
    const by = proofs.filter(({ state }) => state === "proved").map(({ proof }) => proof.toUpperCase())
    return level === "authenticated" && by.length > 0 ? `authenticated by ${listed(by)}` : `${level}, and no more than ${expect} was expected`
  }
  if (unknown) return `could not tell${why}`
  return reverse !== null && level === "authenticated" ? `the other direction is not ${expect}${why}` : `not ${expect}${why}`
}

const listed = (words: readonly string[]): string => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`)

function headline(result: DomainResult, expect: CheckReport["expect"], shown: Terminal): string[] {
  const name = shown.clean(result.unicode) === result.unicode && result.unicode !== result.domain ? `${result.unicode} (${result.domain})` : result.domain
  const whose = result.service === "xmpp-client" ? `${name}, for clients` : name
  const says = shown.clean(summaryOf(result, expect))
  const took = `${(result.tookMs / 1000).toFixed(1)} s`
  const mark = shown.mark(markOf(result))
  const before = widthOf(whose) + 3 + shown.markWidth + 1
  if (before + widthOf(says) + 2 + took.length <= columns) {
    return [`${shown.strong(whose)}   ${mark} ${padded(says, columns - before - took.length)}${took}`]
  }
  if (before <= 44) return hanging(`${shown.strong(whose)}   ${mark} `, before, says)
  return [shown.strong(whose), ...hanging(`${mark} `, shown.markWidth + 1, says)]
}

function domainText(result: DomainResult, { expect }: CheckReport, shown: Terminal, verbose: boolean): string[] {
  const sections = [headline(result, expect, shown), proofsText(result, shown), endpointsText(result, shown), reverseText(result, shown), expiresText(result, shown)]
  if (verbose) sections.push(certificatesText(result, shown), answersText(result, shown))
  if (result.peersSee.length > 0) sections.push(["WHAT PEERS SEE", ...result.peersSee.flatMap(({ product, text: words }) => hanging(`  ${padded(product, 10)}`, 12, shown.clean(words)))])
  sections.push(...movesText(result, shown, verbose))
  sections.push(result.notes.flatMap((note) => hanging("note: ", 6, shown.clean(note))))
  return sections.filter((lines) => lines.length > 0).flatMap((lines, index) => (index === 0 ? lines : ["", ...lines]))
}

const proofMarks: Record<ProofResult["state"], Mark> = { proved: "good", refuted: "bad", absent: "none", unavailable: "unknown", offered: "blank", untried: "blank" }

/** What a proof found, in words. */
export function proofSays({ state, detail, finding, proof }: ProofResult): string {
  if (state === "offered") return "offered; seen, not tried"
  const sentence = finding === null ? "" : (catalogue[finding as FindingId]?.sentence ?? finding)
  if (state === "untried") return sentence === "" ? (proof === "dialback" ? "not offered" : "it did not come to that") : sentence
  if (detail === "" || detail === finding) return sentence === "" ? "holds" : sentence
  return state === "proved" || state === "refuted" ? detail : `${sentence}: ${detail}`
}

function proofsText({ proofs, ok }: DomainResult, shown: Terminal): string[] {
  if (proofs.length === 0) return []
  const before = shown.markWidth + 1 + 10
  const lines = proofs.flatMap((proof) => {
    const mark = proofMarks[proof.state]
    // Beside a proof that holds it is no reason to be refused.
    const shownMark = shown.mark(mark === "bad" && ok ? "warn" : mark)
    const [first = "", ...rest] = wrap(shown.clean(proofSays(proof)), columns - before - 12)
    const needs = proof.needsSecureDns ? "needed" : "no"
    return [`${shownMark} ${padded(proof.proof, 10)}${padded(first, columns - before - 11)} ${needs}`, ...rest.map((line) => " ".repeat(before) + line)]
  })
  return [`${padded("PROOFS", before)}${padded("says", columns - before - 10)}secure DNS`, ...lines]
}

const transports = { starttls: "STARTTLS", "direct-tls": "Direct TLS" }
const ways = { srv: "by SRV", fallback: "without SRV", operator: "as you say" }

function endpointsText({ endpoints, ok }: DomainResult, shown: Terminal): string[] {
  if (endpoints.length === 0) return []
  const lines = ["ENDPOINTS"]
  let server = ""
  const widest = Math.max(...endpoints.map(({ address }) => address.length))
  for (const endpoint of endpoints) {
    const { host, port, transport, via, secureDelegation } = endpoint
    const names = `${host}:${port}, ${transports[transport]}, ${via === "srv" ? `${secureDelegation ? "signed" : "unsigned"} SRV` : ways[via]}`
    if (names !== server) lines.push(...hanging("  ", 2, shown.clean(names)))
    server = names
    const mark: Mark = endpoint.state === "unknown" ? "unknown" : endpoint.state === "failed" || endpoint.level === "none" ? "bad" : !ok && endpoint.level !== "authenticated" ? "warn" : "good"
    const took = `${endpoint.ms} ms`
    const before = `${shown.mark(mark)} ${padded(endpoint.address, widest)}   `
    const width = shown.markWidth + 1 + widest + 3
    const [first = "", ...rest] = wrap(shown.clean(endpointSays(endpoint)), columns - width - took.length - 2)
    lines.push(`${before}${padded(first, columns - width - took.length)}${took}`, ...rest.map((line) => " ".repeat(width) + line))
  }
  return lines
}

/** How far it came, and what it offers there. */
export function endpointSays({ tls, level, login, starttls, findings, state, features }: EndpointResult): string {
  const [first] = findings.filter((id) => catalogue[id as FindingId]?.severity !== "info")
  const why = state !== "ok" && first !== undefined ? (catalogue[first as FindingId]?.sentence ?? first) : ""
  const logged = login === null ? "" : login.state === "accepted" ? `accepts us (${login.by?.toUpperCase()})` : login.state === "refused" ? "refuses us" : login.state === "not-offered" ? "offers us no way in" : ""
  return [tls?.replace("TLSv", "TLS ") ?? "no TLS", level === "none" ? (why === "" ? "level none" : "") : (level ?? ""), starttls === "offered" ? "TLS not required" : "", logged, why].filter((part) => part !== "").join(", ") + (features.length === 0 ? "" : `; offers ${features.join(" ")}`)
}

function reverseText({ reverse }: DomainResult, shown: Terminal): string[] {
  if (reverse === null) return []
  const marks: Record<typeof reverse.state, Mark> = { proved: "good", refuted: "bad", unavailable: "unknown", "no-connection": "unknown" }
  const says = [reverse.state === "no-connection" ? "it did not connect" : (reverse.level ?? reverse.state), reverse.address ?? "", reverse.detail].filter((part) => part !== "").join(", ")
  return ["THE OTHER DIRECTION", ...hanging(`${shown.mark(marks[reverse.state])} `, shown.markWidth + 1, shown.clean(says))]
}

function expiresText({ expires, asOf }: DomainResult, shown: Terminal): string[] {
  const left = (iso: string): string => {
    const ms = Date.parse(iso) - Date.parse(asOf)
    return ms < 0 ? `ended ${dateText(iso)}` : lengthText(ms)
  }
  const parts = [
    ["certificate", expires.certificate],
    ["DNSSEC signatures", expires.signatures],
    ["POSH document", expires.posh],
  ].flatMap(([what, iso]) => (iso === null || iso === undefined ? [] : [`${what} ${left(iso)}`]))
  return parts.length === 0 ? [] : hanging("EXPIRES     ", 12, parts.join(shown.separator))
}

function certificatesText({ certificates }: DomainResult, shown: Terminal): string[] {
  const lines = Object.entries(certificates).flatMap(([print, { names, subject, issuer, key, notAfter, spki }]) => [
    ...hanging("  ", 2, shown.clean(`${names.join(" ") || subject}, by ${issuer}, ${key}, until ${notAfter}`)),
    `    ${print}`,
    `    key ${spki}`,
  ])
  return lines.length === 0 ? [] : ["CERTIFICATES", ...lines]
}

function answersText({ discovery }: DomainResult, shown: Terminal): string[] {
  const lines = discovery.answers.flatMap(({ name, type, status, outcome, records, why }) => hanging("  ", 4, shown.clean(`${name} ${type}: ${status}, ${records.length > 0 ? records.join("; ") : outcome}${why.length > 0 ? ` (${why.join("; ")})` : ""}`)))
  return lines.length === 0 ? [] : ["DNS", ...lines]
}

/** Further proofs that would do, where one is missed. */
const instead = new Set(["posh.not-published", "dane.not-signed", "dane.no-tlsa"])

/** What is to be done, the gravest first. */
export function movesOf({ findings, ok, unknown, level }: DomainResult): readonly (readonly [string, readonly ReportFinding[]])[] {
  const of = (severity: ReportFinding["severity"]): ReportFinding[] => findings.filter((finding) => finding.severity === severity)
  const missed = !ok && !unknown && level === "encrypted"
  return [
    ["TO FIX", of("bad")],
    ["OR INSTEAD, any one of these", missed ? of("info").filter(({ id }) => instead.has(id)) : []],
    ["COULD NOT TELL", of("unknown")],
    ["ALSO", of("warn")],
  ]
}

function movesText(result: DomainResult, shown: Terminal, verbose: boolean): string[][] {
  const groups = movesOf(result).filter(([, of]) => of.length > 0)
  let number = 0
  const sections = groups.map(([title, of]) => [
    title,
    ...of.flatMap((finding) => {
      number += 1
      return findingText(finding, `${String(number).padStart(3)} `, shown)
    }),
  ])
  if (groups.length === 0) sections.push(["Nothing to do."])
  const told = groups.flatMap(([, of]) => of)
  const noted = result.findings.filter((finding) => finding.severity === "info" && !told.includes(finding))
  if (verbose && noted.length > 0) sections.push(["NOTED", ...noted.flatMap((finding) => findingText(finding, "    ", shown))])
  return sections
}

const partyWidth = 10

function findingText({ id, party, sentence, detail, fix }: ReportFinding, before: string, shown: Terminal): string[] {
  const indent = before.length + partyWidth
  const words = detail === "" || detail === sentence ? sentence : `${sentence}: ${detail}`
  return [...hanging(`${before}${padded(party === "nobody" ? "" : party, partyWidth)}`, indent, `${shown.clean(words)} [${id}]`), ...fix.flatMap((each) => fixText(each, indent, shown))]
}

/** What is to be pasted stands on a line of its own, unindented and whole. */
function fixText({ kind, text: words, where }: ReportFix, indent: number, shown: Terminal): string[] {
  const blank = " ".repeat(indent)
  if (kind === "text") return hanging(blank, indent, shown.clean(words))
  const told = kind === "file" ? "publish this as" : kind === "record" ? "publish this record" : "run"
  return [...hanging(blank, indent, `${told}${where === null ? "" : ` ${shown.clean(where)}`}:`), ...words.split("\n").map((line) => shown.clean(line))]
}

const order: readonly Mark[] = ["bad", "unknown", "warn", "good"]

/** The worst first, one next move each; the good are counted where there are many. */
function table({ results, tookMs, exit }: CheckReport, shown: Terminal): string {
  const sorted = [...results].sort((a, b) => order.indexOf(markOf(a)) - order.indexOf(markOf(b)))
  const worse = sorted.filter((result) => markOf(result) !== "good")
  const good = sorted.filter((result) => markOf(result) === "good")
  const listedGood = good.slice(0, Math.max(0, mostRows - worse.length))
  const rows = [...worse, ...listedGood]
  const names = rows.map(({ domain, service }) => (service === "xmpp-client" ? `${domain} (c2s)` : domain))
  const widest = Math.min(26, Math.max(6, ...names.map((name) => name.length)))
  const level = shown.markWidth + 15
  const cell = 5
  const lines = rows.flatMap((result, index) => {
    const proofs = ["pkix", "dane", "posh"].map((name) => {
      const mark = proofMarks[result.proofs.find(({ proof }) => proof === name)?.state ?? "untried"]
      return `${shown.mark(mark)}${" ".repeat(cell - shown.markWidth)}`
    })
    const state = `${shown.mark(markOf(result))} ${padded(result.level ?? "unknown", level - shown.markWidth - 1)}`
    const ends = result.expires.certificate
    const left = ends === null ? null : Date.parse(ends) - Date.parse(result.asOf)
    const days = left === null ? "-" : left < 0 ? "ended" : lengthText(left)
    const name = names[index] as string
    const start = name.length > widest ? [name, " ".repeat(widest)] : [padded(name, widest)]
    const before = `${start.at(-1)}  ${state}${proofs.join("")}${padded(days, 6)}`
    const beforeWidth = widest + 2 + level + 3 * cell + 6
    return [...start.slice(0, -1), ...hanging(before, beforeWidth, nextMove(result)).map((line) => line.trimEnd())]
  })
  const heading = `${padded("DOMAIN", widest)}  ${padded("LEVEL", level)}${["PKIX", "DANE", "POSH"].map((name) => padded(name, cell)).join("")}${padded("CERT", 6)}NEXT MOVE`
  const folded = good.length - listedGood.length
  const count = (mark: Mark, word: string): string[] => {
    const number = results.filter((result) => markOf(result) === mark).length
    return number === 0 ? [] : [`${number} ${word}`]
  }
  const sums = [...count("good", "good"), ...count("warn", "with warnings"), ...count("bad", "bad"), ...count("unknown", "could not tell")].join(", ")
  const end = `${results.length} checked: ${sums}`
  const took = `${(tookMs / 1000).toFixed(1)} s   exit ${exit}`
  return `${[heading, ...lines, ...(folded > 0 ? [`and ${folded} more, all good`] : []), `${padded(end, columns - took.length - 1)} ${took}`].join("\n")}\n`
}

function nextMove({ findings }: DomainResult): string {
  const [first] = findings.filter(({ severity }) => severity !== "info")
  if (first === undefined) return ""
  return first.party === "nobody" ? first.id : `${first.party}: ${first.id}`
}
