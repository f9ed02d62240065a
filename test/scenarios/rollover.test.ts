// A renewal under load: published, waited for, switched, retired, while a peer that proves the domain by POSH alone stays
// connected, and others come at any moment with whatever document they remember (RFC 7711 6; POSH-08, POSH-17, POSH-19).
import assert from "node:assert/strict"
import { test } from "node:test"
import { altered } from "../../src/gateway/altered.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { fingerprint } from "../gateway/rollover-fixture.ts"
import { credentialsOf, message, start, type Server } from "./support.ts"
import { hoarding, hostCertificate, hour, house, type House, type HouseOptions, minute } from "./hosting-world.ts"

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

/** Hours in steps of ten minutes; the renewal comes after two hours, the old certificate ends after twelve. */
async function ride(steps: number, options: HouseOptions = {}, renewal?: (house: House) => Promise<void>): Promise<Ride> {
  const all = await house(old, options)
  const { scene } = all
  const transcript: string[] = []
  const refused: string[] = []
  const ended: string[] = []
  const note = (text: string): void => void transcript.push(`${String(Math.round((scene.clock.now() - start) / minute)).padStart(4)} min  ${text}`)
  all.told((event, text) => (event === "cert.held" || event === "cert.switched") && note(text))
  const stays = await all.peer("stays.example")
  const stream = await scene.until(stays.open("shop.example"))
  void stream.closed.then(({ detail }) => void ended.push(`to shop: ${detail}`))
  // Each of these has a document of its own age, and uses it to its end.
  const hoarders: Server[] = []
  let sent = 0
  const replied = (): number => stays.delivered.filter(({ pair }) => pair.sender === shop).length
  for (let step = 0; step < steps; step++) {
    if (step === 12) {
      await (renewal === undefined ? all.renew(renewed) : renewal(all))
      note("a renewed certificate with a new key is in the folder")
    }
    if (step % 9 === 0) hoarders.push(await all.peer(`peer${step}.example`, hoarding()))
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
    await scene.clock.advance(10 * minute)
  }
  for (const { fields, event } of all.log.lines) {
    if (event === "s2s.retry" || event === "s2s.refused") refused.push(`the house: ${String(fields["text"])}`)
  }
  const strangers = hoarders.reduce((sum, { delivered }) => sum + delivered.filter(({ pair }) => pair.sender === shop).length, 0)
  const result = { transcript, refused, ended: [...ended], sent, arrived: all.received.filter((text) => text.startsWith("to ")).length, replies: replied() + strangers }
  const { served, posh } = all.gateway.renewals.find(({ domain }) => domain === shop)!
  note(`${served.fingerprint === fingerprint(renewed) ? "the new" : "the old"} certificate is shown, ${posh[0]!.fingerprints.length} published`)
  await all.close()
  return result
}

// POSH-19: the proof of the stream that stays ends with the old certificate, after twelve hours.
for (const [leads, steps] of [["redirect", 71], ["reference", 36]] as const) {
  test(`customer's ${leads}: no stream is refused, no pair is closed, nothing is lost`, async (context) => {
    const { transcript, refused, ended, sent, arrived, replies } = await ride(steps, { leads })
    assert.deepEqual(refused, [])
    assert.deepEqual(ended, [])
    assert.deepEqual([sent, arrived, replies], [steps, steps, 2 * steps])
    const text = transcript.join("\n")
    assert.match(text, / 120 min {2}shop\.example still shows the old certificate: peers may remember a POSH document without the new one/)
    assert.match(text, / 246 min {2}shop\.example: the new certificate is in every document that peers may remember/)
    // Streams that are older than the switch are judged by the document as long as they live.
    assert.match(text, /the new certificate is shown, 2 published$/)
    context.diagnostic(`\n${text}`)
  })
}

test("red: a planner that switches at once breaks the proof for everybody who remembers the old document", async () => {
  let shown = credentialsOf(old)
  const atOnce: HouseOptions = {
    options: { alterHosting: (hosting) => altered(hosting, { credentials: () => shown }) },
  }
  const { refused } = await ride(36, atOnce, async (all) => {
    shown = credentialsOf(renewed)
    await all.renew(renewed)
  })
  assert.ok(refused.length > 5, `${refused.length} refusals`)
  assert.ok(refused.some((text) => /\[(?:posh|pkix)\.(?:name-)?mismatch\]/.test(text)), refused.join("\n"))
})

test("a restart in the middle of the wait: the folders have only the new certificate, and the old one is shown until it is time", async () => {
  const all = await house(old)
  await all.renew(renewed)
  await all.close()
  const again = await house(renewed, { files: all.files })
  const served = (): string => again.gateway.renewals.find(({ domain }) => domain === shop)!.served.fingerprint
  assert.equal(served(), fingerprint(old))
  const peer = await again.peer("a.example")
  await again.scene.until(peer.open("shop.example"))
  await again.scene.clock.advance(3 * hour)
  assert.equal(served(), fingerprint(renewed))
  await again.close()
})
