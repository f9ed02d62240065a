// The gateway and its memory of other domains, over real sockets: what an exchange of stanzas leaves behind, and what a domain
// that fell below it gets (security.md 13).
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { selfSigned } from "../../src/lab/certificate-authority.ts"
import type { Resolver } from "../../src/model/dns-answer.ts"
import type { Store, StoreChange, StoreRecord } from "../../src/ports.ts"
import { RawComponent, startFixture } from "./gateway-fixture.ts"

const day = 86_400_000

class MemoryStore implements Store {
  readonly found = { kind: "kept" } as const
  readonly place = "/state/memory.sqlite"
  readonly rows = new Map<string, StoreRecord>()
  constructor(...rows: StoreRecord[]) {
    for (const row of rows) this.rows.set(`${row.kind} ${row.key}`, row)
  }
  records(): readonly StoreRecord[] {
    return [...this.rows.values()]
  }
  async write(changes: readonly StoreChange[]): Promise<void> {
    for (const { kind, key, value } of changes) {
      if (value === undefined) this.rows.delete(`${kind} ${key}`)
      else this.rows.set(`${kind} ${key}`, { kind, key, value })
    }
  }
  async close(): Promise<void> {}
  get keys(): string[] {
    return [...this.rows.keys()].filter((key) => key.includes(".example")).sort()
  }
}

/** DNS is validated, and nobody needs it: where peers are is configured, and only certificates prove. */
const resolver = (): Resolver & { ability(): Promise<{ able: true }> } => ({
  resolve: async (name) => {
    throw new Error(`no lookup was expected: ${name}`)
  },
  ability: async () => ({ able: true }),
})

interface Wanted {
  readonly mode: string
  readonly store: MemoryStore
  readonly require?: string
  readonly selfSignedPeer?: boolean
  readonly ratchet?: string
}

async function couple({ mode, store, require = "authenticated", selfSignedPeer = false, ratchet = "" }: Wanted) {
  const validating = (yaml: string): string => yaml.replace("  resolver: { dnssec: off }\n", "  resolver: {}\n  proofs: [pkix]\n")
  const common = { resolver, yaml: validating }
  const federation = `  require: ${require}\n`
  const certificates = selfSignedPeer ? { "b.example": selfSigned({ now: Date.now(), names: { dns: ["b.example"] } }) } : {}
  const two = await startFixture({ ...common, domains: ["b.example"], address: "127.0.0.2", federation, certificates })
  after(() => two.stop())
  const one = await startFixture({
    ...common,
    domains: ["a.example"],
    peers: { "b.example": two.s2s },
    federation: `${federation}  ratchet: { mode: ${mode}${ratchet} }\n`,
    more: "state: { dir: /state }\n",
    files: { "/state/made": "" },
    store: () => store,
  })
  two.rewrite((yaml) => yaml.replace("  resolver:", `  overrides: [{ peer: a.example, connect: "${one.s2s.address}:${one.s2s.port}" }]\n  resolver:`))
  assert.equal((await two.gateway.reload()).ok, true)
  const [a, b] = [await RawComponent.attach(one.components, "a.example"), await RawComponent.attach(two.components, "b.example")]
  let stopped = false
  const stop = async (): Promise<void> => {
    if (stopped) return
    stopped = true
    a.socket.destroy()
    b.socket.destroy()
    await one.stop()
  }
  after(stop)
  return { one, two, a, b, stop }
}

const message = (from: string, to: string, id: string): string => `<message from='${from}' to='${to}' id='${id}'><body>hello</body></message>`

test("a stanza in each direction makes the first observation; what the peer can do is learnt with it", async () => {
  const store = new MemoryStore()
  const { a, b, stop } = await couple({ mode: "warn", store })
  a.send(message("x@a.example", "y@b.example", "there"))
  await b.until(/id='there'/)
  b.send(message("y@b.example", "x@a.example", "back"))
  await a.until(/id='back'/)
  await stop()
  assert.deepEqual(store.keys, ["abilities b.example", "ratchet in b.example", "ratchet out b.example"])
  const entry = JSON.parse(store.rows.get("ratchet out b.example")!.value) as { authenticated: { count: number; by: string[] } }
  assert.deepEqual([entry.authenticated.count, entry.authenticated.by], [1, ["pkix"]])
})

test("a stanza that nobody answers makes none", async () => {
  const store = new MemoryStore()
  const { a, b, stop } = await couple({ mode: "warn", store })
  a.send(message("x@a.example", "y@b.example", "there"))
  await b.until(/id='there'/)
  await stop()
  assert.deepEqual(store.keys, ["abilities b.example"])
})

function pinned(): MemoryStore {
  const now = Date.now()
  const run = { count: 3, first: now - 20 * day, last: now - day, by: ["pkix"] }
  return new MemoryStore(
    { kind: "ratchet", key: "clock", value: JSON.stringify({ at: now, wall: now }) },
    { kind: "ratchet", key: "out b.example", value: JSON.stringify({ encrypted: run, authenticated: run }) },
  )
}

test("enforce: a peer that proves less than for weeks gets no stanzas, and the sender reads why; an override lets it", async () => {
  const { one, a, stop } = await couple({ mode: "enforce", store: pinned(), require: "encrypted", selfSignedPeer: true })
  a.send(message("x@a.example", "y@b.example", "1"))
  const [bounce] = await a.until(/<message .*?<\/message>/)
  assert.match(bounce, /type='error'/)
  assert.match(one.lines("s2s.refused").join("\n"), /the domain proves less than it has done so far.*b\.example has kept reaching authenticated by pkix; it now reaches encrypted \[policy\.ratchet\]/)
  await stop()
  const until = new Date(Date.now() + day).toISOString().slice(0, 10)
  const allowed = await couple({ mode: "enforce", store: pinned(), require: "encrypted", selfSignedPeer: true, ratchet: `, overrides: [{ peer: b.example, until: ${until}, why: they told us }]` })
  allowed.a.send(message("x@a.example", "y@b.example", "2"))
  await allowed.b.until(/id='2'/)
  await allowed.stop()
})

test("warn: the same peer is served, and the log says it", async () => {
  const { one, a, b, stop } = await couple({ mode: "warn", store: pinned(), require: "encrypted", selfSignedPeer: true })
  a.send(message("x@a.example", "y@b.example", "1"))
  await b.until(/id='1'/)
  assert.match(String((await one.logged("s2s.weaker")).fields["text"]), /has kept reaching authenticated by pkix; it now reaches encrypted/)
  await stop()
})
