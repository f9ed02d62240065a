// The files port: atomic writes with their mode, and a watch that sees renames, links and new folders.
import assert from "node:assert/strict"
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, describe, test } from "node:test"
import { PathWatch } from "../../src/node/file-watch.ts"
import { blockingFiles, createFiles } from "../../src/node/files.ts"

const base = mkdtempSync(join(tmpdir(), "files-"))
after(() => rmSync(base, { recursive: true, force: true }))
let made = 0
const fresh = (): string => {
  const folder = join(base, String(made++))
  mkdirSync(folder)
  return folder
}

describe("files", () => {
  const files = createFiles()

  test("write makes folders, has its mode at once, leaves no draft, and read gives it back", async () => {
    const path = join(fresh(), "deep", "er", "secret")
    await files.write(path, Buffer.from("one"), { mode: 0o600 })
    assert.equal(statSync(path).mode & 0o777, 0o600)
    await files.write(path, Buffer.from("two"), { mode: 0o600 })
    assert.equal(Buffer.from(await files.read(path)).toString(), "two")
    assert.deepEqual(readdirSync(join(path, "..")), ["secret"])
  })

  test("a write that fails leaves the old content and no draft", async () => {
    const folder = fresh()
    const path = join(folder, "taken")
    mkdirSync(path)
    await assert.rejects(files.write(path, Buffer.from("x"), { mode: 0o600 }))
    assert.deepEqual(readdirSync(folder), ["taken"])
  })

  test("list and stat tell kinds; stat follows links", async () => {
    const folder = fresh()
    writeFileSync(join(folder, "file"), "12345", { mode: 0o640 })
    mkdirSync(join(folder, "sub"))
    symlinkSync("file", join(folder, "link"))
    const listed = (await files.list(folder)).map(({ path, kind }) => [path.slice(folder.length + 1), kind]).sort()
    assert.deepEqual(listed, [
      ["file", "file"],
      ["link", "other"],
      ["sub", "directory"],
    ])
    const linked = await files.stat(join(folder, "link"))
    assert.deepEqual([linked.kind, linked.size, linked.mode], ["file", 5, 0o640])
    await files.remove(join(folder, "file"))
    await assert.rejects(files.stat(join(folder, "link")), { code: "ENOENT" })
  })
})

/** Only events tell of a change: the poll comes later than any test ends, ms. */
const times = { settle: 40, poll: 600_000 }
/** For a report; the machine may have other things to do, ms. */
const patience = 60_000

describe("watch", () => {
  /** Counts reports; `next` resolves with the following one. */
  async function watching(path: string, wanted = times) {
    let count = 0
    let wake: (() => void) | undefined
    const watch = new PathWatch(path, wanted, () => {
      count += 1
      wake?.()
    })
    await watch.begun
    return {
      stop: () => watch.stop(),
      count: () => count,
      next: (): Promise<void> =>
        new Promise((resolve, reject) => {
          const seen = count
          const timer = setTimeout(() => reject(new Error(`no report about ${path}`)), patience)
          wake = () => {
            if (count === seen) return
            clearTimeout(timer)
            resolve()
          }
        }),
    }
  }
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

  const cases: [name: string, prepare: (folder: string) => void, change: (folder: string) => void][] = [
    ["a new file", () => undefined, (folder) => writeFileSync(join(folder, "new"), "x")],
    [
      "changed content of the same size",
      (folder) => writeFileSync(join(folder, "a"), "x"),
      (folder) => writeFileSync(join(folder, "a"), "y"),
    ],
    ["a removed file", (folder) => writeFileSync(join(folder, "a"), "x"), (folder) => unlinkSync(join(folder, "a"))],
    [
      "a file replaced by a rename, as careful programs do",
      (folder) => writeFileSync(join(folder, "a"), "x"),
      (folder) => {
        writeFileSync(join(folder, ".a.new"), "y")
        renameSync(join(folder, ".a.new"), join(folder, "a"))
      },
    ],
    [
      "a link that leads elsewhere, as certbot does",
      (folder) => {
        mkdirSync(join(folder, "../archive"), { recursive: true })
        writeFileSync(join(folder, "../archive/cert1"), "1")
        writeFileSync(join(folder, "../archive/cert2"), "2")
        mkdirSync(join(folder, "a.example"))
        symlinkSync("../../archive/cert1", join(folder, "a.example/cert"))
      },
      (folder) => {
        symlinkSync("../../archive/cert2", join(folder, "a.example/cert.new"))
        renameSync(join(folder, "a.example/cert.new"), join(folder, "a.example/cert"))
      },
    ],
    [
      "the target of a link outside the folder",
      (folder) => {
        mkdirSync(join(folder, "../elsewhere"), { recursive: true })
        writeFileSync(join(folder, "../elsewhere/cert"), "1")
        symlinkSync("../elsewhere/cert", join(folder, "cert"))
      },
      (folder) => writeFileSync(join(folder, "../elsewhere/cert"), "2"),
    ],
    [
      "a folder swapped behind a link, as mounted secrets are",
      (folder) => {
        for (const version of ["v1", "v2"]) {
          mkdirSync(join(folder, version))
          writeFileSync(join(folder, version, "tls.crt"), version)
        }
        symlinkSync("v1", join(folder, "..data"))
        symlinkSync("..data/tls.crt", join(folder, "tls.crt"))
      },
      (folder) => {
        symlinkSync("v2", join(folder, "..tmp"))
        renameSync(join(folder, "..tmp"), join(folder, "..data"))
      },
    ],
    [
      "a file in a folder that is new itself",
      () => undefined,
      (folder) => {
        mkdirSync(join(folder, "b.example"))
        writeFileSync(join(folder, "b.example", "cert"), "x")
      },
    ],
  ]
  for (const [name, prepare, change] of cases)
    test(`reports ${name}`, { timeout: 2 * patience }, async () => {
      const folder = join(fresh(), "watched")
      mkdirSync(folder)
      prepare(folder)
      const watch = await watching(folder)
      assert.equal(watch.count(), 0)
      const report = watch.next()
      change(folder)
      await report
      watch.stop()
    })

  test("many changes in a row are one report; none is made for what did not change", { timeout: 2 * patience }, async () => {
    const folder = fresh()
    const path = join(folder, "a")
    writeFileSync(path, "0")
    const settle = 500
    const watch = await watching(folder, { settle, poll: 600_000 })
    const report = watch.next()
    for (let n = 0; n < 10; n += 1) {
      writeFileSync(path, String(n))
      await pause(10)
    }
    await report
    await pause(settle + 100)
    assert.equal(watch.count(), 1)
    readFileSync(path)
    await pause(settle + 100)
    assert.equal(watch.count(), 1)
    watch.stop()
  })

  test("a file watched by its own path, and one that does not exist yet", { timeout: 2 * patience }, async () => {
    const folder = fresh()
    const path = join(folder, "config.yaml")
    const watch = await watching(path)
    writeFileSync(join(folder, "neighbour"), "x")
    await pause(150)
    assert.equal(watch.count(), 0, "a neighbour does not count")
    const report = watch.next()
    writeFileSync(path, "x")
    await report
    watch.stop()
  })

  test("the poll sees what no event told", { timeout: 2 * patience }, async () => {
    const folder = join(fresh(), "not", "there", "yet")
    const watch = await watching(folder, { settle: 20, poll: 50 })
    const report = watch.next()
    mkdirSync(folder, { recursive: true })
    await report
    watch.stop()
  })

  test("after stop there is silence", { timeout: 2 * patience }, async () => {
    const folder = fresh()
    const watch = await watching(folder)
    writeFileSync(join(folder, "a"), "x")
    watch.stop()
    await pause(200)
    assert.equal(watch.count(), 0)
  })
})

describe("what a watch reports", () => {
  async function reported(folder: string, change: () => void): Promise<string[]> {
    let stop: () => void = () => undefined
    try {
      return await new Promise((resolve, reject) => {
        setTimeout(() => reject(new Error("no report")), patience).unref()
        const watch = new PathWatch(folder, times, (paths) => resolve(paths.map((path) => path.slice(folder.length)).sort()))
        stop = () => watch.stop()
        void watch.begun.then(change)
      })
    } finally {
      stop()
    }
  }

  test("the paths that changed, came and went, and no others", { timeout: 2 * patience }, async () => {
    const folder = fresh()
    for (const name of ["a", "b", "c"]) writeFileSync(join(folder, name), name)
    const paths = await reported(folder, () => {
      writeFileSync(join(folder, "a"), "changed")
      unlinkSync(join(folder, "b"))
      writeFileSync(join(folder, "d"), "new")
      writeFileSync(join(folder, "x.part"), "draft")
      unlinkSync(join(folder, "x.part"))
    })
    assert.deepEqual(paths, ["/a", "/b", "/d"])
  })

  test("everything below a folder that came or went", { timeout: 2 * patience }, async () => {
    const folder = fresh()
    mkdirSync(join(folder, "old"))
    writeFileSync(join(folder, "old", "cert"), "1")
    const paths = await reported(folder, () => {
      rmSync(join(folder, "old"), { recursive: true })
      mkdirSync(join(folder, "new", "deep"), { recursive: true })
      writeFileSync(join(folder, "new", "deep", "cert"), "1")
    })
    assert.deepEqual(paths, ["/new", "/new/deep", "/new/deep/cert", "/old", "/old/cert"])
  })

  test("the link whose target changed, by its own path", { timeout: 2 * patience }, async () => {
    const outer = fresh()
    const folder = join(outer, "live")
    for (const each of ["live", "archive"]) mkdirSync(join(outer, each))
    for (const name of ["a", "b"]) {
      writeFileSync(join(outer, "archive", name), name)
      symlinkSync(`../archive/${name}`, join(folder, name))
    }
    assert.deepEqual(await reported(folder, () => writeFileSync(join(outer, "archive", "a"), "changed")), ["/a"])
  })

  test("blocking reads see the same as the others", async () => {
    const folder = fresh()
    writeFileSync(join(folder, "a"), "x", { mode: 0o640 })
    symlinkSync("a", join(folder, "l"))
    const files = createFiles()
    const blocking = blockingFiles(files)
    for (const name of ["a", "l", "."]) assert.deepEqual(await blocking.stat(join(folder, name)), await files.stat(join(folder, name)))
    assert.deepEqual(await blocking.list(folder), await files.list(folder))
    assert.deepEqual(await blocking.read(join(folder, "a")), await files.read(join(folder, "a")))
    const { stamp, owner, link } = await files.stat(join(folder, "l"))
    assert.deepEqual([owner, link], ["self", true])
    writeFileSync(join(folder, "a"), "y")
    assert.notEqual((await files.stat(join(folder, "l"))).stamp, stamp)
    await assert.rejects(blocking.read(join(folder, "none")), { code: "ENOENT" })
  })
})
