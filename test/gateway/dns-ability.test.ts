// DNS that cannot be validated, on real sockets: at start nothing is served, while running nothing is sent, and a reload that
// would lead there is refused (security.md 15, 16). Beside it the same with DNS in order.
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, describe, it } from "node:test"
import { fileURLToPath } from "node:url"
import type { DnsMessage } from "../../src/dns/message.ts"
import { typeNumbers } from "../../src/dns/records.ts"
import { type DnsResponder, startDnsResponder } from "../../src/lab/dns-responder.ts"
import { SignedTree } from "../../src/lab/dns-signed-tree.ts"
import { makeSigningKey } from "../../src/lab/dns-signer.ts"
import { ConfigError } from "../../src/model/errors.ts"
import { createGatewayWorld } from "../../src/node/gateway-world.ts"
import { certificateFor, RawComponent, startFixture, type RunningFixture } from "./gateway-fixture.ts"

const hour = 3600
const now = Math.floor(Date.now() / 1000)
function treeOf(inception: number, expiration: number): SignedTree {
  const records = {
    "_xmpp-server._tcp.b.example": { SRV: [[0, 0, 9, "host.b.example"]] as const },
    "host.b.example": { A: ["127.0.0.1"] },
  }
  return new SignedTree({ validity: { inception, expiration }, zones: { ".": { keys: [makeSigningKey(13)] }, example: { keys: [makeSigningKey(13)], records } } })
}

const signatures: readonly number[] = [typeNumbers.RRSIG, typeNumbers.NSEC, typeNumbers.NSEC3]
const strip = (reply: DnsMessage): DnsMessage => ({
  ...reply,
  answers: reply.answers.filter(({ type }) => !signatures.includes(type)),
  authorities: reply.authorities.filter(({ type }) => !signatures.includes(type)),
})

/** A resolver in front of the tree that can begin to lie, or to stop validating. */
class Path {
  how: "honest" | "strips" | "validates" = "honest"
  readonly dns: DnsResponder
  readonly tree: SignedTree
  private constructor(dns: DnsResponder, tree: SignedTree) {
    this.dns = dns
    this.tree = tree
  }
  static async start(tree: SignedTree): Promise<Path> {
    const dns = await startDnsResponder({ answer: (name, type, dnssecOk) => tree.answer(name, type, dnssecOk), rewrite: (query, reply) => path.#told(query, reply) })
    const path: Path = new Path(dns, tree)
    return path
  }
  #told(query: DnsMessage, reply: DnsMessage): DnsMessage {
    if (this.how === "strips") return strip(reply)
    return this.how === "validates" ? { ...reply, authenticData: query.authenticData } : reply
  }
  get at(): string {
    return `${this.dns.address}:${this.dns.port}`
  }
}

const paths: Path[] = []
async function pathOf(tree: SignedTree): Promise<Path> {
  const path = await Path.start(tree)
  paths.push(path)
  return path
}
after(() => Promise.all(paths.map(({ dns }) => dns.close())))

const world = createGatewayWorld({ log: { write: () => undefined } })
async function start(resolver: string, anchors: string): Promise<RunningFixture> {
  const fixture = await startFixture({
    domains: ["a.example"],
    files: { "/etc/root.ds": anchors },
    yaml: (text) => text.replace("resolver: { dnssec: off }", `resolver: { ${resolver} }`),
    resolver: (settings) => world.resolver(settings),
  })
  running.push(fixture)
  return fixture
}

const running: RunningFixture[] = []
const attached: RawComponent[] = []
after(() => {
  for (const component of attached) component.close()
})
after(() => Promise.all(running.map((fixture) => fixture.stop())))

async function refusal(started: Promise<RunningFixture>): Promise<string> {
  try {
    await started
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error))
    assert.deepEqual(error.problems.map(({ setting }) => setting), ["federation.resolver.dnssec"])
    return error.problems[0]!.sentence
  }
  throw new Error("it serves")
}

describe("at start", () => {
  let path: Path
  before(async () => {
    path = await pathOf(treeOf(now - hour, now + hour))
  })

  it("DNS in order: it serves, with DANE and PKIX", async () => {
    path.how = "honest"
    const fixture = await start(`address: "${path.at}", anchors: root.ds`, path.tree.anchorText())
    assert.deepEqual([fixture.gateway.config.dnssec, [...fixture.gateway.config.proofs].sort()], ["validate", ["dane", "pkix", "posh"]])
  })

  it("stripped: refused, with what to do", async () => {
    path.how = "strips"
    const said = await refusal(start(`address: "${path.at}", anchors: root.ds`, path.tree.anchorText()))
    assert.match(said, /^`validate` is not possible: .*\[dns\.stripped\]\. What to do: .*federation\.resolver\.address.*`dnssec: off`/)
  })

  it("stripped, and the operator wrote off: it serves, without DANE", async () => {
    path.how = "strips"
    const fixture = await start(`address: "${path.at}", dnssec: off`, "")
    assert.deepEqual([...fixture.gateway.config.proofs], ["pkix", "posh"])
  })

  it("anchors of another root: refused", async () => {
    path.how = "honest"
    assert.match(await refusal(start(`address: "${path.at}"`, "")), /\[dns\.cannot-validate\].*federation\.resolver\.anchors/)
  })

  it("signatures that ended, or have not begun, at the root: a wrong clock", async () => {
    for (const [inception, expiration] of [
      [now - 3 * hour, now - hour],
      [now + hour, now + 3 * hour],
    ] as const) {
      const wrong = await pathOf(treeOf(inception, expiration))
      assert.match(await refusal(start(`address: "${wrong.at}", anchors: root.ds`, wrong.tree.anchorText())), /\[dns\.clock\]. What to do: set the clock/)
    }
  })

  it("nobody there: refused", async () => {
    const gone = await Path.start(path.tree)
    await gone.dns.close()
    assert.match(await refusal(start(`address: "${gone.at}", anchors: root.ds`, path.tree.anchorText())), /\[dns\.unreachable\]/)
    assert.match(await refusal(start(`address: "${gone.at}", dnssec: trust-ad`, "")), /`trust-ad` is not possible: .*\[dns\.unreachable\]/)
  })

  it("trust-ad: a resolver that sets AD is taken, one that does not is refused", async () => {
    path.how = "honest"
    assert.match(await refusal(start(`address: "${path.at}", dnssec: trust-ad`, "")), /`trust-ad` is not possible: .*\[dns\.not-validating\]. What to do: turn validation on/)
    path.how = "validates"
    assert.equal((await start(`address: "${path.at}", dnssec: trust-ad`, "")).gateway.state, "running")
  })

  it("`serve` ends with 78 and says so", async () => {
    path.how = "strips"
    const folder = mkdtempSync(join(tmpdir(), "dns-ability-"))
    const own = certificateFor("a.example")
    const file = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text, { mode: 0o600 })
      return join(folder, name)
    }
    file("a.pem", own.chainPem + own.keyPem)
    const config = file(
      "config.yaml",
      `listen: { s2s: ["127.0.0.1:0"], components: ["127.0.0.1:0"] }
federation: { trust: bundled, resolver: { address: "${path.at}", anchors: ${file("root.ds", path.tree.anchorText())} } }
certificates: { dirs: [${folder}], reload: signal }
domains: [{ name: a.example, component: { secret: { file: ${file("secret", "0f1e2d3c4b5a69788796a5b4c3d2e1f0")} } } }]
`,
    )
    const command = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))
    const child = spawn(process.execPath, [command, "serve", "--config", config], { stdio: ["ignore", "ignore", "pipe"], timeout: 20_000 })
    let said = ""
    child.stderr.on("data", (bytes) => (said += bytes))
    const status = await new Promise((resolve) => child.once("close", resolve))
    rmSync(folder, { recursive: true })
    assert.match(said, /federation\.resolver\.dnssec {2}`validate` is not possible: .*\[dns\.stripped\].*\n1 problem, nothing started\./)
    assert.equal(status, 78)
  })
})

describe("while running", () => {
  /** What the component hears of a message to b.example, and what the log says of the attempt. */
  async function attempt(fixture: RunningFixture, component: RawComponent): Promise<string> {
    attached.push(component)
    component.send("<message from='bot@a.example' to='someone@b.example' id='m1'><body>x</body></message>")
    await component.until(/<message [^>]*type='error'.*?<\/message>/s)
    return fixture.lines("s2s.retry").at(-1)!
  }

  for (const mode of ["validate", "trust-ad"] as const) {
    it(`${mode}: validation that ends is an abort, never a switch to unsigned`, async () => {
      const path = await pathOf(treeOf(now - hour, now + hour))
      path.how = mode === "validate" ? "honest" : "validates"
      const fixture = await start(mode === "validate" ? `address: "${path.at}", anchors: root.ds` : `address: "${path.at}", dnssec: trust-ad`, path.tree.anchorText())
      const component = await RawComponent.attach(fixture.components, "a.example")
      path.how = "strips"
      const said = await attempt(fixture, component)
      assert.match(said, mode === "validate" ? /\[dns\.bogus\]/ : /\[dns\.servfail\]/)
      assert.equal(fixture.events.some(({ kind }) => kind === "connected"), false, "no address was dialled")
      })
  }

  it("the same message with DNS in order gets as far as the address", async () => {
    const path = await pathOf(treeOf(now - hour, now + hour))
    const fixture = await start(`address: "${path.at}", anchors: root.ds`, path.tree.anchorText())
    const component = await RawComponent.attach(fixture.components, "a.example")
    assert.match(await attempt(fixture, component), /\[reach\.refused\]/)
  })

  it("a reload that leads to a stripping resolver is refused, and the old one is kept", async () => {
    const [good, bad] = [await pathOf(treeOf(now - hour, now + hour)), await pathOf(treeOf(now - hour, now + hour))]
    bad.how = "strips"
    const fixture = await start(`address: "${good.at}", anchors: root.ds`, good.tree.anchorText())
    fixture.rewrite((yaml) => yaml.replace(good.at, bad.at))
    fixture.files.set("/etc/root.ds", bad.tree.anchorText())
    const refused = await fixture.gateway.reload()
    assert.ok(!refused.ok)
    assert.match(refused.problems[0]!.sentence, /\[dns\.stripped\]/)
    assert.equal(fixture.gateway.config.resolvers[0]!.port, good.dns.port)
    bad.how = "honest"
    const taken = await fixture.gateway.reload()
    assert.ok(taken.ok)
    assert.deepEqual(taken.changes, ["~ federation.resolver"])
  })
})
