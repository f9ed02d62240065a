// Two settings of the JavaScript engine for a process that serves for months (RFC 6120 13.12: many idle streams; decision 0014).
import { setFlagsFromString } from "node:v8"

/**
 * From now on a function is compiled to simple machine code when it is first called, instead of being interpreted some hundred
 * times first: the first associations after a start need what the later ones need. To be called before anything else.
 */
export function compileEarly(): void {
  setFlagsFromString("--always-sparkplug")
}

/**
 * From now on the young generation of the heap stays as large as it is. By default it grows to three times 16 MiB in the first busy
 * second, for garbage that is never worth as much: stanzas pass as bytes outside the heap. To be called once, when all is started.
 */
export function holdYoungGeneration(): void {
  // Read by the engine whenever it considers growing; a factor of one means: not at all.
  setFlagsFromString("--semi-space-growth-factor=1")
}
