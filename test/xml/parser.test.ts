// The parser's contract beyond verdicts: events, namespaces, unread bytes, limits, chunk handling, linear cost (RFC 6120 11; XML-05, XML-06, CORE-20).
import assert from "node:assert/strict"
import { Buffer } from "node:buffer"
import { test } from "node:test"
import { attr, child, text, type XmlElement } from "../../src/xml/element.ts"
import { XmlError } from "../../src/xml/errors.ts"
import { defaultLimits, unauthenticatedLimits, type XmlEvent, XmlParser } from "../../src/xml/parser.ts"

const header =
  "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' to='b.example'>"

function fed(...chunks: (string | Buffer)[]): XmlParser {
  const parser = new XmlParser()
  for (const chunk of chunks) parser.push(Buffer.from(chunk as string))
  return parser
}

function opened(): XmlParser {
  const parser = fed(header)
  assert.equal(parser.next()?.kind, "open")
  return parser
}

function all(parser: XmlParser): XmlEvent[] {
  const events: XmlEvent[] = []
  for (let event = parser.next(); event !== undefined; event = parser.next()) events.push(event)
  return events
}

function stanza(parser: XmlParser): XmlElement {
  const event = parser.next()
  assert.equal(event?.kind, "element")
  return (event as { element: XmlElement }).element
}

test("header, stanza and end are three events, pulled one at a time", () => {
  const parser = fed(`${header}<message to='x@b.example'><body>hi</body></message></stream:stream>`)
  const open = parser.next()
  assert.ok(open?.kind === "open")
  assert.deepEqual(open.root, {
    prefix: "stream",
    ns: "http://etherx.jabber.org/streams",
    name: "stream",
    attributes: [{ prefix: "", ns: "", name: "to", value: "b.example" }],
    declarations: [
      ["", "jabber:server"],
      ["stream", "http://etherx.jabber.org/streams"],
      ["db", "jabber:server:dialback"],
    ],
    children: [],
  })
  const event = parser.next()
  assert.ok(event?.kind === "element")
  assert.equal(event.bytes, "<message to='x@b.example'><body>hi</body></message>".length)
  assert.equal(attr(event.element, "to"), "x@b.example")
  assert.equal(text(child(event.element, "body", "jabber:server") as XmlElement), "hi")
  assert.deepEqual(parser.next(), { kind: "close" })
  assert.equal(parser.next(), undefined)
})

test("rest is exactly what was pipelined behind the event, and reading it changes nothing", () => {
  const second = `${header} \n<a>é</a>`
  const parser = opened()
  parser.push(Buffer.from(`<starttls/>${second}`))
  stanza(parser)
  assert.equal(parser.rest().toString(), second)
  assert.equal(parser.rest().toString(), second)
  assert.equal(parser.idle, false)
  assert.deepEqual(
    all(fed(parser.rest())).map(({ kind }) => kind),
    ["open", "element"],
  )
})

test("rest keeps white space, cut characters and unfinished elements, in any chunks", () => {
  const tail = Buffer.concat([Buffer.from(" \r\n\t<m a='€'>x&am"), Buffer.from([0xf0])])
  for (const [content, left] of [
    [Buffer.from("<m>\u20ac"), Buffer.from("<m>\u20ac")],
    [Buffer.from(" "), Buffer.from(" ")],
    [Buffer.from("\n <m a='\u20ac'>x&am"), Buffer.from("\n <m a='\u20ac'>x&am")],
    [Buffer.from([0x3c, 0x6d, 0x3e, 0xf0, 0x9f]), Buffer.from([0x3c, 0x6d, 0x3e, 0xf0, 0x9f])],
  ] as const)
    for (const size of [1, 3, 100]) {
      const parser = opened()
      parser.push(Buffer.from("<a/>"))
      stanza(parser)
      for (let at = 0; at < content.length; at += size) {
        parser.push(content.subarray(at, at + size))
        assert.equal(parser.next(), undefined)
      }
      assert.deepEqual(parser.rest(), left)
    }
  const unread = opened()
  unread.push(Buffer.concat([Buffer.from("<a/>"), tail]))
  stanza(unread)
  assert.deepEqual(unread.rest(), tail, "bytes next has not looked at may be anything")
})

test("rest is a copy", () => {
  const parser = opened()
  const chunk = Buffer.from("<a/><b")
  parser.push(chunk)
  stanza(parser)
  const rest = parser.rest()
  chunk.fill(0)
  assert.equal(rest.toString(), "<b")
})

test("white space passed over does not pile up", () => {
  const parser = opened()
  const spaces = Buffer.alloc(1000, " ")
  for (let i = 0; i < 1000; i++) {
    parser.push(spaces)
    assert.equal(parser.next(), undefined)
  }
  const kept = parser.rest().length
  assert.ok(kept >= 4096 && kept <= 16_384, `${kept}`)
  assert.ok(parser.idle)
  parser.push(Buffer.from("<a/>"))
  stanza(parser)
  assert.equal(parser.rest().length, 0)
})

test("idle tells whether anything is unfinished or unread", () => {
  const parser = new XmlParser()
  assert.ok(parser.idle)
  parser.push(Buffer.from(`${header}<a/>`))
  assert.equal(parser.idle, false)
  parser.next()
  assert.equal(parser.idle, false, "a stanza waits")
  parser.next()
  assert.ok(parser.idle)
  parser.push(Buffer.from("<a"))
  parser.next()
  assert.equal(parser.idle, false, "an element is unfinished")
  parser.push(Buffer.from("/>"))
  stanza(parser)
  parser.push(Buffer.from(" "))
  assert.equal(parser.idle, false, "even white space is a pending byte until next has passed it")
  parser.next()
  assert.ok(parser.idle)
})

test("a finished chunk is not kept, an unfinished one is copied", () => {
  const parser = opened()
  const chunk = Buffer.from("<m a='left'>und")
  parser.push(chunk)
  assert.equal(parser.next(), undefined)
  chunk.fill(0x3c)
  parser.push(Buffer.from("one</m>"))
  const element = stanza(parser)
  assert.equal(attr(element, "a"), "left")
  assert.equal(text(element), "undone")
})

test("plain Uint8Arrays with an offset are read in place", () => {
  const view = new Uint8Array(Buffer.from(`garbage${header}<m/>`))
  const parser = new XmlParser()
  parser.push(view.subarray(7))
  assert.deepEqual(
    all(parser).map(({ kind }) => kind),
    ["open", "element"],
  )
})

test("many chunks may be pushed before next is asked", () => {
  const parser = new XmlParser()
  for (const byte of Buffer.from(`${header}<m>é</m><n/></stream:stream>`)) parser.push(Uint8Array.of(byte))
  assert.deepEqual(
    all(parser).map(({ kind }) => kind),
    ["open", "element", "element", "close"],
  )
})

test("a fault is final: the same error again, and later bytes are dropped", () => {
  const parser = opened()
  parser.push(Buffer.from("<a/><!-- -->"))
  stanza(parser)
  let first: unknown
  assert.throws(
    () => parser.next(),
    (fault) => {
      first = fault
      return fault instanceof XmlError && fault.condition === "restricted-xml" && fault.offset === header.length + "<a/><!-".length - 1
    },
  )
  parser.push(Buffer.from("<b/>"))
  assert.throws(
    () => parser.next(),
    (again) => again === first,
  )
  assert.match(String(first), /restricted-xml: a comment, at byte \d+/)
})

test("faults never repeat what the peer sent", () => {
  for (const hostile of ["<m>&secret;", "<secret></secreX", "<m secret:a='1'/>", "<m secret='1' secret='2'/>", "secret"]) {
    const parser = opened()
    parser.push(Buffer.from(hostile))
    assert.throws(
      () => all(parser),
      (fault) => fault instanceof XmlError && !fault.message.includes("secre"),
    )
  }
})

test("the stanzas before a fault are still delivered", () => {
  const parser = opened()
  parser.push(Buffer.from("<a/><b/></wrong>"))
  assert.equal(stanza(parser).name, "a")
  assert.equal(stanza(parser).name, "b")
  assert.throws(() => parser.next(), { condition: "not-well-formed" })
})

test("namespaces are resolved, restored and undeclared", () => {
  const parser = opened()
  parser.push(
    Buffer.from(
      "<m xml:lang='en' p:q='1' xmlns:p='urn:1'><p:a xmlns:p='urn:2'><p:b/></p:a><p:c/><x xmlns='urn:x'><y/><z xmlns=''><w/></z></x><n/></m><db:result/>",
    ),
  )
  const seen: string[] = []
  const walk = (el: XmlElement): void => {
    seen.push(`${el.name} ${el.ns}`)
    for (const node of el.children) if (typeof node !== "string") walk(node)
  }
  const m = stanza(parser)
  walk(m)
  walk(stanza(parser))
  assert.deepEqual(seen, [
    "m jabber:server",
    "a urn:2",
    "b urn:2",
    "c urn:1",
    "x urn:x",
    "y urn:x",
    "z ",
    "w ",
    "n jabber:server",
    "result jabber:server:dialback",
  ])
  assert.equal(attr(m, "lang", "http://www.w3.org/XML/1998/namespace"), "en")
  assert.equal(attr(m, "q", "urn:1"), "1")
  assert.equal(attr(m, "q"), undefined)
})

test("white space in a namespace name is part of it", () => {
  const parser = fed("<stream:stream xmlns='jabber:server ' xmlns:stream='http://etherx.jabber.org/streams'><m/>")
  parser.next()
  assert.equal(stanza(parser).ns, "jabber:server ")
})

test("a declaration inside a stanza ends with it", () => {
  const parser = opened()
  parser.push(Buffer.from("<m xmlns:p='urn:p'/><p:m/>"))
  stanza(parser)
  assert.throws(() => parser.next(), { condition: "not-well-formed" })
})

test("continueFrom takes over in the middle of a stream", () => {
  const first = opened()
  first.push(Buffer.from("<a/>\n<db:result>key</db:res"))
  stanza(first)
  const second = XmlParser.continueFrom(first.scope, first.rootName, unauthenticatedLimits)
  second.push(first.rest())
  assert.equal(second.next(), undefined)
  second.push(Buffer.from("ult><m/></stream:stream>"))
  const result = stanza(second)
  assert.equal(result.ns, "jabber:server:dialback")
  assert.equal(stanza(second).ns, "jabber:server")
  assert.deepEqual(second.scope, first.scope)
  assert.equal(second.rootName, "stream:stream")
  assert.equal(second.limits.stanzaBytes, 10 * 1024)
  assert.deepEqual(second.next(), { kind: "close" })
  const third = XmlParser.continueFrom(first.scope, first.rootName)
  third.push(Buffer.from("<?xml version='1.0'?>"))
  assert.throws(() => third.next(), { condition: "restricted-xml" })
  const fourth = XmlParser.continueFrom([["", "urn:x"]], "stream")
  fourth.push(Buffer.from("</stream:stream>"))
  assert.throws(() => fourth.next(), { condition: "not-well-formed" })
})

test("limits can be raised on the way, also while a stanza is unfinished", () => {
  const parser = new XmlParser(unauthenticatedLimits)
  parser.push(Buffer.from(`${header}<m>`))
  parser.next()
  assert.equal(parser.next(), undefined)
  parser.limits = defaultLimits
  parser.push(Buffer.alloc(20_000, "x"))
  assert.equal(parser.next(), undefined)
  parser.push(Buffer.from("</m>"))
  assert.equal(text(stanza(parser)).length, 20_000)
  parser.limits = { stanzaBytes: 100 }
  assert.equal(parser.limits.depth, defaultLimits.depth)
  parser.push(Buffer.alloc(101, "<"))
  assert.throws(() => parser.next(), { condition: "not-well-formed" })
})

test("the default limits are those of the specification's room and ours", () => {
  assert.equal(defaultLimits.stanzaBytes, 512 * 1024)
  assert.ok(unauthenticatedLimits.stanzaBytes >= 10_000, "XML-06")
  for (const wrong of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) assert.throws(() => new XmlParser({ depth: wrong }), RangeError)
})

test("a size limit is enforced before the stanza is complete, and memory stays bounded", () => {
  const parser = opened()
  parser.push(Buffer.from("<m>"))
  const chunk = Buffer.alloc(16 * 1024, "x")
  let pushed = 3
  assert.throws(
    () => {
      for (let i = 0; i < 64; i++) {
        parser.push(chunk)
        pushed += chunk.length
        parser.next()
      }
    },
    { condition: "policy-violation" },
  )
  assert.ok(pushed <= defaultLimits.stanzaBytes + chunk.length)
})

test("names that evict each other from the table are still read rightly", () => {
  const parser = new XmlParser({ nodes: 1_000_000 })
  const names = Array.from({ length: 5_000 }, (_, i) => `n${(i * 7919) % 5000}`)
  parser.push(Buffer.from(`${header}<m>${names.map((name) => `<${name} a${name}=''/>`).join("")}</m>`))
  parser.next()
  assert.deepEqual(
    stanza(parser).children.map((node) => (typeof node === "string" ? node : `${node.name} ${node.attributes[0]?.name}`)),
    names.map((name) => `${name} a${name}`),
  )
})

const size = 250_000
const drips: Readonly<Record<string, string>> = {
  text: `<m>${"x".repeat(size)}</m>`,
  "text full of references": `<m>${"&lt;".repeat(2_000)}${"&#x41;".repeat(40_000)}</m>`,
  "text of multi-byte characters": `<m>${"€".repeat(size / 3)}</m>`,
  "attribute full of greater-than": `<m a='${">".repeat(size)}'/>`,
  "CDATA full of brackets": `<m><![CDATA[${"]]".repeat(size / 2)}]]></m>`,
  "many CDATA sections": `<m>${"<![CDATA[]]>".repeat(size / 12)}</m>`,
  "white space in a tag": `<m ${" ".repeat(size)}/>`,
  "white space in an end tag": `<m></m${" \n".repeat(size / 2)}>`,
  "white space between stanzas": `${" \n".repeat(size / 2)}<m/>`,
  "zeros in a reference": `<m>&#${"0".repeat(size)}65;</m>`,
  "carriage returns": `<m a='${"\r".repeat(size / 2)}'>${"\r".repeat(size / 2)}</m>`,
}
for (const [name, content] of Object.entries(drips))
  test(`linear under a drip of single bytes: ${name}`, () => {
    const bytes = Buffer.from(content)
    let best = Number.POSITIVE_INFINITY
    // The machine may be busy: the best of a few runs counts. A quadratic parser takes many seconds in each.
    for (let attempt = 0; attempt < 4 && best >= 1000; attempt++) {
      const parser = opened()
      const started = process.cpuUsage()
      let event: XmlEvent | undefined
      for (let at = 0; at < bytes.length; at++) {
        parser.push(bytes.subarray(at, at + 1))
        event = parser.next()
      }
      const { user, system } = process.cpuUsage(started)
      best = Math.min(best, (user + system) / 1000)
      assert.ok(event?.kind === "element")
    }
    assert.ok(best < 1000, `${best} ms of CPU`)
  })

test("hostile nesting and namespaces cost no more than their bytes", () => {
  const deep = "<d xmlns:a='u'>".repeat(20_000)
  const parser = new XmlParser({ depth: 1_000_000, nodes: 1_000_000, stanzaBytes: 10_000_000 })
  parser.push(Buffer.from(header + deep + "<p:x xmlns:p='u' p:a=''/>".repeat(20_000) + "</d>".repeat(20_000)))
  const started = process.cpuUsage()
  assert.equal(all(parser).length, 2)
  const { user, system } = process.cpuUsage(started)
  assert.ok(user + system < 2_000_000, `${(user + system) / 1000} ms of CPU`)
})
