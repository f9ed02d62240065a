// The TLS adapter: facts, refusals and attacks over real sockets (TLS-04, TLS-07, TLS-09, TLS-10, DTLS-3, DTLS-4; RFC 9266).
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { describe, test } from "node:test"
import tls from "node:tls"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { CertificateAuthority, selfSigned } from "../../src/lab/certificate-authority.ts"
import { TlsError } from "../../src/model/errors.ts"
import { ContextCache, createTls, maximumChain } from "../../src/node/tls.ts"
import type { SecuredChannel } from "../../src/ports.ts"
import { Recorder } from "../world/recorder.ts"
import { authority, clientCertificate, credentialsOf, inTime, rawPair, secure, serverCertificate, tcpPair } from "./sockets.ts"

setFlagsFromString("--expose-gc")
const collectGarbage = runInNewContext("gc") as () => void

const now = Date.now()
const hash = (der: Uint8Array): string => createHash("sha256").update(der).digest("hex").slice(0, 12)
const failure = (expected: TlsError["failure"]) => (error: unknown) => {
  assert.ok(error instanceof TlsError, String(error))
  assert.equal(error.failure, expected, error.message)
  return true
}
const transport = createTls()
const serve = { pick: () => serverCertificate, alpn: [] }

describe("facts of a handshake", { timeout: 60_000 }, () => {
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

  test("a chain that was shown before is the same object; another that begins alike is not", async () => {
    const first = await secure(await tcpPair())
    const second = await secure(await tcpPair())
    assert.equal(first.client.facts.chain, second.client.facts.chain)
    assert.equal(first.server.facts.chain, second.server.facts.chain)
    const issued = CertificateAuthority.create({ now, name: "Another Root" })
    const longer = { ...serverCertificate, certificatePem: serverCertificate.certificatePem + issued.certificate.pem }
    const third = await secure(await tcpPair(), { server: longer })
    assert.equal(third.client.facts.chain.length, 2)
    assert.deepEqual(third.client.facts.chain[0], first.client.facts.chain[0])
    assert.equal(first.client.facts.chain.length, 1)
    for (const { client, server } of [first, second, third]) for (const { channel } of [client, server]) channel.destroy()
  })

  test("a connection keeps nothing alive of what its handshake was asked for with", async () => {
    const asked: WeakRef<object>[] = []
    const connect = async (): Promise<readonly SecuredChannel[]> => {
      const pair = await tcpPair()
      const wanted = {
        client: { serverName: "b.example", alpn: "xmpp-server", credentials: clientCertificate, signal: new AbortController().signal },
        server: { pick: () => serverCertificate, alpn: ["xmpp-server"], signal: new AbortController().signal },
      }
      for (const { signal } of [wanted.client, wanted.server]) asked.push(new WeakRef(signal))
      asked.push(new WeakRef(wanted.client), new WeakRef(wanted.server), new WeakRef(wanted.server.pick))
      const ends = await Promise.all([transport.client(pair.a, wanted.client), transport.server(pair.b, wanted.server)])
      return ends
    }
    const ends = await connect()
    for (let turn = 0; turn < 5; turn += 1) {
      await new Promise((resolve) => setImmediate(resolve))
      collectGarbage()
    }
    assert.equal(asked.filter((ref) => ref.deref() !== undefined).length, 0)
    for (const { channel } of ends) channel.destroy()
  })

  test("the connecting end is told of the peer's tickets, those that came together at once, until it listens no more", async () => {
    const { client, server } = await secure(await tcpPair())
    assert.equal(server.tickets, undefined)
    const heard: number[] = []
    const first = await new Promise<number>((resolve) => client.tickets?.((together) => resolve(heard.push(together))))
    assert.equal(first, 1)
    assert.ok(heard[0]! >= 1 && heard[0]! <= 2, "OpenSSL hands out two")
    const quiet = await secure(await tcpPair())
    quiet.client.tickets?.(() => heard.push(-1))()
    quiet.server.channel.write(Buffer.from("x"))
    await new Promise<void>((resolve) => quiet.client.channel.attach({ chunk: () => resolve(), drain: () => undefined, end: () => undefined, close: () => undefined }))
    assert.ok(!heard.includes(-1))
    for (const { channel } of [client, server, quiet.client, quiet.server]) channel.destroy()
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

  test("further exporters, asked for by label before the handshake: alike on both ends, different by label and by connection", async () => {
    const exporterLabels = ["EXPERIMENTAL-one", "EXPERIMENTAL-two"]
    const values: string[] = []
    for (let count = 0; count < 2; count += 1) {
      const { a: near, b: far } = await tcpPair()
      const [client, server] = await Promise.all([
        transport.client(near, { serverName: "b.example", exporterLabels, signal: inTime() }),
        transport.server(far, { ...serve, exporterLabels, signal: inTime() }),
      ])
      assert.deepEqual([...(client.facts.exporters?.keys() ?? [])], exporterLabels)
      assert.deepEqual(client.facts.exporters, server.facts.exporters)
      for (const octets of [client.facts.exporter, ...(client.facts.exporters?.values() ?? [])]) {
        assert.equal(octets.length, 32)
        values.push(Buffer.from(octets).toString("hex"))
      }
      client.channel.destroy()
      server.channel.destroy()
    }
    assert.equal(new Set(values).size, 6)
  })

  test("security.md 28: TLS 1.2 gives no such exporters, and none come unasked", async () => {
    const { raw, channel, close } = await rawPair()
    const client = tls.connect({ socket: raw, ca: [], rejectUnauthorized: false, maxVersion: "TLSv1.2", servername: "b.example" })
    client.on("error", () => client.destroy())
    const { facts } = await transport.server(channel, { ...serve, exporterLabels: ["EXPERIMENTAL-one"], signal: inTime() })
    assert.deepEqual([facts.protocol, facts.exporters], ["TLSv1.2", undefined])
    close()
    const pair = await secure(await tcpPair())
    assert.equal(pair.client.facts.exporters, undefined)
    pair.client.channel.destroy()
    pair.server.channel.destroy()
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

describe("names and protocols", { timeout: 60_000 }, () => {
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

describe("key exchange", { timeout: 60_000 }, () => {
  const negotiated = async (ecdhCurve?: string): Promise<string | undefined> => {
    const { raw, channel, close } = await rawPair()
    const client = tls.connect({ socket: raw, ca: [], rejectUnauthorized: false, ...(ecdhCurve === undefined ? {} : { ecdhCurve }) })
    client.on("error", () => client.destroy())
    const group = new Promise<string | undefined>((resolve) =>
      client.once("secureConnect", () => resolve((client.getEphemeralKeyInfo() as { name?: string }).name)),
    )
    await transport.server(channel, { ...serve, signal: inTime() })
    const name = await group
    close()
    return name
  }

  test("classical groups with peers that know them, whatever these would rather use", async () => {
    assert.equal(await negotiated("X25519:P-256"), "X25519")
    assert.equal(await negotiated("P-256"), "prime256v1")
    assert.equal(await negotiated("P-384"), "secp384r1")
  })

  test("a peer that knows only the hybrid group gets it, where the platform has it", async (t) => {
    try {
      tls.createSecureContext({ ecdhCurve: "X25519MLKEM768" })
    } catch {
      t.diagnostic("this platform has no hybrid group")
      await assert.rejects(negotiated("X448"), failure("handshake"))
      return
    }
    // The peer's own report does not name this group; that the handshake succeeds shows it.
    await negotiated("X25519MLKEM768")
    await assert.rejects(negotiated("X448"), failure("handshake"))
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
