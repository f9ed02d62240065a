// `xmpp-dna schema`: the JSON Schema of an output, an evidence file or the configuration.
import { nearestWord } from "../gateway/did-you-mean.ts"
import { jsonSchema, type SchemaName, schemas } from "../inspect/schemas.ts"
import { exit, Stop } from "./exit.ts"

const names = Object.keys(schemas) as SchemaName[]

/** @param name undefined: lists the names */
export function schemaCommand(name: string | undefined): number {
  if (name === undefined) {
    const width = Math.max(...names.map((each) => each.length)) + 2
    process.stdout.write(names.map((each) => `${each.padEnd(width)}${schemas[each].of}\n`).join(""))
    return exit.ok
  }
  const known = names.find((each) => each === name)
  if (known === undefined) {
    const near = nearestWord(name, names)
    throw new Stop(exit.usage, `there is no schema ${JSON.stringify(name)}.${near === undefined ? "" : ` Did you mean ${near}?`} \`xmpp-dna schema\` lists them.`)
  }
  process.stdout.write(`${JSON.stringify(jsonSchema(known), null, 2)}\n`)
  return exit.ok
}
