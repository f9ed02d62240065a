// `watch` as a user meets it, against the lab: what it prints, the web hook, the command, the memory over restarts, its end.
import assert from "node:assert/strict"
import { once } from "node:events"
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { createServer, type IncomingMessage, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, describe, it } from "node:test"
import { readMemory, writeMemory } from "../../src/cli/watch-state.ts"
import type { Change } from "../../src/inspect/changes.ts"
import { Internet, type LabServer } from "../../src/lab/internet.ts"
import { postJson, WebhookError } from "../../src/node/webhook.ts"
import { labPorts } from "../lab/support.ts"
import { type Ended, ending, start, throughLab, together } from "./command.ts"

const folder = mkdtempSync(join(tmpdir(), "watch-"))
const at = (name: string): string => join(folder, name)
let net: Internet
let chat: LabServer
let network: readonly string[]

before(async () => {
  net = await Internet.start(labPorts)
  chat = await net.addServer({ domain: "chat.example", picksCertificate: true })
  network = [...throughLab(net, folder), "--https-port", String(net.webAt.port)]
})

after(async () => {
  await net.close()
  rmSync(folder, { recursive: true })
})

const oneRound = (...args: readonly string[]): readonly string[] => ["watch", ...network, "--rounds", "1", ...args]
const watch = (...args: readonly string[]): Promise<Ended> => ending(start(oneRound(...args), folder))
const changesIn = (out: string): Change[] => out.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line))
const renewed = (after: number) => net.authority.issue({ names: { dns: ["chat.example"] }, notBefore: net.clock.now() - 60_000 + after })

it("attack: somebody's link in the place where the memory is written aside leads to no other file", async () => {
  const [file, victim] = [at("linked"), at("victim")]
  const aside = `${file}.${process.pid}.new`
  writeFileSync(victim, "mine")
  symlinkSync(victim, aside)
  writeFileSync(aside, "overwritten")
  assert.equal(readFileSync(victim, "utf8"), "overwritten", "red: who writes as usual follows it")
  writeFileSync(victim, "mine")
  await writeMemory(file, [])
  assert.equal(readFileSync(victim, "utf8"), "mine")
  assert.deepEqual([...(await readMemory(file))], [])
  rmSync(victim)
})

describe("what it tells", () => {
  it("only what changes, over restarts, with the memory in a file of its own", async () => {
    const state = ["--state", at("memory")]
    const first = await watch(...state, "chat.example", "nobody.example")
    assert.deepEqual([first.status, first.err], [0, ""])
    assert.match(first.out, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ \u2714 chat\.example: authenticated$/m)
    assert.match(first.out, /^[^\n]* \u2716 nobody\.example: none: the domain does not exist in DNS:\n {23}nobody\.example has no address \[dns\.nxdomain\]$/m)
    const again = await watch(...state, "chat.example", "nobody.example")
    assert.deepEqual([again.status, again.out, again.err], [0, "", ""])
    await chat.renew(renewed(1000))
    const changed = await watch(...state, "chat.example", "nobody.example")
    assert.match(changed.out, /^[^\n]* ! chat\.example: the key changed without announcement: .*sha256:[0-9a-f]{64}\n$/s)
    assert.deepEqual(changed.out.split("\n").filter((line) => line.length > 80 && !line.trimStart().startsWith("sha256:")), [])
    assert.deepEqual(readdirSync(folder).filter((name) => name.includes("memory")), ["memory"])
  })

  it("a web hook and a command get the same; words of others never become part of the command", async () => {
    const bodies: { changes: Change[] }[] = []
    const server = await listening((request, body) => {
      assert.deepEqual([request.method, request.headers["content-type"]], ["POST", "application/json"])
      bodies.push(JSON.parse(body))
      return 204
    })
    // A peer's own words, which a shell would obey.
    const evil = "$(touch injected);`touch injected`'\"\u001b[2J"
    writeFileSync(at("evil-memory"), JSON.stringify({ watch: 1, domains: [{ domain: "chat.example", service: "xmpp-server", connect: "", level: "encrypted", ok: false, unknown: false, findings: [evil.slice(0, 90)], keys: [], announced: [] }] }))
    const command = `printf '%s|%s|%s|%s\\n' "$XMPP_DNA_KIND" "$XMPP_DNA_DOMAIN" "$XMPP_DNA_LEVEL" "$XMPP_DNA_FINDING" >> told; cat >> given`
    const { status, out, err } = await watch("--state", at("evil-memory"), "--webhook", `${server.url}/hook`, "--exec", command, "--jsonl", "chat.example")
    await server.close()
    assert.deepEqual([status, err], [0, ""])
    assert.deepEqual(bodies.map(({ changes }) => changes), [changesIn(out)])
    assert.deepEqual(changesIn(out).map(({ kind }) => kind), ["good-again", "finding-gone"])
    assert.match(readFileSync(at("told"), "utf8"), /^good-again\|chat\.example\|authenticated\|\nfinding-gone\|chat\.example\|authenticated\|\$\(touch injected\);`touch injected`'"\\u001b\[2J\n$/)
    assert.deepEqual(readFileSync(at("given"), "utf8").trimEnd().split("\n").map((line) => JSON.parse(line)), changesIn(out))
    assert.equal(readdirSync(folder).includes("injected"), false)
    // The other way round it is: put into the text of the command, the same words run. So the test would see it.
    const weak = await ending(start(oneRound("--exec", `true ${evil.slice(0, 17)}`, "shop.example"), folder))
    assert.deepEqual([weak.status, readdirSync(folder).includes("injected")], [0, true])
  })

  it("what could not be told to others is said, and ends nothing", async () => {
    const refuses = await listening(() => 404)
    const { status, err } = await watch("--webhook", refuses.url, "--exec", "exit 7", "nobody.example")
    await refuses.close()
    assert.equal(status, 0)
    assert.match(err.replace(/\s+/g, " "), /the web hook was not told of 1 change: http:\/\/127\.0\.0\.1:\d+\/: it answered 404/)
    assert.match(err, /--exec for nobody\.example: it ended with 7/)
  })

  it("Ctrl-C ends it, and what was seen is remembered", async () => {
    for (const [signal, status] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
      rmSync(at("ended"), { force: true })
      const child = start(["watch", ...network, "--interval", "1h", "--state", at("ended"), "--exec", "cat > /dev/null", "chat.example"], folder)
      const ended = ending(child)
      await once(child.stdout ?? assert.fail(), "data")
      child.kill(signal)
      assert.deepEqual([(await ended).status, (await ended).err], [status, ""])
    }
    assert.deepEqual(JSON.parse(readFileSync(at("ended"), "utf8")).domains.map(({ domain, level }: { domain: string; level: string }) => [domain, level]), [["chat.example", "authenticated"]])
  })

  it("says what is wrong with how it was called, and asks nobody", async () => {
    const write = (name: string, text: string): string => {
      writeFileSync(at(name), text)
      return at(name)
    }
    const mistakes: readonly (readonly [readonly string[], RegExp])[] = [
      [[], /no domain is given/],
      [["192.0.2.1"], /is an IP address/],
      [["--interval", "0s", "a.example"], /0s/],
      [["--jitter", "1", "a.example"], /--jitter "1"/],
      [["--jitter", "100%", "a.example"], /--jitter "100%"/],
      [["--rounds", "0", "a.example"], /--rounds "0"/],
      [["--webhook", "ftp://hook.example/", "a.example"], /is no URL of a web server/],
      [["--webhook", "https://me:secret@hook.example/", "a.example"], /no name and password/],
      [["--state", folder, "a.example"], /--state .* cannot be read/],
      [["--state", "/nowhere/at/all", "a.example"], /--state \/nowhere\/at\/all cannot be written/],
      [["--state", write("no-json", "{"), "a.example"], /not JSON/],
      [["--state", write("other", '{"watch":1,"domains":[{"domain":1}]}'), "a.example"], /is no state of `watch`/],
      [["--state", write("newer", '{"watch":2}'), "a.example"], /is of version 2; this program knows version 1/],
    ]
    const ended = await together(mistakes.map(([args]) => ["watch", ...network, ...args]), folder)
    for (const [index, { status, out, err }] of ended.entries()) {
      const [args, sentence] = mistakes[index] ?? assert.fail()
      assert.deepEqual([status, out], [64, ""], args.join(" "))
      assert.match(err, sentence)
    }
    // A file that is not ours stays as it is.
    assert.equal(readFileSync(at("no-json"), "utf8"), "{")
  })
})

describe("the web hook", () => {
  it("is tried again where that may help, a bounded number of times, and follows nobody elsewhere", async () => {
    const statuses = [503, 429, 200]
    let asked = 0
    const waits: number[] = []
    const clock = { ...labPorts.world({ write: () => undefined }).clock }
    const at = clock.after
    // The pauses between the tries are over at once; the patience with one try is real.
    const fast = {
      ...clock,
      after: (ms: number, callback: () => void) => {
        if (ms === 10_000) return at(ms, callback)
        waits.push(ms)
        return at(0, callback)
      },
    }
    const server = await listening(() => statuses[asked++] ?? 500)
    await postJson(new URL(server.url), {}, fast, new AbortController().signal)
    assert.deepEqual([asked, waits], [3, [1000, 4000]])
    await assert.rejects(postJson(new URL(server.url), {}, fast, new AbortController().signal), (error) => error instanceof WebhookError && /it answered 500/.test(error.message))
    assert.equal(asked, 7)
    await server.close()
    await assert.rejects(postJson(new URL(server.url), {}, fast, new AbortController().signal), /ECONNREFUSED/)
    let followed = 0
    const elsewhere = await listening(() => {
      followed += 1
      return 200
    })
    const sends = await listening(() => 307, elsewhere.url)
    await assert.rejects(postJson(new URL(sends.url), {}, fast, new AbortController().signal), /it answered 307/)
    assert.equal(followed, 0)
    await sends.close()
    await elsewhere.close()
  })
})

async function listening(answer: (request: IncomingMessage, body: string) => number, location?: string): Promise<{ url: string; close(): Promise<void> }> {
  const server: Server = createServer((request, response) => {
    let body = ""
    request.on("data", (bytes) => (body += bytes))
    request.on("end", () => {
      response.writeHead(answer(request, body), location === undefined ? {} : { location }).end()
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, "close")
    },
  }
}
