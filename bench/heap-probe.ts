// Loaded before a gateway that the bench measures: on SIGUSR2 it collects garbage and says what is left, one line on standard error.
const collect = (globalThis as { gc?: (options: object) => void }).gc

process.on("SIGUSR2", () => {
  // Also gives back what is kept in reserve, so that resident memory says something.
  collect?.({ type: "major", flavor: "last-resort", execution: "sync" })
  const { heapUsed, external, arrayBuffers, rss } = process.memoryUsage()
  process.stderr.write(`heap-probe ${JSON.stringify({ heapUsed, external, arrayBuffers, rss })}\n`)
})
