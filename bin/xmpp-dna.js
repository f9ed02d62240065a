#!/usr/bin/env node
// The `xmpp-dna` command: written so that an old Node can read it, checks the version, then loads the program.
const version = process.versions.node.split(".").map(Number)
if (version[0] < 22 || (version[0] === 22 && version[1] < 18)) {
  process.stderr.write(`xmpp-dna needs Node 22.18 or newer; this is ${process.version}\n`)
  process.exitCode = 69
} else {
  import("../dist/cli/main.js")
    .then((program) => program.run(process.argv.slice(2)))
    .then((code) => {
      if (typeof code === "number") process.exitCode = code
    })
    .catch((error) => {
      // Only a fault of the program itself arrives here: run() turns every expected failure into an exit code.
      process.stderr.write(`xmpp-dna: internal error: ${(error && error.stack) || error}\n`)
      process.exitCode = 70
    })
}
