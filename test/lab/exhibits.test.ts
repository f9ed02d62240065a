// The lab as oracle: what `check` finds at every exhibit is what the exhibit says beforehand, no finding more and none less; and every
// finding of the catalogue has a place where it is raised.
import assert from "node:assert/strict"
import { existsSync, readFileSync } from "node:fs"
import { after, before, describe, it } from "node:test"
import { type Looking, looking, seenOf } from "../../src/inspect/looking.ts"
import type { ExhibitSeen } from "../../src/lab/exhibit.ts"
import { exhibits, type Look, lookAtAll, type Raised, raiseExhibits } from "../../src/lab/exhibits.ts"
import { Internet } from "../../src/lab/internet.ts"
import { scenes } from "../../src/lab/programme.ts"
import { raisedBy } from "../../src/lab/raises.ts"
import type { SceneReport } from "../../src/lab/scene.ts"
import { scenesPage } from "../../src/lab/scenes-page.ts"
import { type FindingId, findings } from "../../src/model/findings.ts"
import { createAskingWorld } from "../../src/node/asking-world.ts"
import { elsewhere } from "./raised-elsewhere.ts"
import { labPorts } from "./support.ts"

let net: Internet
let look: Looking
let raised: readonly Raised[]
let reports: readonly SceneReport[]

before(async () => {
  net = await Internet.start(labPorts)
  look = looking(net, createAskingWorld)
  raised = await raiseExhibits(net, exhibits)
  reports = await lookAtAll(net, raised, async ({ domain }, { question, resolver }) => seenOf(await look(domain, question, resolver)))
})

after(() => net.close())

describe("the oracle", () => {
  for (const [index, { id, domain, expected }] of exhibits.entries())
    it(id, () => {
      const report = reports[index]
      assert.equal(report?.id, id)
      assert.equal(report.broken, undefined)
      assert.deepEqual(report.got, { [domain]: expected })
      assert.equal(report.ok, true)
    })

  it("calls bad what misses the expectation, and nothing else, whatever is expected", async () => {
    // Those that are there by themselves: what is waited for was waited for once.
    const quick = raised.filter(({ standing: { question } }) => question?.patience === undefined && question?.reverse === undefined)
    for (const expect of ["encrypted", "verified"] as const) {
      const told = await lookAtAll(net, quick, async ({ domain }, { question, resolver }) => seenOf(await look(domain, { ...question, expect }, resolver)))
      for (const { id, got, broken } of told) {
        assert.equal(broken, undefined, id)
        const [seen = assert.fail(id)] = Object.values(got) as ExhibitSeen[]
        const severe = (severity: string): boolean => seen.findings.some((each) => each.startsWith(`${severity} `))
        assert.equal(seen.exit === 2, severe("bad"), `${id}, ${expect}: ${seen.findings.join(", ")}`)
        if (seen.exit === 3) assert.ok(severe("unknown"), `${id}, ${expect}`)
      }
    }
  })

  it("says so where something else is found, and where looking fails", async () => {
    const [first = assert.fail(), second = assert.fail()] = exhibits
    const inOrder: string[] = []
    const blind: Look = async ({ id }) => {
      if (id === second.id) throw new Error("nobody looked")
      await new Promise((resolve) => setImmediate(resolve))
      return { exit: 2, level: "none", findings: ["bad cert.expired"] }
    }
    const told = await lookAtAll(net, [{ exhibit: first, standing: {} }, { exhibit: second, standing: {} }], blind, ({ id }) => inOrder.push(id))
    assert.deepEqual(inOrder, [first.id, second.id])
    assert.deepEqual(told.map(({ ok, broken }) => [ok, broken]), [[false, undefined], [false, "nobody looked"]])
  })
})

describe("the exhibits", () => {
  it("have names of their own, beside the scenes'", () => {
    const names = [...exhibits, ...scenes].map(({ id }) => id)
    assert.deepEqual(names.filter((id, at) => names.indexOf(id) !== at), [])
    const domains = [...exhibits.map(({ domain }) => domain), ...scenes.flatMap(({ cast }) => cast.map(({ domain }) => domain))]
    assert.deepEqual(domains.filter((domain, at) => domains.indexOf(domain) !== at), [])
  })

  it("stand in docs/scenes.md, with the scenes (npm run pages)", () => {
    assert.equal(readFileSync(new URL("../../docs/scenes.md", import.meta.url), "utf8"), scenesPage())
  })

  it("cover every exit status and outcome", () => {
    assert.deepEqual([...new Set(exhibits.map(({ expected }) => expected.exit))].sort(), [0, 2, 3])
    for (const { id, expected, title, section } of exhibits) {
      const bad = expected.findings.some((each) => each.startsWith("bad "))
      // What is bad makes it bad, and nothing else does; what could not be told has something that says so.
      assert.equal(expected.exit === 2, bad, id)
      if (expected.exit === 3) assert.ok(expected.findings.some((each) => each.startsWith("unknown ")), id)
      // The level is that of the way there; what is not known of the way back leaves it.
      if (!id.startsWith("auth-reverse")) assert.equal(expected.exit === 3, expected.level === null, `${id}: what could not be told has no level`)
      assert.ok(title.length > 10 && section.length > 3, id)
    }
  })
})

describe("the catalogue", () => {
  it("has for every finding a scene or an exhibit, or a test that raises it", () => {
    for (const id of Object.keys(findings) as FindingId[]) {
      const other = elsewhere[id]
      assert.ok((raisedBy(id).length > 0) !== (other !== undefined), `${id}: raised by ${raisedBy(id).join() || "no scene"}, and by ${other?.test ?? "no other test"}`)
      if (other === undefined) continue
      const path = new URL(`../../${other.test}`, import.meta.url)
      assert.ok(existsSync(path), other.test)
      // In a regular expression the dot of an id is escaped.
      assert.ok(readFileSync(path, "utf8").replaceAll("\\.", ".").includes(other.words ?? id), `${other.test} does not speak of ${id}`)
    }
  })

  it("has first what is about the finding", () => {
    assert.equal(raisedBy("cert.expired")[0], "cert-expired")
    assert.equal(raisedBy("dane.mismatch")[0], "dane-mismatch")
  })
})
