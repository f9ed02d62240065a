// Included files: who may write them, that no two name one domain, and that only what changed is read again (security.md 21, 22).
import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { type Domain, parseDomain } from "../../src/model/domain.ts"
import { ConfigError } from "../../src/model/errors.ts"
import { type ConfigWorld, type GatewayConfig, type LoadedConfig, loadConfig } from "../../src/gateway/config.ts"
import { configWorld, goodConfig, type MemoryFile, type MemoryFiles, testNow } from "./config-fixture.ts"

const main = `${goodConfig.slice(0, goodConfig.indexOf("domains:"))}include: [t.d/*.yaml]\n`
const secret = (n: number): string => `${n}f86d081884c7d659a2feaa0c55ad01${n}`
const tenant = (name: string, n: number, more = ""): string => `domains:\n  - name: ${name}\n    component: { secret: { file: /secrets/${n} } }\n${more}`
const three: Record<string, string | MemoryFile> = {
  "/etc/t.d/a.yaml": tenant("a.example", 1),
  "/etc/t.d/b.yaml": tenant("b.example", 2),
  "/etc/t.d/c.yaml": tenant("c.example", 3),
  ...Object.fromEntries([1, 2, 3, 4, 5].map((n) => [`/secrets/${n}`, secret(n)])),
}
const [a, b, c] = ["a.example", "b.example", "c.example"].map(parseDomain) as [Domain, Domain, Domain]

type Tenants = ConfigWorld & { files: MemoryFiles }
const worldOf = (files: Readonly<Record<string, string | MemoryFile>> = three, text = main): Tenants => configWorld(text, files)

async function problems(loading: Promise<LoadedConfig>): Promise<string[]> {
  try {
    await loading
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map(({ place, sentence }) => `${place}  ${sentence}`)
  }
  return []
}

/** What is read when the configuration is loaded again, and what comes of it. */
async function again(world: Tenants, previous: GatewayConfig, changed?: readonly string[]): Promise<LoadedConfig & { read: string[] }> {
  world.files.asked.length = 0
  const loaded = await loadConfig("/etc/gw.yaml", { ...world, previous, ...(changed === undefined ? {} : { changed: new Set(changed) }) })
  return { ...loaded, read: world.files.asked.filter((line) => line.startsWith("read ")).map((line) => line.slice(5)) }
}

describe("who may write what decides what is hosted", () => {
  const cases: readonly (readonly [string, (world: Tenants) => void, string])[] = [
    ["a file that its group can write", (world) => world.files.set("/etc/t.d/a.yaml", tenant("a.example", 1), { mode: 0o660 }), "/etc/t.d/a.yaml can be written by its group (mode 0660), and whoever writes there decides what is hosted: chmod g-w /etc/t.d/a.yaml"],
    ["a file that everybody can write", (world) => world.files.set("/etc/t.d/a.yaml", tenant("a.example", 1), { mode: 0o666 }), "/etc/t.d/a.yaml can be written by everybody (mode 0666), and whoever writes there decides what is hosted: chmod go-w /etc/t.d/a.yaml"],
    ["a file of another user's", (world) => world.files.set("/etc/t.d/a.yaml", tenant("a.example", 1), { owner: "other" }), "/etc/t.d/a.yaml belongs to another user, who could change what is hosted: chown root /etc/t.d/a.yaml"],
    ["a folder that everybody can write, sticky as it may be", (world) => world.files.folders.set("/etc/t.d", { mode: 0o1777 }), "The folder /etc/t.d can be written by everybody (mode 1777), and whoever writes there decides what is hosted: chmod go-w /etc/t.d"],
    ["a folder that its group can write", (world) => world.files.folders.set("/etc/t.d", { mode: 0o775 }), "The folder /etc/t.d can be written by its group (mode 0775), and whoever writes there decides what is hosted: chmod g-w /etc/t.d"],
    ["a folder of another user's", (world) => world.files.folders.set("/etc/t.d", { owner: "other" }), "The folder /etc/t.d belongs to another user, who could change what is hosted: chown root /etc/t.d"],
  ]
  for (const [what, spoil, sentence] of cases) {
    it(`${what} is refused`, async () => {
      const world = worldOf()
      // The same folder in order is taken; so it is the permissions that are refused.
      const { config } = await loadConfig("/etc/gw.yaml", world)
      assert.equal(config.domains.size, 3)
      spoil(world)
      assert.deepEqual(await problems(loadConfig("/etc/gw.yaml", world)), [`/etc/gw.yaml:9:11  ${sentence}`])
      assert.deepEqual(await problems(again(world, config, ["/etc/t.d/a.yaml"])), [`/etc/gw.yaml:9:11  ${sentence}`], "also when only that is known to have changed")
    })
  }
  it("what belongs to root is in order, and so is what its group may read", async () => {
    const { config } = await loadConfig("/etc/gw.yaml", worldOf({ ...three, "/etc/t.d/a.yaml": { text: tenant("a.example", 1), owner: "root", mode: 0o640 } }))
    assert.equal(config.domains.get(a)?.source, "/etc/t.d/a.yaml")
  })
})

describe("two that cannot both hold", () => {
  it("one domain in two files: both places are told, and nothing is loaded", async () => {
    const files = { ...three, "/etc/t.d/d.yaml": tenant("B.example.", 4) }
    assert.deepEqual(await problems(loadConfig("/etc/gw.yaml", worldOf(files))), ["/etc/t.d/d.yaml:2:11  b.example is already hosted at /etc/t.d/b.yaml:2:11: remove one of the two."])
  })
  it("the same when the second file comes later, or only it is known to have changed", async () => {
    for (const hint of [undefined, ["/etc/t.d/d.yaml"]]) {
      const world = worldOf()
      const { config } = await loadConfig("/etc/gw.yaml", world)
      world.files.set("/etc/t.d/d.yaml", tenant("b.example", 4))
      assert.deepEqual(await problems(again(world, config, hint)), ["/etc/t.d/d.yaml:2:11  b.example is already hosted at /etc/t.d/b.yaml:2:11: remove one of the two."])
      world.files.set("/etc/t.d/d.yaml", tenant("d.example", 2))
      const said = await problems(again(world, config, hint))
      assert.deepEqual(said, ["/etc/t.d/d.yaml:3:26  d.example and b.example have the same secret: generate one for each."])
    }
  })
  it("a domain may move from one file to another", async () => {
    const world = worldOf()
    const { config } = await loadConfig("/etc/gw.yaml", world)
    world.files.set("/etc/t.d/a.yaml", tenant("x.example", 4))
    world.files.set("/etc/t.d/c.yaml", tenant("a.example", 1))
    const moved = await again(world, config, ["/etc/t.d/a.yaml", "/etc/t.d/c.yaml"])
    assert.deepEqual([...moved.config.domains.values()].map(({ name, source }) => [name, source]).sort(), [["a.example", "/etc/t.d/c.yaml"], ["b.example", "/etc/t.d/b.yaml"], ["x.example", "/etc/t.d/a.yaml"]])
  })
  it("a file named by two lines", async () => {
    const world = worldOf(three, main.replace("[t.d/*.yaml]", "[t.d/*.yaml, t.d/a.yaml]"))
    assert.deepEqual(await problems(loadConfig("/etc/gw.yaml", world)), ["/etc/gw.yaml:9:23  /etc/t.d/a.yaml is already included at /etc/gw.yaml:9:11: remove one of the two."])
  })
  const dirs = (path: string): string => `certificates: { dirs: [${path}] }\n`
  const clashes: readonly (readonly [string, string, string, string])[] = [
    ["one folder for two tenants", "/t/a", "/t/a", "/etc/t.d/b.yaml  The folder /t/a is read for /etc/t.d/a.yaml"],
    ["a folder inside another tenant's", "/t/a", "/t/a/b", "/etc/t.d/b.yaml  The folder /t/a/b is read for /etc/t.d/a.yaml"],
    ["a folder of the operator's", "/certs", "/t/b", "/etc/t.d/a.yaml  The folder /certs is read for /etc/gw.yaml"],
    ["a folder inside the operator's", "/certs/a", "/t/b", "/etc/t.d/a.yaml  The folder /certs/a is read for /etc/gw.yaml"],
    ["a folder around the operator's", "/", "/t/b", "/etc/t.d/a.yaml  The folder / is read for /etc/gw.yaml"],
  ]
  for (const [what, one, two, begins] of clashes) {
    it(`${what} is refused`, async () => {
      const files = { ...three, "/etc/t.d/a.yaml": tenant("a.example", 1, dirs(one)), "/etc/t.d/b.yaml": tenant("b.example", 2, dirs(two)) }
      const [first] = await problems(loadConfig("/etc/gw.yaml", worldOf(files)))
      assert.equal(first?.startsWith(begins), true, first)
    })
  }
  it("folders are relative to their file", async () => {
    const { config } = await loadConfig("/etc/gw.yaml", worldOf({ ...three, "/etc/t.d/a.yaml": tenant("a.example", 1, dirs("a-certs")) }))
    assert.deepEqual([...config.tenantDirs], [["/etc/t.d/a.yaml", ["/etc/t.d/a-certs"]]])
  })
})

describe("reading again", () => {
  it("nothing changed: no file is read, and every domain is the same object", async () => {
    const world = worldOf()
    const { config } = await loadConfig("/etc/gw.yaml", world)
    const { config: same, read } = await again(world, config)
    assert.deepEqual(read, [])
    assert.deepEqual([...same.domains.values()].map((hosted) => hosted === config.domains.get(hosted.name)), [true, true, true])
    assert.deepEqual(same.sources, config.sources)
  })
  it("known changes: only those files are even looked at", async () => {
    const world = worldOf()
    const { config } = await loadConfig("/etc/gw.yaml", world)
    world.files.set("/etc/t.d/b.yaml", tenant("b.example", 2, "    suspended: true\n"))
    world.files.set("/etc/t.d/c.yaml", tenant("c.example", 3, "    suspended: true\n"))
    const { config: after, read } = await again(world, config, ["/etc/t.d/b.yaml"])
    assert.deepEqual(read, ["/etc/t.d/b.yaml"])
    assert.deepEqual(world.files.asked.filter((line) => line.includes("c.yaml")), [])
    assert.deepEqual([a, b, c].map((name) => after.domains.get(name) === config.domains.get(name)), [true, false, true])
    assert.equal(after.domains.get(b)!.suspended, true)
    assert.equal(after.domains.get(b)!.secret, config.domains.get(b)!.secret, "its secret was not read again")
  })
  it("a file that came, and one that went", async () => {
    for (const hint of [undefined, ["/etc/t.d/d.yaml", "/etc/t.d/a.yaml"]]) {
      const world = worldOf()
      const { config } = await loadConfig("/etc/gw.yaml", world)
      world.files.files.delete("/etc/t.d/a.yaml")
      world.files.set("/etc/t.d/d.yaml", tenant("d.example", 4))
      const { config: after, read } = await again(world, config, hint)
      assert.deepEqual([...after.domains.keys()].sort(), ["b.example", "c.example", "d.example"])
      assert.deepEqual(read, ["/etc/t.d/d.yaml", "/secrets/4"])
      assert.deepEqual([...after.sources].sort(), ["/etc/gw.yaml", "/etc/t.d/b.yaml", "/etc/t.d/c.yaml", "/etc/t.d/d.yaml"])
      const { config: back } = await again(world, after)
      assert.deepEqual([...back.domains.keys()].sort(), [...after.domains.keys()].sort())
    }
  })
  it("a secret that changed is read by whoever looks at everything, or knows of it", async () => {
    for (const hint of [undefined, ["/secrets/2"]]) {
      const world = worldOf()
      const { config } = await loadConfig("/etc/gw.yaml", world)
      world.files.set("/secrets/2", secret(5))
      const { config: after, read } = await again(world, config, hint)
      assert.deepEqual(read, ["/etc/t.d/b.yaml", "/secrets/2"])
      assert.notEqual(after.domains.get(b)!.secret.handshake("x"), config.domains.get(b)!.secret.handshake("x"))
      assert.equal(after.domains.get(a), config.domains.get(a))
    }
  })
  it("one file with many domains: those that are as they were stay the same objects", async () => {
    const many = (flag: string): string => `domains:\n${[1, 2, 3].map((n) => `  - { name: d${n}.example, component: { secret: { file: /secrets/${n} } }${n === 2 ? flag : ""} }\n`).join("")}`
    const world = worldOf({ ...three }, `${main.replace("include: [t.d/*.yaml]\n", "")}${many("")}`)
    const { config } = await loadConfig("/etc/gw.yaml", world)
    world.files.set("/etc/gw.yaml", `${main.replace("include: [t.d/*.yaml]\n", "")}${many(", suspended: true")}`)
    const { config: after, read } = await again(world, config)
    assert.deepEqual(read, ["/etc/gw.yaml"])
    assert.deepEqual(["d1.example", "d2.example", "d3.example"].map((name) => after.domains.get(parseDomain(name)) === config.domains.get(parseDomain(name))), [true, false, true])
  })
  it("an exception that ended is told although its file is as it was", async () => {
    const world = worldOf(three, main.replace("  resolver:", "  exceptions: [{ peer: old.example, require: encrypted, until: 2026-12-01, why: x }]\n  resolver:"))
    const { config, warnings } = await loadConfig("/etc/gw.yaml", world)
    assert.deepEqual(warnings, [])
    const later = await loadConfig("/etc/gw.yaml", { ...world, now: testNow + 20 * 86_400_000, previous: config })
    assert.match(later.warnings.map(({ sentence }) => sentence).join(), /policy\.exception-ended/)
  })
})
