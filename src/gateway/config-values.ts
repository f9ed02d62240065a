// The small values of a configuration file: durations, sizes, addresses, dates (docs/operating.md; YAML scalars as text).
import { addressText, parseAddress } from "../model/address.ts"
import { nearestWord } from "./did-you-mean.ts"
import type { Instant } from "../model/verdict.ts"

/** What is wrong with one value, as a sentence without its place. */
export class ValueProblem extends Error {
  override readonly name = "ValueProblem"
}

const durationUnits: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const sizeUnits: Readonly<Record<string, number>> = { B: 1, kB: 1000, KiB: 1024, MB: 1_000_000, MiB: 1024 ** 2, GB: 1_000_000_000, GiB: 1024 ** 3 }

function shown(value: unknown): string {
  const text = typeof value === "string" ? JSON.stringify(value) : String(value)
  return text.length > 80 ? `${text.slice(0, 80)}...` : text
}

/**
 * Reads a duration with its unit.
 *
 * @param value text such as `90s`, `5m`, `500ms`
 * @returns milliseconds
 * @throws ValueProblem
 */
export function readDuration(value: unknown, least: number, most: number): number {
  if (typeof value === "number") throw new ValueProblem(`${value} has no unit: write ${value}s, ${value}m or the like.`)
  const match = typeof value === "string" ? /^(\d{1,9})(ms|s|m|h|d)$/.exec(value.trim()) : null
  if (match === null) throw new ValueProblem(`${shown(value)} is not a duration: write a whole number and ms, s, m, h or d, for example 90s.`)
  const ms = Number(match[1]) * durationUnits[match[2]!]!
  if (ms < least || ms > most) throw new ValueProblem(`${shown(value)} is out of range: from ${durationText(least)} to ${durationText(most)}.`)
  return ms
}

export function durationText(ms: number): string {
  for (const unit of ["d", "h", "m", "s"]) {
    const length = durationUnits[unit]!
    if (ms >= length && ms % length === 0) return `${ms / length}${unit}`
  }
  return ms === 0 ? "0s" : `${ms}ms`
}

/**
 * Reads a size; a number without a unit is octets.
 *
 * @returns octets
 * @throws ValueProblem
 */
export function readSize(value: unknown, least: number, most: number): number {
  const match = typeof value === "string" ? /^(\d{1,12}) ?([A-Za-z]*)$/.exec(value.trim()) : null
  const octets = typeof value === "number" && Number.isInteger(value) ? value : match === null ? Number.NaN : Number(match[1]) * sizeUnit(match[2]!, value)
  if (!Number.isSafeInteger(octets)) throw new ValueProblem(`${shown(value)} is not a size: write a whole number and B, KiB, MiB or GiB, for example 512KiB.`)
  if (octets < least || octets > most) throw new ValueProblem(`${shown(value)} is out of range: from ${sizeText(least)} to ${sizeText(most)}.`)
  return octets
}

function sizeUnit(unit: string, value: unknown): number {
  if (unit === "") return 1
  const known = Object.hasOwn(sizeUnits, unit) ? sizeUnits[unit] : undefined
  if (known !== undefined) return known
  const binary = /^k/i.test(unit) ? "KiB" : /^m/i.test(unit) ? "MiB" : /^g/i.test(unit) ? "GiB" : undefined
  const hint = binary === undefined ? "" : ` Did you mean ${binary}?`
  throw new ValueProblem(`${shown(value)} has the unit ${shown(unit)}, which is not known: B, kB, KiB, MB, MiB, GB, GiB.${hint}`)
}

export function sizeText(octets: number): string {
  for (const unit of ["GiB", "MiB", "KiB"]) {
    const length = sizeUnits[unit]!
    if (octets >= length && octets % length === 0) return `${octets / length}${unit}`
  }
  return `${octets}B`
}

export interface SocketAddress {
  readonly address: string
  readonly port: number
}

export interface SocketPath {
  readonly path: string
}

export function addressLabel(address: SocketAddress | SocketPath): string {
  if ("path" in address) return `unix:${address.path}`
  return address.address.includes(":") ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`
}

/**
 * Reads `127.0.0.1:5269` or `[::]:5269`. Names are refused: what they stand for can change under us.
 *
 * @param least 0 where "any free port" makes sense, else 1
 * @throws ValueProblem
 */
export function readSocketAddress(value: unknown, least: 0 | 1, defaultPort?: number): SocketAddress {
  if (typeof value !== "string") throw new ValueProblem(`${shown(value)} is not an address with a port: write "127.0.0.1:5269" or "[::]:5269".`)
  const bare = parseAddress(value)
  if (bare !== undefined && defaultPort !== undefined) return { address: addressText(bare), port: defaultPort }
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(value)
  if (match === null) {
    const remedy = bare === undefined ? '"127.0.0.1:5269" or "[::]:5269"' : value.includes(":") ? `"[${value}]:PORT"` : `"${value}:PORT"`
    throw new ValueProblem(`${shown(value)} is not an address with a port: write ${remedy}.`)
  }
  const text = match[1] ?? match[2]!
  const bytes = parseAddress(text)
  if (bytes === undefined) {
    const remedy = text === "localhost" ? ' Write "127.0.0.1" or "[::1]".' : text === "" || text === "*" ? ' Write "[::]" or "0.0.0.0" for every address.' : ""
    throw new ValueProblem(`${shown(text)} is not an IP address.${remedy}`)
  }
  if ((match[1] !== undefined) !== (bytes.length === 16)) throw new ValueProblem(`${shown(value)}: brackets go around IPv6 addresses, and only around them.`)
  const port = Number(match[3])
  if (port < least || port > 65535) throw new ValueProblem(`${shown(value)}: the port must be from ${least} to 65535.`)
  return { address: addressText(bytes), port }
}

/** `unix:/run/x.sock` or a bare absolute path; undefined when the text is no path. */
export function readSocketPath(value: unknown): SocketPath | undefined {
  if (typeof value !== "string") return undefined
  const path = value.startsWith("unix:") ? value.slice(5) : value
  if (!path.startsWith("/")) {
    if (value.startsWith("unix:")) throw new ValueProblem(`${shown(value)}: the path of a Unix socket must begin with "/".`)
    return undefined
  }
  // The kernel's sun_path holds 108 octets with the final zero.
  if (Buffer.byteLength(path) > 107 || path.includes("\0")) throw new ValueProblem(`${shown(value)} is longer than a Unix socket's path may be (107 octets).`)
  return { path }
}

/**
 * Reads the moment from which something no longer holds: a date (its first moment, UTC) or a date with time and zone.
 *
 * @throws ValueProblem
 */
export function readEnd(value: unknown): Instant {
  const match = typeof value === "string" ? /^(\d{4})-(\d\d)-(\d\d)(T\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:\d\d))?$/.exec(value) : null
  if (match === null) throw new ValueProblem(`${shown(value)} is not a date: write 2027-02-01, or 2027-02-01T12:00:00Z.`)
  const at = Date.parse(value as string)
  // Date.parse lets 30 February roll over into March.
  const real = Number(match[3]) >= 1 && Number(match[3]) <= daysInMonth(Number(match[1]), Number(match[2]))
  if (!real || !Number.isFinite(at)) throw new ValueProblem(`${shown(value)} is not a day of the calendar.`)
  return at
}

function daysInMonth(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

/**
 * A word out of a list.
 *
 * @throws ValueProblem with the nearest word
 */
export function readWord<Word extends string>(value: unknown, words: readonly Word[]): Word {
  if (typeof value === "string" && (words as readonly string[]).includes(value)) return value as Word
  const near = typeof value === "string" ? nearestWord(value, words) : undefined
  const hint = near === undefined ? "" : ` Did you mean ${near}?`
  throw new ValueProblem(`${shown(value)} is not one of ${words.join(", ")}.${hint}`)
}

/** The operating system's word for what went wrong with a file. */
export function reason(error: unknown): string {
  const code = (error as { code?: unknown }).code
  if (code === "ENOENT") return "there is no such file or folder"
  if (code === "EACCES" || code === "EPERM") return "permission denied"
  if (code === "EISDIR") return "it is a folder"
  if (code === "ENOTDIR") return "a part of its path is not a folder"
  return error instanceof Error ? error.message : String(error)
}
