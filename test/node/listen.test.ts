// The listen port: addresses, Unix sockets with their mode, ends and troubles (security.md 20, 21; ports.ts Listen).
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { chmodSync, existsSync, lstatSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, describe, test } from "node:test"
import { createListen } from "../../src/node/listen.ts"
import type { Channel } from "../../src/ports.ts"
import { Recorder } from "../world/recorder.ts"
import { acceptor, settle, tcpPair } from "./sockets.ts"

const folder = mkdtempSync(join(tmpdir(), "listen-"))
after(() => rmSync(folder, { recursive: true, force: true }))
const drop = (channel: Channel): void => channel.destroy()

describe("TCP", () => {
  test("port 0 picks a free port, a taken one is an error that names it", async () => {
    const listen = createListen()
    const first = await listen.listen({ address: "127.0.0.1", port: 0 }, drop)
    assert.ok(first.address.port > 0)
    assert.equal(first.address.address, "127.0.0.1")
    await assert.rejects(listen.listen(first.address, drop), { code: "EADDRINUSE" })
    await first.close()
    const again = await listen.listen(first.address, drop)
    assert.deepEqual(again.address, first.address)
    await again.close()
  })

  test("an address that is not ours is an error", async () => {
    await assert.rejects(createListen().listen({ address: "192.0.2.1", port: 0 }, drop), { code: "EADDRNOTAVAIL" })
  })

  test("a wildcard takes both families, and IPv4 peers appear in their plain form", async () => {
    const { listener, next } = await acceptor({ address: "::", port: 0 })
    for (const host of ["127.0.0.1", "::1"]) {
      const raw = connect({ port: listener.address.port, host })
      const channel = await next()
      assert.equal(channel.remote.address, host)
      channel.destroy()
      raw.destroy()
    }
    await listener.close()
  })

  test("close stops accepting at once and leaves existing channels alone", async () => {
    const { listener, next } = await acceptor()
    const raw = connect({ port: listener.address.port, host: "127.0.0.1" })
    const channel = await next()
    const recorder = new Recorder()
    channel.attach(recorder)
    await listener.close()
    const refused = connect({ port: listener.address.port, host: "127.0.0.1" })
    const [error] = (await once(refused, "error")) as [NodeJS.ErrnoException]
    assert.equal(error.code, "ECONNREFUSED")
    raw.write("still here")
    await recorder.untilText("still here")
    raw.destroy()
    channel.destroy()
  })

  test("a peer that is gone before it was looked at is not handed on, or ends like any other", async () => {
    const { listener, next } = await acceptor()
    for (let n = 0; n < 20; n += 1) {
      const raw = connect({ port: listener.address.port, host: "127.0.0.1" })
      raw.on("error", () => raw.destroy())
      raw.resetAndDestroy()
    }
    const raw = connect({ port: listener.address.port, host: "127.0.0.1" })
    raw.write("x")
    const recorder = new Recorder()
    for (;;) {
      const channel = await next()
      channel.attach(recorder)
      await settle()
      if (recorder.text === "x") break
      channel.destroy()
    }
    raw.destroy()
    await listener.close()
  })

  test("nothing is read from a peer before somebody listens to it: 64 MB stay where they are", async () => {
    const { a, b, close } = await tcpPair()
    const block = Buffer.alloc(1 << 20)
    for (let n = 0; n < 64; n += 1) a.write(block)
    await settle()
    assert.ok(a.backlog > 32 << 20, `${a.backlog} octets wait at the sender`)
    assert.equal(b.backlog, 0)
    await close()
  })
})

describe("Unix sockets", () => {
  test("have their mode before anybody can connect, whatever the mask of the process", async () => {
    for (const [mode, expected] of [
      [undefined, 0o660],
      [0o600, 0o600],
      [0o666, 0o666],
    ] as const) {
      const path = join(folder, `mode-${expected.toString(8)}`)
      const mask = process.umask(0o022)
      const listening = createListen(mode === undefined ? {} : { unixMode: mode }).listen({ path }, drop)
      // At this moment the socket exists already, and the mask is what it was.
      assert.equal(statSync(path).mode & 0o777, expected)
      assert.equal(process.umask(mask), 0o022)
      const listener = await listening
      assert.deepEqual(listener.address, { address: path, port: 0 })
      await listener.close()
      assert.equal(existsSync(path), false, "taken away with the listener")
    }
  })

  test("a socket left behind by a process that was killed is replaced; a living one, or a file, is not", async () => {
    const path = join(folder, "stale")
    const child = spawn(
      process.execPath,
      ["-e", `require("node:net").createServer().listen(${JSON.stringify(path)}, () => console.log("up"))`],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    )
    await once(child.stdout, "data")
    await assert.rejects(createListen().listen({ path }, drop), { code: "EADDRINUSE" })
    child.kill("SIGKILL")
    await once(child, "close")
    assert.ok(lstatSync(path).isSocket())
    const listener = await createListen().listen({ path }, drop)
    await listener.close()
    writeFileSync(path, "precious")
    await assert.rejects(createListen().listen({ path }, drop), { code: "EADDRINUSE" })
    assert.equal(lstatSync(path).size, 8)
  })

  test("a folder that may not be written is an error", async () => {
    const locked = mkdtempSync(join(folder, "locked-"))
    chmodSync(locked, 0o500)
    const listening = createListen().listen({ path: join(locked, "missing", "socket") }, drop)
    await assert.rejects(listening, (error: NodeJS.ErrnoException) => error.code === "ENOENT" || error.code === "EACCES")
  })
})
