// Tables for a terminal of 80 columns: aligned, never cut; a cell that is too long moves the rest of its row only.
import { printable } from "./exit.ts"

/**
 * Lines of a table with a heading.
 *
 * @param widest no column is padded beyond this; longer cells stick out
 */
export function table(heading: readonly string[], rows: readonly (readonly string[])[], widest = 30): string {
  const clean = [heading, ...rows].map((row, at) => row.map((cell) => printable(cell === "" && at > 0 ? "-" : cell)))
  const widths = heading.map((_, column) => Math.min(widest, Math.max(...clean.map((row) => row[column]!.length))))
  return clean.map((row) => `${row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column]!))).join("  ").trimEnd()}\n`).join("")
}

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour

/** `61 d`, `8 m`: how long, in the largest unit that fits. */
export function lengthText(ms: number): string {
  const length = Math.abs(ms)
  if (length >= 2 * day) return `${Math.floor(length / day)} d`
  if (length >= hour) return `${Math.floor(length / hour)} h`
  return length >= minute ? `${Math.floor(length / minute)} m` : `${Math.floor(length / 1000)} s`
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

/** `12 Nov`, UTC. */
export function dateText(iso: string): string {
  const at = new Date(iso)
  return `${at.getUTCDate()} ${months[at.getUTCMonth()]}`
}

/** `12 Nov 03:10`, UTC. */
export function momentText(iso: string): string {
  return `${dateText(iso)} ${new Date(iso).toISOString().slice(11, 16)}`
}
