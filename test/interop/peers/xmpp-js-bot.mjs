// A component written with the unmodified @xmpp/component package, as its README shows: answers a message by an echo, sends what it reads on stdin.
import { createInterface } from "node:readline"
import { component, xml } from "@xmpp/component"

const [service, domain, password] = process.argv.slice(2)
const bot = component({ service, domain, password })

bot.on("error", (error) => console.log(`error ${error}`))
bot.on("online", (address) => console.log(`online ${address}`))
bot.on("stanza", async (stanza) => {
  console.log(`stanza ${stanza}`)
  const body = stanza.getChildText("body")
  if (!stanza.is("message") || stanza.attrs.type === "error" || body === null || body.startsWith("echo: ")) return
  await bot.send(xml("message", { type: "chat", from: `bot@${domain}`, to: stanza.attrs.from }, xml("body", {}, `echo: ${body}`)))
})

// One line of stdin: `<to> <body>`.
createInterface({ input: process.stdin }).on("line", async (line) => {
  const [to, ...words] = line.split(" ")
  await bot.send(xml("message", { type: "chat", from: `bot@${domain}`, to }, xml("body", {}, words.join(" "))))
})

await bot.start()
