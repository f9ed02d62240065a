// Keeps the young generation of the heap small in a process that serves for months (RFC 6120 13.12: many idle streams; decision 0010).
import { setFlagsFromString } from "node:v8"

/**
 * From now on the young generation stays as large as it is. By default it grows to three times 16 MiB in the first busy second,
 * for garbage that is never worth as much: stanzas pass as bytes outside the heap. To be called once, when all is started.
 */
export function holdYoungGeneration(): void {
  // Read by the engine whenever it considers growing; a factor of one means: not at all.
  setFlagsFromString("--semi-space-growth-factor=1")
}
