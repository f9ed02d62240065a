// A report for a ticket, in Markdown: everything that came from elsewhere is escaped, what is to be pasted stands in a fence of its own.
import type { CheckReport, DomainResult, ReportFinding, ReportFix } from "../inspect/report.ts"
import { printable } from "./exit.ts"
import { endpointSays, markOf, movesOf, proofSays, summaryOf } from "./render-text.ts"

/** Names and words of others draw nothing and link nowhere. */
const escaped = (text: string): string => printable(text).replace(/[\\`*_{}[\]()#+!|<>~&@]/g, "\\$&").replaceAll("://", ":\\//")

const marks = { good: "good", warn: "good, with warnings", bad: "**not as expected**", unknown: "could not tell", none: "", blank: "" }

export function markdown({ results, expect, tool, started }: CheckReport): string {
  const parts = results.flatMap((result) => [...domainLines(result, expect), ""])
  return `${[...parts, `xmpp-dna ${tool.version}, ${started}`].join("\n")}\n`
}

function domainLines(result: DomainResult, expect: CheckReport["expect"]): string[] {
  const { domain, service, proofs, endpoints, peersSee, notes } = result
  const lines = [`## ${escaped(domain)} (${service})`, "", `${marks[markOf(result)]}: ${escaped(summaryOf(result, expect))}`, ""]
  if (proofs.length > 0) lines.push("| proof | | says |", "|---|---|---|", ...proofs.map((proof) => `| ${proof.proof} | ${proof.state} | ${escaped(proofSays(proof))} |`), "")
  if (endpoints.length > 0) {
    const rows = endpoints.map((endpoint) => `| ${escaped(`${endpoint.host}:${endpoint.port}`)} | ${escaped(endpoint.address)} | ${endpoint.state} | ${escaped(endpointSays(endpoint))} |`)
    lines.push("| server | address | | |", "|---|---|---|---|", ...rows, "")
  }
  for (const { product, text } of peersSee) lines.push(`* ${product} sees: ${escaped(text)}`)
  for (const [title, of] of movesOf(result)) if (of.length > 0) lines.push("", `### ${title}`, "", ...of.flatMap(findingLines))
  lines.push("", ...notes.map((note) => `Note: ${escaped(note)}`))
  return lines
}

function findingLines({ id, party, sentence, detail, fix, section }: ReportFinding): string[] {
  return [`* ${party === "nobody" ? "" : `**${party}**: `}${escaped(detail === "" ? sentence : `${sentence}: ${detail}`)} \`${id}\` (${section})`, ...fix.flatMap(fixLines)]
}

function fixLines({ kind, text, where }: ReportFix): string[] {
  if (kind === "text") return [`  ${escaped(text)}`]
  return [`  ${kind}${where === null ? "" : ` ${escaped(where)}`}:`, "", "```", ...text.split("\n").map(printable).map((line) => line.replaceAll("```", "'''")), "```", ""]
}
