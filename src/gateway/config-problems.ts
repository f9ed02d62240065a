// What the schema complains of, as sentences with a place and a remedy (docs/operating.md).
import { z } from "zod"
import type { ConfigProblem } from "../model/errors.ts"
import type { ConfigText, SettingPath } from "./config-text.ts"
import { settingName } from "./config-text.ts"
import { laterSettings } from "./config-schema.ts"
import { nearestWord } from "./did-you-mean.ts"

type Issue = z.core.$ZodIssue

/** The names allowed inside the mapping at this path; empty when it is no mapping. */
function namesAt(schema: z.core.$ZodType, path: SettingPath): string[] {
  let at: z.core.$ZodType | undefined = schema
  for (const part of path) {
    at = inner(at, typeof part === "string" ? "mapping" : "list")
    if (at instanceof z.ZodObject) at = at.shape[part] as z.core.$ZodType | undefined
    else if (at instanceof z.ZodArray) at = at.element as z.core.$ZodType
    else return []
    if (at === undefined) return []
  }
  const found = inner(at, "mapping")
  return found instanceof z.ZodObject ? Object.keys(found.shape) : []
}

function inner(schema: z.core.$ZodType | undefined, wanted: "mapping" | "list"): z.core.$ZodType | undefined {
  let at = schema
  while (at instanceof z.ZodOptional || at instanceof z.ZodDefault || at instanceof z.ZodPrefault) at = at.def.innerType as z.core.$ZodType
  if (at instanceof z.ZodUnion) {
    return at.options.map((option) => inner(option as z.core.$ZodType, wanted)).find((option) => (wanted === "mapping" ? option instanceof z.ZodObject : option instanceof z.ZodArray))
  }
  return at
}

function valueAt(value: unknown, path: SettingPath): unknown {
  let at = value
  for (const part of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, part)) return undefined
    at = (at as Record<string | number, unknown>)[part]
  }
  return at
}

const kinds: Readonly<Record<string, string>> = {
  object: "a mapping of settings",
  array: "a list",
  string: "text",
  number: "a number",
  boolean: "true or false",
}

function kindOf(value: unknown): string {
  if (value === null) return "empty"
  if (Array.isArray(value)) return "a list"
  if (typeof value === "object") return "a mapping"
  return typeof value === "string" ? "text" : typeof value === "number" ? "a number" : "true or false"
}

/** Of a choice between shapes, the complaints of the shape that was meant: the one that fits the value's kind. */
function meant(issue: Extract<Issue, { code: "invalid_union" }>): readonly Issue[] {
  const branches = issue.errors.map((branch) => branch.map((each) => ({ ...each, path: [...issue.path, ...each.path] }) as Issue))
  const fitting = branches.filter((branch) => !branch.some((each) => each.code === "invalid_type" && each.path.length === issue.path.length))
  return (fitting[0] ?? branches[0] ?? []) as readonly Issue[]
}

function typeSentence(name: string, expected: string, found: unknown): string {
  if (found === undefined) return `\`${name}\` is missing.`
  const wanted = kinds[expected] ?? expected
  return found === null ? `\`${name}\` is empty; it must be ${wanted}.` : `\`${name}\` must be ${wanted}, not ${kindOf(found)}.`
}

function unknownKey(schema: z.core.$ZodType, parent: SettingPath, key: string): string {
  const name = settingName([...parent, key])
  const plain = name.replace(/\[\d+\]/g, "[]")
  const later = Object.hasOwn(laterSettings, plain) ? laterSettings[plain] : undefined
  if (later !== undefined) return `${later} is not in this version yet: remove \`${name}\`.`
  const names = namesAt(schema, parent)
  const near = nearestWord(key, names)
  if (near !== undefined) return `\`${name}\` is not a setting. Did you mean \`${near}\`?`
  return names.length === 0 ? `\`${name}\` is not a setting.` : `\`${name}\` is not a setting; known here: ${names.join(", ")}.`
}

/** Every problem of one file. */
export function problemsOf(schema: z.core.$ZodType, text: ConfigText, issues: readonly Issue[]): ConfigProblem[] {
  const problems: ConfigProblem[] = []
  for (const issue of issues) {
    const path = issue.path as SettingPath
    if (issue.code === "invalid_union") {
      problems.push(...problemsOf(schema, text, meant(issue)))
      continue
    }
    if (issue.code === "unrecognized_keys") {
      for (const key of issue.keys) {
        const own = [...path, key]
        // security.md 27: inside `secret` an unknown word may be the secret itself; a misspelt setting is near a known one.
        if (path.at(-1) === "secret" && nearestWord(key, namesAt(schema, path)) === undefined) {
          const setting = settingName(path)
          problems.push({ place: text.keyPlace(own), setting, sentence: `\`${setting}\` holds a word that is not a setting; known here: ${namesAt(schema, path).join(", ")}.` })
          continue
        }
        problems.push({ place: text.keyPlace(own), setting: settingName(own), sentence: unknownKey(schema, path, key) })
      }
      continue
    }
    const name = settingName(path)
    const found = valueAt(text.value, path)
    problems.push({ place: text.place(path), ...(name === "" ? {} : { setting: name }), sentence: sentenceOf(issue, name, found) })
  }
  return problems
}

function sentenceOf(issue: Issue, name: string, found: unknown): string {
  if (issue.code === "invalid_type") {
    return name === "" ? `The file must hold ${kinds[issue.expected] ?? issue.expected}, not ${kindOf(found)}.` : typeSentence(name, issue.expected, found)
  }
  if (issue.code === "too_big") return `\`${name}\` has too many entries; ${String(issue.maximum)} are the limit.`
  if (issue.message === "is missing") return `\`${name}\` is missing.`
  // Sentences of ours that begin with a small letter say something about the setting.
  return /^[a-z]/.test(issue.message) ? `\`${name}\` ${issue.message}` : issue.message
}
