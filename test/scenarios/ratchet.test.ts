// Never weaker than last time, between servers (security.md 13): a peer that proved itself for a week is held to it, in both
// directions; what DNSSEC proves to be withdrawn counts at once, what is merely taken away does not.
import assert from "node:assert/strict"
import { test } from "node:test"
import type { Direction } from "../../src/model/association.ts"
import { Memory } from "../../src/federation/memory.ts"
import { Ratchet, type RatchetNotice, type RatchetSettings } from "../../src/federation/ratchet.ts"
import { dane } from "../../src/proof/dane.ts"
import { pkix } from "../../src/proof/pkix.ts"
import { associationWith } from "../federation/ratchet-support.ts"
import { SignedDns, tlsaRow } from "./signed-dns.ts"
import { domain, good, memoryScene, own, refusedBy, type ServerOptions } from "./support.ts"

const day = 86_400_000
const b = domain("b.example")
/** Self-signed: only TLSA proves it. */
const bCertificate = own("b.example", { names: {}, commonName: "B" })

async function place(settings: Partial<RatchetSettings> = {}) {
  const scene = memoryScene()
  const dns = new SignedDns()
  const notices: RatchetNotice[] = []
  const ratchet = new Ratchet({
    memory: new Memory({ clock: scene.clock }),
    clock: scene.clock,
    settings: () => ({ mode: "enforce", overrides: [], provesDns: true, ...settings }),
    notice: (notice) => notices.push(notice),
  })
  /** A week of streams on which b.example was proved by these. */
  const remember = async (direction: Direction, ...by: string[]): Promise<void> => {
    for (const way of ["in", "out"] as const) ratchet.exchanged(b, way)
    for (const wait of [0, 4, 4]) {
      await scene.clock.advance(wait * day)
      ratchet.associated(associationWith(direction, b, "authenticated", by))
    }
    assert.equal(ratchet.pinned(b, direction)?.level, "authenticated")
  }
  const common = { prooftypes: [pkix, dane], ports: dns.ports, require: "encrypted" } as const
  const a = await scene.server({ ...common, domains: ["a.example"], ratchet })
  const server = (more: Partial<ServerOptions> = {}) => scene.server({ ...common, domains: ["b.example"], ...more })
  return { scene, dns, ratchet, notices, remember, a, server }
}

test("a peer that was proved for a week and is not any more is refused, and reads why", async () => {
  const { scene, dns, remember, a, server } = await place()
  dns.rules.set(".example", "insecure")
  const other = await server({ certificate: bCertificate })
  assert.equal((await scene.until(a.open("b.example"))).association.level, "encrypted")
  await remember("out", "pkix")
  const { failure } = await scene.until(refusedBy(a.open("b.example")))
  assert.equal(failure.finding, "policy.ratchet")
  assert.match(failure.detail, /^b\.example has kept reaching authenticated by pkix; it now reaches encrypted$/)
  await scene.settle()
  assert.match(JSON.stringify(other.of("refused").at(-1)), /policy\.ratchet/)
  await scene.close()
})

test("it holds for streams that the peer opens, and for keys that are verified", async () => {
  const { scene, remember, a, server } = await place()
  const other = await server({ certificate: bCertificate })
  assert.equal((await scene.until(other.open("a.example"))).association.level, "authenticated")
  assert.deepEqual(a.admitted.map(({ level }) => level), ["encrypted"])
  await remember("in", "pkix")
  const { failure } = await scene.until(refusedBy(other.open("a.example")))
  assert.match(failure.finding, /^auth\.dialback-refused|^stream/)
  assert.equal(a.findings.at(-1), "policy.ratchet")
  assert.equal(a.admitted.length, 1)
  await scene.close()
})

test("a stream that lives is judged again by what is remembered", async () => {
  const { scene, dns, remember, a, server } = await place()
  dns.rules.set(".example", "insecure")
  await server({ certificate: bCertificate })
  const stream = await scene.until(a.open("b.example"))
  await remember("out", "pkix")
  assert.equal(a.outgoing.length, 1)
  a.reload({})
  const end = await scene.until(stream.closed)
  assert.equal(end.condition, "reset")
  assert.deepEqual(a.findings, ["policy.ratchet"])
  await scene.close()
})

test("who is proved in another way is as good as before", async () => {
  const { scene, remember, a, server } = await place()
  await server({ certificate: good("b.example") })
  await remember("out", "dane")
  const stream = await scene.until(a.open("b.example"))
  assert.deepEqual([stream.association.level, stream.association.verdict.by], ["authenticated", "pkix"])
  await scene.close()
})

const takenAway: readonly (readonly [string, "secure" | "insecure" | "fails", string | undefined])[] = [
  ["TLSA denied by signed DNS", "secure", undefined],
  ["TLSA denied without a signature", "insecure", "policy.ratchet"],
  ["TLSA that cannot be asked for", "fails", "dane.tlsa-failed"],
]
for (const [what, rule, refused] of takenAway) {
  test(`${what}: ${refused === undefined ? "withdrawn, and let in as policy allows" : `not withdrawn, ${refused}`}`, async () => {
    const { scene, dns, ratchet, remember, a, server } = await place()
    await server({ certificate: bCertificate })
    await remember("out", "dane")
    dns.rules.set("_5269._tcp.host.b.example TLSA", rule)
    const attempt = a.open("b.example")
    if (refused === undefined) {
      assert.equal((await scene.until(attempt)).association.level, "encrypted")
      assert.equal(ratchet.pinned(b, "out")?.level, "encrypted")
    } else {
      assert.equal((await scene.until(refusedBy(attempt))).failure.finding, refused)
      assert.equal(ratchet.pinned(b, "out")?.level, "authenticated")
    }
    await scene.close()
  })
}

test("a second server that never had TLSA is no withdrawal: it is the one an attacker would choose", async () => {
  const { scene, ratchet, remember, a, server } = await place()
  const other = await server({ certificate: bCertificate })
  await remember("out", "dane")
  scene.dns("_xmpp-server._tcp.b.example", { SRV: [[1, 0, 5269, "proved.b.example"], [2, 0, 5269, "host.b.example"]] })
  scene.dns("proved.b.example", { A: ["127.0.0.99"] })
  scene.dns("_5269._tcp.proved.b.example", { TLSA: [tlsaRow(bCertificate)] })
  assert.equal(other.address.port, 5269)
  const { failure } = await scene.until(refusedBy(a.open("b.example")))
  assert.equal(failure.finding, "policy.ratchet")
  assert.equal(ratchet.pinned(b, "out")?.level, "authenticated")
  // Nor is one whose address cannot be found.
  scene.dns("_5269._tcp.proved.b.example", undefined)
  scene.dns("proved.b.example", undefined)
  assert.equal((await scene.until(refusedBy(a.open("b.example")))).failure.finding, "policy.ratchet")
  await scene.close()
})

test("incoming, TLSA denied by signed DNS lowers what the peer is held to", async () => {
  const { scene, ratchet, remember, a, server } = await place()
  const other = await server({ certificate: bCertificate })
  await remember("in", "dane")
  const stream = await scene.until(other.open("a.example"))
  assert.equal(stream.association.level, "authenticated")
  assert.deepEqual(a.admitted.map(({ level }) => level), ["encrypted"])
  assert.equal(ratchet.pinned(b, "in")?.level, "encrypted")
  await scene.close()
})

test("warn lets the stream be and says so; a withdrawal is heeded there, too", async () => {
  const { scene, dns, ratchet, notices, remember, a, server } = await place({ mode: "warn" })
  await server({ certificate: bCertificate })
  await remember("out", "dane")
  dns.rules.set("_5269._tcp.host.b.example TLSA", "insecure")
  const stream = await scene.until(a.open("b.example"))
  ratchet.associated(stream.association)
  assert.deepEqual(notices.map(({ finding, peer }) => [finding, peer]), [["policy.ratchet", "b.example"]])
  dns.rules.delete("_5269._tcp.host.b.example TLSA")
  await scene.until(a.open("b.example"))
  assert.equal(ratchet.pinned(b, "out")?.level, "encrypted")
  await scene.close()
})
