// Which domains a new snapshot is about: streams of the others are not even judged again (security.md 10).
import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { CertificateAuthority } from "../../src/lab/certificate-authority.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { noCertificates } from "../../src/gateway/certificates.ts"
import { loadConfig } from "../../src/gateway/config.ts"
import { makeSnapshot, type Snapshot, touchedDomains, TrustedRoots } from "../../src/gateway/snapshot.ts"
import { anchorSet } from "../../src/x509/anchors.ts"
import { systemClock } from "../../src/node/clock.ts"
import { configWorld, goodConfig, type MemoryFiles, secretA, secretB } from "./config-fixture.ts"

const root = CertificateAuthority.create({ name: "Root", now: Date.now() })
const other = CertificateAuthority.create({ name: "Other", now: Date.now() })
const pem = (name: string): string => {
  const { chainPem, keyPem } = root.issue({ names: { dns: [name] } })
  return chainPem + keyPem
}

async function snapshots(change: (files: MemoryFiles) => void, anchors = root): Promise<readonly [Snapshot, Snapshot]> {
  const world = configWorld(goodConfig, { "/certs/bot.pem": pem("bot.example"), "/certs/rooms.pem": pem("rooms.example") })
  const make = async (before: Snapshot | undefined, by: CertificateAuthority): Promise<Snapshot> => {
    const { config } = await loadConfig("/etc/gw.yaml", { ...world, ...(before === undefined ? {} : { previous: before.config }) })
    return makeSnapshot(config, before === undefined ? 1 : 2, before?.onDisk ?? noCertificates, { files: world.files, clock: systemClock, anchors: () => anchorSet([by.certificate.der]), ownListeners: () => [] })
  }
  const before = await make(undefined, root)
  change(world.files)
  return [before, await make(before, anchors)]
}

const rewritten = (from: string, to: string) => (files: MemoryFiles) => {
  assert.ok(goodConfig.includes(from))
  files.set("/etc/gw.yaml", goodConfig.replace(from, to))
}

describe("a new snapshot", () => {
  const cases: readonly (readonly [string, (files: MemoryFiles) => void, readonly string[] | undefined])[] = [
    ["without a change is about nobody", () => undefined, []],
    ["after a file was written again as it was is about nobody", (files) => files.set("/etc/gw.yaml", `${goodConfig}# seen\n`), []],
    ["with another secret is about its domain", (files) => files.set("/secrets/bot", `${secretA.slice(1)}0`), ["bot.example"]],
    ["with a renewed certificate is about its domain", (files) => files.set("/certs/rooms.pem", pem("rooms.example")), ["rooms.example"]],
    ["with a domain more is about that one", (files) => {
      files.set("/secrets/new", `${secretB.slice(1)}0`)
      files.set("/etc/gw.yaml", `${goodConfig}  - name: new.example\n    component: { secret: { file: /secrets/new } }\n`)
    }, ["new.example"]],
    ["with a domain less is about that one", rewritten("  - name: rooms.example\n    component: { secret: { file: /secrets/rooms } }\n", ""), ["rooms.example"]],
    ["with a suspended domain is about that one", rewritten("  - name: rooms.example\n", "  - name: rooms.example\n    suspended: true\n"), ["rooms.example"]],
    ["under another policy is about all", rewritten("federation:\n", "federation:\n  require: encrypted\n"), undefined],
    ["with another limit is about all", rewritten("certificates:\n", "limits: { depth: 32 }\ncertificates:\n"), undefined],
  ]
  for (const [what, change, expected] of cases) {
    it(what, async () => {
      const touched = touchedDomains(...(await snapshots(change)))
      assert.deepEqual(touched === undefined ? undefined : [...touched], expected)
    })
  }
  it("under other anchors is about all", async () => {
    assert.equal(touchedDomains(...(await snapshots(() => undefined, other))), undefined)
  })
  it("reserves a suspended domain, serves the others, and answers in the name of one that is served", async () => {
    const [, { hosting }] = await snapshots(rewritten("  - name: bot.example\n", "  - name: bot.example\n    suspended: true\n"))
    const [bot, rooms, stranger] = ["bot.example", "rooms.example", "x.example"].map(parseDomain)
    assert.deepEqual([bot, rooms, stranger].map((name) => [hosting.hosts(name!), hosting.reserved(name!)]), [[false, true], [true, false], [false, false]])
    assert.equal(hosting.anyDomain, rooms)
  })
})

describe("root certificates", () => {
  it("are read again when anything may have changed, when their file did, and when others are named", async () => {
    let reads = 0
    const roots = new TrustedRoots(() => {
      reads += 1
      return anchorSet([root.certificate.der])
    })
    const file = { kind: "file", path: "/roots.pem" } as const
    const first = await roots.of(file, new Set())
    assert.equal(await roots.of(file, new Set(["/certs/a.pem"])), first)
    assert.equal(reads, 1)
    await roots.of(file, new Set(["/roots.pem"]))
    await roots.of(file, undefined)
    await roots.of({ kind: "system" }, new Set())
    assert.equal(reads, 4)
  })
})
