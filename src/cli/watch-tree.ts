// The command `watch` with its options and help; what it does is loaded when it is used (docs/check.md).
import type { Command } from "commander"
import { addQuestions } from "./check-tree.ts"
import type { WatchOptions } from "./watch.ts"

/** @param done is told the exit status */
export function addWatch(program: Command, done: (status: number) => void): void {
  const command = program
    .command("watch")
    .summary("check again and again, tell only what changes")
    .description("Checks domains again and again and prints only what changes: a level that dropped, a key that nobody announced, an end that is near, and that it is good again.")
    .argument("[domain...]", "domains, or xmpp://HOST:PORT/DOMAIN to ask one server")
  addQuestions(command)
    .option("--interval <time>", "between two looks", "1h")
    .option("--jitter <part>", "the interval varies by this part, so that not all ask at once", "10%")
    .option("--rounds <n>", "end after so many looks; 1 for cron, with --state")
    .option("--state <file>", "remember there what was seen, over restarts")
    .option("--webhook <url>", "post what changed there, as JSON")
    .option("--exec <command>", "run this for each change: facts in XMPP_DNA_*, JSON on its input")
    .option("--jsonl", "print one JSON line for each change")
    .option("--color <when>", "auto, always or never", "auto")
    .option("--no-color", "no colours")
    .addHelpText(
      "after",
      `
Examples
  xmpp-dna watch --state /var/lib/xmpp-dna/watch.json --input domains.txt
  xmpp-dna watch --exec 'mail -s "$XMPP_DNA_DOMAIN" me' shop.example

Exit status: 0 after --rounds, 64 wrong argument, 130 or 143 interrupted`,
    )
    .action(async (domains: string[], options: WatchOptions) => {
      const { watchCommand } = await import("./watch.ts")
      done(await watchCommand(domains, options))
    })
}
