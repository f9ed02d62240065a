// `xmpp-dna explain`: what a line of a log or the id of a finding means, whose move it is and what to do.
import { explain, longestLine } from "../inspect/explain.ts"
import type { ExplainedFinding, ExplainReport, Explanation } from "../inspect/explain-report.ts"
import { partyWords, severityWords } from "../inspect/findings-page.ts"
import { raisedBy } from "../lab/raises.ts"
import { findings } from "../model/findings.ts"
import { exit, Stop } from "./exit.ts"
import { oneOf, print, told } from "./publish-world.ts"
import { hanging, padded, type Terminal, terminal } from "./terminal.ts"

export interface ExplainOptions {
  readonly list?: boolean
  readonly json?: boolean
  readonly color: string | false
}

const mostOctets = 1024 * 1024
const labelWidth = 10

export async function explainCommand(words: readonly string[], options: ExplainOptions): Promise<number> {
  return await told(options.json, () => explained(words, options))
}

async function explained(words: readonly string[], { list, json, color }: ExplainOptions): Promise<number> {
  if (list !== true && words.length === 0) throw new Stop(exit.usage, "what is to be explained? Give a line of a log, the id of a finding, or - to read lines; --list names all ids.")
  oneOf(String(color), ["auto", "always", "never", "false"], "--color")
  if (list === true && words.length > 0) throw new Stop(exit.usage, "--list names all ids, and takes no text.")
  const piped = words.length === 1 && words[0] === "-"
  const texts = list === true ? Object.keys(findings) : piped ? lines(await piping()) : [words.join(" ")]
  const all = texts.map((text) => explain(text, raisedBy))
  // Of many lines each meaning is told once, and what is not known is only counted.
  const explanations = piped ? once(all.filter(({ known }) => known)) : all
  const report: ExplainReport = { schema: 1, exit: explanations.some(({ known }) => known) ? exit.ok : exit.unknown, explanations }
  const shown = terminal({ tty: process.stdout.isTTY, environment: process.env, color })
  if (json === true) print(report)
  else if (list === true) process.stdout.write(table(explanations, shown))
  else process.stdout.write(explanations.map((each) => block(each, shown)).join("\n"))
  if (piped) process.stderr.write(`xmpp-dna: ${all.filter(({ known }) => known).length} of ${all.length} lines explained\n`)
  return report.exit
}

/** Standard input, as far as a log that somebody looks at goes. */
async function piping(): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of process.stdin) {
    chunks.push(chunk as Buffer)
    size += (chunk as Buffer).length
    if (size > mostOctets) throw new Stop(exit.usage, `more than ${mostOctets / 1024} KiB to explain: give the lines in question.`)
  }
  return Buffer.concat(chunks).toString("utf8")
}

const lines = (text: string): string[] => text.split(/\r?\n/).filter((line) => line.trim() !== "").map((line) => line.slice(0, longestLine))

function once(all: readonly Explanation[]): Explanation[] {
  const meanings = new Map(all.map((each) => [`${each.said?.says} ${each.finding?.id}`, each]))
  return [...meanings.values()]
}

function table(all: readonly Explanation[], shown: Terminal): string {
  const found = all.flatMap(({ finding }) => finding ?? [])
  const width = Math.max(...found.map(({ id }) => id.length)) + 2
  return found.map(({ id, severity, sentence }) => `${hanging(`${padded(id, width)}${padded(severity, 9)}`, width + 9, shown.clean(sentence)).join("\n")}\n`).join("")
}

function block(explanation: Explanation, shown: Terminal): string {
  const { said, finding } = explanation
  const row = (label: string, text: string): string[] => hanging(padded(label, labelWidth), labelWidth, shown.clean(text))
  if (!explanation.known) return unknown(explanation, row)
  const rows: string[] = []
  if (said !== null) {
    rows.push(...row("Said", said.says), ...row("Seen in", `${said.product} ${said.versions}: ${said.seen}`))
    const whose = said.party === "you" ? "you, whose log it is" : partyWords[said.party]
    rows.push(...row("Means", said.means), ...row("Whose", `${whose} [${said.party}]`), ...row("Do", said.action))
    if (finding !== null) rows.push(...row("Id", `${finding.id}: ${finding.sentence}`))
  } else if (finding !== null) rows.push(...page(finding, shown, row))
  if (finding !== null) rows.push(...row("See it", scenesText(finding)))
  return `${rows.join("\n")}\n`
}

type Row = (label: string, text: string) => string[]

function page({ id, severity, party, sentence, meaning, repair, section, saidBy }: ExplainedFinding, shown: Terminal, row: Row): string[] {
  const heading = [shown.strong(id), ...hanging("", 0, shown.clean(sentence)), ""]
  const others = saidBy
    .filter(({ product }, index) => saidBy.findIndex((each) => each.product === product) === index)
    .flatMap(({ product, says }, index) => row(index === 0 ? "Said by" : "", `${product}: ${says}`))
  const weight = [...row("Grave", `${severityWords[severity]} [${severity}]`), ...row("Whose", `${partyWords[party]} [${party}]`)]
  return [...heading, ...row("Means", meaning), ...weight, ...row("Do", repair), ...row("Source", section), ...others]
}

const scenesText = ({ id, scenes }: ExplainedFinding): string => (scenes.length === 0 ? `xmpp-dna explain ${id}` : `xmpp-dna lab ${scenes[0]}`)

function unknown({ text, nearest }: Explanation, row: Row): string {
  const shortened = text.length > 200 ? `${text.slice(0, 200)}...` : text
  const near = nearest.length === 0 ? row("Nearest", "nothing; `xmpp-dna explain --list` names all findings") : nearest.flatMap((id, index) => row(index === 0 ? "Nearest" : "", `${id}: ${findings[id as keyof typeof findings].sentence}`))
  const send = "the whole line and the lines before it, which server wrote it in which version, and what `xmpp-dna check --json DOMAIN` says of the other domain"
  return `${[...row("Not known", JSON.stringify(shortened)), ...near, ...row("To ask", `send ${send}`)].join("\n")}\n`
}
