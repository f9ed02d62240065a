// A file that somebody named, or standard input: read up to a bound, so that a wrong one costs a sentence and no memory.
import { createReadStream } from "node:fs"
import { exit, Stop } from "./exit.ts"

/**
 * @param file `-` is standard input
 * @param most octets
 * @throws Stop (64) when it cannot be read or is larger; no more than the bound and a little is read
 */
export async function readInputFile(file: string, most: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of file === "-" ? process.stdin : createReadStream(file)) {
      chunks.push(chunk as Buffer)
      size += (chunk as Buffer).length
      if (size > most) throw new Error(`it is larger than ${most} octets`)
    }
  } catch (error) {
    throw new Stop(exit.usage, `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
  return Buffer.concat(chunks)
}
