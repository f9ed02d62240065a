// The subcommands of `xmpp-dna ctl` with their options and help; what they do is loaded when it is used.
import type { Command } from "commander"
import type { AdminRequest } from "../gateway/admin-protocol.ts"
import type * as Made from "./ctl.ts"
import type { AddOptions, CtlOptions } from "./ctl.ts"

const example = (...lines: readonly string[]): string => `\nExample${lines.length > 1 ? "s" : ""}\n${lines.map((line) => `  xmpp-dna ctl ${line}`).join("\n")}`

/** @param done is told the exit status */
export function addCtl(program: Command, done: (status: number) => void): void {
  const ctl = program
    .command("ctl")
    .summary("manage a running gateway")
    .description("Asks the gateway that listens on the admin socket (listen.admin), and changes its domains.")
    .helpCommand("help [command]", "show help for a command")
    .option("--socket <path>", "the admin socket (/run/xmpp-dna/admin.sock)")
    .option("--json", "print the answer as one JSON document")
    .option("--timeout <time>", "how long to wait for the answer (60s)")
    .addHelpText(
      "after",
      `
Examples
  xmpp-dna ctl status
  xmpp-dna ctl domain add shop.example --generate-secret --posh
  xmpp-dna ctl domain set shop.example certificate=
  xmpp-dna ctl certs --json | jq '.result.certificates[] | select(.because)'

Exit status: 0 done, 2 not ready, 64 wrong argument, 69 no gateway answers,
             78 refused: nothing was changed`,
    )
  const ask = async (request: AdminRequest | ((made: typeof Made) => AdminRequest), command: Command): Promise<void> => {
    const made = await import("./ctl.ts")
    done(await made.ctl(() => (typeof request === "function" ? request(made) : request), command.optsWithGlobals<CtlOptions>()))
  }
  const plain = [
    ["status", "what it is, what it listens on, how much it serves"],
    ["domains", "hosted domains: certificate, proofs, component, file"],
    ["certs", "certificates on disk, served, in DNS and published"],
    ["components", "which components are attached"],
    ["ready", "is it serving; exit status 2 when not"],
    ["reload", "read everything again, all or nothing, and print what changed"],
    ["drain", "stop in order, as SIGTERM does"],
  ] as const
  for (const [verb, summary] of plain) {
    ctl
      .command(verb)
      .description(summary)
      .addHelpText("after", example(verb))
      .action(async (_options: unknown, command: Command) => ask({ v: 1, verb }, command))
  }

  const domain = ctl.command("domain").description("add, change, suspend or remove a hosted domain").helpCommand("help [command]", "show help for a command").addHelpText("after", example("domain add shop.example --generate-secret", "domain suspend shop.example"))
  domain
    .command("add <name>")
    .description("writes a new file into the include folder, and reloads")
    .option("--generate-secret [file]", "make a secret and keep it in a file (secrets/NAME beside the new file)")
    .option("--secret-file <file>", "the secret is in this file")
    .option("--secret-credential <name>", "the secret is this systemd credential")
    .option("--secret-env <name>", "the secret is in this environment variable of the gateway")
    .option("--certificate <name>", "show the certificate of this name in place of an own one")
    .option("--posh", "publish a POSH document")
    .option("--file <name>", "name of the new file (NAME.yaml)")
    .addHelpText("after", example("domain add shop.example --generate-secret", "domain add chat.example --secret-file /run/keys/chat --posh"))
    .action(async (name: string, options: AddOptions, command: Command) => ask(({ addRequest }) => addRequest(name, options), command))
  domain
    .command("set <name> <key=value...>")
    .description("certificate, posh, posh.serve, posh.expires, posh.next, secret.file, secret.credential, secret.env, suspended; an empty value takes the setting out")
    .addHelpText("after", example("domain set shop.example certificate=host.example posh=true", "domain set shop.example certificate="))
    .action(async (name: string, settings: string[], _options: unknown, command: Command) => ask(({ setRequest }) => setRequest(name, settings), command))
  for (const [verb, summary] of [
    ["suspend", "serve it no more, but let nobody else claim it"],
    ["resume", "serve it again"],
    ["remove", "host it no more; a file with nothing else in it goes"],
    ["abandon", "serve its renewed certificate at once, though peers may not know it yet: for a stolen key"],
  ] as const) {
    domain
      .command(`${verb} <name>`)
      .description(summary)
      .addHelpText("after", example(`domain ${verb} shop.example`))
      .action(async (name: string, _options: unknown, command: Command) => ask({ v: 1, verb: `domain.${verb}`, name }, command))
  }

  const s2s = ctl.command("s2s").description("streams to and from other servers").helpCommand("help [command]", "show help for a command").addHelpText("after", example("s2s show"))
  s2s
    .command("show [domain]")
    .description("the associations of all streams, or of one domain")
    .addHelpText("after", example("s2s show", "s2s show shop.example"))
    .action(async (name: string | undefined, _options: unknown, command: Command) => ask({ v: 1, verb: "s2s.show", ...(name === undefined ? {} : { name }) }, command))
}
