// `watch --state FILE`: what is remembered of domains over restarts, read with suspicion and replaced as a whole.
import { readFile, rename, rm, stat, writeFile } from "node:fs/promises"
import { memoryKey, memorySchema, memoryVersion, type Remembered } from "../inspect/changes.ts"
import { exit, Stop } from "./exit.ts"

const mostOctets = 64 * 1024 * 1024

/** @throws Stop for a file that is not one of ours: it is not overwritten */
export async function readMemory(file: string): Promise<Map<string, Remembered>> {
  let text: string
  try {
    const { size } = await stat(file)
    if (size > mostOctets) throw new Error(`it is larger than ${mostOctets} octets`)
    text = await readFile(file, "utf8")
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return new Map()
    throw new Stop(exit.usage, `--state ${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
  let found: unknown
  try {
    found = JSON.parse(text)
  } catch {
    throw new Stop(exit.usage, `--state ${file} is no state of \`watch\`: not JSON. Name another file, or remove it.`)
  }
  const { success, data } = memorySchema.safeParse(found)
  if (success) return new Map(data.domains.map((remembered) => [memoryKey(remembered), remembered]))
  const version = typeof found === "object" && found !== null && "watch" in found ? found.watch : undefined
  const newer = typeof version === "number" && version > memoryVersion
  throw new Stop(exit.usage, newer ? `--state ${file} is of version ${version}; this program knows version ${memoryVersion}.` : `--state ${file} is no state of \`watch\`. Name another file, or remove it.`)
}

/** Whoever reads meanwhile sees the old one or the new one. */
export async function writeMemory(file: string, domains: readonly Remembered[]): Promise<void> {
  const aside = `${file}.${process.pid}.new`
  await rm(aside, { force: true })
  // Made here and by nobody else: in a folder of many it could be somebody's link to another file.
  await writeFile(aside, `${JSON.stringify({ watch: memoryVersion, domains })}\n`, { mode: 0o600, flag: "wx" })
  await rename(aside, file)
}
