// Measures the stream parser: MB/s and stanzas/s on about 16 MiB of mixed stanzas, trees built, for several chunk sizes. Run: node bench/xml.ts [MiB]
import { Buffer } from "node:buffer"
import { performance } from "node:perf_hooks"
import { XmlParser } from "../src/xml/parser.ts"

const header =
  "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='a.example' to='b.example' version='1.0'>"

const samples = [
  (i: number) =>
    `<message from='romeo${i}@a.example/orchard' to='juliet@b.example' type='chat' id='m${i}'><body>A line of talk, number ${i}, long enough to look like one.</body><active xmlns='http://jabber.org/protocol/chatstates'/><origin-id xmlns='urn:xmpp:sid:0' id='6b1c0c9e-${i}'/></message>`,
  (i: number) =>
    `<presence from='room@conf.a.example/nick${i}' to='juliet@b.example/balcony'><show>away</show><status>Zurück um fünf — später mehr</status><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://client.example' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='member' role='participant'/></x></presence>`,
  (i: number) =>
    `<iq from='a.example' to='b.example' type='result' id='d${i}'><query xmlns='http://jabber.org/protocol/disco#info'><identity category='server' type='im' name='A &amp; B'/><feature var='urn:xmpp:ping'/><feature var='jabber:iq:version'/><feature var='http://jabber.org/protocol/disco#items'/><feature var='urn:xmpp:mam:2'/></query></iq>`,
  (i: number) =>
    `<message from='news.a.example' to='juliet@b.example' id='p${i}'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='urn:xmpp:microblog:0'><item id='i${i}'><entry xmlns='http://www.w3.org/2005/Atom'><title>Заметка ${i}</title><summary>Краткое изложение того, что случилось сегодня в саду; и ещё немного текста.</summary><content type='text'>${"Lorem ipsum dolor sit amet, consectetur adipiscing elit. ".repeat(8)}</content><link rel='alternate' href='https://a.example/?a=1&amp;b=${i}'/></entry></item></items></event></message>`,
  (i: number) =>
    `<message from='romeo@a.example' to='juliet@b.example' type='chat' id='e${i}'><encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='27183${i}'><key rid='31415'>${"MwohBWNhc2NhZGluZ0Jhc2U2NA".repeat(6)}</key><iv>BASE64ENCODED${i}</iv></header></encrypted><store xmlns='urn:xmpp:hints'/></message>`,
]

function stanzas(bytes: number): Buffer {
  const parts: string[] = [header]
  for (let length = header.length, i = 0; length < bytes; i++) {
    const stanza = (samples[i % samples.length] as (i: number) => string)(i)
    parts.push(stanza)
    length += stanza.length
  }
  return Buffer.from(parts.join(""))
}

function run(document: Buffer, chunkSize: number): { seconds: number; count: number } {
  const parser = new XmlParser()
  let count = 0
  const started = performance.now()
  for (let at = 0; at < document.length; at += chunkSize) {
    parser.push(document.subarray(at, at + chunkSize))
    while (parser.next() !== undefined) count++
  }
  return { seconds: (performance.now() - started) / 1000, count }
}

const mebibytes = Number(process.argv[2] ?? 16)
const document = stanzas(mebibytes * 1024 * 1024)
const warmUp = stanzas(2 * 1024 * 1024)
for (let i = 0; i < 3; i++) run(warmUp, 16 * 1024)
console.log(`${process.version}, ${(document.length / 1e6).toFixed(1)} MB, best of 3`)
for (const kibibytes of [1, 4, 16, 64]) {
  let best = run(document, kibibytes * 1024)
  for (let i = 0; i < 2; i++) {
    const again = run(document, kibibytes * 1024)
    if (again.seconds < best.seconds) best = again
  }
  const speed = document.length / 1e6 / best.seconds
  console.log(
    `${String(kibibytes).padStart(3)} KiB chunks ${speed.toFixed(0).padStart(5)} MB/s ${Math.round(best.count / best.seconds)} stanzas/s`,
  )
}
