// A validator of JSON Schema (draft 2020-12) for what our own schemas use, so that outputs are tried against what is published and not
// against the code it was made from. A keyword that it does not know is an error.

type Schema = Readonly<Record<string, unknown>>

export interface Strictness {
  /** Members that no schema names are faults, too: they would be undocumented. */
  readonly closed?: boolean
}

const typeOf = (value: unknown): string => (value === null ? "null" : Array.isArray(value) ? "array" : typeof value === "number" && Number.isInteger(value) ? "integer" : typeof value)

/** Sentences about where the value is not as the schema says; none: it is valid. */
export function faultsOf(schema: Schema, value: unknown, { closed = false }: Strictness = {}): string[] {
  const members = (record: object): [string, unknown][] => Object.entries(record)
  const check = (at: string, rule: Schema, given: unknown): string[] => {
    const faults: string[] = []
    const fault = (why: string): void => void faults.push(`${at === "" ? "/" : at}: ${why}`)
    const text = typeof given === "string" ? given : undefined
    const number = typeof given === "number" ? given : undefined
    const list = Array.isArray(given) ? (given as unknown[]) : undefined
    const record = typeOf(given) === "object" ? (given as object) : undefined
    for (const [keyword, wanted] of Object.entries(rule)) {
      const limit = wanted as number
      switch (keyword) {
        case "type": {
          const types = [wanted].flat() as string[]
          const type = typeOf(given)
          if (!types.includes(type) && !(type === "integer" && types.includes("number"))) fault(`is ${type}, not ${types.join(" or ")}`)
          break
        }
        case "const":
          if (given !== wanted) fault(`is not ${JSON.stringify(wanted)}`)
          break
        case "enum":
          if (!(wanted as unknown[]).includes(given)) fault(`${JSON.stringify(given)} is none of ${JSON.stringify(wanted)}`)
          break
        case "minimum":
          if (number !== undefined && number < limit) fault(`is below ${limit}`)
          break
        case "maximum":
          if (number !== undefined && number > limit) fault(`is above ${limit}`)
          break
        case "minLength":
          if (text !== undefined && [...text].length < limit) fault(`is shorter than ${limit}`)
          break
        case "pattern":
          if (text !== undefined && !new RegExp(wanted as string, "u").test(text)) fault(`${JSON.stringify(text)} is not of the form ${String(wanted)}`)
          break
        case "minItems":
          if (list !== undefined && list.length < limit) fault(`has fewer than ${limit}`)
          break
        case "maxItems":
          if (list !== undefined && list.length > limit) fault(`has more than ${limit}`)
          break
        case "prefixItems":
          list?.slice(0, (wanted as Schema[]).length).forEach((each, index) => void faults.push(...check(`${at}/${index}`, (wanted as Schema[])[index] ?? {}, each)))
          break
        case "items": {
          const from = ((rule["prefixItems"] as unknown[] | undefined) ?? []).length
          list?.slice(from).forEach((each, index) => void faults.push(...check(`${at}/${index + from}`, wanted as Schema, each)))
          break
        }
        case "properties":
          if (record !== undefined) for (const [name, each] of members(record)) if (Object.hasOwn(wanted as object, name)) faults.push(...check(`${at}/${name}`, (wanted as Record<string, Schema>)[name] ?? {}, each))
          break
        case "required":
          if (record !== undefined) for (const name of wanted as string[]) if (!Object.hasOwn(record, name)) fault(`lacks ${name}`)
          break
        case "propertyNames":
          if (record !== undefined) for (const [name] of members(record)) faults.push(...check(`${at}/${name} (its name)`, wanted as Schema, name))
          break
        case "additionalProperties":
          if (record === undefined) break
          for (const [name, each] of members(record)) {
            if (Object.hasOwn((rule["properties"] as object | undefined) ?? {}, name)) continue
            if (wanted === false) fault(`has ${name}, which is not allowed`)
            else faults.push(...check(`${at}/${name}`, wanted as Schema, each))
          }
          break
        case "anyOf":
        case "oneOf": {
          const tried = (wanted as Schema[]).map((each) => check(at, each, given))
          const fitting = tried.filter((each) => each.length === 0).length
          if (fitting === 0) faults.push(...(tried.sort((one, other) => one.length - other.length)[0] ?? []))
          if (keyword === "oneOf" && fitting > 1) fault("fits more than one")
          break
        }
        // Said beside a pattern, or for people.
        case "format":
        case "contentEncoding":
        case "description":
        case "title":
        case "default":
        case "$schema":
        case "$id":
          break
        default:
          throw new Error(`the validator of the tests does not know the keyword ${keyword}`)
      }
    }
    if (closed && record !== undefined && rule["properties"] !== undefined && rule["additionalProperties"] === undefined) {
      for (const [name] of members(record)) if (!Object.hasOwn(rule["properties"] as object, name)) fault(`has ${name}, which the schema does not name`)
    }
    return faults
  }
  return check("", schema, value)
}
