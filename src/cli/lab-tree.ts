// The command `lab` with its options and help; what it does is loaded when it is used.
import type { Command } from "commander"
import type { LabCommandOptions } from "./lab.ts"

/** @param done is told the exit status */
export function addLab(program: Command, done: (status: number) => void): void {
  program
    .command("lab")
    .summary("an internet on loopback: watch proofs work and fail, step by step")
    .description("Starts DNS, a certificate authority and servers on loopback. Scenes are played on real TLS sockets and told; exhibits are domains with a fault that stand there for `check`. Both stay up until Ctrl-C.")
    .argument("[scene...]", "scenes and exhibits; the main scenes when none is named")
    .option("--once", "play, check, judge, end: 0 when all went as it should, else 2")
    .option("--shell", "a shell in which `xmpp-dna check` asks the lab; all exhibits stand")
    .option("--json", "print one JSON document and nothing else on standard output")
    .option("--list", "list scenes and exhibits, and what `check` finds there")
    .addHelpText(
      "after",
      `
Examples
  xmpp-dna lab                                   the story of seven scenes
  xmpp-dna lab pkix-hosted                       one fault, to be checked
  xmpp-dna lab --shell                           all of them
  xmpp-dna lab --once --json | jq '.scenes[] | [.id, .ok]'

Exit status: 0 as it should be, 2 a scene or a check was not (--once), else that
             of the shell (--shell), 64 no such scene`,
    )
    .action(async (scenes: string[], options: LabCommandOptions) => {
      const { lab } = await import("./lab.ts")
      done(await lab(scenes, options))
    })
}
