// The command `check` with its options and help; what it does is loaded when it is used (docs/check.md).
import type { Command } from "commander"
import type { CheckOptions } from "./check.ts"

const list = (value: string, all: readonly string[]): string[] => [...all, value]

/** What `check` and `watch` ask, and with which network. */
export function addQuestions(command: Command): Command {
  return command
    .option("--service <which>", "server, client or both", "server")
    .option("--expect <level>", "authenticated, encrypted or verified", "authenticated")
    .option("--warn-expiry <time>", "a certificate that ends sooner is a warning", "14d")
    .option("--own", "the domain is yours: what its operator has to do is `you`")
    .option("--from <domain>", "ask as this domain of yours (check.invalid)")
    .option("--cert <pem>", "with --from: its certificate and chain, to really log in")
    .option("--key <pem>", "with --cert: its private key")
    .option("--connect <host:port>", "ask this server instead of where DNS leads")
    .option("--direct-tls", "with --connect or xmpp://: TLS at once")
    .option("-4", "IPv4 alone")
    .option("-6", "IPv6 alone")
    .option("--input <file>", "more domains, one a line; - is standard input")
    .option("--concurrency <n>", "domains at a time", "8")
    .option("--timeout <time>", "for each domain", "30s")
    .option("--resolver <address>", "ask this resolver; may be repeated", list, [])
    .option("--dnssec <how>", "validate, or off where resolvers do not let it happen", "validate")
    .option("--dns-anchors <file>", "anchors of DNSSEC, DS or DNSKEY records (those of the root)")
    .option("--ca-file <pem>", "trust anchors in place of the system's")
    .option("--allow <network|name>", "reach this special network or name, too; may be repeated", list, [])
    .option("--https-port <port>", "for POSH in place of 443, in labs", "443")
}

/** @param done is told the exit status */
export function addCheck(program: Command, done: (status: number) => void): void {
  const command = program
    .command("check")
    .summary("can others prove that they reached this domain, and how")
    .description("Climbs the whole ladder to a domain: DNS, every address of every server, TLS, every proof, and says what holds, what fails, whose move it is and what to paste where.")
    .argument("[domain...]", "domains, or xmpp://HOST:PORT/DOMAIN to ask one server")
  addQuestions(command)
    .option("--fail-on <what>", "bad, or warn as well (exit 1)", "bad")
    .option("--at <date>", "judge certificates as of then (ISO 8601)")
    .option("--reverse", "wait for its server to connect to --from, and judge that, too")
    .option("--ping", "with --reverse: ask it to, by a ping")
    .option("--listen <address:port>", "with --reverse: where ([::]:5269)")
    .option("--patience <time>", "with --reverse: how long", "60s")
    .option("--evidence <folder>", "keep what the verdicts rest on there, for `judge`")
    .option("--seal <pem>", "with --evidence: sign the files with this Ed25519 key")
    .option("--json", "print one JSON document")
    .option("--jsonl", "print one JSON line for each domain as it is done")
    .option("--nagios", "print a line for a monitoring system; exit 0 to 3")
    .option("--prometheus", "print metrics")
    .option("--markdown", "print for a ticket")
    .option("-q, --quiet", "print one line for each domain")
    .option("-v, --verbose", "print everything that was found")
    .option("--color <when>", "auto, always or never", "auto")
    .option("--no-color", "no colours")
    .addHelpText(
      "after",
      `
Examples
  xmpp-dna check shop.example
  xmpp-dna check --from me.example --cert my.pem --key my.key shop.example
  xmpp-dna check --input tenants.txt --jsonl | jq -r 'select(.ok | not).domain'
  xmpp-dna check --nagios shop.example

Exit status: 0 as expected, 1 warnings (--fail-on warn, --nagios), 2 not as
             expected, 3 could not tell, 64 wrong argument, 130 interrupted`,
    )
    .action(async (domains: string[], options: CheckOptions) => {
      const { checkCommand } = await import("./check.ts")
      done(await checkCommand(domains, options))
    })
}
