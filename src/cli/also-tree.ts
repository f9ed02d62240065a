// The commands `explain`, `schema` and `completion` with their options and help; what they do is loaded when it is used.
import type { Command } from "commander"
import type { ExplainOptions } from "./explain.ts"

/** @param done is told the exit status */
export function addExplain(program: Command, done: (status: number) => void): void {
  program
    .command("explain")
    .summary("what a log line or the id of a finding means, and whose move it is")
    .description("Knows the sentences of Prosody, ejabberd, Openfire and OpenSSL, and every finding of this program: what it means, whose move it is, what to do, where in the lab it can be seen.")
    .argument("[text...]", "a line of a log, an error or an id; - reads lines from standard input")
    .option("--list", "list all findings")
    .option("--json", "print one JSON document")
    .option("--color <when>", "auto, always or never", "auto")
    .option("--no-color", "no colours")
    .addHelpText(
      "after",
      `
Examples
  xmpp-dna explain dane.mismatch
  xmpp-dna explain "unsupported certificate purpose"
  grep shop.example /var/log/prosody/prosody.log | xmpp-dna explain -

Exit status: 0 explained, 3 not known, 64 wrong argument`,
    )
    .action(async (words: string[], options: ExplainOptions) => {
      const { explainCommand } = await import("./explain.ts")
      done(await explainCommand(words, options))
    })
}

/** @param done is told the exit status */
export function addSchema(program: Command, done: (status: number) => void): void {
  program
    .command("schema")
    .summary("JSON Schema of an output, of evidence or of the configuration")
    .description("Prints a JSON Schema (draft 2020-12); without a name it lists what there is. Readers should ignore members that they do not know: they may be added.")
    .argument("[name]", "check, check-line, watch, explain, judge, evidence, config, ...")
    .addHelpText(
      "after",
      `
Examples
  xmpp-dna schema
  xmpp-dna schema check > check.schema.json

Exit status: 0 done, 64 no such schema`,
    )
    .action(async (name: string | undefined) => {
      const { schemaCommand } = await import("./schema.ts")
      done(schemaCommand(name))
    })
}

/** @param done is told the exit status */
export function addCompletion(program: Command, done: (status: number) => void): void {
  program
    .command("completion")
    .summary("completion for bash, zsh or fish")
    .description("Prints a script that completes commands, options and their values on the tab key.")
    .argument("<shell>", "bash, zsh or fish")
    .addHelpText(
      "after",
      `
Examples
  source <(xmpp-dna completion bash)
  xmpp-dna completion fish > ~/.config/fish/completions/xmpp-dna.fish

Exit status: 0 done, 64 no such shell`,
    )
    .action(async (shell: string) => {
      const { completionCommand } = await import("./completion.ts")
      done(completionCommand(program, shell))
    })
}
