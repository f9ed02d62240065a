// Our own domains judged as their peers judge them: what is proved, what is missing, who is told, and at what rate; and what
// DNS says about a renewal that it holds back (RFC 7712 5, RFC 7671 8.1).
import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { type Domain, parseDomain } from "../../src/model/domain.ts"
import type { OwnStanding } from "../../src/gateway/own-standing.ts"
import { SelfCheck, summaryText } from "../../src/gateway/self-check.ts"
import { hostCertificate, hour, type House, type HouseOptions, house, minute, wellKnown } from "../scenarios/hosting-world.ts"
import { own, start } from "../scenarios/support.ts"
import { SignedDns, tlsaRow } from "../scenarios/signed-dns.ts"
import { settle, StepClock } from "./fakes.ts"
import { fingerprint } from "./rollover-fixture.ts"

const [host, shop] = [parseDomain("host.example"), parseDomain("shop.example")]
const certificate = hostCertificate()
const checking: HouseOptions = { options: { selfCheck: true } }

async function judged(options: HouseOptions = {}, before?: (all: House) => void, first = certificate): Promise<House> {
  const all = await house(first, { ...checking, ...options })
  before?.(all)
  await all.scene.clock.advance(minute)
  return all
}

const proofs = ({ gateway }: House, domain: Domain): string =>
  gateway.standings
    .get(domain)!
    .proofs.map(({ name, outcome, finding }) => `${name} ${outcome}${finding === undefined ? "" : ` ${finding}`}`)
    .join(", ")
const problems = ({ gateway }: House, domain: Domain): string[] => gateway.standings.get(domain)!.problems.map(({ finding }) => finding)
const lines = ({ log }: House, event: string): string[] => log.of(event).map(({ fields }) => String(fields["text"]))

describe("a house in order", () => {
  it("says how each domain is proved; documents come from our own listener without a connection to it", async () => {
    const all = await judged()
    assert.equal(proofs(all, host), "pkix proved, posh proved")
    assert.equal(proofs(all, shop), "pkix refuted pkix.name-mismatch, posh proved")
    assert.deepEqual([problems(all, host), problems(all, shop)], [[], []])
    assert.deepEqual(lines(all, "own.checked"), ["2 domains judged as peers would: 1 by PKIX and POSH, 1 by POSH"])
    assert.deepEqual(lines(all, "own.problem"), [])
    assert.deepEqual(all.web.requests, [`shop.example ${wellKnown}`])
    assert.deepEqual(all.scene.world.connections.filter(({ from, to }) => from.address === to.address), [])
    await all.close()
  })

  it("is judged again once a day", async () => {
    const all = await judged()
    await all.scene.clock.advance(25 * hour)
    assert.equal(lines(all, "own.checked").length, 2)
    await all.close()
  })
})

describe("what is wrong is said, by domain, with what to do", () => {
  it("the customer's web server leads nowhere: no proof for that domain", async () => {
    const all = await judged({}, ({ scene }) => scene.dns("shop.example", { A: ["127.0.0.99"] }))
    assert.equal(proofs(all, shop), "pkix refuted pkix.name-mismatch, posh unavailable posh.unreachable")
    assert.deepEqual(problems(all, shop), ["own.no-proof", "own.posh-unpublished"])
    assert.match(lines(all, "own.problem").join("\n"), /peers that ask for one refuse it: shop\.example: pkix refuted \[pkix\.name-mismatch\]; posh unavailable \[posh\.unreachable\] \[own\.no-proof\]/)
    assert.deepEqual(lines(all, "own.checked"), ["2 domains judged as peers would: 1 by PKIX and POSH, 1 WITHOUT A PROOF"])
    assert.equal(all.gateway.standings.get(shop)!.proved, false)
    await all.close()
  })

  it("said once, and once more when it is over", async () => {
    const all = await judged({}, ({ scene }) => scene.dns("shop.example", { A: ["127.0.0.99"] }))
    await all.scene.clock.advance(25 * hour)
    assert.equal(lines(all, "own.problem").length, 2)
    all.scene.dns("shop.example", { A: ["127.0.0.6"] })
    await all.scene.clock.advance(25 * hour)
    assert.deepEqual(lines(all, "own.good"), ["shop.example: nothing is wrong any more"])
    await all.close()
  })

  it("SRV leads to a port where we do not listen, or nowhere", async () => {
    const all = await judged({}, ({ scene }) => {
      scene.dns("_xmpp-server._tcp.host.example", { SRV: [[0, 0, 5999, "xmpp.host.example"]] })
      scene.dns("_xmpp-server._tcp.shop.example", { SRV: [[0, 0, 0, "."]] })
    })
    assert.deepEqual(problems(all, host), ["own.elsewhere"])
    assert.deepEqual(problems(all, shop), ["dns.srv-refused"])
    await all.close()
  })

  it("a certificate from nobody, without a document that names it", async () => {
    const all = await judged({ posh: "serve: false" }, undefined, own("host.example"))
    assert.ok(problems(all, shop).includes("own.no-proof"))
    // The host's own HTTPS is no use either: its certificate proves no web server.
    assert.deepEqual(problems(all, host), ["own.no-proof", "own.posh-unpublished"])
    await all.close()
  })

  it("TLSA records that promise another certificate: who validates must refuse us", async () => {
    const signed = new SignedDns()
    const all = await judged({ signed }, ({ scene }) => scene.dns("_5269._tcp.xmpp.host.example", { TLSA: [tlsaRow(own("other.example"))] }))
    assert.deepEqual(problems(all, host), ["own.refused"])
    assert.match(lines(all, "own.problem").join("\n"), /so peers that validate refuse it: host\.example: .*\[dane\.mismatch\] \[own\.refused\]/)
    await all.close()
  })

  it("and so must those we connect to, by the records for clients", async () => {
    const signed = new SignedDns()
    const all = await judged({ signed }, ({ scene }) => scene.dns("_xmpp-server.host.example", { TLSA: [tlsaRow(own("other.example"))] }))
    assert.deepEqual([problems(all, host), problems(all, shop)], [["own.refused"], []])
    assert.match(proofs(all, host), /dane refuted dane\.client-mismatch/)
    await all.close()
  })

  it("TLSA in order: DANE for both domains", async () => {
    const signed = new SignedDns()
    const all = await judged({ signed }, ({ scene }) => scene.dns("_5269._tcp.xmpp.host.example", { TLSA: [tlsaRow(certificate)] }))
    assert.match(proofs(all, shop), /dane proved/)
    assert.deepEqual([problems(all, host), problems(all, shop)], [[], []])
    await all.close()
  })
})

describe("a renewal that DNS holds back", () => {
  it("waits for the record and its TTL, looks every five minutes, then switches by itself", async () => {
    const signed = new SignedDns()
    const renewed = hostCertificate({ notAfter: start + 80 * 24 * hour })
    const records = (...all: Parameters<typeof tlsaRow>[0][]) => ({ TLSA: all.map((each) => tlsaRow(each)) })
    const all = await judged({ signed, posh: "serve: false, expires: 1h" }, ({ scene }) => scene.dns("_5269._tcp.xmpp.host.example", records(certificate)))
    const shown = (): string | undefined => all.gateway.renewals.find(({ domain }) => domain === host)?.served.fingerprint
    await all.renew(renewed)
    await all.scene.clock.advance(3 * hour)
    assert.equal(shown(), fingerprint(certificate))
    assert.match(lines(all, "cert.held").join("\n"), /publish a TLSA record for the new one at _5269\._tcp\.xmpp\.host\.example \(3 1 1\)/)
    const looks = signed.tlsaAsked().filter((name) => name.startsWith("_5269._tcp.xmpp.host.example")).length
    assert.ok(looks >= 30 && looks <= 200, `${looks} looks in three hours`)
    all.scene.dns("_5269._tcp.xmpp.host.example", records(certificate, renewed))
    await all.scene.clock.advance(2 * hour)
    assert.equal(shown(), fingerprint(renewed))
    assert.deepEqual(problems(all, host), [])
    await all.close()
  })
})

describe("the background", () => {
  const domains = Array.from({ length: 30 }, (_, index) => parseDomain(`d${index}.example`))
  const good = (domain: Domain): OwnStanding => ({ domain, at: 0, proofs: [], proved: true, problems: [] })

  function checks(clock: StepClock, judge: (domain: Domain, signal: AbortSignal) => Promise<OwnStanding>) {
    const begun: Domain[] = []
    const rounds: number[] = []
    const broken: string[] = []
    const served = new Set(domains)
    const check = new SelfCheck({
      clock,
      domains: () => served,
      judge: async (domain, signal) => {
        begun.push(domain)
        return { standing: await judge(domain, signal), tlsa: [] }
      },
      seen: () => {},
      changed: () => {},
      round: (standings) => void rounds.push(standings.size),
      broken: (domain, error) => void broken.push(`${domain} ${(error as Error).message}`),
    })
    return { check, begun, rounds, broken, served }
  }

  it("ten in a second, four at once, urgent ones first, each once", async () => {
    const clock = new StepClock()
    const answers: (() => void)[] = []
    const { check, begun, rounds } = checks(clock, (domain) => new Promise((resolve) => answers.push(() => resolve(good(domain)))))
    check.begin()
    await clock.step(5000)
    assert.equal(begun.length, 4, "the fifth waits until one is over")
    check.check([domains[20]!, domains[20]!], true)
    answers.shift()!()
    await settle()
    await clock.step(100)
    assert.equal(begun[4], domains[20])
    const from = begun.length
    const drain = setImmediateLoop(answers)
    await clock.step(1000)
    drain.stop()
    assert.ok(begun.length - from <= 11, `${begun.length - from} in a second`)
    for (let turn = 0; turn < 60; turn++) {
      for (const answer of answers.splice(0)) answer()
      await clock.step(100)
    }
    assert.deepEqual([begun.length, new Set(begun).size, check.waiting, rounds], [30, 30, 0, [30]])
    check.stop()
    assert.equal(clock.timers, 0)
  })

  it("one that throws or hangs holds up nobody", async () => {
    const clock = new StepClock()
    const { check, begun, broken, rounds } = checks(clock, async (domain, signal) => {
      if (domain === domains[0]) throw new Error("broken")
      if (domain === domains[1]) await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true }))
      return good(domain)
    })
    check.begin()
    await clock.step(60_000)
    assert.equal(begun.length, 30)
    assert.deepEqual(broken.map((text) => text.split(" ")[0]), ["d0.example", "d1.example"])
    assert.deepEqual(rounds, [28])
    check.stop()
  })

  it("what is served no more is forgotten; after the stop nothing is begun", async () => {
    const clock = new StepClock()
    const { check, begun, served } = checks(clock, async (domain) => good(domain))
    check.begin()
    await clock.step(1000)
    served.delete(domains[0]!)
    served.delete(domains[29]!)
    check.forgetOthers()
    assert.equal(check.standings.has(domains[0]!), false)
    await clock.step(10_000)
    assert.equal(begun.includes(domains[29]!), false)
    check.stop()
    check.check(domains)
    await clock.step(10_000)
    assert.equal(begun.length, 29)
  })

  it("says it in one line", () => {
    const standing = (names: readonly string[]): OwnStanding => ({ ...good(domains[0]!), proved: names.length > 0, proofs: names.map((name) => ({ name, outcome: "proved", detail: "" })) })
    assert.equal(summaryText([standing(["pkix"]), standing(["pkix"]), standing(["dane", "pkix"])]), "3 domains judged as peers would: 2 by PKIX, 1 by DANE and PKIX")
    assert.equal(summaryText([standing([])]), "1 domain judged as peers would: 1 WITHOUT A PROOF")
  })
})

/** Answers come as they are asked for. */
function setImmediateLoop(answers: (() => void)[]): { stop(): void } {
  const push = answers.push.bind(answers)
  answers.push = (...more: (() => void)[]) => {
    for (const each of more) each()
    return 0
  }
  for (const answer of answers.splice(0)) answer()
  return {
    stop: () => {
      answers.push = push
    },
  }
}
