// Man pages from the tree of commands and its help texts: one for the program and one for each command, with its subcommands.
import type { EventEmitter } from "node:events"
import type { Command, Option } from "commander"

/** What stands after the options in a help page, by paragraphs. */
interface After {
  readonly examples: readonly string[]
  readonly status: string
  readonly notes: readonly string[]
}

function after(command: Command): After {
  let text = ""
  // Commander keeps these texts as listeners, and its types do not say that it is an emitter.
  ;(command as unknown as EventEmitter).emit("afterHelp", { error: false, command, write: (more: string) => void (text += more) })
  const paragraphs = text.split(/\n\s*\n/).map((each) => each.replace(/^\n+|\s+$/g, "")).filter((each) => each !== "")
  const examples = paragraphs.filter((each) => /^Examples?\n/.test(each)).flatMap((each) => each.split("\n").slice(1))
  const status = paragraphs.filter((each) => each.startsWith("Exit status:")).map((each) => words(each).replace(/^Exit status: /, ""))
  return { examples, status: status[0] ?? "", notes: paragraphs.filter((each) => !/^(?:Examples?\n|Exit status:)/.test(each)).map(words) }
}

const words = (text: string): string => text.replace(/\s+/g, " ").trim()

/** Text as roff takes it literally: no escapes, no requests, hyphens that can be pasted. */
function roff(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll("'", "\\(aq").replaceAll("`", "\\(ga").replace(/^\./gm, "\\&.")
}

const title = (path: readonly string[]): string => path.join("-")

function option({ flags, description, defaultValue, envVar }: Option): string {
  const besides = [...(typeof defaultValue === "string" ? [`default: ${defaultValue}`] : []), ...(envVar === undefined ? [] : [`environment: ${envVar}`])]
  const usual = besides.length === 0 ? "" : ` (${besides.join("; ")})`
  const marked = roff(flags).replace(/(?:\\-){1,2}[\w\\-]+/g, "\\fB$&\\fR").replace(/<([^>]+)>/g, "\\fI$1\\fR").replace(/\[([^\]]+)\]/g, "[\\fI$1\\fR]")
  return `.TP\n${marked}\n${roff(`${description}${usual}`)}\n`
}

function synopsis(command: Command, path: readonly string[]): string {
  const given = command.registeredArguments.map((each) => {
    const name = `\\fI${roff(each.name())}\\fR${each.variadic ? " ..." : ""}`
    return each.required ? name : `[${name}]`
  })
  const below = command.commands.length > 0 && command.registeredArguments.length === 0 ? ["\\fIcommand\\fR"] : []
  return `\\fB${roff(path.join(" "))}\\fR ${[...(command.options.length > 0 ? ["[\\fIoption\\fR ...]"] : []), ...given, ...below].join(" ")}`.trimEnd()
}

const options = (command: Command): string => command.options.filter(({ hidden }) => !hidden).map(option).join("")

/** A subcommand within the page of its command. */
function sub(command: Command, path: readonly string[]): string {
  const here = [...path, command.name()]
  const { examples } = after(command)
  const own = command.commands.length > 0 ? "" : `.SS ${roff(here.slice(1).join(" "))}\n${synopsis(command, here)}\n.PP\n${roff(sentenceOf(command))}\n${options(command)}${exampleLines(examples)}`
  return `${own}${command.commands.map((each) => sub(each, here)).join("")}`
}

function sentenceOf(command: Command): string {
  const text = words(command.description())
  return `${text[0]?.toUpperCase()}${text.slice(1)}${/[.:]$/.test(text) ? "" : "."}`
}

const exampleLines = (lines: readonly string[]): string => (lines.length === 0 ? "" : `.PP\n.in 2n\n.EX\n${lines.map((line) => roff(line.replace(/^ {2}/, ""))).join("\n")}\n.EE\n.in\n`)

function page(command: Command, path: readonly string[], version: string, others: readonly string[]): string {
  const { examples, status, notes } = after(command)
  const head = `.\\" Made by \`npm run pages\` from the tree of commands.\n.TH ${roff(title(path).toUpperCase())} 1 "" "xmpp\\-dna ${version}" "User Commands"\n`
  const parts: readonly (readonly [string, string])[] = [
    ["NAME", `${roff(title(path))} \\- ${roff(words(command.summary() || command.description()).replace(/\.$/, ""))}\n`],
    ["SYNOPSIS", `${synopsis(command, path)}\n`],
    ["DESCRIPTION", `${roff(sentenceOf(command))}\n${notes.map((note) => `.PP\n${roff(note)}\n`).join("")}`],
    ["OPTIONS", options(command)],
    ["COMMANDS", path.length === 1 ? command.commands.map((each) => `.TP\n\\fB${roff(each.name())}\\fR\n${roff(each.summary() || words(each.description()))}; see \\fBxmpp\\-dna\\-${roff(each.name())}\\fR(1)\n`).join("") : command.commands.map((each) => sub(each, path)).join("")],
    ["EXAMPLES", exampleLines(examples).replace(/^\.PP\n/, "")],
    ["EXIT STATUS", status === "" ? "" : `${roff(status)}\n`],
    ["SEE ALSO", `${others.map((other) => `\\fB${roff(other)}\\fR(1)`).join(",\n")}\n`],
  ]
  return `${head}${parts.filter(([, text]) => text !== "").map(([name, text]) => `.SH ${name}\n${text}`).join("")}`
}

/** Text by file name: `xmpp-dna.1`, `xmpp-dna-check.1`, ... */
export function manual(program: Command, version: string): Readonly<Record<string, string>> {
  const commands = program.commands.map((command) => ({ command, path: [program.name(), command.name()] }))
  const others = (path: readonly string[]): string[] => (path.length === 1 ? commands.map((each) => title(each.path)) : [program.name()])
  const all = [{ command: program, path: [program.name()] }, ...commands]
  return Object.fromEntries(all.map(({ command, path }) => [`${title(path)}.1`, page(command, path, version, others(path))]))
}
