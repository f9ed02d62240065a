// Whom `check` asks: domains from the command line and from a file, each once; what is no domain is said with its line (RFC 7622 3.2).
import { readFile } from "node:fs/promises"
import { type Domain, DomainError, parseDomain } from "../model/domain.ts"
import { exit, Stop } from "./exit.ts"
import { readInputFile } from "./input-file.ts"
import { note } from "./publish-world.ts"

export interface ServerAddress {
  readonly address: string
  readonly port: number
}

export interface Target {
  readonly domain: Domain
  /** Instead of where DNS leads. */
  readonly connect?: ServerAddress
}

const mostInputOctets = 16 * 1024 * 1024
/** Problems of a file that are listed. */
const mostProblems = 20

/** `host:port`, `192.0.2.1:5269` or `[2001:db8::1]:5269`. */
export function serverAddress(text: string): ServerAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/[\]]+)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port < 1 || port > 65_535) throw new Stop(exit.usage, `${JSON.stringify(text)} is no server: write host:port or [address]:port.`)
  return { address: match[1] ?? (match[2] as string), port }
}

function targetOf(text: string): Target {
  // The form of monitoring: one server of the domain, without SRV.
  const there = /^xmpp:\/\/([^/]+)\/([^/?#]+)$/.exec(text)
  if (there !== null) return { connect: serverAddress(there[1] as string), domain: parseDomain(there[2] as string) }
  return { domain: parseDomain(text.replace(/^xmpp:/, "")) }
}

/**
 * @param input a file with one domain a line, `-` for standard input; `#` begins a comment
 * @throws Stop naming everything that is no domain, before anybody is asked
 */
export async function readTargets(given: readonly string[], input: string | undefined): Promise<Target[]> {
  const places = given.map((text) => ({ text, place: "" }))
  if (input !== undefined) {
    const text = (await readInputFile(input, mostInputOctets)).toString("utf8").replace(/^\uFEFF/, "")
    const lines = text.split(/\r\n|\n|\r/).map((line) => line.replace(/#.*/, "").trim())
    places.push(...lines.flatMap((line, index) => (line === "" ? [] : [{ text: line, place: `${input}:${index + 1}: ` }])))
    if (places.length === 0) throw new Stop(exit.usage, `${input} names no domain.`)
  }
  if (places.length === 0) throw new Stop(exit.usage, "no domain is given: name one, or a file with --input.")
  const targets = new Map<string, Target>()
  const problems: string[] = []
  for (const { text, place } of places) {
    try {
      const target = targetOf(text)
      targets.set(`${target.domain} ${target.connect?.address} ${target.connect?.port}`, target)
    } catch (error) {
      if (!(error instanceof DomainError) && !(error instanceof Stop)) throw error
      problems.push(`${place}${error.message}`)
    }
  }
  if (problems.length > 0) {
    const more = problems.length - mostProblems
    throw new Stop(exit.usage, `${problems.slice(0, mostProblems).join(" ")}${more > 0 ? ` And ${more} more.` : ""}`)
  }
  const twice = places.length - targets.size
  if (twice > 0) note(`${twice} of ${places.length} were named before; each is asked once.`)
  return [...targets.values()]
}

export async function readPem(option: string, file: string): Promise<string> {
  try {
    return await readFile(file, "utf8")
  } catch (error) {
    throw new Stop(exit.usage, `${option} ${file}: ${error instanceof Error ? error.message : String(error)}`)
  }
}
