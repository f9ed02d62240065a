// Options that the environment can give, so that a whole shell asks through a lab or past the system's resolver: `XMPP_DNA_RESOLVER` and
// its like, for every command that asks the network. The command line outweighs it. `judge` does not heed it (security.md 25).
import type { Command } from "commander"

export const variables: Readonly<Record<string, string>> = {
  resolver: "XMPP_DNA_RESOLVER",
  dnsAnchors: "XMPP_DNA_DNS_ANCHORS",
  caFile: "XMPP_DNA_CA_FILE",
  allow: "XMPP_DNA_ALLOW",
  httpsPort: "XMPP_DNA_HTTPS_PORT",
}

const asking = ["check", "watch", "posh", "tlsa", "dns"]

export function readEnvironment(program: Command, environment: Readonly<Record<string, string | undefined>>): void {
  for (const command of program.commands) if (asking.includes(command.name())) named(command)
  program.hook("preAction", (_, acting) => {
    for (let command: Command | null = acting; command !== null; command = command.parent) take(command, environment)
  })
}

function take(command: Command, environment: Readonly<Record<string, string | undefined>>): void {
  for (const option of command.options) {
    const name = option.attributeName()
    const value = option.envVar === undefined ? undefined : environment[option.envVar]
    if (value === undefined || value === "" || command.getOptionValueSource(name) === "cli") continue
    // What may be repeated stands in one variable, with spaces between.
    const all = value.split(" ").filter((part) => part !== "")
    command.setOptionValueWithSource(name, Array.isArray(option.defaultValue) ? all : value, "env")
  }
}

/** Help names the variables, too. */
function named(command: Command): void {
  for (const option of command.options) {
    const variable = variables[option.attributeName()]
    if (variable !== undefined) option.env(variable)
  }
  for (const below of command.commands) named(below)
}
