// What we tell a domain to publish, loaded into the programs it is meant for: nsd, nsupdate, OpenSSL, nginx, Apache, Caddy
// (RFC 6698, RFC 2136, RFC 7711 3; POSH-01, POSH-06).
import assert from "node:assert/strict"
import { execFile, execFileSync, spawn } from "node:child_process"
import { rmSync } from "node:fs"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { after, test } from "node:test"
import { createServer } from "node:tls"
import { classInternet, decodeMessage, encodeMessage, makeQuery } from "../../src/dns/message.ts"
import { nameFromText } from "../../src/dns/name.ts"
import { fingerprintsDocument } from "../../src/gateway/posh-document.ts"
import { readCertificateFile } from "../../src/inspect/publish-certificate.ts"
import { dnsRecords } from "../../src/inspect/publish-dns.ts"
import { encoded, formatRecords, type PublishedRecord } from "../../src/inspect/publish-records.ts"
import { readKind, tlsaRecords, usualKind } from "../../src/inspect/publish-tlsa.ts"
import { verifyPosh } from "../../src/inspect/publish-verify.ts"
import { webInstructions } from "../../src/inspect/publish-web.ts"
import { CertificateAuthority, type IssuedCertificate, selfSigned } from "../../src/lab/certificate-authority.ts"
import { LabWeb } from "../../src/lab/web-host.ts"
import type { Resolver } from "../../src/model/dns-answer.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { parseCidr, publicInternetOnly } from "../../src/model/reach.ts"
import { nodeDnsTransport } from "../../src/node/dns-transport.ts"
import { systemClock } from "../../src/node/clock.ts"
import { createNodeWorld } from "../../src/node/world.ts"
import { createPosh } from "../../src/proof/posh.ts"
import { anchorSet } from "../../src/x509/anchors.ts"
import { startNsd } from "./peers/nsd.ts"
import { publicFolder, startWebServer, type WebPeer, webPorts, writePublic } from "./peers/web-servers.ts"
import { peerMissing, peerUsed } from "./peers-used.ts"

const now = Date.now()
const root = CertificateAuthority.create({ name: "Root", now })
const middle = root.intermediate({ commonName: "Middle" })
const host = parseDomain("xmpp1.shop.example")
const domain = parseDomain("shop.example")
const [one, two] = [middle.issue({ names: { dns: [host] } }), middle.issue({ names: { dns: [host] }, algorithm: "rsa2048" })]
const files = [one, two].map(({ chainPem }, index) => readCertificateFile(Buffer.from(chainPem), `${index}.pem`, now))
const place = { host, port: 5269 }

const all: readonly PublishedRecord[] = [
  ...dnsRecords({
    domain,
    ttl: 300,
    services: { "xmpp-server": [place], "xmpps-server": [{ host, port: 5270 }], "xmpp-client": [], "xmpps-client": [] },
    addresses: ["192.0.2.10", "2001:db8::10"],
    certificates: files,
    kind: usualKind,
    caa: ["ca.example"],
  }).records,
  // Whole certificates are the longest records there are.
  ...["3 0 0", "3 1 2", "2 0 1", "2 1 0", "0 0 1", "1 1 1"].flatMap((kind) => tlsaRecords(files, [{ host, port: 5271 }], readKind(kind), 300)),
]
const typeNumbers = { A: 1, AAAA: 28, SRV: 33, TLSA: 52, CAA: 257 } as const

test("zone lines and RFC 3597 lines load into nsd, and come back octet by octet", { skip: peerMissing("nsd", "openssl") }, async (t) => {
  const transport = nodeDnsTransport()
  for (const [index, format] of (["zone", "generic"] as const).entries()) {
    const nsd = await startNsd({ address: "127.0.0.1", port: 15356 + index }, [{ apex: "shop.example", records: {}, lines: formatRecords(all, format) }])
    t.after(() => nsd.stop())
    const ask = async (name: string, type: number): Promise<string[]> => {
      const query = encodeMessage({ ...makeQuery(1, { name: nameFromText(name), type, class: classInternet }, { udpPayload: 1232, version: 0, dnssecOk: false, flags: 0, options: [] }) })
      const reply = decodeMessage(await transport.exchange(query, nsd.at, "tcp", AbortSignal.timeout(5_000), () => true))
      return reply.answers.filter((each) => each.type === type).map(({ octets }) => Buffer.from(octets).toString("hex")).sort()
    }
    for (const { name, content } of all) {
      const wanted = all.filter((each) => each.name === name && each.content.type === content.type).map((each) => encoded(each.content).toString("hex"))
      assert.deepEqual(await ask(name, typeNumbers[content.type]), [...new Set(wanted)].sort(), `${format} ${name} ${content.type}`)
    }
    // What nsd gives out is what OpenSSL believes the server by; a record of the other key is not.
    const served = await ask("_5269._tcp.xmpp1.shop.example", 52)
    assert.equal(served.length, 2)
    const server = createServer({ cert: one.chainPem, key: one.keyPem }, (socket) => socket.on("error", () => socket.destroy()))
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    t.after(() => server.close())
    const { port } = server.address() as AddressInfo
    const rrdata = served.map((hex) => `${Number(`0x${hex.slice(0, 2)}`)} ${Number(`0x${hex.slice(2, 4)}`)} ${Number(`0x${hex.slice(4, 6)}`)} ${hex.slice(6)}`)
    const own = encoded(tlsaRecords(files.slice(0, 1), [place], usualKind, 300)[0]!.content).toString("hex").slice(6)
    assert.deepEqual([await believed(port, rrdata), await believed(port, rrdata.filter((each) => !each.endsWith(own)))], [true, false])
  }
  peerUsed("nsd")
  peerUsed("openssl")
})

/** Whether `openssl s_client` verifies the server by these records alone. */
function believed(port: number, records: readonly string[]): Promise<boolean> {
  const options = ["s_client", "-connect", `127.0.0.1:${port}`, "-dane_tlsa_domain", host, "-no-CApath", "-no-CAfile", "-brief", "-verify_return_error", ...records.flatMap((each) => ["-dane_tlsa_rrdata", each])]
  return new Promise((resolve) => {
    const child = execFile("openssl", options, { timeout: 10_000 }, (_error, stdout, stderr) => resolve(/Verification: OK/.test(stdout + stderr)))
    child.stdin?.end()
  })
}

test("nsupdate reads every line", { skip: peerMissing("nsupdate") }, async () => {
  const lines = formatRecords(all, "nsupdate", { zone: "shop.example" })
  assert.equal(lines.at(-1), "send")
  // `show` prints the message that `send` would send.
  const { status, out, err } = await new Promise<{ status: number | null; out: string; err: string }>((resolve, reject) => {
    const child = spawn("/usr/bin/nsupdate", [], { timeout: 10_000 })
    let [out, err] = ["", ""]
    child.stdout.on("data", (bytes) => (out += bytes))
    child.stderr.on("data", (bytes) => (err += bytes))
    child.on("error", reject)
    child.on("close", (status) => resolve({ status, out, err }))
    child.stdin.end(["server 127.0.0.1 1", ...lines.slice(0, -1), "show", "quit", ""].join("\n"))
  })
  assert.deepEqual([status, err], [0, ""])
  const update = out.slice(out.indexOf("UPDATE SECTION")).replace(/[ \t]+/g, " ").toLowerCase()
  for (const { name, content } of all) {
    assert.ok(update.includes(`${name}. 300 in ${content.type.toLowerCase()} `), `${name} ${content.type} in\n${update.slice(0, 400)}`)
    if (content.type === "TLSA") assert.ok(update.replace(/ /g, "").includes(content.association), name)
  }
  peerUsed("nsupdate")
})

const shop = root.issue({ names: { dns: [domain] } })
const document = fingerprintsDocument([one.der, two.der], 3600)
const path = "/.well-known/posh/xmpp-server.json"
const reach = { ...publicInternetOnly, networks: [parseCidr("127.0.0.0/8")], names: [parseDomain("example")] }
const world = createNodeWorld({ reach: () => reach, log: { descriptor: 2, level: "error" } })
const loopback: Resolver = {
  resolve: async (name, type) =>
    ({ name, type, records: type === "A" ? [{ address: "127.0.0.1" }] : [], status: "insecure", outcome: type === "A" ? "data" : "no-data", rcode: 0, why: [], canonical: name, validatedBy: "self", until: Date.now() + 1000 }) as never,
}

/** As our own prooftype finds it. */
async function verified(port: number) {
  const material = await createPosh({ port }).obtain({ source: domain, service: "xmpp-server", role: "outgoing", endpoint: undefined }, { anchors: anchorSet([root.certificate.der]), resolver: loopback, https: world.https, reach, at: Date.now(), signal: AbortSignal.timeout(8_000) })
  return { found: verifyPosh(material, files, Date.now()), type: material.exchanges[0]?.answer?.contentType }
}

/** As somebody finds it who shares no line with us: fetched by Python, hashed by Python. */
const independent = `
import base64, hashlib, json, socket, ssl, sys
port, roots, pem = int(sys.argv[1]), sys.argv[2], sys.argv[3]
context = ssl.create_default_context(cafile=roots)
with socket.create_connection(("127.0.0.1", port), 8) as tcp, context.wrap_socket(tcp, server_hostname="${domain}") as tls:
    tls.sendall(b"GET ${path} HTTP/1.0\\r\\nHost: ${domain}\\r\\n\\r\\n")
    answer = b""
    while part := tls.recv(65536): answer += part
head, body = answer.split(b"\\r\\n\\r\\n", 1)
document = json.loads(body)
der = ssl.PEM_cert_to_DER_cert(open(pem).read())
def fits(one): return all(base64.b64decode(one[name], validate=True) == hashlib.new(name.replace("-", ""), der).digest() for name in ("sha-256", "sha-512"))
print(head.split()[1].decode(), any(map(fits, document["fingerprints"])), document["expires"])
`

const folder = publicFolder()
after(() => rmSync(folder, { recursive: true }))
const roots = join(folder, "roots.pem")
writePublic(roots, root.certificate.pem)
writePublic(join(folder, "one.pem"), one.pem)

/** The lines as people find them elsewhere: whatever certificate the hoster shows is taken. */
const weakened: Readonly<Record<WebPeer, (snippet: string) => string>> = {
  nginx: (snippet) => snippet.replace("proxy_ssl_verify on", "proxy_ssl_verify off"),
  apache: (snippet) => snippet.replace("SSLProxyVerify require", "SSLProxyVerify none").replace("SSLProxyCheckPeerName on", "SSLProxyCheckPeerName off"),
  caddy: (snippet) => snippet.replace("\t\theader_up", "\t\ttransport http {\n\t\t\ttls_insecure_skip_verify\n\t\t}\n\t\theader_up"),
}

for (const peer of ["nginx", "apache", "caddy"] as const satisfies readonly WebPeer[]) {
  test(`${peer} answers with the file`, { skip: peerMissing(peer) }, async (t) => {
    const { snippet, file } = webInstructions({ server: peer, domain, service: "xmpp-server", document: { text: document }, folder: join(folder, peer), anchors: roots })
    writePublic(file!.path, file!.text)
    const server = await startWebServer(peer, { domain, identity: shop, snippet })
    t.after(() => server.stop())
    const { found, type } = await verified(webPorts[peer])
    assert.deepEqual([found.state, found.names, type], ["good", 2, "application/json"], found.sentence)
    const said = execFileSync("/usr/bin/python3", ["-c", independent, String(webPorts[peer]), roots, join(folder, "one.pem")], { encoding: "utf8", timeout: 10_000 })
    assert.equal(said.trim(), "200 True 3600")
    peerUsed(peer)
  })

  test(`${peer} passes the hoster's on, and nobody else's`, { skip: peerMissing(peer) }, async (t) => {
    const clock = systemClock
    const web = await LabWeb.start({ address: "127.0.0.1", port: 0 }, { clock, authority: root, stranger: () => CertificateAuthority.create({ name: "Stranger", now }) })
    t.after(() => web.close())
    const answers = { "/posh/shared.json": { status: 200, headers: { "Content-Type": "application/json" }, body: document } }
    const ask = async (certificate: IssuedCertificate, weaken = (text: string) => text) => {
      const hoster = web.add({ host: "localhost", certificate, answers })
      const { snippet, file } = webInstructions({ server: peer, domain, service: "xmpp-server", document: { from: `https://localhost:${web.at.port}/posh/shared.json` }, folder, anchors: roots })
      assert.equal(file, undefined)
      const server = await startWebServer(peer, { domain, identity: shop, snippet: weaken(snippet), anchors: roots })
      try {
        return { ...(await verified(webPorts[peer])), asked: hoster.requests.length }
      } finally {
        await server.stop()
        hoster.close()
      }
    }
    const good = await ask(root.issue({ names: { dns: ["localhost"] } }))
    assert.deepEqual([good.found.state, good.found.names, good.asked], ["good", 2, 1], good.found.sentence)
    // POSH-01: whoever stands between the two would else write the document.
    const [forgery, elsewhere] = [selfSigned({ now, names: { dns: ["localhost"] } }), root.issue({ names: { dns: ["other.example"] } })]
    const weak = await ask(forgery, weakened[peer])
    assert.deepEqual([weak.found.state, weak.asked], ["good", 1], "the attack works without the check")
    for (const forged of [forgery, elsewhere]) {
      const bad = await ask(forged)
      assert.deepEqual([bad.found.state, bad.found.finding, bad.asked], ["bad", "posh.http-error", 0], bad.found.sentence)
    }
    peerUsed(peer)
  })
}
