// `xmpp-dna posh`: the document that a domain publishes, how a web server answers with it, and whether it does (docs/operating.md).
import { isAbsolute } from "node:path"
import { fingerprintsDocument, longestExpires, referenceDocument } from "../gateway/posh-document.ts"
import { readDuration } from "../gateway/config-values.ts"
import { endedSentence, endsSentence } from "../inspect/publish-certificate.ts"
import { verifyPosh } from "../inspect/publish-verify.ts"
import { webInstructions, type WebInstructions, webServers } from "../inspect/publish-web.ts"
import { createPosh } from "../proof/posh.ts"
import { poshPath } from "../proof/posh-document.ts"
import { exit, printable, Stop } from "./exit.ts"
import { type AskOptions, asking, domainOf, note, oneOf, portOf, print, readCertificates, timeoutOf, told, trustOf, wrapped } from "./publish-world.ts"

export interface PoshOptions extends AskOptions {
  readonly next: readonly string[]
  readonly expires: string
  readonly delegate?: string
  readonly service: string
  readonly instructions?: string
  readonly for?: string
  readonly folder: string
  readonly anchors: string
  readonly json?: boolean
}

export interface PoshVerifyOptions extends PoshOptions {
  readonly cert: readonly string[]
  readonly httpsPort: string
}

const serviceOf = (text: string): "xmpp-server" | "xmpp-client" => (oneOf(text, ["server", "client"], "--service") === "server" ? "xmpp-server" : "xmpp-client")

/** What is published holds as long as the certificate at most. */
const soonMs = 14 * 86_400_000

export const poshCommand = (files: readonly string[], options: PoshOptions): Promise<number> =>
  told(options.json, async () => {
    const service = serviceOf(options.service)
    const expires = Math.floor(readDuration(options.expires, 1000, longestExpires * 1000) / 1000)
    const domain = options.for === undefined ? undefined : domainOf(options.for)
    const text = await documentOf(files, options, expires)
    let web: WebInstructions | undefined
    if (options.instructions !== undefined) {
      const server = oneOf(options.instructions, webServers, "--instructions")
      if (domain === undefined) throw new Stop(exit.usage, "--instructions needs --for DOMAIN: whose web site is it?")
      if (!isAbsolute(options.folder)) throw new Stop(exit.usage, `--folder ${JSON.stringify(options.folder)} must be an absolute path.`)
      const passed = options.delegate !== undefined && server !== "github-pages"
      web = webInstructions({ server, domain, service, folder: options.folder, anchors: options.anchors, document: passed ? { from: options.delegate as string } : { text } })
    }
    if (options.json === true) {
      const url = domain === undefined ? null : `https://${domain}${poshPath(service)}`
      print({ schema: 1, kind: "posh", service, path: poshPath(service), url, document: JSON.parse(text), text, instructions: web === undefined ? null : { ...web, file: web.file ?? null }, exit: exit.ok })
      return exit.ok
    }
    if (web !== undefined) process.stdout.write(instructionText(web))
    else {
      process.stdout.write(text)
      note(`serve it as https://${domain ?? "<domain>"}${poshPath(service)} (application/json)`)
    }
    if (options.delegate !== undefined && (web === undefined || web.file !== undefined)) note("not every server follows a document that refers to another: passing the hoster's on (--instructions nginx) works with all")
    return exit.ok
  })

async function documentOf(files: readonly string[], options: PoshOptions, expires: number): Promise<string> {
  const { delegate, next } = options
  if (delegate !== undefined) {
    if (files.length + next.length > 0) throw new Stop(exit.usage, "--delegate takes the place of certificates: a document has fingerprints or refers to another one (RFC 7711 3).")
    return refused(() => referenceDocument(delegate, expires))
  }
  if (files.length === 0) throw new Stop(exit.usage, "Name a certificate, or the hoster's document with --delegate URL.")
  const now = Date.now()
  const shown = await readCertificates(files)
  const coming = await readCertificates(next)
  for (const file of [...shown, ...coming]) {
    // POSH-19: peers look at its dates, whatever is published.
    const ended = endedSentence(file, now)
    if (ended !== undefined) throw new Stop(exit.usage, `${ended}: it proves nothing, published or not.`)
  }
  for (const file of shown) if (coming.length === 0 && file.leaf.notAfter < now + soonMs) note(`${endsSentence(file, now)}; --next CERT adds the following one beforehand`)
  return refused(() => fingerprintsDocument([...shown, ...coming].map(({ leaf }) => leaf.der), expires))
}

function refused(make: () => string): string {
  try {
    return make()
  } catch (error) {
    if (error instanceof RangeError) throw new Stop(exit.usage, `${error.message}.`)
    throw error
  }
}

/** What is to be pasted stands on lines of its own, unindented. */
function instructionText({ steps, snippet, file }: WebInstructions): string {
  const pasted = file === undefined ? [snippet] : [`${file.text}`, snippet]
  return steps.map((step, index) => `# ${index + 1}. ${step}\n${pasted[index] === undefined ? "" : `${pasted[index]}\n`}`).join("")
}

export const poshVerify = (name: string, options: PoshVerifyOptions): Promise<number> =>
  told(options.json, async () => {
    const domain = domainOf(name)
    const service = serviceOf(options.service)
    const files = await readCertificates(options.cert)
    const { resolver, reach, world } = await asking(options)
    const prooftype = createPosh({ port: portOf(options.httpsPort) })
    const signal = AbortSignal.timeout(timeoutOf(options.timeout, "20s"))
    const at = Date.now()
    const material = await prooftype.obtain({ source: domain, service, role: "outgoing", endpoint: undefined }, { anchors: trustOf(options), resolver, https: world.https, reach, at, signal })
    const found = verifyPosh(material, files, at)
    const status = found.state === "good" ? exit.ok : found.state === "bad" ? exit.bad : exit.unknown
    if (options.json === true) print({ schema: 1, kind: "posh-verify", domain, service, ...found, exit: status })
    else {
      const lines = [...found.trail.map((step) => `  ${step}`), ...(found.until === null ? [] : [`  holds until ${found.until}`]), ...found.certificates.map(({ file, outcome, detail }) => `  ${file}: ${outcome}${detail === "" ? "" : `, ${detail}`}`)]
      process.stdout.write(wrapped(printable(`${domain}: ${found.sentence}${found.finding === null ? "" : ` [${found.finding}]`}`), "  "))
      for (const line of lines) process.stdout.write(`  ${wrapped(printable(line.slice(2)), "    ")}`)
      if (files.length === 0 && found.state === "good") note("--cert FILE says whether it names that certificate")
    }
    return status
  })
