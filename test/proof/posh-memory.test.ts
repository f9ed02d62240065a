// What is remembered of POSH documents (RFC 7711 6; POSH-17, POSH-18, POSH-20, POSH-27; security.md 11, 14): on a clock that tests move.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { parseDomain } from "../../src/model/domain.ts"
import { createPosh, type PoshOptions } from "../../src/proof/posh.ts"
import { PoshMemory, type PoshMemoryLimits } from "../../src/proof/posh-memory.ts"
import type { PoshMaterial } from "../../src/proof/posh-trail.ts"
import type { ProofPorts, ProofSubject } from "../../src/proof/prooftype.ts"
import { referenceIdentity } from "../../src/proof/reference.ts"
import type { HttpsAnswer } from "../../src/ports.ts"
import { anchorSet } from "../../src/x509/anchors.ts"
import { ManualClock } from "../world/clock.ts"
import { a, never, shownBy } from "./dane-support.ts"
import { documentOf, finalPath, json, listing, nobody, other, portsOf, redirect, saidBy, scriptedWeb, type Page, type Web, webOf } from "./posh-support.ts"
import { now } from "./tlsa-support.ts"

const minute = 60_000
const hour = 60 * minute

/** A clock that somebody sets. */
class SetClock extends ManualClock {
  shift = 0
  override now(): number {
    return super.now() + this.shift
  }
}

class Place {
  readonly clock = new SetClock(now)
  readonly memory: PoshMemory
  readonly table: Web
  readonly #web
  readonly #posh

  constructor(page: Page, limits: Partial<PoshMemoryLimits> = {}, options: PoshOptions = {}) {
    this.memory = new PoshMemory(this.clock, limits)
    this.table = webOf(page)
    this.#web = scriptedWeb(this.table, () => this.clock.now())
    this.#posh = createPosh({ memory: this.memory, ...options })
  }

  get requests(): number {
    return this.#web.requests.length
  }

  page(page: Page): void {
    this.table["a.example"] = { pages: { [finalPath]: page } }
  }

  /** The web server is gone. */
  down(): void {
    this.table["a.example"] = { dial: "refused" }
  }

  async obtain(role: ProofSubject["role"] = "outgoing", ports: Partial<ProofPorts> = {}, source = a): Promise<PoshMaterial> {
    return await this.#posh.obtain({ source, service: "xmpp-server", role, endpoint: undefined }, portsOf(this.#web, { at: this.clock.now(), ...ports }))
  }

  async said(role: ProofSubject["role"] = "outgoing", ports: Partial<ProofPorts> = {}): Promise<string> {
    const material = await this.obtain(role, ports)
    return saidBy(this.#posh.match(shownBy(nobody.chain, role === "incoming" ? "tls-client" : "tls-server"), material, referenceIdentity({ source: a, service: "xmpp-server" }), this.clock.now()))
  }
}

describe("a document", () => {
  test("POSH-17: is asked for once while it is young, again from half its life on, by both directions", async () => {
    const place = new Place(listing(8 * 3600))
    assert.equal(await place.said(), "proved")
    await place.clock.advance(4 * hour - 1)
    assert.deepEqual([await place.said("incoming"), place.requests], ["proved", 1])
    await place.clock.advance(1)
    assert.deepEqual([await place.said(), place.requests], ["proved", 2])
    assert.deepEqual([await place.said(), place.requests], ["proved", 2])
  })

  test("POSH-17; security.md 11: serves until its own end where asking again fails, and no longer", async () => {
    const place = new Place(listing(8 * 3600))
    await place.said()
    place.down()
    await place.clock.advance(5 * hour)
    assert.equal(await place.said(), "proved")
    for (const broken of [json([]), { status: 500 }, { fails: "too-large" as const }]) {
      place.page(broken)
      await place.clock.advance(minute)
      assert.equal(await place.said(), "proved")
    }
    await place.clock.advance(3 * hour)
    assert.equal(await place.said(), "unavailable posh.too-large")
  })

  test("a failed second asking is not repeated for every stream", async () => {
    const place = new Place(listing(8 * 3600))
    await place.said()
    place.page({ status: 500 })
    await place.clock.advance(5 * hour)
    for (let index = 0; index < 20; index++) assert.equal(await place.said("incoming"), "proved")
    assert.equal(place.requests, 2)
  })

  for (const [what, page, said] of [
    ["that there is none", { status: 404 }, "absent posh.not-published"],
    ["that nothing holds any more", listing(0), "refuted posh.expired"],
    ["other fingerprints", json(documentOf(other.der)), "refuted posh.mismatch"],
  ] as const)
    test(`ends when the domain says ${what}`, async () => {
      const place = new Place(listing(8 * 3600))
      await place.said()
      place.page(page)
      await place.clock.advance(5 * hour)
      assert.equal(await place.said(), said)
      place.down()
      await place.clock.advance(minute)
      assert.notEqual(await place.said(), "proved")
    })

  test("POSH-18: what HTTP says of keeping is not even told to us; a short `expires` is kept", async () => {
    const place = new Place(listing(5))
    await place.said()
    await place.clock.advance(5000)
    assert.deepEqual([await place.said(), place.requests], ["proved", 2])
  })

  test("POSH-20: a permanent redirect is asked for again like any other", async () => {
    const place = new Place(redirect("/x.json", 301))
    place.table["a.example"] = { pages: { [finalPath]: redirect("/x.json", 301), "/x.json": listing(600) } }
    assert.equal(await place.said(), "proved")
    place.page(json({ ...documentOf(nobody.der), expires: 600 }))
    await place.clock.advance(10 * minute)
    assert.deepEqual([await place.said(), place.requests], ["proved", 3])
  })

  test("is not one that was judged with other anchors", async () => {
    const place = new Place(listing())
    await place.said()
    assert.equal(await place.said("outgoing", { anchors: anchorSet([other.der]) }), "unavailable posh.tls-error")
  })

  test("a clock that was set back makes nothing last longer", async () => {
    const place = new Place(listing(3600))
    await place.said()
    place.clock.shift = -2 * hour
    await place.said()
    assert.equal(place.requests, 2)
  })
})

describe("a failure", () => {
  test("is remembered for less than a minute; a stranger's is not ours", async () => {
    const place = new Place({ status: 500 })
    for (let index = 0; index < 50; index++) assert.equal(await place.said("incoming"), "unavailable posh.http-error")
    assert.equal(place.requests, 1)
    place.page(listing())
    assert.equal(await place.said("incoming"), "unavailable posh.http-error")
    assert.equal(await place.said("outgoing"), "proved")
    assert.equal(await place.said("incoming"), "proved")
  })

  test("is asked for again after it", async () => {
    const place = new Place({ status: 404 })
    assert.equal(await place.said("incoming"), "absent posh.not-published")
    place.page(listing())
    await place.clock.advance(minute)
    assert.equal(await place.said("incoming"), "proved")
  })

  test("security.md 14: what a stranger's own caps ended is nobody else's, and not remembered", async () => {
    const place = new Place({ status: 200 })
    place.table["a.example"] = { dial: "capped" }
    const thieves = place.said("incoming", { source: "192.0.2" })
    const owners = place.said("incoming", { source: "198.51.100" })
    assert.equal(await thieves, "unavailable posh.capped")
    await owners
    assert.equal(place.memory.size.entries, 0)
    place.page(listing())
    assert.equal(await place.said("incoming", { source: "198.51.100" }), "proved")
  })

  test("of a stranger elsewhere is not waited for: its fetch is capped by where it is", async () => {
    const place = new Place(listing())
    const [one, two] = await Promise.all([place.said("incoming", { source: "192.0.2" }), place.said("incoming", { source: "198.51.100" })])
    assert.deepEqual([one, two, place.requests], ["proved", "proved", 2])
  })

  test("of a caller that could not wait is nobody else's", async () => {
    const place = new Place(listing())
    assert.equal(await place.said("incoming", { signal: AbortSignal.abort() }), "unavailable posh.unreachable")
    assert.equal(await place.said("incoming"), "proved")
  })
})

/** A web that answers when it is told to. */
function slowly(place: Place) {
  const waiting: (() => void)[] = []
  let asked = 0
  const good = portsOf(scriptedWeb(place.table))
  const https = {
    get: async (request: Parameters<typeof good.https.get>[0]): Promise<HttpsAnswer> => {
      asked += 1
      await new Promise<void>((resolve) => {
        waiting.push(resolve)
        request.signal.addEventListener("abort", () => resolve(), { once: true })
      })
      return await good.https.get(request)
    },
  }
  return { https, asked: () => asked, waiting: () => waiting.length, answer: () => waiting.splice(0).forEach((resolve) => resolve()) }
}

const soon = () => new Promise<void>((resolve) => setImmediate(resolve))

describe("many at once", () => {
  test("one fetch for all who ask for the same", async () => {
    const place = new Place(listing())
    const slow = slowly(place)
    const all = Promise.all(Array.from({ length: 20 }, () => place.said("incoming", { https: slow.https })))
    await soon()
    assert.equal(slow.asked(), 1)
    slow.answer()
    assert.ok((await all).every((said) => said === "proved"))
  })

  test("POSH-27: no more than allowed, strangers less; ours have places left; who is refused is told, and may come again", async () => {
    const place = new Place(listing(), { flights: 4, strangers: 2 })
    const slow = slowly(place)
    const ask = (name: string, role: ProofSubject["role"]) => {
      place.table[name] = { pages: { [finalPath]: listing() } }
      return place.obtain(role, { https: slow.https, resolver: portsOf(scriptedWeb(place.table)).resolver }, parseDomain(name))
    }
    const strangers = ["p.example", "q.example", "r.example", "s.example"].map((name) => ask(name, "incoming"))
    await soon()
    assert.deepEqual([slow.asked(), place.memory.size.flights], [2, 2])
    const ours = ask("a.example", "outgoing")
    await soon()
    assert.equal(slow.asked(), 3)
    for (const material of await Promise.all(strangers.slice(2))) assert.equal(material.exchanges[0]!.failure?.kind, "capped")
    slow.answer()
    assert.equal((await ours).exchanges[0]!.failure, null)
    await Promise.all(strangers)
    assert.equal(place.memory.size.flights, 0)
    const again = ask("r.example", "incoming")
    await soon()
    slow.answer()
    assert.equal((await again).exchanges[0]!.failure, null)
  })

  test("a fetch nobody waits for is given up; one that never ends is ended", async () => {
    const place = new Place(listing(), { patience: 30_000 })
    const slow = slowly(place)
    const leaving = new AbortController()
    const left = place.said("incoming", { https: slow.https, signal: leaving.signal })
    await soon()
    leaving.abort(new Error("gone"))
    assert.equal(await left, "unavailable posh.unreachable")
    await soon()
    assert.equal(place.memory.size.flights, 0)
    const waiting = place.said("incoming", { https: slow.https })
    await soon()
    await place.clock.advance(30_000)
    assert.equal(await waiting, "unavailable posh.unreachable")
    assert.equal(place.memory.size.flights, 0)
  })

  test("a caller that leaves does not end it for the others", async () => {
    const place = new Place(listing())
    const slow = slowly(place)
    const leaving = new AbortController()
    const left = place.said("incoming", { https: slow.https, signal: leaving.signal })
    const stays = place.said("incoming", { https: slow.https, signal: never })
    await soon()
    leaving.abort(new Error("gone"))
    assert.equal(await left, "unavailable posh.unreachable")
    slow.answer()
    assert.equal(await stays, "proved")
  })
})

test("POSH-27: what is remembered is bounded in octets and in number, the oldest goes first", async () => {
  const place = new Place(listing(), { octets: 20_000, entries: 8 })
  for (let index = 0; index < 40; index++) {
    const name = `d${index}.example`
    place.table[name] = { pages: { [finalPath]: json({ ...documentOf(nobody.der), pad: "x".repeat(index % 2 === 0 ? 0 : 6000) }) } }
    await place.obtain("incoming", { resolver: portsOf(scriptedWeb(place.table)).resolver }, parseDomain(name))
    const { octets, entries } = place.memory.size
    assert.ok(octets <= 20_000 && entries <= 8 && entries >= 1, `${octets} octets, ${entries} entries`)
  }
  const before = place.requests
  await place.obtain("incoming", {}, parseDomain("d39.example"))
  assert.equal(place.requests, before)
})
