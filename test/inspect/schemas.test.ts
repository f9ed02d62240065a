// The published JSON Schemas: the files are what the code says, evidence and configurations fit theirs, and what is wrong does not.
import assert from "node:assert/strict"
import { globSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, it } from "node:test"
import { parse } from "yaml"
import { jsonSchema, type SchemaName, schemas } from "../../src/inspect/schemas.ts"
import { faultsOf } from "../json-schema.ts"

const root = join(import.meta.dirname, "../..")
const names = Object.keys(schemas) as SchemaName[]
const published = (name: SchemaName): Record<string, unknown> => JSON.parse(readFileSync(join(root, `schema/${name}.json`), "utf8"))

describe("schema/", () => {
  it("holds what the code says, and nothing else (npm run pages)", () => {
    assert.deepEqual(readdirSync(join(root, "schema")).sort(), names.map((name) => `${name}.json`).sort())
    for (const name of names) assert.deepEqual(published(name), jsonSchema(name), name)
  })

  it("says for every value of the configuration how it is written", () => {
    const bare = (at: string, rule: unknown): string[] => {
      if (typeof rule !== "object" || rule === null) return []
      const { properties = {}, items, anyOf = [], ...rest } = rule as { properties?: object; items?: unknown; anyOf?: unknown[] }
      const says = ["type", "enum", "const"].some((keyword) => keyword in rest) || (anyOf as unknown[]).length > 0
      return [...(says ? [] : [at]), ...Object.entries(properties).flatMap(([name, each]) => bare(`${at}.${name}`, each)), ...bare(`${at}[]`, items), ...(anyOf as unknown[]).flatMap((each) => bare(at, each))]
    }
    assert.deepEqual(bare("config", jsonSchema("config")), [])
    assert.deepEqual(bare("include", jsonSchema("include")), [])
  })
})

describe("evidence", () => {
  const files = globSync("test/evidence/*.json", { cwd: root })
  const read = (file: string): Record<string, unknown> => JSON.parse(readFileSync(join(root, file), "utf8"))
  const schema = published("evidence")

  it("as it is kept has no member that is not named", () => {
    assert.ok(files.length > 20)
    for (const file of files) assert.deepEqual(faultsOf(schema, read(file), { closed: true }), [], file)
  })

  it("that is something else does not fit", () => {
    const good = read("test/evidence/pkix.json")
    const [item] = good["items"] as Record<string, unknown>[]
    const bad: readonly (readonly [string, Record<string, unknown>])[] = [
      ["/evidence: is not 1", { ...good, evidence: 2 }],
      ["/: lacks items", { ...good, items: undefined }],
      ["/direction: ", { ...good, direction: "sideways" }],
      ["/recorded: ", { ...good, recorded: "yesterday" }],
      ["/items/0/verdict", { ...good, items: [{ ...item, verdict: { outcome: "maybe", by: "pkix", detail: "" } }] }],
      ["/items/0/proof: is null", { ...good, items: [{ ...item, proof: null }] }],
    ]
    for (const [fault, file] of bad) {
      const [found = ""] = faultsOf(schema, JSON.parse(JSON.stringify(file)))
      assert.ok(found.startsWith(fault), `${found} instead of ${fault}`)
    }
    assert.deepEqual(faultsOf(schema, { ...good, later: true }), [])
    assert.deepEqual(faultsOf(schema, { ...good, later: true }, { closed: true }), ["/: has later, which the schema does not name"])
  })
})

describe("a configuration", () => {
  const text = readFileSync(join(root, "docs/config/gateway.yaml"), "utf8")
  const schema = published("config")

  it("as documented fits", () => {
    assert.deepEqual(faultsOf(schema, parse(text)), [])
  })

  it("with a mistake does not", () => {
    const bad: readonly (readonly [string, string])[] = [
      ["federation: { require: trusted }", "/federation/require"],
      ["federation: { proofs: [pkix, poshh] }", "/federation/proofs/1"],
      ["federation: { timeout: 60 }", "/federation/timeout"],
      ["federation: { dane: { usages: [4] } }", "/federation/dane/usages/0"],
      ["federation: { bidi: 'no' }", "/federation/bidi"],
      ["limits: { depth: 2 }", "/limits/depth"],
      ["domains: [{ name: a.example }]", "/domains/0: lacks component"],
      ["listn: { s2s: [] }", "/: has listn"],
      ["certificates: { dirs: [] }", "/certificates/dirs: has fewer"],
    ]
    for (const [line, fault] of bad) {
      const found = faultsOf(schema, { certificates: { dirs: ["certs"] }, ...parse(line) })
      assert.ok(found.some((each) => each.startsWith(fault)), `${line}: ${found.join("; ")}`)
    }
    assert.deepEqual(faultsOf(schema, { certificates: { dirs: ["certs"] } }), [])
  })
})
