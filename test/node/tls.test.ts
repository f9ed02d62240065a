// The TLS adapter: facts, refusals and attacks over real sockets (field notes 2; TLS-04, TLS-07, TLS-09, TLS-10, DTLS-3, DTLS-4; RFC 9266).
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { writeSync } from "node:fs"
import type { Socket } from "node:net"
import { describe, test } from "node:test"
import tls from "node:tls"
import { CertificateAuthority, selfSigned } from "../../src/lab/certificate-authority.ts"
import { TlsError } from "../../src/model/errors.ts"
import { ContextCache, createTls, maximumChain } from "../../src/node/tls.ts"
import { Recorder } from "../world/recorder.ts"
import { authority, clientCertificate, credentialsOf, inTime, rawPair, secure, serverCertificate, settle, tcpPair } from "./sockets.ts"

const now = Date.now()
const hash = (der: Uint8Array): string => createHash("sha256").update(der).digest("hex").slice(0, 12)
const failure = (expected: TlsError["failure"]) => (error: unknown) => {
  assert.ok(error instanceof TlsError, String(error))
  assert.equal(error.failure, expected, error.message)
  return true
}
const transport = createTls()
const serve = { pick: () => serverCertificate, alpn: [] }

describe("facts of a handshake", { timeout: 20_000 }, () => {
  test("both ends see the same protocol, cipher and exporter, and the chain of the other", async () => {
    const pair = await tcpPair()
    const { client, server } = await secure(pair)
    assert.equal(client.facts.protocol, "TLSv1.3")
    assert.equal(server.facts.protocol, "TLSv1.3")
    assert.match(client.facts.cipher, /^TLS_/)
    assert.equal(client.facts.cipher, server.facts.cipher)
    assert.equal(client.facts.exporter.length, 32)
    assert.deepEqual(client.facts.exporter, server.facts.exporter)
    assert.equal(server.facts.serverName, "b.example")
    assert.equal(client.facts.serverName, "b.example")
    assert.equal(client.facts.alpn, undefined)
    assert.equal(server.facts.alpn, undefined)
    assert.equal(server.facts.chain.length, 1)
    assert.equal(client.facts.chain.length, 1)
    assert.notDeepEqual(client.facts.chain[0], server.facts.chain[0])
    client.channel.destroy()
    server.channel.destroy()
  })

  test("TLS 1.2: the exporter with an empty context is the same on both ends (RFC 9266 4)", async () => {
    const { raw, channel, close } = await rawPair()
    const client = tls.connect({ socket: raw, ca: [], rejectUnauthorized: false, maxVersion: "TLSv1.2", servername: "b.example" })
    client.on("error", () => client.destroy())
    const exporter = new Promise<Buffer>((resolve) =>
      client.once("secureConnect", () => resolve(client.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0)))),
    )
    const { facts } = await transport.server(channel, { ...serve, signal: inTime() })
    assert.equal(facts.protocol, "TLSv1.2")
    assert.match(facts.cipher, /ECDHE.*GCM|ECDHE.*POLY1305/)
    assert.deepEqual(Buffer.from(facts.exporter), await exporter)
    close()
  })

  test("the chain comes as presented: order kept, duplicates and unrelated certificates included", async () => {
    const middle = authority.intermediate({ name: "Middle" })
    const stranger = CertificateAuthority.create({ name: "Stranger", now })
    const leaf = middle.issue({ names: { dns: ["a.example"] } })
    const list = [leaf, authority.certificate, middle.certificate, middle.certificate, stranger.certificate]
    const shown = { certificatePem: list.map((one) => one.pem).join(""), keyPem: leaf.keyPem }
    const { client, server } = await secure(await tcpPair(), { client: shown, server: shown })
    for (const facts of [client.facts, server.facts])
      assert.deepEqual(
        facts.chain.map(hash),
        list.map((one) => hash(one.der)),
      )
    client.channel.destroy()
    server.channel.destroy()
  })

  test("an intermediate is not completed with a root the peer did not send, though the root be known", async () => {
    const middle = authority.intermediate({ name: "Lone" })
    const leaf = middle.issue({ names: { dns: ["a.example"] } })
    const { server, client } = await secure(await tcpPair(), { client: credentialsOf(leaf) })
    assert.deepEqual(server.facts.chain.map(hash), leaf.chain.map(hash))
    client.channel.destroy()
    server.channel.destroy()
  })

  test("of a long chain the first sixteen certificates are kept", async () => {
    const leaf = authority.issue({ names: { dns: ["a.example"] } })
    const others = Array.from({ length: 20 }, (_, n) => CertificateAuthority.create({ name: `Other ${n}`, now }).certificate)
    const shown = { certificatePem: [leaf, ...others].map((one) => one.pem).join(""), keyPem: leaf.keyPem }
    const { server, client } = await secure(await tcpPair(), { client: shown, server: shown })
    for (const facts of [client.facts, server.facts]) {
      assert.equal(facts.chain.length, maximumChain)
      assert.deepEqual(
        facts.chain.map(hash),
        [leaf, ...others].slice(0, maximumChain).map((one) => hash(one.der)),
      )
    }
    client.channel.destroy()
    server.channel.destroy()
  })

  test("a client without a certificate is let through with an empty chain: that is for the proof to judge (TLS-06)", async () => {
    const pair = await tcpPair()
    const [client, server] = await Promise.all([
      transport.client(pair.a, { serverName: "b.example", signal: inTime() }),
      transport.server(pair.b, { ...serve, signal: inTime() }),
    ])
    assert.deepEqual(server.facts.chain, [])
    assert.equal(client.facts.chain.length, 1)
    await pair.close()
  })

  test("certificates no validator would like get through all the same: TLS is a transport here", async () => {
    const bad = [
      selfSigned({ now, names: { dns: ["a.example"] } }),
      authority.issue({ names: { dns: ["a.example"] }, notAfter: now - 1000, notBefore: now - 2000 }),
      authority.issue({ names: { dns: ["other.example"] }, eku: ["serverAuth"] }),
      authority.issue({ names: { dns: ["a.example"] }, mutate: { signature: "flip" } }),
    ]
    for (const issued of bad) {
      const { client, server } = await secure(await tcpPair(), { client: credentialsOf(issued), server: credentialsOf(issued) })
      assert.deepEqual(server.facts.chain.map(hash), [hash(issued.der)])
      assert.deepEqual(client.facts.chain.map(hash), [hash(issued.der)])
      client.channel.destroy()
      server.channel.destroy()
    }
  })
})

describe("names and protocols", { timeout: 20_000 }, () => {
  const forB = authority.issue({ names: { dns: ["b.example"] } })
  const forC = authority.issue({ names: { dns: ["c.example"] } })
  const byName = new Map([
    ["b.example", credentialsOf(forB)],
    ["c.example", credentialsOf(forC)],
  ])
  const pick = (serverName: string | undefined) => byName.get(serverName ?? "")

  test("direct TLS picks the certificate by SNI (TLS-07)", async () => {
    for (const [name, issued] of [
      ["b.example", forB],
      ["c.example", forC],
    ] as const) {
      const pair = await tcpPair()
      const [client, server] = await Promise.all([
        transport.client(pair.a, { serverName: name, signal: inTime() }),
        transport.server(pair.b, { pick, alpn: ["xmpp-server"], signal: inTime() }),
      ])
      assert.equal(hash(client.facts.chain[0]!), hash(issued.der))
      assert.equal(server.facts.serverName, name)
      await pair.close()
    }
  })

  test("a name we have no certificate for, and no name at all, are refused with an alert", async () => {
    for (const serverName of ["d.example", ""]) {
      const pair = await tcpPair()
      const server = transport.server(pair.b, { pick, alpn: [], signal: inTime() })
      const client = transport.client(pair.a, { serverName, signal: inTime() })
      await Promise.all([assert.rejects(server, failure("no-credentials")), assert.rejects(client, failure("handshake"))])
      await pair.close()
    }
  })

  test("a name picked for one client is not kept from another, nor does a default stand in", async () => {
    const pair = await tcpPair()
    const server = transport.server(pair.b, {
      pick: (name) => (name === undefined ? serverCertificate : pick(name)),
      alpn: [],
      signal: inTime(),
    })
    const client = transport.client(pair.a, { serverName: "d.example", signal: inTime() })
    await Promise.all([assert.rejects(server, failure("no-credentials")), assert.rejects(client)])
    await pair.close()
  })

  test("garbage is a failed handshake, not a missing certificate", async () => {
    const { raw, channel, close } = await rawPair()
    const server = transport.server(channel, { pick, alpn: [], signal: inTime() })
    raw.write("<stream:stream xmlns='jabber:server'>")
    await assert.rejects(server, failure("handshake"))
    close()
  })

  test("a picker that throws, or answers rubbish, is a refusal", async () => {
    const rubbish = { certificatePem: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", keyPem: serverCertificate.keyPem }
    const otherKey = { certificatePem: serverCertificate.certificatePem, keyPem: clientCertificate.keyPem }
    for (const bad of [
      () => {
        throw new Error("the store is being replaced")
      },
      () => rubbish,
      () => otherKey,
    ]) {
      const pair = await tcpPair()
      const server = transport.server(pair.b, { pick: bad, alpn: [], signal: inTime() })
      const client = transport.client(pair.a, { serverName: "b.example", signal: inTime() })
      await Promise.all([assert.rejects(server, failure("no-credentials")), assert.rejects(client)])
      await pair.close()
    }
  })

  test("a client whose own certificate is unusable is told so, and the connection is dropped", async () => {
    const pair = await tcpPair()
    const far = new Recorder()
    pair.b.attach(far)
    const credentials = { certificatePem: "rubbish", keyPem: "rubbish" }
    await assert.rejects(transport.client(pair.a, { serverName: "b.example", credentials, signal: inTime() }), failure("no-credentials"))
    await far.until("the end", (seen) => seen.ended || seen.calls.includes("close"))
    assert.equal(far.length, 0)
    await pair.close()
  })

  const alpnTable: [client: string | undefined, server: string[], agreed: string | undefined | false][] = [
    ["xmpp-server", ["xmpp-server"], "xmpp-server"],
    [undefined, ["xmpp-server"], undefined],
    ["xmpp-server", [], undefined],
    ["xmpp-client", ["xmpp-server"], false],
    ["h2", ["xmpp-server", "xmpp-client"], false],
  ]
  for (const [offered, accepted, agreed] of alpnTable)
    test(`ALPN: client ${offered ?? "none"}, server ${accepted.join(" ") || "none"}: ${agreed === false ? "refused" : (agreed ?? "no protocol")} (DTLS-4)`, async () => {
      const pair = await tcpPair()
      const server = transport.server(pair.b, { pick: () => serverCertificate, alpn: accepted, signal: inTime() })
      const client = transport.client(pair.a, {
        serverName: "b.example",
        ...(offered === undefined ? {} : { alpn: offered }),
        signal: inTime(),
      })
      if (agreed === false) await Promise.all([assert.rejects(server, failure("alpn")), assert.rejects(client, failure("alpn"))])
      else for (const end of await Promise.all([server, client])) assert.equal(end.facts.alpn, agreed)
      await pair.close()
    })
})

describe("refused transports", { timeout: 20_000 }, () => {
  test("a client that knows only TLS 1.1, or only old ciphers, is refused (TLS-10)", async () => {
    const old: tls.ConnectionOptions[] = [
      { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" },
      { maxVersion: "TLSv1.2", ciphers: "AES128-SHA:AES256-SHA:AES128-GCM-SHA256" },
      { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-SHA" },
    ]
    for (const options of old) {
      const { raw, channel, close } = await rawPair()
      const server = transport.server(channel, { ...serve, signal: inTime() })
      const client = tls.connect({ socket: raw, rejectUnauthorized: false, ...options })
      client.on("error", () => client.destroy())
      await assert.rejects(server, failure("handshake"))
      close()
    }
  })

  test("a server that knows only TLS 1.1 is refused", async () => {
    const { raw, channel, close } = await rawPair()
    const context = tls.createSecureContext({
      cert: serverCertificate.certificatePem,
      key: serverCertificate.keyPem,
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
      ciphers: "DEFAULT@SECLEVEL=0",
    })
    const theirs = new tls.TLSSocket(raw, { isServer: true, secureContext: context })
    theirs.on("error", () => theirs.destroy())
    await assert.rejects(transport.client(channel, { serverName: "b.example", signal: inTime() }), failure("handshake"))
    close()
  })

  for (const version of ["TLSv1.2", "TLSv1.3"] as const)
    test(`${version}: a client that wants to resume gets a full handshake, and shows its certificate again`, async () => {
      const sessions: Buffer[] = []
      const seen: string[][] = []
      for (let round = 0; round < 3; round += 1) {
        const { raw, channel, close } = await rawPair()
        const session = sessions.at(-1)
        const client = tls.connect({
          socket: raw,
          ca: [],
          cert: clientCertificate.certificatePem,
          key: clientCertificate.keyPem,
          servername: "b.example",
          rejectUnauthorized: false,
          maxVersion: version,
          ...(session === undefined ? {} : { session }),
        })
        client.on("session", (ticket: Buffer) => sessions.push(ticket))
        client.on("error", () => client.destroy())
        const { facts, channel: secured } = await transport.server(channel, { ...serve, signal: inTime() })
        secured.write(Buffer.from("tickets, if any, come before this"))
        await new Promise((resolve) => client.once("data", resolve))
        seen.push(facts.chain.map(hash))
        close()
      }
      assert.equal(seen.length, 3)
      for (const chain of seen) assert.deepEqual(chain, [hash(Buffer.from(pemBody(clientCertificate.certificatePem), "base64"))])
    })

  test("the attack that makes this matter: against a server with tickets, a resumed session shows fewer certificates, and the adapter refuses it", async () => {
    // The weakened copy: a server context that issues tickets.
    const middle = authority.intermediate({ name: "Ticket" })
    const shown = credentialsOf(middle.issue({ names: { dns: ["a.example"] } }))
    const weak = tls.createSecureContext({
      cert: serverCertificate.certificatePem,
      key: serverCertificate.keyPem,
      ca: [],
      sessionIdContext: "weak",
    })
    let session: Buffer | undefined
    const chains: number[] = []
    for (let round = 0; round < 2; round += 1) {
      const { raw, channel, close } = await rawPair()
      const client = tls.connect({
        socket: raw,
        ca: [],
        cert: shown.certificatePem,
        key: shown.keyPem,
        servername: "b.example",
        rejectUnauthorized: false,
        maxVersion: "TLSv1.2",
        ...(session === undefined ? {} : { session }),
      })
      client.on("session", (ticket: Buffer) => (session = ticket))
      client.on("error", () => client.destroy())
      const cache = new ContextCache()
      cache.of = () => weak
      const handshake = createTls({ contexts: cache }).server(channel, { ...serve, signal: inTime() })
      if (round === 0) chains.push((await handshake).facts.chain.length)
      else await assert.rejects(handshake, failure("resumed"))
      if (round === 0 && session === undefined) await new Promise((resolve) => client.once("session", resolve))
      close()
    }
    assert.deepEqual(chains, [2])
  })

  test("TLS 1.2 renegotiation by the client ends the connection (TLS-09)", async () => {
    const { raw, channel, close } = await rawPair()
    const client = tls.connect({ socket: raw, ca: [], rejectUnauthorized: false, maxVersion: "TLSv1.2" })
    client.on("error", () => client.destroy())
    const { channel: secured } = await transport.server(channel, { ...serve, signal: inTime() })
    const ours = new Recorder()
    secured.attach(ours)
    client.write("before")
    await ours.untilText("before")
    const refused = new Promise((resolve) => client.renegotiate({ rejectUnauthorized: false }, resolve))
    client.on("close", () => settle())
    await Promise.race([refused, ours.untilClosed()])
    client.destroy()
    await ours.untilClosed()
    assert.equal(ours.text, "before")
    close()
  })
})

describe("giving up", { timeout: 20_000 }, () => {
  test("a peer that says nothing is left when the signal says so, in both roles, and its connection is closed without a word (TLS-04)", async () => {
    for (const role of ["server", "client"] as const) {
      const { raw, channel, close } = await rawPair()
      const heard: Buffer[] = []
      raw.on("data", (piece: Buffer) => heard.push(piece))
      const controller = new AbortController()
      const attempt =
        role === "server"
          ? transport.server(channel, { ...serve, signal: controller.signal })
          : transport.client(channel, { serverName: "b.example", signal: controller.signal })
      await settle()
      controller.abort()
      await assert.rejects(attempt, failure("timeout"))
      await new Promise((resolve) => raw.once("end", resolve))
      assert.ok(!Buffer.concat(heard).includes("</stream"))
      close()
    }
  })

  test("a signal that was aborted before: nothing is sent", async () => {
    const { raw, channel, close } = await rawPair()
    const heard: Buffer[] = []
    raw.on("data", (piece: Buffer) => heard.push(piece))
    await assert.rejects(transport.client(channel, { serverName: "b.example", signal: AbortSignal.abort() }), failure("timeout"))
    await new Promise((resolve) => raw.once("end", resolve))
    assert.equal(heard.length, 0)
    close()
  })

  test("a peer that is gone before, and one that goes during the handshake", async () => {
    for (const role of ["server", "client"] as const) {
      const before = await rawPair()
      before.channel.destroy()
      await settle()
      const start = (channel: (typeof before)["channel"]) =>
        role === "server"
          ? transport.server(channel, { ...serve, signal: inTime() })
          : transport.client(channel, { serverName: "b.example", signal: inTime() })
      await assert.rejects(start(before.channel), failure("closed"))
      before.close()

      const during = await rawPair()
      const attempt = start(during.channel)
      during.raw.end()
      await assert.rejects(attempt, failure("closed"))
      during.close()

      const reset = await rawPair()
      const other = start(reset.channel)
      reset.raw.resetAndDestroy()
      await assert.rejects(other, failure("closed"))
      reset.close()
    }
  })

  test("rubbish in the middle of the encrypted stream ends the channel on the server as on the client", async () => {
    for (const role of ["server", "client"] as const) {
      const { raw, channel, close } = await rawPair()
      const context = tls.createSecureContext({ cert: serverCertificate.certificatePem, key: serverCertificate.keyPem, ca: [] })
      const theirs =
        role === "server"
          ? tls.connect({ socket: raw, ca: [], rejectUnauthorized: false })
          : new tls.TLSSocket(raw, { isServer: true, secureContext: context })
      theirs.on("error", () => theirs.destroy())
      const { channel: secured } = await (role === "server"
        ? transport.server(channel, { ...serve, signal: inTime() })
        : transport.client(channel, { serverName: "b.example", signal: inTime() }))
      const ours = new Recorder()
      secured.attach(ours)
      theirs.write("good")
      await ours.untilText("good")
      writeBelow(raw, Buffer.from("this is no TLS record at all"))
      await ours.untilClosed()
      assert.equal(ours.text, "good")
      assert.equal(ours.closed?.by, "error")
      close()
    }
  })

  test("an upgraded channel accepts no plain text any more", async () => {
    const pair = await tcpPair()
    const { client, server } = await secure(pair)
    assert.throws(() => pair.a.write(Buffer.from("<leak/>")), /handed over/)
    assert.throws(() => pair.a.attach(new Recorder()), /handed over/)
    await assert.rejects(transport.client(pair.a, { serverName: "b.example", signal: inTime() }), /handed over/)
    const far = new Recorder()
    server.channel.attach(far)
    client.channel.write(Buffer.from("still fine"))
    await far.untilText("still fine")
    await pair.close()
    await far.untilClosed()
  })
})

describe("what was read before", { timeout: 20_000 }, () => {
  test("a ClientHello that arrived with, or before, the upgrade is not lost", async () => {
    for (const patience of [0, 5]) {
      const { raw, channel, close } = await rawPair()
      const client = tls.connect({ socket: raw, ca: [], rejectUnauthorized: false })
      client.on("error", () => client.destroy())
      for (let n = 0; n < patience; n += 1) await settle()
      const handler = new Recorder()
      channel.attach(handler)
      channel.pause()
      await settle()
      channel.release()
      const { facts } = await transport.server(channel, { ...serve, signal: inTime() })
      assert.equal(facts.protocol, "TLSv1.3")
      assert.equal(handler.length, 0)
      close()
    }
  })

  test("what was written before the upgrade leaves before the handshake", async () => {
    const { raw, channel, close } = await rawPair()
    const proceed = Buffer.alloc(3_000_000, "p")
    channel.write(proceed)
    const attempt = transport.server(channel, { ...serve, signal: inTime(10_000) })
    let read = 0
    await new Promise<void>((resolve) => {
      const look = (piece: Buffer): void => {
        read += piece.length
        if (read >= proceed.length) {
          raw.off("data", look)
          raw.pause()
          resolve()
        }
      }
      raw.on("data", look)
    })
    assert.equal(read, proceed.length)
    const client = tls.connect({ socket: raw, ca: [], rejectUnauthorized: false })
    client.on("error", () => client.destroy())
    assert.equal((await attempt).facts.protocol, "TLSv1.3")
    close()
  })
})

describe("contexts", () => {
  test("one per credentials object, the least recently used dropped beyond the limit, rebuilt when asked again", () => {
    const cache = new ContextCache(2)
    const [one, two, three] = [1, 2, 3].map(() => ({ ...serverCertificate })) as [
      typeof serverCertificate,
      typeof serverCertificate,
      typeof serverCertificate,
    ]
    const first = cache.of(one)
    assert.equal(cache.of(one), first)
    const second = cache.of(two)
    assert.notEqual(second, first)
    cache.of(one)
    cache.of(three)
    assert.equal(cache.size, 2)
    assert.equal(cache.of(one), first, "recently used")
    assert.notEqual(cache.of(two), second, "dropped, made again")
    assert.equal(cache.size, 2)
  })
})

function pemBody(pem: string): string {
  return pem.replace(/-----[^-]+-----/g, "").replace(/\s/g, "")
}

/** Writes below TLS, as somebody on the path can. */
function writeBelow(raw: Socket, bytes: Buffer): void {
  const handle: unknown = Reflect.get(raw, "_handle")
  const fd: unknown = Reflect.get(handle as object, "fd")
  assert.equal(typeof fd, "number")
  writeSync(fd as number, bytes)
}
