// Three settings of the JavaScript engine for a process that serves for months (RFC 6120 13.12: many idle streams; decision 0014).
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

/**
 * From now on a function is compiled to simple machine code when it is first called, instead of being interpreted some hundred
 * times first: the first associations after a start need what the later ones need. To be called before anything else.
 */
export function compileEarly(): void {
  setFlagsFromString("--always-sparkplug")
}

/** What the young generation has after a start with a few domains, octets. */
const usualYoung = 32 * 1024 * 1024
const lookMs = 1000

/**
 * From now on the young generation of the heap stays as large as it is. By default it grows to three times 16 MiB in the first busy
 * second, for garbage that is never worth as much: stanzas pass as bytes outside the heap. To be called once, when all is started.
 *
 * Reading thousands of certificates has made it several times as large by then. That is given back at once (a pause before anything
 * is served), and it is held when it has grown to its usual size.
 */
export function holdYoungGeneration(): void {
  if (youngOctets() <= usualYoung) return hold()
  giveBack()
  const look = setInterval(() => {
    if (youngOctets() < usualYoung) return
    clearInterval(look)
    hold()
  }, lookMs)
  look.unref()
}

/**
 * From now on garbage is collected when the heap is twice as large as what was alive the last time, at the latest. By default a heap of
 * this size may grow four times, and what thousands of handshakes left behind stays for as long as nothing happens. To be called once,
 * when all is started.
 */
export function collectInTime(): void {
  setFlagsFromString("--heap-growing-percent=100")
}

function hold(): void {
  // Read by the engine whenever it considers growing; a factor of one means: not at all.
  setFlagsFromString("--semi-space-growth-factor=1")
}

function youngOctets(): number {
  return getHeapSpaceStatistics().find(({ space_name: name }) => name === "new_space")?.space_size ?? 0
}

/** A full collection that also shrinks what is kept in reserve. */
function giveBack(): void {
  setFlagsFromString("--expose-gc")
  const collect: unknown = runInNewContext("gc")
  setFlagsFromString("--no-expose-gc")
  if (typeof collect === "function") collect({ type: "major", flavor: "last-resort", execution: "sync" })
}
