// The `xmpp-dna` command: the tree of commands, help and exit statuses; each command is loaded when it is used.
import { pathToFileURL } from "node:url"
import { Command, CommanderError, type Option } from "commander"
import { nearestWord } from "../gateway/did-you-mean.ts"
import { ConfigError } from "../model/errors.ts"
import { addCompletion, addExplain, addSchema } from "./also-tree.ts"
import { addCheck } from "./check-tree.ts"
import { addCtl } from "./ctl-tree.ts"
import { readEnvironment } from "./environment.ts"
import { ctlRefused, exit, printable, Stop } from "./exit.ts"
import { addLab } from "./lab-tree.ts"
import { addPublish } from "./publish-tree.ts"
import { version } from "./version.ts"
import { addWatch } from "./watch-tree.ts"

/** What an option does, with its default as it is typed; that what may be repeated begins with none goes without saying. */
export function optionDescription({ description, defaultValue, envVar }: Option): string {
  const besides = [...(typeof defaultValue === "string" ? [`default: ${defaultValue}`] : []), ...(envVar === undefined ? [] : [`environment: ${envVar}`])]
  return besides.length === 0 ? description : `${description} (${besides.join("; ")})`
}

/** Commander's sentence as ours are: one line, without a word before it. */
function inOurWords(text: string): string {
  return printable(text.trimEnd().replace(/^error: /, "").replace(/\.?\n\(Did you mean (.+)\?\)$/, ". Did you mean $1?"))
}

/** The whole tree of commands, and what the last one ended with. */
export function tree(): { program: Command; status: () => number } {
  let status: number = exit.ok
  const program = new Command("xmpp-dna")
    .description("Prove, and check, that an XMPP stream belongs to a domain (RFC 7712).")
    .version(version(), "--version", "print the version")
    .helpOption("-h, --help", "show help")
    .configureHelp({ optionDescription })
    .configureOutput({ outputError: (text, write) => write(`xmpp-dna: ${inOurWords(text)}\n`) })
    .showSuggestionAfterError(true)
    .exitOverride()
    .addHelpText(
      "after",
      `
Examples
  xmpp-dna lab                          watch domains prove themselves, offline
  xmpp-dna check shop.example           can others prove that they reached it
  xmpp-dna explain "LINE OF A LOG"      what it means, and whose move it is
  xmpp-dna dns shop.example             every record the domain should have
  xmpp-dna serve --check --config FILE  is this configuration good
  xmpp-dna ctl status                   how a running gateway is
  xmpp-dna judge refusal.json           judge saved evidence again, offline

Exit status: 0 good, 1 warnings, 2 bad, 3 could not tell, 64 usage,
             69 unavailable, 70 internal error, 78 configuration`,
    )

  const done = (ended: number): void => {
    status = ended
  }

  program.commandsGroup("Ask")
  addCheck(program, done)
  addWatch(program, done)
  addExplain(program, done)
  program
    .command("judge")
    .summary("judge saved evidence again, offline")
    .description("Reads an evidence file (or - for standard input) and judges it without network, at its own time or another. Trust anchors are this installation's and those named with --anchors.")
    .argument("<file>", "evidence file, or -")
    .option("--anchors <pem>", "further trust anchors, a PEM file; may be repeated", (file: string, all: string[]) => [...all, file], [] as string[])
    .option("--dns-anchors <file>", "further anchors of DNSSEC, DS or DNSKEY records; may be repeated", (file: string, all: string[]) => [...all, file], [] as string[])
    .option("--key <key>", "who must have sealed it: a PEM file or ed25519:...; may be repeated", (key: string, all: string[]) => [...all, key], [] as string[])
    .option("--at <date>", "judge at this moment (ISO 8601)")
    .option("--json", "print the result as one JSON document")
    .addHelpText(
      "after",
      `
Examples
  xmpp-dna judge --anchors roots.pem refusal.json
  xmpp-dna judge --at 2026-11-22T13:00:00Z --key sealed-by.pem refusal.json

Exit status: 0 same verdict, 2 another verdict or changed after sealing,
             3 cannot judge, 64 not evidence`,
    )
    .action(async (file: string, options: { anchors: string[]; dnsAnchors: string[]; key: string[]; at?: string; json?: boolean }) => {
      const { judgeCommand } = await import("./judge.ts")
      status = await judgeCommand(file, options)
    })

  program.commandsGroup("Make")
  addPublish(program, done)

  program.commandsGroup("Run")
  addLab(program, done)
  program
    .command("serve")
    .summary("server-to-server gateway for many domains")
    .description("Federates hosted domains with the network; bots and services attach as XEP-0114 components.")
    .requiredOption("--config <file>", "YAML configuration (docs/operating.md)")
    .option("--check", "check the configuration, secrets and certificates, then end")
    .option("--allow-inline-secrets", "accept secrets written in the configuration itself")
    .addHelpText(
      "after",
      `
Examples
  xmpp-dna serve --config /etc/xmpp-dna/config.yaml
  xmpp-dna serve --check --config /etc/xmpp-dna/config.yaml

SIGHUP reloads, SIGTERM drains and ends.

Exit status: 0 stopped in order, 1 in a hurry: stanzas may be lost,
             64 wrong argument, 78 configuration`,
    )
    .action(async (options: { config: string; check?: boolean; allowInlineSecrets?: boolean }) => {
      const { serve } = await import("./serve.ts")
      status = await serve(options)
    })

  addCtl(program, done)

  program.commandsGroup("Also")
  addSchema(program, done)
  addCompletion(program, done)
  program.helpCommand("help [command]", "show help for a command")

  readEnvironment(program, process.env)
  return { program, status: () => status }
}

/**
 * `help`, at the program or at a group of commands, with the words of a command behind it.
 *
 * @returns the command whose help is meant; undefined when something else is asked for
 * @throws Stop when there is no such command
 */
function helpAsked(program: Command, argv: readonly string[]): Command | undefined {
  let command = program
  let asked = false
  for (const word of argv) {
    const below = command.commands.find((each) => each.name() === word)
    const isGroup = command.commands.length > 0 && command.registeredArguments.length === 0
    if (below !== undefined) command = below
    else if (word === "help" && isGroup) asked = true
    else if (!asked || word.startsWith("-")) return undefined
    else {
      const near = nearestWord(word, command.commands.map((each) => each.name()))
      throw new Stop(exit.usage, `unknown command '${word}'${near === undefined ? "" : `. Did you mean ${near}?`}`)
    }
  }
  return asked ? command : undefined
}

const documents = ["check", "explain", "judge", "posh", "tlsa", "dns"]

/** A command line that could not be read: machines get their form of it all the same. */
function mistaken(argv: readonly string[], message: string): number {
  const sentence = printable(message.replace(/^error: /, "").split("\n")[0] ?? "")
  const command = argv[0] ?? ""
  if (command === "check" && argv.includes("--nagios")) {
    process.stdout.write(`XMPP-DNA UNKNOWN - ${sentence.replaceAll("|", "/")}\n`)
    return exit.unknown
  }
  if (command === "ctl" && argv.includes("--json")) process.stdout.write(`${JSON.stringify(ctlRefused(exit.usage, sentence))}\n`)
  if (documents.includes(command) && argv.includes("--json")) process.stdout.write(`${JSON.stringify({ error: sentence, exit: exit.usage }, null, 2)}\n`)
  return exit.usage
}

function brokenPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== "EPIPE") throw error
}

/**
 * Runs the command line.
 *
 * @param argv without the program's own name
 * @returns the exit status; only a bug of the program itself is thrown
 */
export async function run(argv: readonly string[]): Promise<number> {
  const { program, status } = tree()
  // Who reads our words may go away (`| head`): nothing more is written then, and a gateway serves on.
  for (const stream of [process.stdout, process.stderr]) {
    if (!stream.listeners("error").includes(brokenPipe)) stream.on("error", brokenPipe)
  }
  try {
    if (argv.length === 0) {
      program.outputHelp()
      return exit.ok
    }
    const explained = helpAsked(program, argv)
    if (explained !== undefined) {
      explained.outputHelp()
      return exit.ok
    }
    await program.parseAsync([...argv], { from: "user" })
    return status()
  } catch (error) {
    // Commander has printed its own sentence; help and version are no errors.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exit.ok : mistaken(argv, error.message)
    if (error instanceof Stop) {
      process.stderr.write(`xmpp-dna: ${printable(error.message)}\n`)
      return error.status
    }
    if (error instanceof ConfigError) {
      for (const { place, setting, sentence } of error.problems) {
        process.stderr.write(`${printable(`${place}  ${setting === undefined ? "" : `${setting}  `}${sentence}`)}\n`)
      }
      const count = error.problems.length
      process.stderr.write(`${count} problem${count === 1 ? "" : "s"}, nothing started.\n`)
      return exit.config
    }
    throw error
  }
}

// Run from the source tree (`npm start`); the installed command goes through bin/.
if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  run(process.argv.slice(2)).then(
    (code) => {
      process.exitCode = code
    },
    (error: unknown) => {
      process.stderr.write(`xmpp-dna: internal error: ${error instanceof Error ? error.stack : String(error)}\n`)
      process.exitCode = exit.bug
    },
  )
}
