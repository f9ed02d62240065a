// What `xmpp-dna ctl` prints, of made-up answers: columns, the widest usual rows, and that nothing in them draws on a terminal.
import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { showCertificates, showDomains, showReady, showStatus, showStreams } from "../../src/cli/ctl-show.ts"
import { lengthText, table } from "../../src/cli/table.ts"

const now = Date.parse("2026-11-22T12:00:00Z")
const mark = (fingerprint: string, from: string) => ({ fingerprint: fingerprint.padEnd(64, "0"), from })

describe("tables of ctl", () => {
  it("certificates, with what is held back and why", () => {
    const shown = showCertificates(
      [
        { name: "bot.example", onDisk: mark("6ac41f0c", "2026-11-12T03:10:00Z"), served: { ...mark("6ac41f0c", "2026-11-12T03:10:00Z"), ends: "2027-01-22T03:10:00Z", file: "/c" }, keyInDns: "3 1 1 current", posh: undefined, heldUntil: undefined, because: undefined },
        { name: "rooms.example", onDisk: mark("91ff0011", "2026-11-22T03:11:00Z"), served: { ...mark("77a0aabb", "2026-09-23T03:09:00Z"), ends: "2026-11-21T03:09:00Z", file: "/c" }, keyInDns: undefined, posh: "7 d, 2 certs", heldUntil: "2026-11-29T03:11:00Z", because: "peers may remember the old document" },
        { name: "new.example", onDisk: undefined, served: undefined, keyInDns: undefined, posh: undefined, heldUntil: undefined, because: undefined },
      ],
      now,
    )
    assert.equal(
      shown,
      `NAME           ON DISK          SERVED           EXPIRES         KEY IN DNS     POSH
bot.example    6ac41f0c 12 Nov  6ac41f0c 12 Nov  60 d            3 1 1 current  -
rooms.example  91ff0011 22 Nov  77a0aabb 23 Sep  ended 32 h ago  -              7 d, 2 certs
new.example    -                -                -               -              -
! rooms.example: the newer certificate on disk is not served until 29 Nov 03:11 UTC: peers may remember the old document
`,
    )
  })
  it("streams, and pairs without one", () => {
    const shown = showStreams(
      {
        streams: [
          { session: "s2sout-7f3a", direction: "out", host: "bot.example", peer: "chat.example", address: "2001:db8::10", tls: "TLSv1.3", proof: "dane", level: "authenticated", since: "2026-11-22T10:00:00Z", until: "2026-11-23T10:00:00Z" },
          { session: "s2sin-91d2", direction: "in", host: "rooms.example", peer: "c.example", address: "192.0.2.1", tls: undefined, proof: "dialback", level: "verified", since: "2026-11-22T11:52:00Z", until: "2026-11-23T10:00:00Z" },
        ],
        more: 0,
        without: [{ from: "bot.example", to: "away.example", state: "quiet", waiting: 1, failures: 3 }],
      },
      now,
    )
    assert.equal(
      shown,
      `SESSION      HOST               PEER          TLS  PROOF     LEVEL          AGE
s2sout-7f3a  bot.example    ->  chat.example  1.3  dane      authenticated  2 h
s2sin-91d2   rooms.example  <-  c.example     -    dialback  verified       8 m
no stream bot.example -> away.example: quiet, 1 stanza waiting, 3 failures
2 associations, 1 authenticated
`,
    )
  })
  it("domains: what was proven, what refuted, what could not be told", () => {
    const proof = (prooftype: string, outcome: "proved" | "refuted" | "absent" | "unavailable") => ({ prooftype, outcome, detail: "" })
    const row = { state: "served" as const, certificate: "own", component: "up" as const, file: "/etc/x/t.yaml" }
    const shown = showDomains([
      { ...row, name: "a.example", proofs: [proof("pkix", "proved"), proof("dane", "refuted"), proof("posh", "unavailable")] },
      { ...row, name: "b.example", proofs: [proof("pkix", "absent")] },
      { ...row, name: "c.example", state: "suspended", proofs: undefined },
    ])
    assert.match(shown, /a\.example +served +own +pkix dane! posh\? +up +t\.yaml\nb\.example +served +own +NONE +up +t\.yaml\nc\.example +suspended +own +- +up +t\.yaml\n3 domains, 1 suspended\n/)
  })
  it("the status tells of a refused reload and missing certificates", () => {
    const shown = showStatus(
      {
        version: "1.0.0",
        node: "gw1",
        state: "running",
        startedAt: "2026-11-22T11:00:00Z",
        domains: { served: 3, suspended: 1, withoutCertificate: 2 },
        components: { attached: 1, away: 2 },
        streams: { in: 1, out: 2 },
        waitingStanzas: 1,
        listening: { s2s: [{ address: "::", port: 5269 }], directTls: [], components: [{ path: "/run/c.sock" }], posh: [{ path: "/run/p.sock" }], poshHttps: [{ address: "::", port: 443 }] },
        nearestExpiry: { name: "a.example", ends: "2026-11-24T12:00:00Z" },
        lastReload: { at: "2026-11-22T11:59:00Z", ok: false },
      },
      now,
    )
    assert.match(shown, /running for 1 h\n.*:: port 5269 · direct TLS none\n +components \/run\/c\.sock\n +POSH \/run\/p\.sock, :: port 443\n.*3 served, 1 suspended, 2 without certificate\n/)
    assert.match(shown, /1 stanza waiting\nexpires {5}next a\.example, 2 d\nreload {6}REFUSED, 1 m ago\n$/)
  })
  it("are never cut, and draw nothing", () => {
    const long = "a".repeat(100)
    assert.equal(table(["A", "B"], [[long, "x"], ["b", ""]], 5), `A      B\n${long}  x\nb      -\n`)
    assert.equal(table(["A"], [["\u001b[31mred\n"]]), "A\n\\u001b[31mred\\u000a\n")
    assert.equal(showReady({ ready: false, reasons: ["one\u001b", "two"] }), "not ready: one\\u001b; two\n")
  })
  it("say lengths in the largest unit that fits", () => {
    assert.deepEqual([0, 59_999, 60_000, 3_599_999, 3_600_000, 172_799_999, 172_800_000].map(lengthText), ["0 s", "59 s", "1 m", "59 m", "1 h", "47 h", "2 d"])
  })
})
