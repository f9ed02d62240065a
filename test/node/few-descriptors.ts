// Run as a process of its own with a low limit of descriptors: prints its port, echoes what peers say, and reports when its input ends.
import { createListen } from "../../src/node/listen.ts"

const troubles = new Set<string>()
let held = 0
let most = 0
const listener = await createListen({ troubled: (code) => troubles.add(code) }).listen({ address: "127.0.0.1", port: 0 }, (channel) => {
  held += 1
  most = Math.max(most, held)
  channel.attach({
    chunk: (bytes) => void channel.write(Buffer.from(bytes)),
    drain: () => undefined,
    end: () => channel.end(),
    close: () => void (held -= 1),
  })
})
process.stdout.write(`${listener.address.port}\n`)
process.stdin.resume().on("end", () => {
  process.stdout.write(JSON.stringify({ most, held, troubles: [...troubles] }))
  void listener.close()
})
