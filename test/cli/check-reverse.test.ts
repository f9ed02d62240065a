// `check --reverse`: the domain's server connects to us (RFC 7712 4.3), and beside a running gateway of ours nothing is disturbed.
import assert from "node:assert/strict"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, describe, it } from "node:test"
import { checkSchema } from "../../src/inspect/report.ts"
import { Internet, type LabServer } from "../../src/lab/internet.ts"
import { labPorts } from "../lab/support.ts"
import { type Ended, ending, start, throughLab, together } from "./command.ts"

const folder = mkdtempSync(join(tmpdir(), "check-reverse-"))
const at = (name: string): string => join(folder, name)
let net: Internet
let comes: LabServer
let network: readonly string[]
let ours: readonly string[]

before(async () => {
  net = await Internet.start(labPorts)
  comes = await net.addServer({ domain: "comes.example" })
  net.observe({
    // Whoever is pinged answers.
    message: (domain, message) => {
      if (domain === comes.domain && message.kind === "received" && message.body === "") comes.component.send(`<iq type='result' id='${message.id}' from='${message.to}' to='${message.from}'/>`)
    },
  })
  network = [...throughLab(net, folder), "--https-port", String(net.webAt.port)]
  ours = credentials("ours.example")
})

after(async () => {
  await net.close()
  rmSync(folder, { recursive: true })
})

function credentials(domain: string): string[] {
  const { chainPem, keyPem } = net.authority.issue({ names: { dns: [domain] } })
  writeFileSync(at(`${domain}.pem`), chainPem, { mode: 0o600 })
  writeFileSync(at(`${domain}.key`), keyPem, { mode: 0o600 })
  return ["--from", domain, "--cert", at(`${domain}.pem`), "--key", at(`${domain}.key`)]
}

/** DNS leads to where it waits as soon as it says where that is; then its operator sends something. */
async function back(args: readonly string[], operator: boolean): Promise<Ended> {
  // Servers remember where DNS led.
  const domain = operator ? "ours.example" : "pings.example"
  const child = start(["check", ...network, ...credentials(domain), "--reverse", "--listen", "127.0.0.1:0", "--patience", "20s", ...args, "comes.example"], folder)
  let err = ""
  child.stderr?.on("data", (bytes) => {
    const before = err
    err += bytes
    const place = /waiting at 127\.0\.0\.1:(\d+)\s/.exec(err)
    if (place === null || /waiting at 127\.0\.0\.1:(\d+)\s/.test(before)) return
    net.signed.zones.set(`_xmpp-server._tcp.${domain}`, { SRV: [[0, 0, Number(place[1]), `xmpp.${domain}`]] })
    net.signed.zones.set(`xmpp.${domain}`, { A: ["127.0.0.1"] })
    if (operator) comes.component.message("m1", "bot@comes.example", "bot@ours.example", "hello")
  })
  return await ending(child)
}

describe("the other direction", () => {
  it("waits until its operator makes it connect, and says how it proved itself", async () => {
    const { status, out, err } = await back([], true)
    assert.equal(status, 0, err)
    assert.match(err, /^note: waiting at 127\.0\.0\.1:\d+ for comes\.example to connect, 20 s at most:\s+send\s+something from an account of comes\.example to ours\.example\.\n$/)
    assert.match(out, /^THE OTHER DIRECTION\n\u2714 authenticated, 127\.0\.0\.\d+\n$/m)
  })

  it("asks it to by a ping", async () => {
    const { status, out, err } = await back(["--ping", "--json"], false)
    assert.equal(status, 0, err)
    const { results } = checkSchema.parse(JSON.parse(out))
    assert.deepEqual([results[0]?.reverse?.state, results[0]?.reverse?.asked, results[0]?.reverse?.level], ["proved", "ping", "authenticated"])
  })

  it("nobody comes: could not tell", async () => {
    const child = start(["check", ...network, ...ours, "--reverse", "--listen", "127.0.0.1:0", "--patience", "1s", "comes.example"], folder)
    const { status, out } = await ending(child)
    assert.deepEqual([status, /auth\.reverse-unseen/.test(out), /it did not connect/.test(out)], [3, true, true])
  })

  it("Ctrl-C while it waits ends it at once", async () => {
    const child = start(["check", ...network, ...ours, "--reverse", "--listen", "127.0.0.1:0", "--patience", "60s", "--jsonl", "comes.example"], folder)
    const ended = ending(child)
    const began = performance.now()
    child.stderr?.once("data", () => child.kill("SIGINT"))
    const { status, out } = await ended
    assert.deepEqual([status, out], [130, ""])
    assert.ok(performance.now() - began < 15_000)
  })

  it("says what it needs, and asks nobody", async () => {
    const { address, port } = comes.s2s
    const mistakes: readonly (readonly [readonly string[], number, RegExp])[] = [
      [["--reverse", "comes.example"], 64, /needs --from with --cert and --key/],
      [[...ours, "--reverse", "comes.example", "chat.example"], 64, /one domain/],
      [[...ours, "--reverse", "--service", "both", "comes.example"], 64, /no clients' service/],
      [[...ours, "--reverse", "--at", "2030-01-01", "comes.example"], 64, /exclude each other/],
      [[...ours, "--ping", "comes.example"], 64, /--ping belongs to --reverse/],
      [[...ours, "--listen", "127.0.0.1", "comes.example"], 64, /--listen belongs to --reverse/],
      [[...ours, "--reverse", "--listen", "somewhere", "comes.example"], 64, /"somewhere" is not an address with a port/],
      [[...ours, "--reverse", "--listen", "192.0.2.1:5269", "comes.example"], 69, /192\.0\.2\.1 is no address of this machine/],
      [[...ours, "--reverse", "--listen", `${address}:${port}`, "comes.example"], 69, /somebody listens at 127\.0\.0\.\d+:\d+ already, a running gateway perhaps, which is left alone/],
    ]
    const ended = await together(mistakes.map(([args]) => ["check", ...network, ...args]), folder)
    for (const [index, { status, out, err }] of ended.entries()) {
      const [args, wanted, sentence] = mistakes[index] ?? assert.fail()
      assert.deepEqual([status, out], [wanted, ""], args.join(" "))
      assert.match(err, sentence)
    }
  })
})

describe("beside a running gateway of the same domain", () => {
  it("its streams stay, and carry on", async () => {
    const beside = await net.addServer({ domain: "beside.example" })
    const far = await net.addServer({ domain: "far.example" })
    const talk = async (): Promise<unknown[]> => {
      const seen: unknown[] = []
      for (const [from, to] of [[beside, far], [far, beside]] as const) {
        const id = net.say(from, to, "hello")
        seen.push((await net.until("the message", () => net.outcome(to.domain, id), 5000)).kind)
      }
      return seen
    }
    assert.deepEqual(await talk(), ["received", "received"])
    const streams = ({ events }: LabServer, kind: string): string[] => events.filter((event) => event.kind === kind).map(({ stream }) => stream)
    const live = [streams(beside, "associated"), streams(far, "associated")]
    const { chainPem, keyPem } = beside.certificate
    writeFileSync(at("beside.pem"), chainPem)
    writeFileSync(at("beside.key"), keyPem, { mode: 0o600 })
    const asBeside = ["--from", "beside.example", "--cert", at("beside.pem"), "--key", at("beside.key")]
    const { address, port } = beside.s2s
    const ended = await together(
      [["beside.example"], [...asBeside, "far.example"], [...asBeside, "--reverse", "--listen", `${address}:${port}`, "far.example"]].map((args) => ["check", ...network, ...args]),
      folder,
    )
    assert.deepEqual(ended.map(({ status }) => status), [0, 0, 69])
    assert.match(ended[1]?.out ?? "", /accepts us \(EXTERNAL\)/)
    assert.deepEqual(await talk(), ["received", "received"])
    for (const [index, server] of [beside, far].entries()) {
      const closed = streams(server, "closed")
      assert.deepEqual((live[index] ?? []).filter((stream) => closed.includes(stream)), [], "a live stream was closed")
    }
    // Neither of the two had to open a stream for the second talk.
    const opened = (server: LabServer): number => server.events.filter((event) => event.kind === "connected" && event.direction === "out").length
    assert.deepEqual([opened(beside), opened(far)], [1, 1])
  })
})
