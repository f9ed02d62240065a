// What a lab that stays needs on disk for whoever asks it from outside: anchors, an environment to be read by a shell, the command itself;
// in a folder of its own that goes with the lab.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { labAllows } from "../inspect/looking.ts"
import type { Raised } from "../lab/exhibits.ts"
import type { Internet } from "../lab/internet.ts"
import { variables } from "./environment.ts"

export interface LabFolder {
  readonly path: string
  /** For `check` and its like, and a PATH on which they are. */
  readonly environment: Readonly<Record<string, string>>
  /** To be read by a shell: `. FILE`. */
  readonly file: string
  /** What to paste, once the environment was read. */
  commandFor(raised: Raised): Promise<string>
  remove(): Promise<void>
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

/** @param program what starts this command: the interpreter and the script */
export async function labFolder(net: Internet, program: readonly [string, string]): Promise<LabFolder> {
  const path = await mkdtemp(join(tmpdir(), "xmpp-dna-lab-"))
  const write = async (name: string, text: string, mode = 0o600): Promise<string> => {
    await writeFile(join(path, name), text, { mode })
    return join(path, name)
  }
  try {
    await mkdir(join(path, "bin"), { mode: 0o700 })
    await write("bin/xmpp-dna", `#!/bin/sh\nexec ${program.map(quoted).join(" ")} "$@"\n`, 0o700)
    const own: Readonly<Record<string, string>> = {
      resolver: `${net.dns.address}:${net.dns.port}`,
      dnsAnchors: await write("root.anchors", net.signed.zones.anchorText),
      caFile: await write("authority.pem", net.authority.certificate.pem),
      allow: [...labAllows.networks, ...labAllows.names].join(" "),
      httpsPort: String(net.webAt.port),
    }
    const settings = Object.entries(variables).map(([option, variable]): [string, string] => [variable, own[option] ?? ""])
    const lines = [...settings.map(([name, value]) => `export ${name}=${quoted(value)}`), `export PATH=${quoted(join(path, "bin"))}:"$PATH"`]
    return {
      path,
      environment: { ...Object.fromEntries(settings), PATH: `${join(path, "bin")}:${process.env["PATH"] ?? ""}` },
      file: await write("environment", `${lines.join("\n")}\n`),
      commandFor: (raised) => commandFor(raised, write),
      remove: () => rm(path, { recursive: true, force: true }),
    }
  } catch (error) {
    await rm(path, { recursive: true, force: true })
    throw error
  }
}

async function commandFor({ exhibit: { id, domain }, standing: { question = {}, resolver } }: Raised, write: (name: string, text: string) => Promise<string>): Promise<string> {
  const { service, expect, family, patience, from, reverse } = question
  const words = ["xmpp-dna", "check"]
  if (service === "xmpp-client") words.push("--service", "client")
  if (expect !== undefined) words.push("--expect", expect)
  if (family !== undefined) words.push(`-${family}`)
  if (patience !== undefined) words.push("--timeout", `${patience}ms`)
  if (from !== undefined) {
    const { certificatePem, keyPem } = from.credentials
    words.push("--from", from.domain, "--cert", await write(`${id}.pem`, certificatePem), "--key", await write(`${id}.key`, keyPem))
  }
  if (reverse !== undefined) words.push("--reverse", "--ping", "--listen", `${reverse.at.address}:${reverse.at.port}`, "--patience", `${reverse.patience}ms`)
  if (resolver !== undefined) words.push("--resolver", `${resolver.at.address}:${resolver.at.port}`, "--dns-anchors", await write(`${id}.anchors`, resolver.anchorText))
  return [...words, domain].join(" ")
}
