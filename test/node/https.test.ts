// The HTTPS client over real sockets: what it sends, what it takes, and each bound (security.md 17, 18; RFC 9112; POSH-02).
import assert from "node:assert/strict"
import { getEventListeners } from "node:events"
import { readdirSync } from "node:fs"
import { createServer, type Server } from "node:net"
import { describe, test } from "node:test"
import type tls from "node:tls"
import { gzipSync } from "node:zlib"
import fc from "fast-check"
import { DialError, HttpsError } from "../../src/model/errors.ts"
import { systemClock } from "../../src/node/clock.ts"
import { createDial } from "../../src/node/dial.ts"
import { createHttps } from "../../src/node/https.ts"
import { createTls } from "../../src/node/tls.ts"
import type { Https, TlsFacts } from "../../src/ports.ts"
import { asking, https, testServer, type TestServer } from "./https-server.ts"
import { authority, credentialsOf, inTime, settle } from "./sockets.ts"

const failure = (expected: HttpsError["failure"]) => (error: unknown) => {
  assert.ok(error instanceof HttpsError, String(error))
  assert.equal(error.failure, expected, error.message)
  return true
}

/** Waits until the server has no connection left: each of ours ends with its exchange. */
async function gone(server: TestServer): Promise<void> {
  for (let patience = 0; server.counts.open > 0 && patience < 200; patience += 1) await settle()
  assert.equal(server.counts.open, 0, "a connection was left open")
}

/** A server that says the same to everybody. */
const saying = (answer: string | Buffer, close = false): Promise<TestServer> =>
  testServer((socket) => {
    if (close) socket.end(answer)
    else socket.write(answer)
  })

const document = '{"fingerprints":[],"expires":1}'
const good = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${document.length}\r\n\r\n${document}`

describe("one GET", { timeout: 60_000 }, () => {
  test("status, type and body arrive with what the handshake showed; the connection ends", async () => {
    const server = await saying(good)
    const answer = await https.get(asking(server))
    assert.equal(answer.status, 200)
    assert.equal(answer.contentType, "application/json")
    assert.equal(answer.location, undefined)
    assert.equal(Buffer.from(answer.body).toString(), document)
    assert.equal(answer.facts.serverName, "b.example")
    assert.equal(answer.facts.chain.length, 1)
    await gone(server)
  })

  test("the request is one fixed text: no cookie, no credentials, no compression, and the environment's proxy is not asked", async () => {
    const before = { ...process.env }
    Object.assign(process.env, { https_proxy: "http://127.0.0.1:9", HTTPS_PROXY: "http://127.0.0.1:9", NODE_USE_ENV_PROXY: "1" })
    try {
      const server = await saying(`HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n`)
      for (let round = 0; round < 2; round += 1) await https.get(asking(server))
      const want = [
        "GET /.well-known/posh/xmpp-server.json HTTP/1.1",
        `Host: b.example:${server.at.port}`,
        "Accept: application/json",
        "Accept-Encoding: identity",
        "Connection: close",
        "User-Agent: xmpp-dna",
      ].join("\r\n")
      assert.deepEqual(server.requests, [want, want])
    } finally {
      process.env = before
    }
  })

  test("any server that speaks HTTP/1.1 will do, whether it negotiates it by ALPN or not; one that knows only others will not", async () => {
    for (const alpn of [undefined, ["http/1.1"], ["h2", "http/1.1"]]) {
      const server = await testServer((socket) => socket.write(good), alpn === undefined ? {} : { alpn })
      const answer = await https.get(asking(server))
      assert.equal(answer.facts.alpn, alpn === undefined ? undefined : "http/1.1")
    }
    const other = await testServer((socket) => socket.write(good), { alpn: ["h2"] })
    await assert.rejects(https.get(asking(other)), failure("tls"))
    assert.deepEqual(other.requests, [])
  })

  test("a redirect is reported and not followed; the body of an answer that is no success is not waited for", async () => {
    const target = await saying(good)
    const location = `https://c.example:${target.at.port}/x`
    const endless = `HTTP/1.1 302 Found\r\nLocation: ${location}\r\nContent-Encoding: gzip\r\nContent-Length: 99999999\r\n\r\nsome`
    const server = await saying(endless)
    const answer = await https.get(asking(server))
    assert.deepEqual([answer.status, answer.location, answer.body.length], [302, location, 0])
    assert.equal(target.counts.accepted, 0)
    for (const status of [404, 410, 500, 503]) {
      const failing = await saying(`HTTP/1.1 ${status} No\r\nTransfer-Encoding: chunked\r\n\r\n`)
      assert.equal((await https.get(asking(failing))).status, status)
      await gone(failing)
    }
  })

  test("bodies: by length, in chunks, until the end, and none", async () => {
    const cases: [string, string, boolean][] = [
      [`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: x\r\n\r\n`, "abcde", false],
      ["HTTP/1.1 200 OK\r\n\r\nabcde", "abcde", true],
      ["HTTP/1.0 200 OK\r\n\r\nabcde", "abcde", true],
      ["HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 5\r\n\r\nabcde", "abcde", false],
      ["HTTP/1.1 204 No Content\r\n\r\n", "", false],
      ["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", false],
    ]
    for (const [text, body, close] of cases) {
      const server = await saying(text, close)
      const answer = await https.get(asking(server))
      assert.equal(Buffer.from(answer.body).toString(), body, text)
      await gone(server)
    }
  })
})

describe("the certificate comes first", { timeout: 60_000 }, () => {
  test("accept is asked once, with the chain, before a byte is sent; false: the server never sees a request", async () => {
    const server = await saying(good)
    const seen: TlsFacts[] = []
    const refused = https.get(
      asking(server, {
        accept: (facts) => {
          seen.push(facts)
          return false
        },
      }),
    )
    await assert.rejects(refused, (error: unknown) => {
      failure("refused")(error)
      assert.deepEqual((error as HttpsError).chain, seen[0]?.chain)
      return true
    })
    assert.equal(seen.length, 1)
    assert.equal(seen[0]?.chain.length, 1)
    await gone(server)
    assert.equal(server.counts.accepted, 1)
    assert.deepEqual(server.requests, [])
  })

  test("the same with a weakened client, which judges when the answer is there: the wrong server has seen the request", async () => {
    const server = await saying(good)
    const judgingLate: Https = {
      get: async (request) => {
        const answer = await https.get({ ...request, accept: () => true })
        if (request.accept(answer.facts)) return answer
        throw new HttpsError("refused", "judged late")
      },
    }
    await assert.rejects(judgingLate.get(asking(server, { path: "/secret", accept: () => false })), failure("refused"))
    assert.match(server.requests.join(), /^GET \/secret /)
  })

  test("what accept throws comes out, and no request is sent", async () => {
    const server = await saying(good)
    const accept = (): boolean => {
      throw new RangeError("mine")
    }
    await assert.rejects(https.get(asking(server, { accept })), RangeError)
    await gone(server)
    assert.deepEqual(server.requests, [])
  })

  test("intermediates are part of what is shown, and of later errors", async () => {
    const issued = authority.intermediate({ name: "Middle" }).issue({ names: { dns: ["b.example"] } })
    const server = await testServer((socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"), {
      credentials: credentialsOf(issued),
    })
    await assert.rejects(https.get(asking(server)), (error: unknown) => {
      failure("closed")(error)
      assert.deepEqual(
        (error as HttpsError).chain.map((der) => Buffer.from(der)),
        issued.chain,
      )
      return true
    })
  })
})

describe("bounds", { timeout: 60_000 }, () => {
  const cases: { what: string; answer: string | Buffer; want: HttpsError["failure"]; close?: boolean }[] = [
    { what: "a length above the bound", answer: "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", want: "too-large" },
    { what: "a body without length above the bound", answer: `HTTP/1.1 200 OK\r\n\r\n${"x".repeat(1001)}`, want: "too-large" },
    {
      what: "chunks above the bound",
      answer: `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n${"x".repeat(1001)}`,
      want: "too-large",
    },
    { what: "header octets", answer: `HTTP/1.1 200 OK\r\nX: ${"x".repeat(20_000)}\r\n\r\n`, want: "too-large" },
    { what: "many header fields", answer: `HTTP/1.1 200 OK\r\n${"a: b\r\n".repeat(4000)}\r\n`, want: "too-large" },
    {
      what: "chunk extensions",
      answer: `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${`1;${"x".repeat(9000)}\r\ny\r\n`.repeat(30)}`,
      want: "too-large",
    },
    {
      what: "trailers",
      answer: `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n${"a: b\r\n".repeat(20_000)}`,
      want: "too-large",
    },
    {
      what: "gzip",
      answer: Buffer.concat([Buffer.from("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"), gzipSync(Buffer.alloc(100_000))]),
      want: "encoded",
    },
    { what: "two codings", answer: "HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Encoding: br\r\n\r\n", want: "encoded" },
    { what: "gzip as a transfer coding", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", want: "encoded" },
    {
      what: "length and transfer coding",
      answer: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      want: "protocol",
    },
    { what: "two lengths", answer: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", want: "protocol" },
    { what: "a negative length", answer: "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", want: "protocol" },
    { what: "a length beyond all numbers", answer: `HTTP/1.1 200 OK\r\nContent-Length: ${"9".repeat(30)}\r\n\r\n`, want: "protocol" },
    { what: "a chunk that is none", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", want: "protocol" },
    {
      what: "two places to go",
      answer: "HTTP/1.1 302 Found\r\nLocation: https://a.example/\r\nLocation: https://b.example/\r\nContent-Length: 0\r\n\r\n",
      want: "protocol",
    },
    {
      what: "two types",
      answer: "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n",
      want: "protocol",
    },
    { what: "interim answers without end", answer: "HTTP/1.1 102 Processing\r\n\r\n".repeat(100), want: "protocol" },
    {
      what: "another protocol",
      answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
      want: "protocol",
    },
    { what: "no HTTP at all", answer: "220 mail.b.example ESMTP\r\n", want: "protocol" },
    { what: "a line folded over two", answer: "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n", want: "protocol" },
    { what: "lines that end with LF alone", answer: "HTTP/1.1 200 OK\nContent-Length: 0\n\n", want: "protocol" },
    { what: "nothing, then the end", answer: "", want: "closed", close: true },
    { what: "half a header, then the end", answer: "HTTP/1.1 200 OK\r\nContent-", want: "closed", close: true },
    { what: "half a body, then the end", answer: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", want: "closed", close: true },
    {
      what: "half a chunk, then the end",
      answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
      want: "closed",
      close: true,
    },
  ]
  for (const { what, answer, want, close = false } of cases)
    test(`${what}: ${want}`, async () => {
      const server = await saying(answer, close)
      await assert.rejects(https.get(asking(server)), failure(want))
      await gone(server)
    })

  test("a body of exactly the bound is taken, also in chunks of one octet", async () => {
    const whole = await saying(`HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n${"x".repeat(1000)}`)
    assert.equal((await https.get(asking(whole))).body.length, 1000)
    const chunks = await saying(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${"1\r\nx\r\n".repeat(1000)}0\r\n\r\n`)
    assert.equal((await https.get(asking(chunks))).body.length, 1000)
  })

  test("a body that never ends is given up while it arrives, not when it is whole", async () => {
    let sent = 0
    const server = await testServer((socket) => {
      const more = (): void => {
        while (!socket.destroyed && sent < 50_000_000) {
          sent += 10_000
          if (!socket.write("x".repeat(10_000))) return void socket.once("drain", more)
        }
      }
      socket.write("HTTP/1.1 200 OK\r\n\r\n")
      more()
    })
    await assert.rejects(https.get(asking(server)), failure("too-large"))
    await gone(server)
    assert.ok(sent < 20_000_000, `${sent} octets`)
  })

  test("time: a server that says nothing, or drips header or body, ends with the signal", async () => {
    const drip = (first: string, text: string) => (socket: tls.TLSSocket) => {
      let at = 0
      socket.write(first)
      const timer = setInterval(() => socket.write(text[at++ % text.length]!), 2)
      socket.on("close", () => clearInterval(timer))
    }
    const scripts = [
      () => undefined,
      drip("HTTP/1.1 200 OK\r\n", "X: y\r\n"),
      drip("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", "x"),
      drip("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
    ]
    // At once, so that each can have time enough for its handshake.
    const given = scripts.map(async (script) => {
      const server = await testServer(script)
      await assert.rejects(https.get(asking(server, { signal: inTime(1500) })), (error: unknown) => {
        failure("timeout")(error)
        assert.equal((error as HttpsError).chain.length, 1)
        return true
      })
      await gone(server)
    })
    await Promise.all(given)
  })
})

describe("before HTTP", { timeout: 60_000 }, () => {
  test("given up before or while dialling: DialError; during the handshake: timeout", async () => {
    const silent = await testServer(() => undefined, {
      raw: (socket) => socket.on("end", () => socket.destroy()).resume() === socket,
    })
    await assert.rejects(
      https.get(asking(silent, { signal: AbortSignal.abort() })),
      (error: unknown) => error instanceof DialError && error.failure === "aborted",
    )
    assert.equal(silent.counts.accepted, 0)
    await assert.rejects(https.get(asking(silent, { signal: inTime(500) })), failure("timeout"))
    await gone(silent)
  })

  test("the dial guard stands before every request, our own listeners included", async () => {
    const server = await saying(good)
    const reach = { networks: [], names: [], ownListeners: [] }
    const guarded = createHttps({ dial: createDial({ reach: () => reach, clock: systemClock }), tls: createTls() })
    await assert.rejects(guarded.get(asking(server)), (error: unknown) => error instanceof DialError && error.failure === "guarded")
    assert.equal(server.counts.accepted, 0)
  })

  test("nobody there, plain HTTP, garbage, and a reset in the handshake", async () => {
    const free = await new Promise<Server>((resolve) => {
      const server = createServer().listen(0, "127.0.0.1", () => resolve(server))
    })
    const { port } = free.address() as { port: number }
    await new Promise((resolve) => free.close(resolve))
    await assert.rejects(
      https.get(asking({ at: { address: "127.0.0.1", port } })),
      (error: unknown) => error instanceof DialError && error.failure === "refused",
    )
    for (const said of ["HTTP/1.1 400 Bad Request\r\n\r\n", Buffer.alloc(500, 0x16)]) {
      const server = await testServer(() => undefined, {
        raw: (socket) => {
          socket.once("data", () => socket.end(said))
          return true
        },
      })
      await assert.rejects(https.get(asking(server)), failure("tls"))
      await gone(server)
    }
    const resetting = await testServer(() => undefined, {
      raw: (socket) => {
        socket.once("data", () => socket.resetAndDestroy())
        return true
      },
    })
    await assert.rejects(https.get(asking(resetting)), failure("tls"))
  })

  test("a path or host that could smuggle a line is refused before anything is dialled", async () => {
    const server = await saying(good)
    for (const path of ["", "x", "/a b", "/a\r\nX: y", "/\u00e9", "/a#b", `/${"x".repeat(9000)}`])
      await assert.rejects(https.get(asking(server, { path })), failure("protocol"))
    for (const host of ["", "a b", "a\r\n", "a:1", "a@b.example", "a/b", "[::1]", "a..b", `${"a.".repeat(150)}a`])
      await assert.rejects(https.get(asking(server, { host })), failure("protocol"))
    assert.equal(server.counts.accepted, 0)
  })
})

describe("nothing is left behind", { timeout: 180_000 }, () => {
  test("resets after the handshake, in the header and in the body are one HttpsError each, and the process lives", async () => {
    const reset = (said: string) =>
      testServer((socket, _, raw) => {
        if (said === "") raw.resetAndDestroy()
        else socket.write(said, () => raw.resetAndDestroy())
      })
    const early = await testServer(() => undefined, { greeted: (_, raw) => raw.resetAndDestroy() })
    for (const server of [
      early,
      await reset(""),
      await reset("HTTP/1.1 200"),
      await reset("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"),
    ])
      for (let round = 0; round < 20; round += 1)
        await assert.rejects(
          https.get(asking(server)),
          (error: unknown) => error instanceof HttpsError && (error.failure === "closed" || error.failure === "tls"),
        )
    await settle()
  })

  test("an answer cut off at any octet is an error or the whole answer", async () => {
    const whole = `HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`
    let cut = 0
    const server = await testServer((socket) => socket.end(whole.slice(0, cut)))
    for (cut = 0; cut < whole.length; cut += 1) await assert.rejects(https.get(asking(server)), failure("closed"), `cut at ${cut}`)
    assert.equal(Buffer.from((await https.get(asking(server))).body).toString(), "abcde")
    await gone(server)
  })

  test("an answer with any octets changed, doubled or left out is an HttpsError or an answer within the bounds", async () => {
    const whole = Buffer.from(
      "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nLocation: /\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n",
    )
    let said: Buffer = whole
    const server = await testServer((socket) => socket.end(said))
    const change = fc.record({ at: fc.nat(whole.length - 1), out: fc.nat(6), put: fc.uint8Array({ maxLength: 6 }) })
    const changed = (changes: readonly { at: number; out: number; put: Uint8Array }[]): Buffer =>
      changes.reduce((text, { at, out, put }) => Buffer.concat([text.subarray(0, at), put, text.subarray(at + out)]), whole)
    const ends = { answered: 0, failed: 0 }
    const property = fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
      said = changed(changes)
      try {
        const answer = await https.get(asking(server, { maxOctets: 100 }))
        assert.ok(answer.body.length <= 100)
        assert.ok(answer.status >= 100 && answer.status <= 999, String(answer.status))
        ends.answered += 1
      } catch (error) {
        if (!(error instanceof HttpsError) || error.failure === "timeout") throw error
        ends.failed += 1
      }
    })
    await fc.assert(property, { numRuns: 300 })
    await gone(server)
    assert.ok(ends.answered > 10 && ends.failed > 10, JSON.stringify(ends))
  })

  test("1,000 requests one after the other leave no descriptor and no listener on their signal", {
    skip: process.platform !== "linux" ? "counts descriptors in /proc" : false,
  }, async () => {
    const server = await saying(good)
    const descriptors = (): number => readdirSync("/proc/self/fd").length
    const { signal } = new AbortController()
    await https.get(asking(server, { signal }))
    await gone(server)
    const before = descriptors()
    for (let n = 0; n < 1000; n += 1) await https.get(asking(server, { signal }))
    await gone(server)
    assert.equal(server.requests.length, 1001)
    assert.ok(descriptors() <= before + 2, `${descriptors()} descriptors after, ${before} before`)
    assert.deepEqual(getEventListeners(signal, "abort"), [])
  })
})
