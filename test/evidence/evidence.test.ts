// Golden evidence: `judge` reproduces every file, and no change of a single field lets anything be proved that was not
// (security.md 25, 26).
import assert from "node:assert/strict"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { EvidenceError, type Judgement, judge, readEvidenceFile } from "../../src/proof/judge.ts"
import { builtInProoftypes } from "../../src/proof/registry.ts"
import { anchorsFromPem } from "../../src/x509/anchors.ts"

const here = import.meta.dirname
const anchors = ["roots.pem", "posh-roots.pem"].map((name) => anchorsFromPem(readFileSync(join(here, name), "utf8")))
const files = readdirSync(here).filter((name) => name.endsWith(".json"))
const read = (name: string): unknown => JSON.parse(readFileSync(join(here, name), "utf8"))

function judged(file: unknown, at?: number): Judgement {
  return judge(readEvidenceFile(JSON.stringify(file)), { prooftypes: builtInProoftypes, anchors, ...(at === undefined ? {} : { at }) })
}

/** Whether the one item is found to be proved now. */
function proves(file: unknown): boolean {
  try {
    return judged(file).items.some(({ now }) => now?.outcome === "proved")
  } catch (error) {
    if (error instanceof EvidenceError) return false
    throw error
  }
}

const outcomes: Record<string, string> = {
  "pkix.json": "proved",
  "dane-ee-3-1-1.json": "proved",
  "dane-ee-3-0-2.json": "proved",
  "dane-ta-2-0-1.json": "proved",
  "dane-ta-2-0-0-absent.json": "proved",
  "dane-ta-2-1-0-absent.json": "proved",
  "pkix-ee-1-1-1.json": "proved",
  "pkix-ta-0-0-1.json": "proved",
  "dane-without-srv.json": "proved",
  "dane-incoming-client.json": "proved",
  "dane-incoming-server.json": "proved",
  "dane-incoming-client-mismatch.json": "refuted dane.client-mismatch",
  "dane-mismatch.json": "refuted dane.mismatch",
  "dane-tlsa-bogus.json": "unavailable dane.tlsa-bogus",
  "dane-not-signed.json": "absent dane.not-signed",
  "posh-direct.json": "proved",
  "posh-incoming.json": "proved",
  "posh-redirect.json": "proved",
  "posh-reference.json": "proved",
  "posh-mismatch.json": "refuted posh.mismatch",
  "posh-expired.json": "refuted posh.expired",
  "posh-not-published.json": "absent posh.not-published",
  "posh-wrong-name.json": "unavailable posh.tls-error",
  "posh-both.json": "unavailable posh.both-url-and-fingerprints",
}

test("the golden files are those that are expected", () => assert.deepEqual(files.sort(), Object.keys(outcomes).sort()))

for (const name of files) {
  test(`${name}: judged again, it says the same`, () => {
    const { items, exit } = judged(read(name))
    assert.equal(exit, 0)
    const [item] = items
    const { now } = item!
    assert.equal(now!.outcome === "proved" ? "proved" : `${now!.outcome} ${now!.finding}`, outcomes[name])
    if (name.startsWith("dane") || name.startsWith("pkix-")) {
      assert.ok(item!.facts.some(({ fact }) => fact.startsWith("DNS: ")))
      // Nothing of DNS is called signed as long as no judge can check it (security.md 25).
      assert.ok(item!.facts.every(({ mark }) => mark === "attested"))
      if (now!.outcome === "proved") assert.match(item!.sentence, /if these recorded facts are true: .*DNS: .* TLSA /)
    }
    if (name.startsWith("posh")) {
      // Bodies and statuses are the recorder's word; the chains of web servers are checked again.
      assert.ok(item!.facts.every(({ fact, mark }) => mark === (fact.startsWith("HTTPS: the certificate of") ? "signed" : "attested")))
      if (now!.outcome === "proved") assert.match(item!.sentence, /if these recorded facts are true: .*HTTPS: https:\/\/a\.example\/.*checked again here: HTTPS: the certificate of a\.example/)
    }
  })
}

/** What is shown or told and decides nothing: the conclusion recorded, the handshake's particulars, who validated. */
const idle: readonly RegExp[] = [
  /^(tool|recorded|direction|pair|decision|level|finding|sentence)\b/,
  /^items\.0\.(reference|verdict)\b/,
  /^items\.0\.proof\.(protocol|cipher|serverName|alpn)$/,
  /^items\.0\.material\.(grounds|tlsa)\.\d+\.(validatedBy|canonical|until|signaturesUntil)$/,
  // A count shown beside the digest that names the anchors.
  /^items\.0\.material\.anchors\.count$/,
  // Usages and digests beside those of the record in question; a number that is no usage changes nothing.
  /^items\.0\.material\.policy\./,
  // Of POSH: which address answered, what it called the document; and what would have mattered on another way.
  // Of one kind, one status is as good as its neighbour.
  /^items\.0\.material\.exchanges\.\d+\.(address|answer\.(contentType|status))$/,
  /^items\.0\.material\.(port|older)$/,
]
/** Idle where it is not the thing that proves. */
const idleBeside: Readonly<Record<string, readonly RegExp[]>> = {
  // Our own end of the pair is not what is proved.
  // And grounds 1 says that there is no IPv6 address.
  outgoing: [/^items\.0\.pair\.sender$/, /^items\.0\.material\.grounds\.1\.(status|outcome|type)$/],
  incoming: [/^items\.0\.pair\.target$/],
  // The records for clients decide before anybody looks at SRV and servers.
  "dane-incoming-client.json": [/^items\.0\.material\.grounds\.\d\.(status|outcome)$/, /^items\.0\.material\.tlsa\.1\.status$/],
  // PKIX proves this chain on its own, too.
  "pkix-ee-1-1-1.json": [/^items\.0\.prooftype$/],
  "pkix-ta-0-0-1.json": [/^items\.0\.prooftype$/],
  // The other service, and that there is nothing for clients.
  "dane-incoming-server.json": [/^items\.0\.material\.(grounds\.1|tlsa\.0)\.(status|outcome)$/],
  // That there is no IPv6 address.
  "dane-without-srv.json": [/^items\.0\.material\.grounds\.2\.(status|outcome|type)$/],
}

function* leaves(value: unknown, path: readonly string[] = []): Generator<readonly string[]> {
  if (value !== null && typeof value === "object") {
    for (const [key, part] of Object.entries(value)) yield* leaves(part, [...path, key])
  } else yield path
}

function changed(value: unknown): unknown[] {
  if (typeof value === "number") return [value + 1, -value - 1, 0.5, null, String(value)].filter((other) => other !== value)
  if (typeof value === "string") {
    const words = ["outgoing", "incoming", "secure", "insecure", "bogus", "data", "no-data", "failure", "srv", "fallback", "operator", "server", "client", "xmpp-server", "xmpp-client", "A", "SRV", "pkix", "dane", "posh"]
    return [...(words.includes(value) ? words.filter((word) => word !== value) : []), `${value.slice(0, -1)}${value.endsWith("x") ? "y" : "x"}`, "b.example", "", null, 7].filter((other) => other !== value)
  }
  return value === null ? ["x", 7, {}] : [null]
}

function withChange(file: unknown, path: readonly string[], value: unknown): unknown {
  const copy = structuredClone(file) as Record<string, unknown>
  let at = copy
  for (const key of path.slice(0, -1)) at = at[key] as Record<string, unknown>
  at[path.at(-1)!] = value
  return copy
}

for (const name of files.filter((each) => outcomes[each] === "proved")) {
  test(`${name}: one field changed, and it is not proved any more, or the field is known to decide nothing`, () => {
    const file = read(name)
    const { role } = (file as { items: { role: string }[] }).items[0]!
    const failures: string[] = []
    const known = [...idle, ...(idleBeside[role] ?? []), ...(idleBeside[name] ?? [])]
    let tried = 0
    for (const path of leaves(file)) {
      const label = path.join(".")
      if (known.some((pattern) => pattern.test(label)) || /^items\.0\.proof\.chain\.[1-9]/.test(label) || label === "items.0.at" || label === "items.0.material.at") continue
      const before = path.reduce<unknown>((value, key) => (value as Record<string, unknown>)[key], file)
      // A certificate is changed octet by octet elsewhere; here once, in the middle, where it is signed and hashed.
      const values = label.startsWith("items.0.proof.chain") ? [middleFlipped(before as string), "", null] : changed(before)
      for (const value of values) {
        tried++
        if (proves(withChange(file, path, value))) failures.push(`${label}: ${JSON.stringify(before)} -> ${JSON.stringify(value)}`)
      }
    }
    assert.deepEqual(failures, [])
    assert.ok(tried > 30, `${tried} changes`)
  })

  test(`${name}: judged at another time, or with what was taken out`, () => {
    const file = read(name)
    const { at } = (file as { items: { at: string }[] }).items[0]!
    const year = 365 * 86_400_000
    const dated = (moment: number) => withChange(file, ["items", "0", "at"], new Date(moment).toISOString())
    assert.equal(proves(dated(Date.parse(at) - year)), false, "backdated")
    assert.equal(proves(dated(Date.parse(at) + 20 * year)), false, "long after")
    assert.notEqual(judged(file, Date.parse(at) + 20 * year).items[0]!.now?.outcome, "proved")
    for (const part of ["chain"]) assert.equal(proves(withChange(file, ["items", "0", "proof", part], [])), false)
    const { material } = (file as { items: { material: Record<string, unknown> }[] }).items[0]!
    for (const [key, value] of Object.entries(material)) {
      if (key === "anchors" && value === null) continue
      assert.equal(proves(withChange(file, ["items", "0", "material", key], undefined)), false, `without ${key}`)
    }
    if ("tlsa" in material) for (const key of ["tlsa", "grounds"]) assert.equal(proves(withChange(file, ["items", "0", "material", key], [])), false, `empty ${key}`)
  })
}

function middleFlipped(text: string): string {
  const der = Buffer.from(text, "base64")
  const middle = Math.floor(der.length / 2)
  der[middle] = (der[middle] as number) ^ 1
  return der.toString("base64")
}

test("material of one domain under another domain's name is not judged to prove it", () => {
  const file = read("dane-ee-3-1-1.json")
  assert.equal(proves(withChange(file, ["items", "0", "pair", "target"], "victim.example")), false)
  const both = withChange(withChange(file, ["items", "0", "pair", "target"], "victim.example"), ["items", "0", "material", "source"], "victim.example")
  assert.equal(proves(both), false, "the SRV answers are about somebody else")
})

test("usages 1 and 0 need the roots at hand", () => {
  for (const name of ["pkix-ee-1-1-1.json", "pkix-ta-0-0-1.json"]) {
    const { items, exit } = judge(readEvidenceFile(JSON.stringify(read(name))), { prooftypes: builtInProoftypes, anchors: [] })
    assert.deepEqual([items[0]!.result, exit], ["cannot-judge", 3])
  }
})

test("POSH: another status, another hop, another domain's document, roots that are not ours", () => {
  const status = (name: string, index: number, value: number) => proves(withChange(read(name), ["items", "0", "material", "exchanges", String(index), "answer", "status"], value))
  for (const value of [404, 500, 302, 199, 300]) assert.equal(status("posh-direct.json", 0, value), false, String(value))
  for (const value of [200, 304, 404]) assert.equal(status("posh-redirect.json", 0, value), false, String(value))
  const exchanges = (name: string) => (read(name) as { items: { material: { exchanges: unknown[] } }[] }).items[0]!.material.exchanges
  for (const some of [[], exchanges("posh-redirect.json").slice(1), exchanges("posh-redirect.json").slice(0, 1), exchanges("posh-redirect.json").toReversed()]) {
    assert.equal(proves(withChange(read("posh-redirect.json"), ["items", "0", "material", "exchanges"], some)), false)
  }
  const victim = withChange(read("posh-direct.json"), ["items", "0", "pair", "target"], "victim.example")
  assert.equal(proves(victim), false)
  assert.equal(proves(withChange(victim, ["items", "0", "material", "source"], "victim.example")), false, "it was a.example that was asked")
  const { items } = judge(readEvidenceFile(JSON.stringify(read("posh-direct.json"))), { prooftypes: builtInProoftypes, anchors: [] })
  assert.equal(items[0]!.result, "cannot-judge")
})

test("security.md 27: no evidence holds the query of a URL", () => {
  for (const name of files) assert.doesNotMatch(JSON.stringify(read(name)), /for=a\.example/)
})
