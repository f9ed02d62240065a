// Reading recorded material back: every field is checked and bounded, and what does not fit is not judged (security.md 25). Pure.
import { type Domain, tryDomain } from "../model/domain.ts"

class Unreadable extends Error {
  override readonly name = "Unreadable"
}

/** @throws for `revived` to take up */
export function wrong(what: string): never {
  throw new Unreadable(what)
}

/**
 * @param prooftype whose material it is, for the sentence
 * @param read calls the readers below
 */
export function revived<Material>(prooftype: string, read: () => Material): { material: Material } | { cannotJudge: string } {
  try {
    return { material: read() }
  } catch (error) {
    if (error instanceof Unreadable) return { cannotJudge: `the material of ${prooftype}: ${error.message}` }
    throw error
  }
}

export type Fields = Readonly<Record<string, unknown>>

export function fields(value: unknown, what: string): Fields {
  return value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Fields) : wrong(`${what} is not an object`)
}

export function list(value: unknown, most: number, what: string): readonly unknown[] {
  return Array.isArray(value) && value.length <= most ? value : wrong(`${what} is not a list of at most ${most}`)
}

export function text(value: unknown, most: number, what: string): string {
  return typeof value === "string" && value.length <= most ? value : wrong(`${what} is not a text of at most ${most} characters`)
}

export function number(value: unknown, most: number, what: string): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value <= most ? value : wrong(`${what} is not a number up to ${most}`)
}

export function word<T extends string>(value: unknown, words: readonly T[], what: string): T {
  return words.find((each) => each === value) ?? wrong(`${what} is none of ${words.join(", ")}`)
}

export function domain(value: unknown, most: number, what: string): Domain {
  const name = text(value, most, what)
  return tryDomain(name) === name ? (name as Domain) : wrong(`${what} is not a canonical domain`)
}
