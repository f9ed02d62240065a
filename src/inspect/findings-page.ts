// The catalogue of findings as a page of documentation (docs/findings.md), made from what the code itself uses.
import { explanations } from "../model/explanations.ts"
import { type FindingId, findings, type Party, type Severity } from "../model/findings.ts"

const groups: Readonly<Record<string, string>> = {
  dns: "Finding the domain",
  reach: "Reaching it",
  stream: "The stream",
  tls: "TLS",
  cert: "The certificate",
  pkix: "PKIX",
  dane: "DANE",
  posh: "POSH",
  auth: "Logging in, and dialback",
  policy: "What is asked for",
  proof: "Prooftypes as such",
  own: "Domains hosted here",
  route: "Stanzas",
}

export const severityWords: Readonly<Record<Severity, string>> = {
  bad: "the domain is not as it should be",
  warn: "to be looked at",
  info: "good to know",
  unknown: "it could not be told, which counts as neither good nor bad",
}

export const partyWords: Readonly<Record<Party, string>> = {
  you: "you, who run this program",
  peer: "the operator of the other server",
  path: "somebody on the way: networks, firewalls",
  resolver: "the DNS resolver and the name servers",
  nobody: "nobody",
}

/** Lines of words, so that changes of the page can be read. */
function lines(text: string): string {
  return text.replace(/(?=.{141})(.{1,140}) /g, "$1\n")
}

const sentenceCase = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`

function section(id: FindingId): string {
  const { severity, party, sentence, repair, section: source } = findings[id]
  return `### \`${id}\`\n\n${lines(`**${sentenceCase(sentence)}** ${explanations[id]}`)}\n\n${lines(`*${severity}, ${party}, ${source}.* Repair: ${repair}.`)}\n`
}

/** The whole page. */
export function findingsPage(): string {
  const ids = Object.keys(findings) as FindingId[]
  const names = [...new Set(ids.map((id) => id.slice(0, id.indexOf("."))))]
  const meanings = (words: Readonly<Record<string, string>>): string => Object.entries(words).map(([word, meaning]) => `- \`${word}\`: ${meaning}`).join("\n")
  const head = `<!-- Made by \`npm run pages\` from src/model/findings.ts and src/model/explanations.ts: change those. -->

# Findings

Everything that can be found out about a domain or a stream has an id that never changes its meaning. It stands in brackets in every text, and by
itself in JSON and in logs. \`xmpp-dna explain ID\` prints what stands here, and what other servers call the same.

How grave it is by itself; a report may weigh it otherwise, since what proves nothing is bad only where nothing else proves:

${meanings(severityWords)}

Whose move it is; in a report on a hosted domain \`peer\` may become \`hoster\`, who runs the server, and with \`--own\` it becomes \`you\`:

${meanings(partyWords)}
`
  const body = names.map((name) => `## ${groups[name] ?? name} (\`${name}.\`)\n\n${ids.filter((id) => id.startsWith(`${name}.`)).map(section).join("\n")}`)
  return `${head}\n${body.join("\n")}`
}
