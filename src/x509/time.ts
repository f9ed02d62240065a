// Times in certificates (RFC 5280 4.1.2.5), without the platform's Date object: this folder knows no clock.

import { CertificateError } from "./errors.ts"
import { type DerElement, TAG } from "./der.ts"

/** Milliseconds since 1970 of a date in the proleptic Gregorian calendar; month and day count from 1. */
function utc(year: number, month: number, day: number, seconds: number): number {
  return Date.UTC(year, month - 1, day) + seconds * 1000
}

const LENGTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
const leap = (year: number): boolean => (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0

/**
 * Reads a Time: seconds present, Z at the end, no fraction.
 * `profile` is false where GeneralizedTime stands for a year before 2050, which RFC 5280 forbids but roots have.
 */
export function readTime(element: DerElement, what: string): { at: number; profile: boolean } {
  const text = element.contents.toString("latin1")
  const generalized = element.tag === TAG.generalizedTime
  if (!generalized && element.tag !== TAG.utcTime) throw new CertificateError("time", `${what} is neither UTCTime nor GeneralizedTime`)
  if (!(generalized ? /^\d{14}Z$/ : /^\d{12}Z$/).test(text)) throw new CertificateError("time", `${what} is not YYMMDDHHMMSSZ`)
  const digits = generalized ? text : `${Number(text.slice(0, 2)) >= 50 ? "19" : "20"}${text}`
  const part = (from: number, size: number): number => Number(digits.slice(from, from + size))
  const [year, month, day, hour, minute, second] = [part(0, 4), part(4, 2), part(6, 2), part(8, 2), part(10, 2), part(12, 2)]
  const length = month === 2 && leap(year) ? 29 : LENGTHS[month - 1]
  if (length === undefined || day < 1 || day > length || hour > 23 || minute > 59 || second > 59 || year < 100)
    throw new CertificateError("time", `${what} is no date`)
  return { at: utc(year, month, day, hour * 3600 + minute * 60 + second), profile: !generalized || year >= 2050 }
}

/** `2026-11-20T12:00:00Z` for milliseconds since 1970 (years 0 to 9999). */
export function timeText(at: number): string {
  const days = Math.floor(at / 86_400_000)
  const seconds = Math.floor((at - days * 86_400_000) / 1000)
  // Counted from 1 March of year 0, so that the leap day is the last of its year.
  const shifted = days + 719_468
  const era = Math.floor(shifted / 146_097)
  const inEra = shifted - era * 146_097
  const yearOfEra = Math.floor((inEra - Math.floor(inEra / 1460) + Math.floor(inEra / 36_524) - Math.floor(inEra / 146_096)) / 365)
  const dayOfYear = inEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153)
  const day = dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  const two = (value: number): string => String(value).padStart(2, "0")
  return `${String(year).padStart(4, "0")}-${two(month)}-${two(day)}T${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}Z`
}
