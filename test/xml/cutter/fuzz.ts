// Mutation fuzz of the cutter against the tree parser (XML-01..06): node test/xml/cutter/fuzz.ts --seconds=60 [--seed=1]
import assert from "node:assert/strict"
import { parseArgs } from "node:util"

import { corpus, header } from "../corpus.ts"
import { pieces, readByCutter, readByTree } from "../cutter-world.ts"
import { generator } from "../fuzz.ts"

const stanzas = [
  "<message from='a@one.example/r' to=\"b@two.example\" type='chat' id='1'><body>Hello &amp; welcome &#x1F600;</body></message>",
  "<presence from='r@rooms.one.example/N' to='b@two.example'><x xmlns='urn:m'><item affiliation='member'/><status code='110'/></x></presence>",
  "<iq from='one.example' to='two.example' id='d-1' type='get'><query xmlns='http://jabber.org/protocol/disco#info' node='x#y'/></iq>",
  "<message to='b@two.example' from='a@one.example' xml:lang='de'><body>Grüße ❤\uFE0F 世界</body>\r\n<html xmlns='urn:h'><p a=\"'\">]]<br/>></p></html></message>",
  "<message to='b' from='a'><f xmlns='urn:f'><message xmlns='jabber:client' to='c'><body>x</body></message></f></message>",
  "<db:verify from='one.example' to='two.example' id='s1'>0123456789abcdef</db:verify>",
  "<message to='b' from='a'><body><![CDATA[a]]b]]></body></message>",
  "<iq type='result' id='&lt;&#x41;'><s:s xmlns:s='urn:s' s:n='1'/></iq>",
  " \r\n\t",
  "</stream:stream>",
]
const fragments = [
  "<",
  ">",
  "/",
  "=",
  "'",
  '"',
  "&",
  ";",
  "]]>",
  "<![CDATA[",
  "<!--",
  "<?",
  "xmlns",
  "xmlns='jabber:client'",
  "xml:",
  ":",
  " ",
  "\n",
  "\0",
  "\uFFFE",
  "ü",
  "&#0;",
  "&#x10FFFF;",
  "</message>",
  "<a>",
  "<a/>",
  " to='x'",
  " from='x'",
]

/** One stream of mutated stanzas; the inside of the hostile corpus now and then. */
function mutated(random: (below: number) => number): Buffer {
  const parts: Buffer[] = []
  for (let count = 1 + random(6); count > 0; count -= 1) {
    const one = corpus[random(corpus.length)]!.document
    const inside = random(8) === 0 && one.subarray(0, header.length).equals(Buffer.from(header)) ? one.subarray(header.length) : undefined
    parts.push(inside ?? Buffer.from(stanzas[random(random(4) === 0 ? stanzas.length : 8)]!))
  }
  let bytes = Buffer.concat(parts)
  for (let count = random(4); count > 0; count -= 1) {
    const at = random(bytes.length + 1)
    const put = random(3) === 0 ? Buffer.from([random(256)]) : Buffer.from(fragments[random(fragments.length)]!)
    const removed = random(2) === 0 ? random(4) : 0
    bytes = Buffer.concat([bytes.subarray(0, at), random(4) === 0 ? Buffer.alloc(0) : put, bytes.subarray(at + removed)])
  }
  return bytes
}

const { values } = parseArgs({ options: { seconds: { type: "string", default: "10" }, seed: { type: "string" } } })
const seed = values.seed === undefined ? Date.now() | 0 : Number(values.seed)
console.log(`seed ${seed}`)
const deadline = performance.now() + Number(values.seconds) * 1000
// Enough white space that whatever the cutter is still waiting for gets decided.
const padding = Buffer.alloc(600, 0x20)
let documents = 0
let raw = 0
for (; performance.now() < deadline; documents += 1) {
  const random = generator((seed + Math.imul(documents, 0x01000193)) | 0)
  const bytes = Buffer.concat([mutated(random), padding])
  try {
    const tree = readByTree([bytes])
    for (const sizes of [[bytes.length], [1], [7], [1 + random(40), 1 + random(400)]]) {
      const read = readByCutter(pieces(bytes, sizes))
      assert.deepEqual(read.events, tree.events)
      raw += read.raw
    }
  } catch (cause) {
    throw new Error(`seed ${seed}, document ${documents}: ${bytes.toString("base64")}`, { cause })
  }
}
console.log(`${documents} documents, ${raw} stanzas passed as bytes, no finding`)
