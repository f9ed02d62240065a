// The publishing commands `posh`, `tlsa` and `dns` with their options and help; what they do is loaded when it is used.
import type { Command } from "commander"
import type { DnsOptions } from "./dns.ts"
import type { PoshOptions, PoshVerifyOptions } from "./posh.ts"
import type { RolloverOptions, TlsaOptions } from "./tlsa.ts"

const list = (value: string, all: readonly string[]): string[] => [...all, value]

function asks(command: Command): Command {
  return command
    .option("--resolver <address>", "ask this resolver; may be repeated", list, [])
    .option("--dns-anchors <file>", "anchors of DNSSEC, DS or DNSKEY records (those of the root)")
    .option("--allow <network|name>", "reach this special network or name, too; may be repeated", list, [])
    .option("--timeout <time>", "give up after this time")
}

/** @param done is told the exit status */
export function addPublish(program: Command, done: (status: number) => void): void {
  addPosh(program, done)
  addTlsa(program, done)
  addDns(program, done)
}

function addPosh(program: Command, done: (status: number) => void): void {
  const posh = program
    .command("posh")
    .summary("POSH file (RFC 7711) for .well-known/posh/")
    .description("Prints the document that names these certificates, or one that refers to a hoster's, and what a web server needs to answer with it.")
    .argument("[cert...]", "certificate files, PEM or DER; the first certificate of each counts")
    .option("--next <cert>", "a certificate that will be shown later; may be repeated", list, [])
    .option("--expires <time>", "how long peers may keep the document, up to 7d", "1d")
    .option("--delegate <url>", "refer to the hoster's document, or pass it on")
    .option("--service <which>", "server or client", "server")
    .option("--instructions <server>", "nginx, caddy, apache or github-pages")
    .option("--for <domain>", "whose web site it is")
    .option("--folder <path>", "where the web server's documents are kept", "/var/www/posh")
    .option("--anchors <pem>", "whom the web server believes when it passes on", "/etc/ssl/certs/ca-certificates.crt")
    .option("--ca-file <pem>", "verify: trust anchors in place of the system's")
    .option("--json", "print one JSON document")
  asks(posh)
    .addHelpText(
      "after",
      `
Examples
  xmpp-dna posh --expires 7d fullchain.pem > xmpp-server.json
  xmpp-dna posh --delegate https://hoster.example/posh.json
  xmpp-dna posh fullchain.pem --instructions nginx --for shop.example
  xmpp-dna posh verify shop.example --cert fullchain.pem

Exit status: 0 done, 2 not as it should be (verify), 3 could not tell,
             64 wrong argument`,
    )
    .action(async (files: string[], options: PoshOptions) => {
      const { poshCommand } = await import("./posh.ts")
      done(await poshCommand(files, options))
    })
  posh
    .command("verify <domain>")
    .description("fetch the domain's document as a peer does, and say what it is worth")
    .option("--cert <file>", "a certificate that it should name; may be repeated", list, [])
    .option("--https-port <port>", "in place of 443, in labs", "443")
    .addHelpText(
      "after",
      `
Examples
  xmpp-dna posh verify shop.example
  xmpp-dna posh verify shop.example --cert fullchain.pem

Exit status: 0 good, 2 not as it should be, 3 could not tell, 64 wrong argument`,
    )
    .action(async (domain: string, _options: unknown, command: Command) => {
      const { poshVerify } = await import("./posh.ts")
      done(await poshVerify(domain, command.optsWithGlobals<PoshVerifyOptions>()))
    })
}

function addTlsa(program: Command, done: (status: number) => void): void {
  const tlsa = program
    .command("tlsa")
    .summary("TLSA records; `tlsa rollover` walks a key change safely")
    .description("Prints the TLSA records (RFC 6698) of these certificates for a server.")
    .argument("[cert...]", "certificate files, PEM or DER: a server's own, with its chain for usages 0 and 2")
    .option("--host <name>", "the server, as SRV names it")
    .option("--port <port>", "its port", "5269")
    .option("--for <domain>", "every server of this domain: follow its SRV records")
    .option("--service <which>", "for --for: server or client", "server")
    .option("--kind <kind>", "usage, selector and matching type", "3 1 1")
    .option("--ttl <time>", "seconds, or 1h", "3600")
    .option("--format <format>", "zone, generic, nsupdate, json or terraform", "zone")
    .option("--zone <zone>", "for nsupdate")
    .option("--next-key <pem>", "a key whose certificate is still to come")
    .option("--yes-i-mean", "make records of usages 0 and 1 all the same")
    .option("--json", "print one JSON document")
  asks(tlsa)
    .addHelpText(
      "after",
      `
Examples
  xmpp-dna tlsa --host xmpp1.host.example fullchain.pem
  xmpp-dna tlsa --for shop.example --format nsupdate cert.pem | nsupdate -k key
  xmpp-dna tlsa rollover --host x.host.example --current cert.pem --next new.pem

Exit status: 0 done, 2 the domain has no such service, 3 could not tell,
             64 wrong argument`,
    )
    .action(async (files: string[], options: TlsaOptions) => {
      const { tlsaCommand } = await import("./tlsa.ts")
      done(await tlsaCommand(files, options))
    })
  tlsa
    .command("rollover")
    .summary("what to do next for a change of key, and whether it is safe")
    .description("Asks every authoritative server for the records, and says what to do next and whether the next key may be shown. Records that are new have to be older than their TTL: --remember and --wait see to that, --since takes your word.")
    .option("--current <cert>", "the certificate that is shown now")
    .option("--next <cert>", "the one to be shown next; or --next-key, the key alone")
    .option("--since <date>", "since then every server has had the records that it has now")
    .option("--remember <file>", "keep what was seen in this file, for the next run")
    .option("--authoritative <address>", "ask this server in place of those DNS names; may be repeated", list, [])
    .option("--wait", "end when it is safe, or after --timeout (7d)")
    .option("--hook <client>", "print a deploy hook: certbot or acme.sh")
    .option("--key <file>", "for --hook: where the private key of --current is")
    .option("--reload <command>", "for --hook: what makes the server read its files again", "systemctl reload prosody")
    .option("--ca-file <pem>", "for usages 0 and 1: trust anchors in place of the system's")
    .addHelpText(
      "after",
      `
Examples
  xmpp-dna tlsa rollover --host x.host.example --current cert.pem --next new.pem
  xmpp-dna tlsa rollover --hook certbot --host x.host.example --current cert.pem

Exit status: 0 safe, 2 not yet, 3 could not tell, 64 wrong argument`,
    )
    .action(async (_options: unknown, command: Command) => {
      const { tlsaRollover } = await import("./tlsa.ts")
      done(await tlsaRollover(command.optsWithGlobals<RolloverOptions>()))
    })
}

function addDns(program: Command, done: (status: number) => void): void {
  program
    .command("dns")
    .summary("every record a domain should have, as zone lines")
    .description("Prints SRV, address, TLSA and CAA records for a domain, from these options or from a gateway's configuration. A server is a name and perhaps a port; `none` says that it is not offered.")
    .argument("<domain>")
    .option("--server <host>", "for other servers, STARTTLS; may be repeated", list, [])
    .option("--direct-tls <host>", "for other servers, direct TLS", list, [])
    .option("--client <host>", "for clients, STARTTLS", list, [])
    .option("--client-direct-tls <host>", "for clients, direct TLS", list, [])
    .option("--address <address>", "of the servers below the domain; may be repeated", list, [])
    .option("--cert <file>", "what the servers show: makes TLSA records; may be repeated", list, [])
    .option("--caa <authority>", "who may issue certificates; may be repeated", list, [])
    .option("--kind <kind>", "of the TLSA records", "3 1 1")
    .option("--ttl <time>", "seconds, or 1h", "3600")
    .option("--format <format>", "zone, generic, nsupdate, json or terraform", "zone")
    .option("--zone <zone>", "for nsupdate")
    .option("--config <file>", "a gateway that hosts the domain")
    .option("--allow-inline-secrets", "accept secrets written in the configuration itself")
    .option("--yes-i-mean", "make records of usages 0 and 1 all the same")
    .option("--json", "print one JSON document")
    .addHelpText(
      "after",
      `
Examples
  xmpp-dna dns shop.example --server xmpp1.host.example --client none
  xmpp-dna dns shop.example --address 192.0.2.1 --cert cert.pem --caa ca.example
  xmpp-dna dns shop.example --config /etc/xmpp-dna/config.yaml --format nsupdate

Exit status: 0 done, 64 wrong argument, 78 configuration`,
    )
    .action(async (domain: string, options: DnsOptions) => {
      const { dnsCommand } = await import("./dns.ts")
      done(await dnsCommand(domain, options))
    })
}
