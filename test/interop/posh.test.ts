// Hosted domains and programs of others: openssl finds our document right; Debian's Prosody and ejabberd, which know no POSH, talk to
// a hosted domain by dialback or not at all, while a gateway of ours demands POSH of it and gets it (RFC 7711, RFC 7712 5.2).
import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { after, test } from "node:test"
import { promisify } from "node:util"
import { Internet, type LabServer } from "../../src/lab/internet.ts"
import type { LabPorts } from "../../src/lab/ports.ts"
import { publish } from "../../src/lab/publish.ts"
import { asking, publishing, wellKnown } from "../../src/lab/scenes/posh-hosting.ts"
import { createGatewayWorld } from "../../src/node/gateway-world.ts"
import { startBot } from "./bot.ts"
import { startEjabberd } from "./peers/ejabberd.ts"
import { temporaryFolder } from "./peers/process.ts"
import { startProsody } from "./peers/prosody.ts"
import { peerMissing, peerUsed } from "./peers-used.ts"
import type { Kind } from "./servers.ts"
import { createWorld } from "./world.ts"

const world = await createWorld()
after(() => world.end())

interface Lab {
  readonly net: Internet
  /** Whose certificate is its host's; its own web server redirects to the host. */
  readonly hosted: LabServer
  readonly host: string
  /** What our gateways write to their logs. */
  readonly log: readonly string[]
}

async function hosting(label: string): Promise<Lab> {
  const log: string[] = []
  const ports: LabPorts = { world: () => createGatewayWorld({ log: { write: (_level, event, fields) => log.push(`${event} ${JSON.stringify(fields)}`) } }) }
  const net = await Internet.start(ports)
  world.add({ close: () => net.close() })
  const [domain, host] = [`customer-${label}.example`, `host-${label}.example`]
  const hosted = await net.addServer(publishing(domain, host))
  net.web({ host: domain, answers: { [wellKnown]: { location: `https://${host}${wellKnown}` } } })
  return { net, hosted, host, log }
}

/** How each association of the server came to be. */
function proofs({ events }: LabServer): readonly string[] {
  return events.flatMap((event) =>
    event.kind === "associated" ? [`${event.direction} ${event.association.level} ${typeof event.association.via === "object" ? "by dialback" : `by ${event.association.verdict.by}`}`] : [],
  )
}

test("openssl, without any code of ours, finds the certificate we show in the document we publish", { skip: peerMissing("openssl") }, async () => {
  const { net, hosted, host } = await hosting("openssl")
  const [web] = hosted.gateway.addresses.poshHttps
  assert.ok(web !== undefined && "port" in web)
  const roots = join(temporaryFolder("posh-check"), "roots.pem")
  writeFileSync(roots, net.authority.certificate.pem)
  const check = async (server: LabServer, name: string): Promise<string> => {
    const script = join(import.meta.dirname, "posh-check.sh")
    const places = [`${server.s2s.address}:${server.s2s.port}`, server.domain, `${web.address}:${web.port}`, name, roots]
    return (await promisify(execFile)("/bin/sh", [script, ...places], { timeout: 20_000 })).stdout
  }
  const digest = (hash: string): string => createHash(hash).update(hosted.certificate.der).digest("base64")
  assert.equal(await check(hosted, host), `sha-256 ${digest("sha256")}\nsha-512 ${digest("sha512")}\n`)
  // The same check says no: of another certificate, and of a name that the web server has no certificate for.
  const other = await net.addServer({ domain: "other-openssl.example" })
  await assert.rejects(check(other, host), /sha-256 of the certificate shown is not in the document/)
  await assert.rejects(check(hosted, "stranger.example"), /no document/)
  // A renewal is in the document before it is shown.
  const renewed = net.authority.issue({ names: { dns: [host] }, notBefore: net.clock.now() - 60_000 })
  await hosted.renew(renewed)
  assert.deepEqual(hosted.gateway.renewals.map(({ posh }) => posh.map(({ fingerprints }) => fingerprints.length)), [[2]])
  assert.equal(await check(hosted, host), `sha-256 ${digest("sha256")}\nsha-512 ${digest("sha512")}\n`)
  peerUsed("openssl")
})

/** A foreign server of the lab's internet, with a bot behind it. */
async function foreign({ net, hosted }: Lab, kind: Kind, label: string, strict: boolean) {
  const address = await world.address()
  const [name, domain] = [`${label}.example`, `bot.${label}.example`]
  const certificate = net.authority.issue({ names: { dns: [name, domain] } })
  for (const each of [name, domain]) publish(net.signed.zones, { domain: each, zone: undefined, s2s: { address, port: 5269 }, transport: "starttls", certificate, issuer: net.authority.certificate })
  // ejabberd leaves addresses to the C library, which is not asked here: see world.ts.
  world.numericDns.set(`_xmpp-server._tcp.${hosted.domain}`, { SRV: [[0, 0, hosted.s2s.port, hosted.s2s.address]] })
  const secret = world.secret()
  const identity = { chainPem: certificate.chainPem, keyPem: certificate.keyPem }
  const options = { address, domains: [{ name, identity, components: [{ name: domain, secret, identity }] }], caPem: net.authority.certificate.pem, debug: true }
  const server = world.add(
    kind === "prosody"
      ? await startProsody({ ...options, dns: net.dns, secureAuth: strict, dialback: true })
      : await startEjabberd({ ...options, dns: world.numericDns, secureAuth: strict, dialback: !strict }),
  )
  const bot = world.add(await startBot({ domain, secret, server: server.component }))
  return { server, domain, bot }
}

for (const kind of ["prosody", "ejabberd"] as const) {
  test(`a stock ${kind} and a hosted domain by dialback, a gateway of ours and the same domain by POSH, each way`, { skip: peerMissing(kind) }, async () => {
    const lab = await hosting(`${kind}-both`)
    const { net, hosted } = lab
    const there = await foreign(lab, kind, `posh-${kind}`, false)
    const heard = (body: string) => net.until(body, () => received.find((each) => each === body), 20_000)
    const received: string[] = []
    net.observe({ message: (_domain, message) => void (message.kind === "received" && received.push(message.body)) })
    hosted.component.message("one", `bot@${hosted.domain}`, `bot@${there.domain}`, "the hosted domain calls")
    await there.bot.waitFor("<body>the hosted domain calls</body>", 20_000)
    there.bot.say(`bot@${hosted.domain}`, "and is called")
    await heard("and is called")
    const called = new RegExp(kind === "prosody" ? `Incoming s2s connection ${hosted.domain}->${there.domain} complete` : `Accepted inbound s2s dialback authentication ${hosted.domain} -> ${there.domain}`)
    assert.match(await there.server.waitForLog(called), /complete|Accepted/)
    // They took our word by dialback; their certificate proves them to us.
    const dialback = hosted.events.flatMap((event) => (event.kind === "dialback" && event.direction === "out" ? [event.step] : []))
    assert.ok(dialback.includes("result-sent"), `${dialback}`)
    assert.deepEqual([...new Set(proofs(hosted))].sort(), ["in authenticated by pkix", "out authenticated by pkix"])
    // Ours needs a proof, and has one.
    const ours = await net.addServer(asking(`demands-${kind}.example`))
    const sent = net.say(ours, hosted, "we demand a document")
    await net.until("the message", () => net.outcome(hosted.domain, sent), 10_000)
    const back = net.say(hosted, ours, "there you are")
    await net.until("the answer", () => net.outcome(ours.domain, back), 10_000)
    assert.deepEqual([...proofs(ours)].sort(), ["in authenticated by posh", "out authenticated by posh"])
    assert.ok(received.includes("we demand a document") && received.includes("there you are"))
    peerUsed(kind)
  })
}

test("a strict Prosody refuses the hosted domain, each way, and our log has its words", { skip: peerMissing("prosody") }, async () => {
  const lab = await hosting("strict")
  const { net, hosted, log } = lab
  const there = await foreign(lab, "prosody", "posh-strict", true)
  const words = /certificate is not valid for this name/
  there.bot.say(`bot@${hosted.domain}`, "must not arrive")
  assert.match(await there.bot.waitFor(/type=.error./, 20_000), words)
  hosted.component.message("refused", `bot@${hosted.domain}`, `bot@${there.domain}`, "must not arrive either")
  const outcome = await net.until("the bounce", () => net.outcome(hosted.domain, "refused"), 20_000)
  assert.equal(outcome.kind, "bounced")
  assert.match(outcome.kind === "bounced" ? outcome.text : "", words)
  const lines = log.filter((line) => words.test(line))
  assert.ok(lines.some((line) => line.startsWith("s2s.refused") && line.includes(there.domain) && line.includes('"dir":"out"')), lines.join("\n"))
  assert.ok(lines.some((line) => line.includes('"dir":"in"') || line.includes("s2s.closed")), lines.join("\n"))
  assert.deepEqual(there.bot.received.filter((stanza) => stanza.includes("must not arrive either<")), [])
  peerUsed("prosody")
})
