// The other direction: the domain's server connects to us, and what it shows is judged (RFC 7712 4.3; XEP-0199, XEP-0220 2.2).
import assert from "node:assert/strict"
import { connect } from "node:net"
import type { Duplex } from "node:stream"
import { after, before, test } from "node:test"
import { connect as tlsConnect } from "node:tls"
import { inspect } from "../../src/inspect/ladder.ts"
import { type DomainResult, domainSchema } from "../../src/inspect/report.ts"
import type { ReverseQuestion } from "../../src/inspect/reverse.ts"
import { selfSigned } from "../../src/lab/certificate-authority.ts"
import type { ServerSpec } from "../../src/lab/internet.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { createGatewayWorld } from "../../src/node/gateway-world.ts"
import { type Inspector, inspector } from "./support.ts"

let lab: Inspector

before(async () => {
  lab = await inspector()
})
after(() => lab.close())

let last = 0

/** Somebody who has nothing of the domain's but its name, and is refused: resolves when he is hung up on. */
async function stranger(net: Inspector["net"], port: number, claimed: string, to: string): Promise<void> {
  const header = `<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams' from='${claimed}' to='${to}' version='1.0'>`
  const { chainPem, keyPem } = selfSigned({ now: net.clock.now(), names: { dns: [claimed] } })
  const raw = connect(port, "127.0.0.1")
  raw.write(`${header}<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>`)
  await heard(raw, "<proceed")
  const secured = tlsConnect({ socket: raw, key: keyPem, cert: chainPem, rejectUnauthorized: false })
  secured.write(header)
  await heard(secured, "</stream:features>")
  secured.write(`<db:result from='${claimed}' to='${to}'>0123456789abcdef</db:result>`)
  await heard(secured, "type='")
  secured.destroy()
}

async function heard(from: Duplex, words: string): Promise<void> {
  let text = ""
  await new Promise<void>((resolve, reject) => {
    from.on("error", reject)
    const read = (bytes: Buffer): void => {
      text += bytes.toString("utf8")
      if (!text.includes(words)) return
      from.off("data", read)
      resolve()
    }
    from.on("data", read)
  })
}

/** A domain of ours, whose DNS leads to the listener; the server is made to connect, by its component or by our ping. */
async function back(spec: ServerSpec, asked: ReverseQuestion["asked"], options: { patience?: number; silent?: boolean; names?: string[]; stranger?: boolean } = {}): Promise<DomainResult> {
  const { net } = lab
  const server = await net.addServer(spec)
  last += 1
  const ours = parseDomain(`ours${last}.example`)
  const { chainPem, keyPem } = net.authority.issue({ names: { dns: options.names ?? [ours] } })
  const stop = net.observe({
    message: (domain, message) => {
      if (domain === server.domain && message.kind === "received") server.component.send(`<iq type='result' id='${message.id}' from='${message.to}' to='${message.from}'/>`)
    },
  })
  const strangers: Promise<void>[] = []
  const asking: ReverseQuestion = {
    listen: createGatewayWorld({ log: { write: () => undefined } }).listen,
    at: { address: "127.0.0.1", port: 0 },
    asked,
    patience: options.patience ?? 5000,
    ready: ({ port }) => {
      net.signed.zones.set(`_xmpp-server._tcp.${ours}`, { SRV: [[0, 0, port, `xmpp.${ours}`]] })
      net.signed.zones.set(`xmpp.${ours}`, { A: ["127.0.0.1"] })
      const come = (): void => {
        if (asked === "operator" && options.silent !== true) server.component.message("m1", `bot@${server.domain}`, `bot@${ours}`, "hello")
      }
      if (options.stranger !== true) come()
      else strangers.push(stranger(net, port, server.domain, ours).then(come))
    },
  }
  try {
    const question = lab.question(spec.domain, { from: { domain: ours, credentials: { certificatePem: chainPem, keyPem } } })
    const { result } = await inspect(question, lab.ports, new AbortController().signal, asking)
    domainSchema.parse(result)
    await Promise.all(strangers)
    return result
  } finally {
    stop()
  }
}

const state = ({ reverse, ok, unknown }: DomainResult): unknown[] => [reverse?.state, reverse?.level, ok, unknown]
const raised = ({ findings }: DomainResult): string[] => findings.filter(({ id }) => id.startsWith("auth.")).map(({ id, severity }) => `${severity} ${id}`)

test("it comes when its operator makes it, and proves itself by its certificate", async () => {
  const result = await back({ domain: "comes.example" }, "operator")
  assert.deepEqual(state(result), ["proved", "authenticated", true, false])
  assert.deepEqual(raised(result), [])
  assert.equal(result.reverse?.proofs.find(({ proof }) => proof === "pkix")?.state, "proved")
  assert.equal(result.reverse?.certificate, result.endpoints[0]?.certificate)
  assert.equal(result.reverse?.tls, "TLSv1.3")
})

test("it comes because it is pinged", async () => {
  const result = await back({ domain: "pinged.example" }, "ping")
  assert.deepEqual(state(result), ["proved", "authenticated", true, false])
  assert.equal(result.reverse?.asked, "ping")
})

test("good where it is connected to, nothing to show where it connects: dialback alone is not enough", async () => {
  const result = await back({ domain: "hides.example", hidesCertificate: true }, "operator")
  assert.deepEqual(state(result), ["refuted", "encrypted", false, false])
  assert.equal(result.level, "authenticated")
  assert.deepEqual(raised(result), ["bad auth.reverse-refused"])
  assert.equal(result.reverse?.proofs.find(({ proof }) => proof === "dialback")?.state, "proved")
})

test("attack: a stranger who claims the domain and is refused says nothing about it, nor keeps its own server out", async () => {
  const late = await back({ domain: "robbed.example" }, "operator", { stranger: true })
  assert.deepEqual(state(late), ["proved", "authenticated", true, false])
  assert.deepEqual(raised(late), [])
  const alone = await back({ domain: "slandered.example" }, "operator", { stranger: true, silent: true, patience: 4000 })
  assert.deepEqual(state(alone), ["unavailable", null, false, true])
  assert.deepEqual(raised(alone), ["unknown auth.reverse-unseen"])
  assert.match(alone.reverse?.detail ?? "", /was refused, which anybody can be: .*\[auth\.dialback-invalid\]/)
})

test("nobody comes: could not tell", async () => {
  const result = await back({ domain: "stays.example" }, "operator", { patience: 300, silent: true })
  assert.deepEqual(state(result), ["no-connection", null, false, true])
  assert.deepEqual(raised(result), ["unknown auth.reverse-unseen"])
})
