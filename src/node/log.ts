// The Log port on pino: JSON lines, or on a terminal the line form of docs/operating.md. Secrets are blacked out, control characters never pass (security.md 27).
import pino from "pino"
import { prettyFactory } from "pino-pretty"
import type { Log, LogLevel } from "../ports.ts"
import { DescriptorSink } from "./log-descriptor.ts"

export interface LogOptions {
  readonly level?: LogLevel
  /** auto: lines for people on a terminal, JSON otherwise. */
  readonly format?: "auto" | "pretty" | "json"
  /** File descriptor; 1 by default. */
  readonly descriptor?: number
  /** Instead of a descriptor, for tests. */
  readonly sink?: { write(text: string): unknown; readonly isTTY?: boolean }
  /** Names of further fields to black out. */
  readonly redact?: readonly string[]
  readonly colour?: boolean
}

/** Fields that never appear, whatever their depth: by name, since values cannot be told apart. */
const secretNames =
  /^(?:secret|secrets|password|passphrase|token|key|keyPem|privateKey|handshake|dialbackKey|credentials?|authorization|body|stanza|xml)$/i
const redacted = "[redacted]"
const longestText = 1000
const mostItems = 32

/** Control, format and line-separating characters: a peer's words must not draw on the terminal or begin a line of their own. */
const unprintable = /[\p{Cc}\p{Cf}\u2028\u2029]/gu

const onlyAscii = /^[ -~]*$/

function printable(text: string): string {
  if (text.length <= longestText && onlyAscii.test(text)) return text
  const cut = text.length > longestText ? `${text.slice(0, longestText)}…` : text
  return cut.replace(unprintable, (character) => `\\u${character.codePointAt(0)!.toString(16).padStart(4, "0")}`)
}

/** A bounded, plain copy of what is to be logged. */
function plain(value: unknown, secret: (name: string) => boolean, depth = 0): unknown {
  if (typeof value === "string") return printable(value)
  if (typeof value === "bigint") return String(value)
  if (value instanceof Error) return printable(`${value.name}: ${value.message}`)
  if (value instanceof Uint8Array) return `${value.length} bytes`
  if (typeof value !== "object" || value === null) return typeof value === "function" || typeof value === "symbol" ? undefined : value
  if (depth >= 4) return "…"
  if (Array.isArray(value)) return value.slice(0, mostItems).map((one) => plain(one, secret, depth + 1))
  const copy: Record<string, unknown> = {}
  let items = 0
  for (const name of Object.keys(value)) {
    if ((items += 1) > mostItems) break
    const shown = secret(name) ? redacted : plain((value as Record<string, unknown>)[name], secret, depth + 1)
    // As a property of its own, whatever its name: a peer's must not become the prototype.
    if (name === "__proto__") Object.defineProperty(copy, name, { value: shown, enumerable: true })
    else copy[printable(name)] = shown
  }
  return copy
}

const yellow = "\u001b[33m"
const red = "\u001b[31m"
const normal = "\u001b[0m"

function words(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value)
}

/** `13:00:02.114 info  s2sout-7f3a  a.example → b.example  associated by pkix  TLSv1.3  31 ms` */
function line(entry: Record<string, unknown>, colour: boolean): string {
  const { level, t, ev, sid, from, to, text, finding, tls, ms, dir: _dir, ...others } = entry
  const shown = String(level).padEnd(5)
  // Colour marks what there is to do; everything else is plain.
  const marked = !colour || (level !== "warn" && level !== "error") ? shown : `${level === "warn" ? yellow : red}${shown}${normal}`
  const parts = [`${String(t).slice(11, 23)} ${marked} ${sid === undefined ? String(ev) : words(sid)}`]
  if (from !== undefined || to !== undefined)
    parts.push(`${from === undefined ? "?" : words(from)} → ${to === undefined ? "?" : words(to)}`)
  parts.push(text === undefined ? (sid === undefined ? "" : String(ev)) : words(text))
  // Sentences of the catalogue end in their id already.
  if (finding !== undefined && !words(text ?? "").includes(`[${words(finding)}]`)) parts[parts.length - 1] += ` [${words(finding)}]`
  // A sentence says it all; without one the fields have to.
  if (text === undefined) for (const [name, value] of Object.entries(others)) parts.push(`${name}=${words(value)}`)
  else if (others["retry"] !== undefined) parts.push(`next try ${words(others["retry"])}`)
  if (tls !== undefined) parts.push(words(tls))
  if (typeof ms === "number") parts.push(`${Math.round(ms)} ms`)
  return parts.filter((part) => part !== "").join("  ")
}

/** @returns the log, and a way to change its level while running */
export function createLog(options: LogOptions = {}): Log & { setLevel(level: LogLevel): void } {
  const descriptor = options.descriptor ?? 1
  const terminal =
    options.sink === undefined ? (descriptor === 2 ? process.stderr : process.stdout).isTTY === true : options.sink.isTTY === true
  const forPeople = options.format === "pretty" || (options.format !== "json" && terminal)
  // https://no-color.org: any value but the empty one.
  const colour = options.colour ?? (forPeople && terminal && (process.env["NO_COLOR"] ?? "") === "")
  const further = new Set((options.redact ?? []).map((name) => name.toLowerCase()))
  const secret = (name: string): boolean => secretNames.test(name) || further.has(name.toLowerCase())

  const prettify = prettyFactory({
    colorize: false,
    hideObject: true,
    // The whole line is ours; the library adds nothing around it.
    ignore: "level,t,time,pid,hostname",
    messageFormat: (entry: Record<string, unknown>) => line(entry, colour),
  })
  const lost = (count: number): string => {
    const text = `${count} log lines were lost: nobody read them fast enough`
    const entry = `${JSON.stringify({ level: "warn", t: new Date().toISOString(), ev: "log.lost", count, text })}\n`
    return forPeople ? prettify(entry) : entry
  }
  // Synchronous while it can be: the last lines before an exit are the ones that matter.
  const end: pino.DestinationStream = options.sink ?? new DescriptorSink(descriptor, lost)
  const out = forPeople ? { write: (text: string) => end.write(prettify(text)) } : end
  const logger = pino(
    {
      level: options.level ?? "info",
      base: null,
      timestamp: () => `,"t":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    out,
  )
  return {
    write(level, event, fields) {
      if (!logger.isLevelEnabled(level)) return
      logger[level]({ ev: event, ...(plain(fields, secret) as Record<string, unknown>) })
    },
    enabled: (level) => logger.isLevelEnabled(level),
    setLevel(level) {
      logger.level = level
    },
  }
}
