// Writes every file that is made from the code: docs/findings.md, docs/scenes.md, schema/ and man/. Tests compare them with what this would write.
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { pathToFileURL } from "node:url"
import { tree } from "../src/cli/main.ts"
import { version } from "../src/cli/version.ts"
import { findingsPage } from "../src/inspect/findings-page.ts"
import { jsonSchema, type SchemaName, schemas } from "../src/inspect/schemas.ts"
import { scenesPage } from "../src/lab/scenes-page.ts"
import { manual } from "./manual.ts"

const root = join(import.meta.dirname, "..")

/** Path from the root of the repository, and text. */
export function pages(): Readonly<Record<string, string>> {
  const names = Object.keys(schemas) as SchemaName[]
  const published = names.map((name): [string, string] => [`schema/${name}.json`, `${JSON.stringify(jsonSchema(name), null, 2)}\n`])
  const manuals = Object.entries(manual(tree().program, version())).map(([name, text]): [string, string] => [`man/${name}`, text])
  return { "docs/findings.md": findingsPage(), "docs/scenes.md": scenesPage(), ...Object.fromEntries([...published, ...manuals]) }
}

/** Folders in which everything is made here. */
export const madeFolders = ["schema", "man"] as const

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  for (const folder of madeFolders) rmSync(join(root, folder), { recursive: true, force: true })
  for (const [path, text] of Object.entries(pages())) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
}
