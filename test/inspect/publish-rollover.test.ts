// "Is it safe to switch the key?": no as long as any cache may hold a set without the next one, and never on the word of a part of the
// servers (RFC 7671 8.1, 8.4; DANE-15, DANE-23, DANE-30). A tool that looks once, and says yes to what it sees, is shown to be wrong.
import assert from "node:assert/strict"
import { createPublicKey } from "node:crypto"
import { test } from "node:test"
import type { DnsAnswer, TlsaRecord } from "../../src/model/dns-answer.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { PublishError, readCertificateFile } from "../../src/inspect/publish-certificate.ts"
import { LookHistory, planTlsaRollover, type ServerAnswer, type TlsaRolloverPlan } from "../../src/inspect/publish-rollover.ts"
import { type TlsaSource, usualKind } from "../../src/inspect/publish-tlsa.ts"
import { presented } from "../../src/inspect/publish-records.ts"
import { CertificateAuthority, generateKey, type IssuedCertificate } from "../../src/lab/certificate-authority.ts"
import { tlsa } from "../proof/tlsa-support.ts"

const start = Date.UTC(2026, 10, 22)
const minute = 60_000
const day = 86_400_000
const place = { host: parseDomain("xmpp1.host.example"), port: 5269 }
const owner = "_5269._tcp.xmpp1.host.example"
const root = CertificateAuthority.create({ name: "Root", now: start })
const issue = (more = {}): IssuedCertificate => root.issue({ names: { dns: [place.host] }, notBefore: start - day, notAfter: start + 60 * day, ...more })
const [one, two] = [issue(), issue()]
const file = ({ pem }: IssuedCertificate, at = start) => readCertificateFile(Buffer.from(pem), "x.pem", at)

function answer(records: readonly TlsaRecord[], now: number, ttl = 3600, more: Partial<DnsAnswer<TlsaRecord>> = {}): DnsAnswer<TlsaRecord> {
  return { name: owner, type: "TLSA", records, status: "secure", outcome: records.length === 0 ? "no-data" : "data", rcode: 0, why: [], canonical: owner, validatedBy: "self", until: now + ttl * 1000, ...more }
}
const silent = (now: number): DnsAnswer<TlsaRecord> => answer([], now, 0, { outcome: "failure", status: "indeterminate", rcode: undefined, why: [{ code: "timeout", detail: "no answer" }] })

interface Situation {
  readonly now?: number
  readonly servers: readonly DnsAnswer<TlsaRecord>[]
  readonly history?: LookHistory
  readonly next?: TlsaSource
  readonly current?: IssuedCertificate
  readonly since?: number
  readonly validated?: Partial<DnsAnswer<TlsaRecord>>
}

function plan({ now = start, servers, history = new LookHistory(place), next = file(two), current = one, since, validated }: Situation): TlsaRolloverPlan {
  const named = servers.map((each, index): ServerAnswer => ({ server: `ns${index + 1}`, answer: each }))
  return planTlsaRollover({ place, current: file(current), next, kind: usualKind, ttl: 3600, validated: answer([], now, 60, validated), servers: named, history, anchors: undefined, now, ...(since === undefined ? {} : { since }) })
}
const said = ({ step, safe }: TlsaRolloverPlan): string => `${step} ${safe}`
const record = ({ der }: IssuedCertificate, kind = "3 1 1"): TlsaRecord => tlsa(der, kind)

/** What a tool without a memory would say: both keys are there, so go ahead. */
const naive = (servers: readonly DnsAnswer<TlsaRecord>[]): boolean => servers.some(({ records }) => records.some((each) => each.association === record(two).association))

test("the whole walk: publish, wait for the TTL, switch, take the old one out", () => {
  const history = new LookHistory(place)
  let now = start
  const servers = (...records: TlsaRecord[]) => [answer(records, now), answer(records, now)]
  const first = plan({ history, now, servers: servers(record(one)) })
  assert.equal(said(first), "1 no")
  assert.deepEqual(first.records.map(({ content, comment }) => `${presented(content)} ${comment}`), [`3 1 1 ${record(one).association} current`, `3 1 1 ${record(two).association} next`])
  now += minute
  const second = plan({ history, now, servers: servers(record(one), record(two)) })
  assert.equal(naive(servers(record(one), record(two))), true)
  assert.equal(said(second), "2 no")
  assert.match(second.because, /wait 60 min/)
  assert.equal(second.until, now + 60 * minute)
  now += 59 * minute
  assert.equal(said(plan({ history, now, servers: servers(record(one), record(two)) })), "2 no")
  now += minute
  const third = plan({ history, now, servers: servers(record(one), record(two)) })
  assert.equal(said(third), "3 yes")
  assert.match(third.because, /every set that a cache may hold/)
  const fourth = plan({ history, now, servers: servers(record(one), record(two)), current: two })
  assert.equal(said(fourth), "4 yes")
  assert.deepEqual(fourth.remove.map(({ content }) => presented(content)), [`3 1 1 ${record(one).association}`])
  assert.match(plan({ history, now, servers: servers(record(two)), current: two }).because, /nothing is left to do/)
})

test("seen once and remembered by nobody: the record may be younger than its TTL", () => {
  const servers = [answer([record(one), record(two)], start)]
  assert.equal(naive(servers), true)
  assert.equal(said(plan({ servers })), "2 no")
})

test("a long TTL counts whole", () => {
  const history = new LookHistory(place)
  const at = (now: number) => plan({ history, now, servers: [answer([record(one), record(two)], now, 86_400)] })
  assert.equal(said(at(start)), "2 no")
  assert.equal(said(at(start + 23 * 60 * minute)), "2 no")
  assert.equal(said(at(start + 24 * 60 * minute)), "3 yes")
})

test("one server that lags behind, or does not answer, is enough for no", () => {
  const both = [record(one), record(two)]
  const long = start - 9 * day
  const lagging = [answer(both, start), answer([record(one)], start)]
  assert.equal(naive(lagging), true)
  const lags = plan({ servers: lagging, since: long })
  assert.deepEqual([said(lags), lags.seen], ["1 no", ["next seen at 1 of 2 authoritative servers"]])
  const mute = plan({ servers: [answer(both, start), silent(start)], since: long })
  assert.deepEqual([said(mute), mute.seen.at(-1)], ["2 unknown", "ns2: no answer"])
  assert.equal(plan({ servers: [silent(start)], since: long }).safe, "unknown")
  assert.equal(plan({ servers: [], since: long }).safe, "unknown")
})

test("the set before counts until its own TTL is over, since when the next one is there or not", () => {
  const history = new LookHistory(place)
  plan({ history, servers: [answer([record(one)], start, 7200)] })
  const later = start + minute
  plan({ history, now: later, servers: [answer([record(one), record(two)], later, 60)] })
  const soon = plan({ history, now: later + 61_000, servers: [answer([record(one), record(two)], later + 61_000, 60)] })
  // The new TTL is over, the old one is not.
  assert.deepEqual([said(soon), soon.until], ["2 no", later + 7200_000])
  const end = later + 7200_000
  assert.equal(said(plan({ history, now: end, servers: [answer([record(one), record(two)], end, 60)] })), "3 yes")
})

test("--since: the word of somebody who knows takes the place of looking", () => {
  const servers = [answer([record(one), record(two)], start)]
  assert.equal(said(plan({ servers, since: start - 59 * minute })), "2 no")
  assert.equal(said(plan({ servers, since: start - 60 * minute })), "3 yes")
})

test("DANE-15: a key whose certificate does not exist yet", () => {
  for (const algorithm of ["p256", "rsa2048", "ed25519"] as const) {
    const coming = issue({ algorithm })
    const next = { file: "next.key", spki: createPublicKey(coming.keyPem).export({ type: "spki", format: "der" }) }
    const servers = [answer([record(one), record(coming)], start)]
    assert.equal(said(plan({ servers, next, since: start - day })), "3 yes", algorithm)
    assert.equal(said(plan({ servers: [answer([record(one)], start)], next, since: start - day })), "1 no", algorithm)
  }
})

test("DANE-23: a record that a stronger digest outranks is as if it were not there", () => {
  const servers = [answer([record(one), record(one, "3 1 2"), record(two)], start)]
  assert.equal(naive(servers), true)
  const outranked = plan({ servers, since: start - day })
  assert.equal(said(outranked), "1 no")
  assert.match(outranked.because, /stronger digest/)
})

test("a renewed certificate with the same key needs no waiting; one that is named whole does", () => {
  const key = generateKey()
  const [before, renewed] = [issue({ key }), issue({ key })]
  const byKey = plan({ servers: [answer([record(before)], start)], current: before, next: file(renewed) })
  assert.deepEqual([said(byKey), /key stays the same/.test(byKey.because)], ["3 yes", true])
  assert.equal(plan({ servers: [answer([record(before, "3 0 1")], start)], current: before, next: file(renewed), since: start - day }).safe, "no")
})

test("where nobody is proven by the records, nothing can break: unsigned, none, stale, expired", () => {
  assert.match(plan({ servers: [answer([record(one)], start)], validated: { status: "insecure" } }).because, /not signed/)
  assert.match(plan({ servers: [answer([], start)] }).because, /no TLSA records/)
  const stale = plan({ servers: [answer([record(two)], start)] })
  assert.deepEqual([said(stale), /fits no record any more/.test(stale.because)], ["3 yes", true])
  const old = issue({ notBefore: start - 9 * day, notAfter: start - day })
  const expired = plan({ servers: [answer([record(old)], start)], current: old })
  assert.deepEqual([expired.safe, /has expired/.test(expired.because)], ["yes", true])
})

test("what DNS cannot be asked for is neither yes nor no; a bogus answer is no unsigned zone", () => {
  const servers = [answer([record(one), record(two)], start)]
  for (const validated of [{ outcome: "failure", status: "bogus" }, { outcome: "failure", status: "indeterminate" }, { status: "indeterminate" }] as const) {
    assert.equal(plan({ servers, validated, since: start - day }).safe, "unknown")
  }
})

test("a next certificate that is not valid yet is not safe", () => {
  const coming = issue({ notBefore: start + day })
  const early = plan({ servers: [answer([record(one), record(coming)], start)], next: file(coming), since: start - day })
  assert.deepEqual([early.safe, early.until], ["no", start + day])
})

test("the memory goes through a file, and only its own", () => {
  const history = new LookHistory(place)
  const at = (now: number, kept: LookHistory) => said(plan({ history: kept, now, servers: [answer([record(one), record(two)], now)] }))
  assert.equal(at(start, history), "2 no")
  for (let look = 1; look < 30; look += 1) at(start + look * minute, history)
  const text = history.text()
  assert.ok(text.length < 3_000, `${text.length} octets for looks that saw the same`)
  assert.equal(at(start + 59 * minute, new LookHistory(place, text)), "2 no")
  assert.equal(at(start + 60 * minute, new LookHistory(place, text)), "3 yes")
  // A clock that was set back adds nothing to what is known.
  const back = new LookHistory(place, text)
  assert.equal(at(start - 60 * minute, back), "2 no")
  assert.equal(back.text(), text)
  for (const bad of ["", "{}", "[]", text.slice(0, -20), text.replace('"v":1', '"v":2')]) assert.throws(() => new LookHistory(place, bad), PublishError)
  assert.throws(() => new LookHistory({ ...place, port: 5270 }, text), /is about _5269/)
})
