// What an association lives on, and when it ends: certificates that expire, clocks that are set, exceptions, reloads
// (security.md 9, 10; TLS-14).
import assert from "node:assert/strict"
import { test } from "node:test"
import type { Clock } from "../../src/ports.ts"
import { anchorsFromPem } from "../../src/x509/anchors.ts"
import { auth, credentialsOf, domain, good, type MemoryScene, memoryScene, message, openHeader, own, pairOf, type Server, start, stranger } from "./support.ts"

const hour = 3_600_000
const day = 24 * hour

/** The clock of a machine whose wall clock somebody sets. */
function settable(clock: Clock): Clock & { set(by: number): void } {
  let off = 0
  return { now: () => clock.now() + off, monotonic: () => clock.monotonic(), after: (ms, callback) => clock.after(ms, callback), set: (by) => void (off += by) }
}

async function pairOfServers(options: { readonly ends: number; readonly clocks?: Map<string, ReturnType<typeof settable>> }): Promise<{ scene: MemoryScene; a: Server; b: Server }> {
  const scene = memoryScene()
  const certificate = (name: string) => good(name, { notBefore: start - day, notAfter: start + options.ends })
  const ports = (name: string) => (before: Parameters<NonNullable<Parameters<MemoryScene["server"]>[0]["ports"]>>[0]) => {
    if (options.clocks === undefined) return before
    const clock = settable(before.clock)
    options.clocks.set(name, clock)
    return { ...before, clock }
  }
  const a = await scene.server({ domains: ["a.example"], certificate, ports: ports("a") })
  const b = await scene.server({ domains: ["b.example"], certificate, ports: ports("b") })
  return { scene, a, b }
}

test("TLS-14: when the certificate ends both sides close with reset, and stanzas stop at that moment", async () => {
  const { scene, a, b } = await pairOfServers({ ends: 10 * hour })
  const stream = await scene.until(a.open("b.example"))
  await scene.settle()
  await scene.clock.advance(9 * hour)
  stream.channel.write(message("x@a.example", "y@b.example", "before"))
  await scene.settle()
  assert.deepEqual(b.bodies, ["before"])
  await scene.clock.advance(2 * hour)
  assert.equal(b.incoming[0]?.associations().length, 0)
  assert.ok(b.findings.includes("cert.expired") || a.findings.includes("cert.expired"))
  const end = await scene.until(stream.closed)
  assert.equal(end.condition, "reset")
  assert.equal(scene.clock.pending, 0)
  await scene.close()
})

test("a clock that is set back lengthens nothing", async () => {
  const clocks = new Map<string, ReturnType<typeof settable>>()
  const { scene, a, b } = await pairOfServers({ ends: 10 * hour, clocks })
  const stream = await scene.until(a.open("b.example"))
  await scene.clock.advance(hour)
  clocks.get("a")!.set(-30 * day)
  clocks.get("b")!.set(-30 * day)
  a.reload({})
  b.reload({})
  assert.equal(b.incoming[0]?.associations().length, 1)
  await scene.clock.advance(10 * hour)
  assert.equal(b.incoming[0]?.associations().length, 0)
  assert.equal((await scene.until(stream.closed)).condition, "reset")
  await scene.close()
})

test("a clock that is set forward past the end: the next stanza is refused, and within a minute the stream is closed", async () => {
  const clocks = new Map<string, ReturnType<typeof settable>>()
  const { scene, a, b } = await pairOfServers({ ends: 10 * hour, clocks })
  const stream = await scene.until(a.open("b.example"))
  stream.channel.write(message("x@a.example", "y@b.example", "before"))
  await scene.settle()
  clocks.get("b")!.set(11 * hour)
  stream.channel.write(message("x@a.example", "y@b.example", "after"))
  await scene.settle()
  assert.deepEqual(b.bodies, ["before"])
  const other = await pairOfServers({ ends: 10 * hour, clocks })
  const quiet = await other.scene.until(other.a.open("b.example"))
  clocks.get("a")!.set(11 * hour)
  await other.scene.clock.advance(60_001)
  assert.equal((await other.scene.until(quiet.closed)).condition, "reset")
  await scene.close()
  await other.scene.close()
})

test("security.md 10: EXTERNAL is judged again at <auth/>: a certificate that ended since the features is refused", async () => {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"], require: "encrypted" })
  const peer = await scene.raw(b)
  const features = await peer.upToFeatures("a.example", "b.example", credentialsOf(good("a.example", { notAfter: start + 5000 })))
  assert.match(features, /EXTERNAL/)
  await scene.clock.advance(6001)
  peer.send(auth())
  await peer.expect("</failure>")
  assert.match(peer.text, /<failure [^>]*><not-authorized\/><text xml:lang='en'>the certificate has expired/)
  assert.equal(b.admitted.length, 0)
  await scene.close()
})

test("DB-34: a piggybacked pair is judged at its db:result, not by what the handshake showed then", async () => {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"] })
  const peer = await scene.raw(b)
  await peer.authenticated("a.example", "b.example", credentialsOf(good("a.example", { names: { dns: ["a.example", "c.example"] } })))
  b.reload({ anchors: anchorsFromPem(stranger.certificate.pem) }, { recheck: false })
  peer.send("<db:result from='c.example' to='b.example'>key</db:result>")
  await peer.expect("type='error'")
  assert.deepEqual(b.admitted.map(({ pair }) => pair.sender), ["a.example"])
  await scene.close()
})

test("a policy exception ends: what rested on it ends with it, on both sides", async () => {
  const scene = memoryScene()
  const exception = (peer: string) => [{ peer: domain(peer), require: "encrypted" as const, until: start + hour, why: "a test" }]
  const a = await scene.server({ domains: ["a.example"], certificate: (name) => own(name), exceptions: exception("b.example") })
  const b = await scene.server({ domains: ["b.example"], certificate: (name) => own(name), exceptions: exception("a.example") })
  const stream = await scene.until(a.open("b.example"))
  await scene.settle()
  assert.equal(b.admitted[0]?.level, "encrypted")
  assert.equal(b.admitted[0]?.until, start + hour)
  await scene.clock.advance(hour + 60_000)
  assert.equal(b.incoming[0]?.associations().length, 0)
  assert.equal((await scene.until(stream.closed)).condition, "reset")
  await scene.close()
})

test("a reload that shortens an exception is heeded by pairs that rest on it", async () => {
  const scene = memoryScene()
  const until = (hours: number) => [{ peer: domain("a.example"), require: "encrypted" as const, until: start + hours * hour, why: "a test" }]
  const a = await scene.server({ domains: ["a.example"], mute: true, exceptions: [{ ...until(9)[0]!, peer: domain("b.example") }] })
  const b = await scene.server({ domains: ["b.example"], exceptions: until(9) })
  await scene.until(a.open("b.example"))
  await scene.settle()
  b.reload({ policy: { exceptions: until(2) } })
  assert.equal(b.incoming[0]?.associations()[0]?.until, start + 2 * hour)
  await scene.clock.advance(2 * hour + 1)
  assert.equal(b.incoming[0]?.associations().length, 0)
  await scene.close()
})

test("security.md 10: a reload judges live pairs again: policy, anchors, hosted names", async () => {
  const changes: readonly (readonly [string, Parameters<Server["reload"]>[0], string])[] = [
    ["stricter policy", { policy: { require: "authenticated" } }, "policy.level"],
    ["their domain becomes ours", { hosts: (name) => name === "b.example" || name === "a.example" }, "stream.from-own-domain"],
    ["our domain is given up", { hosts: () => false }, "stream.host-unknown"],
  ]
  for (const [what, change, finding] of changes) {
    const scene = memoryScene()
    const a = await scene.server({ domains: ["a.example"], mute: true, require: "encrypted" })
    const b = await scene.server({ domains: ["b.example"], require: "encrypted" })
    const stream = await scene.until(a.open("b.example"))
    await scene.settle()
    assert.equal(b.incoming[0]?.associations().length, 1)
    b.reload(change)
    assert.equal(b.incoming[0]?.associations().length, 0, what)
    assert.ok(b.findings.includes(finding), `${what}: ${b.findings.join()}`)
    assert.equal((await scene.until(stream.closed)).condition, "reset", what)
    await scene.close()
  }
})

test("reload race: a key verified under the old policy lets nothing in under the new one", async () => {
  const scene = memoryScene({ link: () => ({ latency: 20 }) })
  const a = await scene.server({ domains: ["a.example"], mute: true, require: "encrypted" })
  const b = await scene.server({ domains: ["b.example"], require: "encrypted" })
  const attempt = assert.rejects(a.open("b.example"))
  while (!b.of("dialback").some(({ step }) => step === "verify-sent")) await scene.clock.advance(10)
  // No recheck: the pair is not in the ledger yet, so that only the claim's own generation can tell.
  b.reload({ policy: { require: "authenticated" } }, { recheck: false })
  await scene.until(attempt)
  assert.equal(b.admitted.length, 0)
  await scene.close()
})

test("reload race, outgoing: a server judged under the old policy is judged again before a stanza leaves", async () => {
  const scene = memoryScene({ link: () => ({ latency: 20 }) })
  const a = await scene.server({ domains: ["a.example"], require: "encrypted" })
  await scene.server({ domains: ["b.example"], certificate: (name) => own(name), require: "encrypted" })
  const attempt = assert.rejects(a.open("b.example"), /self-signed/)
  while (a.of("proof").length === 0) await scene.clock.advance(10)
  a.reload({ policy: { require: "authenticated" } })
  await scene.until(attempt)
  assert.equal(a.of("associated").length, 0)
  await scene.close()
})

for (const [what, hosts, finding] of [
  ["the sender is not served any more", [], "stream.host-unknown"],
  ["the target is served here now", ["a.example", "b.example"], "stream.from-own-domain"],
] as const) {
  test(`reload race, outgoing: ${what}, and nothing is said in its name on a connection that is on its way`, async () => {
    const scene = memoryScene({ link: () => ({ latency: 1000 }) })
    const b = await scene.server({ domains: ["b.example"] })
    const a = await scene.server({ domains: ["a.example"] })
    const attempt = assert.rejects(a.open("b.example"))
    while (b.of("secured").length === 0) await scene.clock.advance(100)
    a.reload({ hosts: (name) => hosts.some((each) => each === name) })
    await scene.until(attempt)
    assert.deepEqual([a.findings, a.of("external")], [[finding], []])
    await scene.close()
  })
}

test("reload race, EXTERNAL: roots withdrawn between <success/> and the new header", async () => {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"] })
  const peer = await scene.raw(b)
  await peer.upToFeatures("a.example", "b.example", credentialsOf(good("a.example")))
  peer.send(auth())
  await peer.expect("<success")
  b.reload({ anchors: anchorsFromPem(stranger.certificate.pem) })
  peer.send(openHeader("a.example", "b.example"))
  await peer.closed()
  assert.equal(peer.condition, "not-authorized")
  assert.equal(b.admitted.length, 0)
  await scene.close()
})

test("claims carry their generation: a pair proved by a key keeps what it rests on", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"], mute: true, require: "encrypted" })
  const b = await scene.server({ domains: ["b.example"], require: "encrypted" })
  await scene.until(a.open("b.example"))
  await scene.settle()
  b.reload({})
  const [association] = b.incoming[0]!.associations()
  assert.ok(association !== undefined && typeof association.via === "object")
  assert.deepEqual(association.via.authoritative.pair, pairOf("b.example", "a.example"))
  assert.equal(association.level, "encrypted")
  await scene.close()
})
