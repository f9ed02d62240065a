// The small HTTP server over real sockets: what it answers, each bound, and what hostile clients get (security.md 20; RFC 9112).
import assert from "node:assert/strict"
import { mkdtempSync, rmSync, statSync } from "node:fs"
import { get } from "node:http"
import { connect, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, test } from "node:test"
import tls from "node:tls"
import { DialError, HttpsError } from "../../src/model/errors.ts"
import { systemClock } from "../../src/node/clock.ts"
import { createHttpServe, type HttpServeOptions } from "../../src/node/http-serve.ts"
import { createListen } from "../../src/node/listen.ts"
import { createTls } from "../../src/node/tls.ts"
import { createNodeWorld } from "../../src/node/world.ts"
import type { HttpAnswer, HttpRequest, Listener, Tls, TlsCredentials } from "../../src/ports.ts"
import { asking, https } from "./https-server.ts"
import { authority, clientCertificate, credentialsOf, inTime, loopback, serverCertificate, settle } from "./sockets.ts"

const ok: HttpAnswer = { status: 200, headers: { "Content-Type": "application/json" }, body: '{"a":1}' }
const listeners: Listener[] = []
const sockets = new Set<Socket>()
afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  sockets.clear()
  for (const listener of listeners.splice(0)) await listener.close()
})

interface Serving {
  readonly port: number
  readonly requests: HttpRequest[]
  readonly listener: Listener
}

async function serving(
  options: {
    handle?: (request: HttpRequest) => HttpAnswer
    secured?: { pick(name: string | undefined): TlsCredentials | undefined } | undefined
  } & Partial<HttpServeOptions> = {},
): Promise<Serving> {
  const { handle = () => ok, secured, ...rest } = options
  const requests: HttpRequest[] = []
  const serve = createHttpServe({ listen: createListen(), tls: createTls(), clock: systemClock, ...rest })
  const answer = (request: HttpRequest): HttpAnswer => {
    requests.push(request)
    return handle(request)
  }
  const listener = await serve.serve({ address: "127.0.0.1", port: 0 }, answer, secured)
  listeners.push(listener)
  return { port: listener.address.port, requests, listener }
}

function dialled(port: number): Socket {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true })
  sockets.add(socket)
  return socket.on("error", () => socket.destroy())
}

/** Everything that comes until the server ends the connection. */
function rest(socket: Socket): Promise<string> {
  let text = ""
  socket.on("data", (bytes: Buffer) => (text += bytes.toString("latin1")))
  return new Promise((resolve) => {
    socket.on("end", () => socket.end())
    socket.on("close", () => resolve(text))
  })
}

/** Sends the text as it is and reads until the end. */
const exchange = (port: number, text: string | Buffer): Promise<string> => {
  const socket = dialled(port)
  socket.write(text)
  return rest(socket)
}

/** One request that asks for the end afterwards. */
const asks = (head: string): string => `${head}\r\nConnection: close\r\n\r\n`
const statuses = (text: string): number[] => [...text.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => Number(status))

describe("answers", { timeout: 60_000 }, () => {
  test("method, path without query, host in one form, and who asks", async () => {
    const { port, requests } = await serving()
    const cases: [string, string, string][] = [
      ["GET / HTTP/1.1\r\nHost: a.example", "/", "a.example"],
      ["GET /a/b?c=d HTTP/1.1\r\nHost: A.Example:5269", "/a/b", "a.example"],
      ["GET /a%20b#c HTTP/1.1\r\nHost: a.example.", "/a%20b", "a.example"],
      ["GET /x HTTP/1.1\r\nHost: [::1]:80", "/x", "[::1]"],
      ["GET http://B.example:80/y?z HTTP/1.1\r\nHost: a.example", "/y", "b.example"],
      ["GET https://b.example HTTP/1.1\r\nHost: b.example", "/", "b.example"],
      ["GET /old HTTP/1.0", "/old", ""],
      ["GET /empty HTTP/1.1\r\nHost:", "/empty", ""],
    ]
    for (const [head, path, host] of cases) {
      const answer = await exchange(port, asks(head))
      assert.deepEqual(statuses(answer), [200], head)
      assert.match(answer, /Content-Length: 7\r\n/)
      assert.ok(answer.endsWith('\r\n\r\n{"a":1}'), answer)
      const { remote, ...request } = requests.at(-1)!
      assert.deepEqual(request, { method: "GET", path, host })
      assert.equal(remote.address, "127.0.0.1")
    }
  })

  test("an answer to HEAD has the length and no body; other methods are the handler's to refuse", async () => {
    const { port } = await serving({
      handle: ({ method }) => (method === "GET" || method === "HEAD" ? ok : { status: 405, headers: { Allow: "GET, HEAD" }, body: "" }),
    })
    const head = await exchange(port, asks("HEAD / HTTP/1.1\r\nHost: a.example"))
    assert.match(head, /Content-Length: 7\r\n/)
    assert.ok(head.endsWith("\r\n\r\n"))
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
      assert.deepEqual(statuses(await exchange(port, asks(`${method} / HTTP/1.1\r\nHost: a.example`))), [405])
    assert.equal(await exchange(port, "CONNECT b.example:443 HTTP/1.1\r\nHost: b.example\r\n\r\n"), "")
  })

  test("several requests on one connection, also in one flight", async () => {
    const { port, requests } = await serving({ handle: ({ path }) => ({ ...ok, body: path }) })
    const one = "GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\n"
    const answer = await exchange(port, one + one.replace("/1", "/2") + asks("GET /3 HTTP/1.1\r\nHost: a.example"))
    assert.deepEqual(statuses(answer), [200, 200, 200])
    assert.deepEqual(
      requests.map(({ path }) => path),
      ["/1", "/2", "/3"],
    )
  })

  test("a handler that throws, or says nonsense, is a 500 and is reported; the next request is answered", async () => {
    const troubles: unknown[] = []
    let wrong = 0
    const wrongs: (() => HttpAnswer)[] = [
      () => {
        throw new RangeError("mine")
      },
      () => ({ ...ok, headers: { "X-A": "b\r\nc: d" } }),
      () => ({ ...ok, status: 99_999 }),
    ]
    const { port } = await serving({
      handle: ({ path }) => (path === "/" ? ok : wrongs[wrong]!()),
      troubled: (error) => troubles.push(error),
    })
    for (wrong = 0; wrong < wrongs.length; wrong += 1) {
      const answer = await exchange(port, `GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n${asks("GET / HTTP/1.1\r\nHost: a.example")}`)
      assert.deepEqual(statuses(answer), [500, 200])
      assert.equal(troubles.length, wrong + 1)
    }
  })
})

describe("requests that are refused", { timeout: 60_000 }, () => {
  const cases: [string, string, number][] = [
    ["no host", "GET / HTTP/1.1\r\n\r\n", 400],
    ["two hosts", asks("GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example"), 400],
    ["a host with a user", asks("GET / HTTP/1.1\r\nHost: x@a.example"), 400],
    ["a host with a path", asks("GET / HTTP/1.1\r\nHost: a.example/b"), 400],
    ["a target that is no path", asks("GET ftp://a.example/ HTTP/1.1\r\nHost: a.example"), 400],
    ["an asterisk", asks("OPTIONS * HTTP/1.1\r\nHost: a.example"), 400],
    ["no HTTP", "<stream:stream xmlns='jabber:server'>\r\n\r\n", 400],
    ["a header that is too long", `GET / HTTP/1.1\r\nHost: a.example\r\nX: ${"x".repeat(9000)}\r\n\r\n`, 431],
    ["a target that is too long", `GET /${"x".repeat(9000)} HTTP/1.1\r\nHost: a.example\r\n\r\n`, 431],
    [
      "length and transfer coding",
      "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      400,
    ],
    ["HTTP/2 without asking", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400],
  ]
  for (const [what, text, status] of cases)
    test(`${what}: ${status}`, async () => {
      const { port, requests } = await serving()
      const answer = await exchange(port, text)
      assert.deepEqual(statuses(answer), [status])
      assert.deepEqual(requests, [])
    })

  test("the body of a request is not read: the connection ends with the answer; nothing in it is taken for a request", async () => {
    const { port, requests } = await serving()
    const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"
    const body = `POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`
    assert.deepEqual(statuses(await exchange(port, body)), [200])
    const expecting = "POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    assert.deepEqual(statuses(await exchange(port, expecting)), [200])
    assert.deepEqual(
      requests.map(({ path }) => path),
      ["/", "/"],
    )
  })

  test("a body without end is cut off by its octets", async () => {
    const { port } = await serving({ limits: { life: 10_000 } })
    const socket = dialled(port)
    socket.write("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n")
    let sent = 0
    const chunk = `1000\r\n${"x".repeat(0x1000)}\r\n`
    const timer = setInterval(() => {
      sent += chunk.length
      if (socket.writable) socket.write(chunk)
    }, 1)
    await new Promise((resolve) => socket.on("close", resolve).resume())
    clearInterval(timer)
    assert.ok(sent < 5_000_000, `${sent} octets`)
  })
})

describe("bounds", { timeout: 60_000 }, () => {
  const quick = { head: 400, idle: 400, handshake: 400, life: 60_000 }

  test("a client that says nothing, or drips its header, is closed in time, and so is one that stays idle after an answer", async () => {
    const { port } = await serving({ limits: quick })
    const began = performance.now()
    assert.equal(await exchange(port, ""), "")
    const dripping = dialled(port)
    const timer = setInterval(() => dripping.write("GET / HTTP/1.1\r\n"[0]!), 20)
    await rest(dripping)
    clearInterval(timer)
    assert.deepEqual(statuses(await exchange(port, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")), [200])
    assert.ok(performance.now() - began < 20_000, "before its life was over")
  })

  test("no connection outlives its life, however busy; a TLS handshake that stops is given up", async () => {
    const { port } = await serving({ limits: { life: 1000, idle: 30_000, head: 30_000 } })
    const busy = dialled(port)
    const timer = setInterval(() => busy.writable && busy.write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"), 20)
    const answers = statuses(await rest(busy))
    clearInterval(timer)
    assert.ok(answers.length > 2, `${answers.length} answers`)
    const secured = await serving({ limits: quick, secured: { pick: () => serverCertificate } })
    assert.equal(await exchange(secured.port, Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01])), "")
    assert.equal(await exchange(secured.port, ""), "")
  })

  test("connections are bounded in total and for each address, and places come back", async () => {
    for (const limits of [
      { connections: 3, perAddress: 100 },
      { connections: 100, perAddress: 3 },
    ])
      for (const secured of [undefined, { pick: () => serverCertificate }]) {
        const { port } = await serving({ limits, secured })
        const held = [dialled(port), dialled(port), dialled(port)]
        await settle()
        assert.equal(await exchange(port, ""), "", "the fourth is closed")
        for (const socket of held) assert.equal(socket.destroyed, false)
        held[0]!.destroy()
        for (let patience = 0; patience < 50; patience += 1) await settle()
        const again = dialled(port)
        await settle()
        assert.equal(again.readableEnded, false)
        assert.equal(again.destroyed, false, "there is a place again")
      }
  })

  test("1,000 connections, some broken off at any point, leave no place taken", async () => {
    const { port } = await serving({ limits: { connections: 50, perAddress: 50 } })
    const text = asks("GET / HTTP/1.1\r\nHost: a.example")
    for (let n = 0; n < 1000; n += 1) {
      const socket = dialled(port)
      socket.write(text.slice(0, n % text.length))
      if (n % 2 === 0) await new Promise((resolve) => socket.once("connect", resolve))
      if (n % 4 === 0) socket.resetAndDestroy()
      else socket.destroy()
    }
    for (let patience = 0; patience < 20; patience += 1) await settle()
    const answers = await Promise.all(Array.from({ length: 50 }, () => exchange(port, text)))
    assert.deepEqual([...new Set(answers.flatMap(statuses))], [200])
    assert.equal(answers.flatMap(statuses).length, 50)
  })

  test("closing ends listening and every connection", async () => {
    const { port, listener } = await serving()
    const socket = dialled(port)
    const text = rest(socket)
    socket.write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
    await new Promise((resolve) => socket.once("data", resolve))
    await listener.close()
    assert.deepEqual(statuses(await text), [200])
    await assert.rejects(
      new Promise((resolve, reject) => connect({ port, host: "127.0.0.1" }).on("connect", resolve).on("error", reject)),
      /ECONNREFUSED/,
    )
  })
})

describe("TLS", { timeout: 60_000 }, () => {
  const second = credentialsOf(authority.issue({ names: { dns: ["c.example"] } }))
  const pick = (name: string | undefined): TlsCredentials | undefined =>
    name === "b.example" ? serverCertificate : name === "c.example" ? second : undefined

  test("the certificate goes by the name asked for; no name, or another, and the handshake fails", async () => {
    const { listener, requests } = await serving({ secured: { pick } })
    const chains: string[] = []
    for (const host of ["b.example", "c.example"]) {
      const answer = await https.get(asking({ at: listener.address }, { host }))
      assert.equal(answer.status, 200)
      chains.push(Buffer.from(answer.facts.chain[0]!).toString("hex"))
    }
    assert.notEqual(chains[0], chains[1])
    assert.deepEqual(
      requests.map(({ host }) => host),
      ["b.example", "c.example"],
    )
    await assert.rejects(
      https.get(asking({ at: listener.address }, { host: "d.example" })),
      (error: unknown) => error instanceof HttpsError && error.failure === "tls",
    )
    assert.equal(requests.length, 2)
  })

  test("no certificate is asked of a client, no session can be resumed, TLS 1.1 is refused, and plain HTTP gets nothing", async () => {
    const shown: number[] = []
    const transport = createTls()
    const counting: Tls = {
      ...transport,
      server: async (channel, options) => {
        const handshake = await transport.server(channel, options)
        shown.push(handshake.facts.chain.length)
        return handshake
      },
    }
    const { port } = await serving({ secured: { pick }, tls: counting })
    const asked = (options: tls.ConnectionOptions): Promise<{ text: string; reused: boolean; session: Buffer | undefined }> =>
      new Promise((resolve, reject) => {
        let session: Buffer | undefined
        let text = ""
        let reused = false
        const socket = tls.connect({ port, host: "127.0.0.1", servername: "b.example", rejectUnauthorized: false, ...options })
        sockets.add(socket)
        socket.on("session", (given: Buffer) => (session = given))
        socket.on("secureConnect", () => {
          reused = socket.isSessionReused()
          session ??= socket.getSession()
          socket.write(asks("GET / HTTP/1.1\r\nHost: b.example"))
        })
        socket.on("data", (bytes: Buffer) => (text += bytes.toString()))
        socket.on("error", reject)
        socket.on("end", () => resolve({ text, reused, session }))
      })
    for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
      const first = await asked({ maxVersion: version, cert: clientCertificate.certificatePem, key: clientCertificate.keyPem })
      assert.deepEqual(statuses(first.text), [200])
      const again = await asked({ maxVersion: version, ...(first.session === undefined ? {} : { session: first.session }) })
      assert.deepEqual([statuses(again.text), again.reused], [[200], false])
    }
    assert.deepEqual(shown, [0, 0, 0, 0], "the client had a certificate and was not asked for it")
    await assert.rejects(asked({ minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" }))
    assert.deepEqual(statuses(await exchange(port, asks("GET / HTTP/1.1\r\nHost: b.example"))), [])
  })

  test("HTTP/1.1 by ALPN; a client that knows only others is refused", async () => {
    const { port } = await serving({ secured: { pick } })
    const negotiate = (protocols: string[]): Promise<string | false | null> =>
      new Promise((resolve, reject) => {
        const socket = tls.connect({
          port,
          host: "127.0.0.1",
          servername: "b.example",
          rejectUnauthorized: false,
          ALPNProtocols: protocols,
        })
        sockets.add(socket)
        socket.on("secureConnect", () => resolve(socket.alpnProtocol)).on("error", reject)
      })
    assert.equal(await negotiate(["h2", "http/1.1"]), "http/1.1")
    await assert.rejects(negotiate(["h2"]), /no.application.protocol/i)
  })
})

describe("in the world of one gateway", { timeout: 60_000 }, () => {
  test("our own dial, and so our own HTTPS client, refuses what we serve on", async () => {
    const world = createNodeWorld({ reach: () => loopback, log: { write: () => undefined } })
    const listener = await world.httpServe.serve({ address: "127.0.0.1", port: 0 }, () => ok, { pick: () => serverCertificate })
    listeners.push(listener)
    assert.deepEqual(world.ownListeners(), [listener.address])
    const guarded = (error: unknown): boolean => error instanceof DialError && error.failure === "guarded"
    await assert.rejects(world.https.get(asking({ at: listener.address })), guarded)
    const neighbour = createNodeWorld({ reach: () => loopback, log: { write: () => undefined } })
    assert.equal((await neighbour.https.get(asking({ at: listener.address }))).status, 200)
    await listener.close()
    assert.deepEqual(world.ownListeners(), [])
  })

  test("a Unix socket has its mode, and no bound for each address", {
    skip: process.platform === "win32" ? "has no modes" : false,
  }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "http-"))
    try {
      const path = join(folder, "socket")
      const serve = createHttpServe({
        listen: createListen({ unixMode: 0o600 }),
        tls: createTls(),
        clock: systemClock,
        limits: { perAddress: 1 },
      })
      const listener = await serve.serve({ path }, ({ path: asked }) => ({ ...ok, body: asked }))
      listeners.push(listener)
      assert.equal(statSync(path).mode & 0o777, 0o600)
      const ask = (): Promise<number | undefined> =>
        new Promise((resolve, reject) => {
          get({ socketPath: path, path: "/x", agent: false, signal: inTime() }, (response) => {
            response.resume()
            response.on("end", () => resolve(response.statusCode))
          }).on("error", reject)
        })
      assert.deepEqual(await Promise.all([ask(), ask(), ask()]), [200, 200, 200])
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
