// Scenes in which both ends find a proof on the stream itself (RFC 7712 4, RFC 6120 13.7, XEP-0178, XEP-0368, XEP-0114).
import type { MessageSeen } from "../internet.ts"
import type { Scene } from "../scene.ts"
import { byCertificate, delivered, mutual, refusedByReceiver } from "./expectations.ts"

const mutualExternal: Scene = {
  id: "mutual-external",
  section: "RFC 7712 4, RFC 6120 6.3.4",
  title: "two certificates from a known authority: SASL EXTERNAL, each way",
  cast: [
    { domain: "a.example", what: "certificate of the Lab CA" },
    { domain: "b.example", what: "certificate of the Lab CA" },
  ],
  expected: {
    "a.example -> b.example": mutual("a.example", "b.example"),
    "b.example -> a.example": mutual("b.example", "a.example"),
  },
  play: async ({ exchange }) => ({
    "a.example -> b.example": await exchange("a.example", "b.example"),
    "b.example -> a.example": await exchange("b.example", "a.example"),
  }),
}

const bothWays: Scene = {
  id: "both-ways",
  section: "RFC 7712 4.3, XEP-0288",
  title: "both directions on one connection: the second rests on the proof of the first",
  cast: [
    { domain: "duo.example", what: "certificate of the Lab CA, bidi", bidi: true },
    { domain: "due.example", what: "certificate of the Lab CA, bidi", bidi: true },
  ],
  expected: {
    "duo.example -> due.example": mutual("duo.example", "due.example"),
    "due.example -> duo.example": delivered(byCertificate("duo.example", null), byCertificate("due.example", null)),
  },
  play: async ({ exchange }) => ({
    "duo.example -> due.example": await exchange("duo.example", "due.example"),
    "due.example -> duo.example": await exchange("due.example", "duo.example"),
  }),
}

const serverOnly: Scene = {
  id: "server-only",
  section: "RFC 5280 4.2.1.12, XEP-0178 3",
  title: "a certificate for TLS servers only proves a sender, too; one for clients does not",
  cast: [
    { domain: "web.example", what: "Lab CA, serverAuth only", certificate: { from: "lab", eku: ["serverAuth"] } },
    { domain: "cli.example", what: "Lab CA, clientAuth only", certificate: { from: "lab", eku: ["clientAuth"] } },
    { domain: "sly.example", what: "self-signed, serverAuth only", certificate: { from: "self", eku: ["serverAuth"] } },
    { domain: "net.example", what: "certificate of the Lab CA" },
  ],
  expected: {
    "web.example -> net.example": mutual("web.example", "net.example"),
    "cli.example -> net.example": refusedByReceiver("cli.example", "cert.client-only", "the certificate of CN=cli.example is for clientAuth, not for serverAuth (extendedKeyUsage)"),
    "sly.example -> net.example": refusedByReceiver("sly.example", "cert.self-signed", "the certificate of CN=sly.example is self-signed and not among the trusted ones"),
  },
  play: async ({ exchange }) => ({
    "web.example -> net.example": await exchange("web.example", "net.example"),
    "cli.example -> net.example": await exchange("cli.example", "net.example"),
    "sly.example -> net.example": await exchange("sly.example", "net.example"),
  }),
}

const directTls: Scene = {
  id: "direct-tls",
  section: "XEP-0368, RFC 7712 4",
  title: "TLS from the first byte, found by _xmpps-server",
  cast: [
    { domain: "zip.example", what: "Lab CA, Direct TLS", directTls: true },
    { domain: "run.example", what: "Lab CA, Direct TLS", directTls: true },
  ],
  expected: {
    "zip.example -> run.example": mutual("zip.example", "run.example"),
    transports: ["direct-tls", "direct-tls"],
  },
  play: async ({ exchange, server }) => {
    const seen = await exchange("zip.example", "run.example")
    const transports = ["zip.example", "run.example"].flatMap((domain) =>
      server(domain).events.flatMap((event) => (event.kind === "connected" ? [event.transport] : [])),
    )
    return { "zip.example -> run.example": seen, transports }
  },
}

const components: Scene = {
  id: "components",
  section: "XEP-0114, RFC 6120 10.4",
  title: "a component on each side: question, answer, over two proven streams",
  cast: [
    { domain: "ask.example", what: "certificate of the Lab CA" },
    { domain: "say.example", what: "certificate of the Lab CA" },
  ],
  expected: {
    question: { kind: "received", from: "bot@ask.example", to: "bot@say.example", body: "who are you?" },
    answer: { kind: "received", from: "bot@say.example", to: "bot@ask.example", body: "I am say.example; you are bot@ask.example" },
    "ask.example": ["in authenticated", "out authenticated"],
    "say.example": ["in authenticated", "out authenticated"],
  },
  play: async ({ net, server }) => {
    const [ask, say] = [server("ask.example"), server("say.example")]
    const question = net.say(ask, say, "who are you?")
    const heard = await net.until("the question", () => net.outcome(say.domain, question) ?? net.outcome(ask.domain, question), 5000)
    const answer = net.say(say, ask, heard.kind === "received" ? `I am ${say.domain}; you are ${heard.from}` : "nobody asked")
    const told = await net.until("the answer", () => net.outcome(ask.domain, answer) ?? net.outcome(say.domain, answer), 5000)
    const levels = (domain: string) =>
      server(domain).events.flatMap((event) => (event.kind === "associated" ? [`${event.direction} ${event.association.level}`] : [])).sort()
    return { question: shown(heard), answer: shown(told), "ask.example": levels("ask.example"), "say.example": levels("say.example") }
  },
}

/** Without the id, which counts on from scene to scene. */
function shown({ id: _, ...message }: MessageSeen): Omit<MessageSeen, "id"> {
  return message
}

export const associationScenes: readonly Scene[] = [mutualExternal, bothWays, directTls, serverOnly, components]
