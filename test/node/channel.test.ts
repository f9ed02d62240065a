// The channel contract over real sockets: TCP on both families, a Unix socket, TLS seen from both ends (ports.ts Channel).
import { channelContract } from "../contracts/channel.ts"
import { tcpPair, tlsPair, unixPair } from "./sockets.ts"

channelContract("TCP over IPv4", () => tcpPair())
channelContract("TCP over IPv6", () => tcpPair("::1"))
channelContract("a Unix socket", unixPair)
channelContract("TLS, from the client", () => tlsPair())
channelContract("TLS, from the server", async () => {
  const { a, b, ...rest } = await tlsPair()
  return { a: b, b: a, ...rest }
})

// Pacing changes when bytes come, never which: always resting, and resting now and then.
const always = () => ({ onChunk: () => 1 })
const sometimes = () => {
  let chunks = 0
  return { onChunk: () => (chunks++ % 3 === 0 ? 1 : 0) }
}
channelContract("TCP, paced", () => tcpPair("127.0.0.1", always))
channelContract("TLS, paced", () => tlsPair(always))
channelContract("TLS, paced now and then", () => tlsPair(sometimes))
