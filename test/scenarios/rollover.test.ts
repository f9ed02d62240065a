// A renewal under load: published, waited for, switched, retired, while a peer that proves the domain by POSH alone stays
// connected, and others come at any moment with whatever document they remember (RFC 7711 6; POSH-08, POSH-17, POSH-19).
import assert from "node:assert/strict"
import { test } from "node:test"
import { altered } from "../../src/lab/lab-server.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { fingerprint } from "../gateway/rollover-fixture.ts"
import { credentialsOf, message, pairOf, start, type Server } from "./support.ts"
import { hoarding, hostCertificate, hour, type House, type HouseOptions, house, minute } from "./hosting-world.ts"

const shop = parseDomain("shop.example")
const old = hostCertificate({ notAfter: start + 12 * hour })
const renewed = hostCertificate()

interface Ride {
  readonly transcript: string[]
  readonly refused: string[]
  /** Why streams of the peer that stays ended; empty is what is wanted. */
  readonly ended: string[]
  readonly sent: number
  readonly arrived: number
  readonly replies: number
}

/** Twelve hours in steps of ten minutes; the renewal comes after two. */
async function ride(options: HouseOptions = {}, renewal?: (house: House) => Promise<void>): Promise<Ride> {
  const all = await house(old, options)
  const { scene } = all
  const transcript: string[] = []
  const refused: string[] = []
  const ended: string[] = []
  const note = (text: string): void => void transcript.push(`${String(Math.round((scene.clock.now() - start) / minute)).padStart(4)} min  ${text}`)
  const stays = await all.peer("stays.example")
  const stream = await scene.until(stays.open("shop.example"))
  void stream.closed.then(({ detail }) => void ended.push(`to shop: ${detail}`))
  // Each of these has a document of its own age, and uses it to its end.
  const hoarders: Server[] = []
  let [sent, replies] = [0, 0]
  const replied = (): number => stays.delivered.filter(({ pair }) => pair.sender === shop).length
  for (let step = 0; step < 72; step++) {
    if (step === 12) {
      await (renewal === undefined ? all.renew(renewed) : renewal(all))
      note("a renewed certificate with a new key is in the folder")
    }
    if (step % 7 === 0) hoarders.push(await all.peer(`peer${step}.example`, hoarding()))
    for (const peer of hoarders) {
      const outcome = await scene.until(peer.open("shop.example").then((fresh) => fresh.close(), (error: Error) => void refused.push(`${step * 10} min: ${peer.name} to shop: ${error.message}`)))
      assert.equal(outcome, undefined)
    }
    sent += 1
    stream.channel.write(message("a@stays.example", "b@shop.example", `to ${step}`))
    all.component.message(`m${step}`, "b@shop.example", "a@stays.example", `from ${step}`)
    // And strangers that we connect to, which judge us by what they remember.
    const stranger = hoarders[step % hoarders.length]!
    all.component.message(`s${step}`, "b@shop.example", `c@${stranger.name}`, `hello ${step}`)
    replies += 1
    await scene.clock.advance(10 * minute)
  }
  for (const { fields, event } of all.world.log.lines) {
    if (event === "cert.held" || event === "cert.switched") note(String(fields["text"]))
    if (event === "s2s.retry" || event === "s2s.refused") refused.push(`the house: ${String(fields["text"])}`)
  }
  const strangers = hoarders.reduce((sum, { delivered }) => sum + delivered.filter(({ pair }) => pair.sender === shop).length, 0)
  const result = { transcript, refused, ended, sent, arrived: all.received.filter((text) => text.startsWith("to ")).length, replies: replied() + strangers }
  const shown = all.gateway.renewals.find(({ domain }) => domain === shop)!.served.fingerprint
  note(`${shown === fingerprint(renewed) ? "the new" : "the old"} certificate is shown`)
  await all.close()
  return { ...result, transcript }
}

for (const leads of ["redirect", "reference"] as const) {
  test(`customer's ${leads}: no stream is refused, no pair is closed, nothing is lost`, async () => {
    const { transcript, refused, ended, sent, arrived, replies } = await ride({ leads })
    assert.deepEqual(refused, [])
    assert.deepEqual(ended, [])
    assert.deepEqual([sent, arrived, replies], [72, 72, 144])
    assert.match(transcript.join("\n"), /still shows the old certificate: peers may remember a POSH document without the new one/)
    assert.match(transcript.join("\n"), /is in every document that peers may remember/)
    assert.match(transcript.join("\n"), /the new certificate is shown/)
  })
}

test("red: a planner that switches at once breaks the proof for everybody who remembers the old document", async () => {
  let shown = credentialsOf(old)
  const atOnce: HouseOptions = {
    options: { alterHosting: (hosting) => altered(hosting, { credentials: () => shown }) },
  }
  const { refused } = await ride(atOnce, async (all) => {
    shown = credentialsOf(renewed)
    await all.renew(renewed)
  })
  assert.ok(refused.length > 5, `${refused.length} refusals`)
  assert.ok(refused.some((text) => text.includes("[posh.mismatch]")), refused.join("\n"))
})

test("a restart in the middle of the wait does not switch", async () => {
  const all = await house(old)
  await all.renew(renewed)
  const before = all.gateway.renewals.find(({ domain }) => domain === shop)!
  assert.deepEqual([before.served.fingerprint, before.onDisk.fingerprint], [fingerprint(old), fingerprint(renewed)])
  assert.equal(before.held?.because, "posh")
  assert.ok([...all.files.files.keys()].some((path) => path.startsWith("/state/held/")))
  await all.close()
  assert.equal(pairOf("shop.example", "a.example").sender, shop)
})
