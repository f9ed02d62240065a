// The level of a domain from that of its endpoints (XEP-0238): the least counts, the dead are passed over, doubt is never bad.
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { overall, reaches } from "../../src/inspect/levels.ts"
import type { Climb } from "../../src/inspect/question.ts"
import type { Endpoint } from "../../src/model/endpoint.ts"
import { parseDomain } from "../../src/model/domain.ts"
import type { FindingId } from "../../src/model/findings.ts"
import type { ServerProof, Verdict } from "../../src/model/verdict.ts"
import type { Proven } from "../../src/proof/prove.ts"

const domain = parseDomain("a.example")
const endpoint: Endpoint = { address: "127.0.0.1", port: 5269, transport: "starttls", addressStatus: "insecure", delegation: { source: domain, derived: domain, via: "fallback", secure: false, because: "insecure" } }
const shown: ServerProof = { chain: [], presentedAs: "tls-server", protocol: "TLSv1.3", cipher: "", serverName: domain, alpn: undefined }

function climbed(parts: Partial<Climb>): Climb {
  return { service: "xmpp-server", endpoint, steps: [], ms: 0, before: undefined, proof: undefined, after: undefined, proven: undefined, obtained: [], login: null, trouble: undefined, sentAway: undefined, ...parts }
}

function judged(outcome: "proved" | "stop" | "unavailable" | "refuted", finding: FindingId = "cert.self-signed"): Climb {
  const verdict: Verdict = outcome === "proved" ? { outcome, by: "pkix", detail: "", until: 1 } : { outcome: outcome === "stop" ? "refuted" : outcome, by: "pkix", finding, detail: "" }
  const proven = { verdicts: [verdict], combined: { outcome, verdict } } as unknown as Proven
  return climbed({ proof: shown, proven })
}

const trouble = (finding: FindingId): Climb => climbed({ trouble: { finding, detail: "" } })

const good = judged("proved")
const weak = judged("refuted")
const stopped = judged("stop", "dane.mismatch")
const doubtful = judged("unavailable", "posh.unreachable")
const doubtfulStop = judged("stop", "dane.tlsa-failed")
const dead = trouble("reach.refused")
const slow = trouble("stream.too-slow")
const noTls = trouble("tls.not-offered")

test("one endpoint", () => {
  const met = { ok: true, unknown: false }
  const missed = { ok: false, unknown: false }
  const open = { ok: false, unknown: true }
  for (const [climb, level, expected] of [
    [good, "authenticated", met],
    [weak, "encrypted", missed],
    [stopped, "none", missed],
    [doubtful, "encrypted", open],
    [doubtfulStop, null, open],
    [dead, "none", missed],
    [slow, null, open],
    [noTls, "permissive", missed],
    [trouble("reach.timeout"), null, open],
  ] as const)
    assert.deepEqual(overall([climb], "authenticated"), { level, ...expected })
  assert.deepEqual(overall([doubtful], "encrypted"), { level: "encrypted", ok: true, unknown: false })
})

test("several: the least that answers; a known weakness outweighs a doubt", () => {
  assert.deepEqual(overall([good, dead], "authenticated"), { level: "authenticated", ok: true, unknown: false })
  assert.deepEqual(overall([good, weak], "authenticated"), { level: "encrypted", ok: false, unknown: false })
  assert.deepEqual(overall([good, slow], "authenticated"), { level: null, ok: false, unknown: true })
  assert.deepEqual(overall([weak, slow], "authenticated"), { level: "encrypted", ok: false, unknown: false })
  assert.deepEqual(overall([dead, dead], "authenticated"), { level: "none", ok: false, unknown: false })
  assert.deepEqual(overall([], "authenticated"), { level: null, ok: false, unknown: true })
})

test("never good and unknown at once; the order does not matter; one more endpoint never makes it better, but for a dead one's place", () => {
  const any = fc.constantFrom(good, weak, stopped, doubtful, doubtfulStop, dead, slow, noTls)
  const expectation = fc.constantFrom("authenticated" as const, "encrypted" as const, "verified" as const)
  fc.assert(
    fc.property(fc.array(any, { minLength: 1, maxLength: 6 }), any, expectation, (climbs, more, expect) => {
      const before = overall(climbs, expect)
      assert.ok(!(before.ok && before.unknown))
      assert.ok(!before.ok || reaches(before.level, expect))
      assert.deepEqual(overall([...climbs].reverse(), expect), before)
      const after = overall([...climbs, more], expect)
      if (!before.ok && climbs.some((each) => each !== dead)) assert.equal(after.ok, false)
    }),
  )
})
