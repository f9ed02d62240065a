// The cutter against the tree parser: never more is accepted, nothing is read differently (XML-01..06, CORE-12, security.md 23).
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"

import { Cutter } from "../../src/xml/cutter.ts"
import { attr } from "../../src/xml/element.ts"
import { pieces, type Read, readByCutter, readByTree, rootName, scope } from "./cutter-world.ts"

const ordinary = `<message from='a@one.example/r' to="b@two.example" type='chat' id='1'><body>Hello &amp; welcome</body></message>`

function wholeAndInPieces(text: string | Buffer, expected: (read: Read, chunking: string) => void): void {
  const bytes = Buffer.from(text as string)
  expected(readByCutter([Buffer.from(bytes)]), "whole")
  expected(readByCutter(pieces(bytes, [1])), "byte by byte")
  expected(readByCutter(pieces(bytes, [7])), "in sevens")
}

function sameAsTree(text: string | Buffer, raw: number): void {
  const tree = readByTree([Buffer.from(text as string)])
  wholeAndInPieces(text, (read, chunking) => {
    assert.deepEqual(read.events, tree.events, chunking)
    assert.equal(read.raw, raw, `${chunking}: stanzas passed as bytes`)
  })
}

describe("ordinary stanzas stay bytes", () => {
  const rows: readonly [string, string][] = [
    ["a message", ordinary],
    ["an empty stanza", "<presence/>"],
    ["an empty stanza with attributes", "<presence from='one.example' to='two.example' />"],
    [
      "nested payload",
      "<iq type='get' id='x'><query xmlns='jabber:iq:roster'><item jid='a@b.example'/><item jid='c@b.example'>text</item></query></iq>",
    ],
    ["both kinds of quotes in values", `<message a="it's" b='say "x"'/>`],
    ["numeric references", "<message><body>&#65;&#x1F600;&#xA;&lt;&gt;&quot;&apos;</body></message>"],
    ["xml:lang", "<message xml:lang='de'><body xml:lang=\"fr\" xml:space='preserve'>x</body></message>"],
    ["multi-byte text", "<message><body>Grüße, привет, 世界, 👋🏽, ❤\uFE0F \uFEFF</body></message>"],
    ["multi-byte addresses", "<message from='bücher@bücher.example' to='x'/>"],
    ["line ends", "<message\r\n\tto='x'>\r\n<body\n>a\rb</body>\r\n</message>"],
    ["brackets and greater-than", "<message><body>]] > ]]&gt; >> ]></body><a b='>]]>'/></message>"],
    ["names with digits, dots and hyphens", "<message><a-1.b_c D='' e.f-g='2'/></message>"],
    ["a namespace like a content namespace", "<message><x xmlns='jabber:clients'/><x xmlns='jabber:x:oob'/></message>"],
  ]
  for (const [name, text] of rows) test(name, () => sameAsTree(` \n${text}\r\n\t${text}`, 2))
})

describe("the unusual goes to the tree parser and is read right", () => {
  const rows: readonly [string, string][] = [
    ["a prefixed element", "<message><p:x xmlns:p='urn:p'/></message>"],
    ["a prefixed attribute", "<message><x xmlns:p='urn:p' p:a='1'/></message>"],
    ["a declaration alone", "<message><x xmlns:p='urn:p'/></message>"],
    ["a prefix of the stream header", "<message><stream:x/></message>"],
    [
      "the content namespace of another stream inside",
      "<message><f xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'/></f></message>",
    ],
    ["the own content namespace inside", "<message><f xmlns='urn:xmpp:forward:0'><message xmlns='jabber:server'/></f></message>"],
    ["the component namespace inside", '<message><message xmlns="jabber:component:accept"/></message>'],
    ["the own content namespace on the stanza", "<message xmlns='jabber:server'/>"],
    ["a content namespace written with references", "<message><x xmlns='jabber:&#99;lient'/></message>"],
    ["no namespace", "<message><x xmlns=''/></message>"],
    ["CDATA", "<message><body><![CDATA[<&]]></body></message>"],
    ["dialback", "<db:result from='one.example' to='two.example'>key</db:result>"],
    ["a stream error", "<stream:error><x xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"],
    ["another first-level element", "<r xmlns='urn:xmpp:sm:3'/>"],
    ["a stanza of another namespace", "<message xmlns='jabber:client'/>"],
    ["a stanza's name in a payload namespace", "<message xmlns='urn:x'/>"],
    ["a name that begins like a stanza", "<messages/>"],
    ["a reference in an address", "<message from='a@one&#46;example' to='x'/>"],
    ["white space in an address", "<message from='a@one.example\n' to='x'/>"],
    ["white space around an equals sign", "<message from = 'x'/>"],
    ["white space in an end tag", "<message><a></a ></message>"],
    ["names beyond ASCII", "<message><größe länge='1'/></message>"],
    ["a long numeric reference", "<message>&#0000000000065;</message>"],
    ["a colon in an attribute declared xml", "<message xml:ns='x'/>"],
  ]
  for (const [name, text] of rows) {
    test(name, () => {
      const raw = name === "a colon in an attribute declared xml" ? 3 : 2
      sameAsTree(`${ordinary}${text} ${ordinary}`, raw)
    })
  }

  test("a large unusual stanza among ordinary ones", () => {
    const large = `<message><body><![CDATA[${"x".repeat(90_000)}]]></body></message>`
    sameAsTree(`${ordinary}${large}${ordinary}`, 2)
  })
})

describe("what is wrong ends the stream, after what stands before it", () => {
  const rows: readonly [string, string | Buffer][] = [
    ["an end tag of another name", "<message><a></b></message>"],
    ["an end tag too many", "</message>"],
    ["an attribute twice", "<message to='a' from='b' to='c'/>"],
    ["xml:lang twice", "<message xml:lang='a' xml:lang='b'/>"],
    ["no space between attributes", "<message to='a'from='b'/>"],
    ["an attribute without quotes", "<message to=a/>"],
    ["an attribute without value", "<message to/>"],
    ["less-than in a value", "<message to='<'/>"],
    ["the end of CDATA in text", "<message>]]></message>"],
    ["an unknown entity", "<message>&nbsp;</message>"],
    ["an unknown entity in a value", "<message a='&nbsp;'/>"],
    ["a reference to NUL", "<message>&#0;</message>"],
    ["a reference to a surrogate", "<message>&#xD800;</message>"],
    ["a reference to U+FFFE", "<message>&#xFFFE;</message>"],
    ["a reference beyond Unicode", "<message>&#x110000;</message>"],
    ["a bare ampersand", "<message>a & b</message>"],
    ["NUL", "<message>\0</message>"],
    ["a control character in a value", "<message a='\x01'/>"],
    ["U+FFFF in text", "<message>\uFFFF</message>"],
    ["U+FFFE in a value", "<message a='\uFFFE'/>"],
    ["a comment", "<message><!-- x --></message>"],
    ["a comment between stanzas", "<!-- x -->"],
    ["a processing instruction", "<message><?x?></message>"],
    ["a document type", "<!DOCTYPE message>"],
    ["an undeclared prefix", "<message><p:x/></message>"],
    ["an undeclared attribute prefix", "<message p:a='1'/>"],
    ["a prefixed content element", "<p:message xmlns:p='jabber:server'/>"],
    ["text between stanzas", "hello"],
    ["a second XML declaration", "<?xml version='1.0'?>"],
    ["the end of the stream, then more", "</stream:stream><message/>"],
    ["the end of another stream", "</stream>"],
    ["a name that starts with a digit", "<message><1/></message>"],
    ["an attribute that starts with a hyphen", "<message -a='1'/>"],
    ["a slash that closes nothing", "<message / >"],
    ["the xml namespace as default", "<message><x xmlns='http://www.w3.org/XML/1998/namespace'/></message>"],
    ["the xmlns namespace as default", "<message><x xmlns='http://www.w3.org/2000/xmlns/'/></message>"],
    ["an overlong encoding", Buffer.concat([Buffer.from("<message>"), Buffer.from([0xc0, 0x80]), Buffer.from("</message>")])],
    ["a surrogate in UTF-8", Buffer.concat([Buffer.from("<message>"), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from("</message>")])],
    ["a cut-off character", Buffer.concat([Buffer.from("<message>"), Buffer.from([0xe2, 0x82]), Buffer.from("</message>")])],
    ["a lone continuation byte", Buffer.concat([Buffer.from("<message a='"), Buffer.from([0x80]), Buffer.from("'/>")])],
    ["a byte order mark", "\uFEFF<message/>"],
  ]
  for (const [name, wrong] of rows) {
    test(name, () => {
      const text = Buffer.concat([Buffer.from(ordinary), Buffer.from(wrong as string), Buffer.from(ordinary)])
      const tree = readByTree([Buffer.from(text)])
      assert.equal(typeof tree.events.at(-1), "string", "the row must be wrong in the tree parser's eyes")
      wholeAndInPieces(text, (read, chunking) => assert.deepEqual(read.events, tree.events, chunking))
    })
  }
})

describe("addresses (security.md 23: first slash, then first at-sign)", () => {
  const rows: readonly [address: string, domain: string][] = [
    ["one.example", "one.example"],
    ["a@one.example", "one.example"],
    ["a@one.example/r", "one.example"],
    ["one.example/a@victim.example", "one.example"],
    ["a.example/x@victim.example", "a.example"],
    ["a@b@c.example", "b@c.example"],
    ["@one.example", "one.example"],
    ["a@", ""],
    ["", ""],
    ["/r", ""],
    ["a@one.example/", "one.example"],
    ["a@one.example/with space/and@more", "one.example"],
    ["bücher.example", "bücher.example"],
  ]
  for (const [address, domain] of rows) {
    test(address === "" ? "(empty)" : address, () => {
      const text = Buffer.from(`<iq type='set' to='${address}' from='x@${address}' id='1'><q/></iq>`)
      for (const sizes of [[text.length], [1], [3]]) {
        const found: string[] = []
        readByCutter(pieces(text, sizes), {}, (view) => {
          found.push(view.bytes.toString("utf8", view.toStart, view.toEnd))
          found.push(view.bytes.toString("utf8", view.typeStart, view.typeEnd))
          found.push(view.kind)
        })
        assert.deepEqual(found, [domain, "set", "iq"])
      }
    })
  }

  test("absent attributes are -1, and those of children are not ours", () => {
    readByCutter([Buffer.from("<message><x from='a' to='b' type='c' xml:lang='d'/></message>")], {}, (view) => {
      assert.deepEqual([view.fromStart, view.fromEnd, view.toStart, view.toEnd, view.typeStart, view.hasLang], [-1, -1, -1, -1, -1, false])
    })
  })
})

describe("limits are those of the tree parser", () => {
  const rows: [name: string, text: string, limits: Record<string, number>][] = []
  const sized = (length: number) => `<message>${"x".repeat(length - "<message></message>".length)}</message>`
  for (const length of [99, 100, 101, 102, 5000]) rows.push([`${length} bytes of 100`, sized(length), { stanzaBytes: 100 }])
  for (const depth of [1, 2, 3, 4, 5, 9]) {
    rows.push([`depth ${depth} of 4`, `<message>${"<a>".repeat(depth - 1)}${"</a>".repeat(depth - 1)}</message>`, { depth: 4 }])
    rows.push([`depth ${depth} of 4, empty`, `<message>${"<a>".repeat(depth - 1)}<b/>${"</a>".repeat(depth - 1)}</message>`, { depth: 4 }])
  }
  const attributes = (count: number) => Array.from({ length: count }, (_, index) => ` a${index}=''`).join("")
  for (const count of [1, 4, 5, 6, 7])
    rows.push([`${count} attributes of 5`, `<message><a${attributes(count)}/></message>`, { attributes: 5 }])
  rows.push(["a declaration of 1", "<message><a xmlns='urn:x'/></message>", { declarations: 1 }])
  for (const length of [9, 10, 11, 12]) {
    rows.push([`a name of ${length}, 10 allowed`, `<message><${"n".repeat(length)}/></message>`, { nameLength: 10 }])
    rows.push([`an attribute name of ${length}, 10 allowed`, `<message ${"n".repeat(length)}=''/>`, { nameLength: 10 }])
  }
  for (const count of [1, 5, 9, 10, 11, 12, 40]) {
    rows.push([`${count} children, 10 nodes`, `<message>${"<a/>".repeat(count)}</message>`, { nodes: 10 }])
    rows.push([`${count} texts, 10 nodes`, `<message>${"x<a/>".repeat(count)}</message>`, { nodes: 10 }])
  }
  for (const [name, text, limits] of rows) {
    test(name, () => {
      const bytes = Buffer.from(`<presence/>${text}<presence/>`)
      const tree = readByTree([Buffer.from(bytes)], limits)
      for (const sizes of [[bytes.length], [1], [7]]) assert.deepEqual(readByCutter(pieces(bytes, sizes), limits).events, tree.events)
    })
  }

  test("a stanza over the limit is refused before it is whole", () => {
    const read = readByCutter([Buffer.from(`<message>${"x".repeat(200)}`)], { stanzaBytes: 100 })
    assert.deepEqual(read.events, ["policy-violation"])
  })
})

describe("linear under a drip of single bytes", () => {
  const bytes = 250_000
  const rows: readonly [string, string][] = [
    ["text", `<message>${"x".repeat(bytes)}</message>`],
    ["an attribute full of >", `<message a='${">".repeat(bytes)}'/>`],
    ["an address", `<message from='${"a@".repeat(bytes / 2)}'/>`],
    ["white space in a tag", `<message${" ".repeat(bytes)}/>`],
    ["brackets", `<message>${"]".repeat(bytes)}</message>`],
    ["CDATA full of brackets", `<message><![CDATA[${"]]".repeat(bytes / 2)}]]></message>`],
    ["references", `<message>${"&amp;".repeat(bytes / 5)}</message>`],
    ["multi-byte characters", `<message>${"世".repeat(bytes / 3)}</message>`],
  ]
  for (const [name, text] of rows) {
    test(name, () => {
      const stream = Buffer.from(`${text}<presence/>`)
      let elements = 0
      const count = () => {
        elements += 1
      }
      const failures: string[] = []
      const cutter = new Cutter({
        scope,
        rootName,
        handler: { stanza: count, tree: count, closeTag: count, failed: (error) => failures.push(error.message) },
      })
      const started = process.cpuUsage()
      for (let at = 0; at < stream.length; at += 1) cutter.push(stream.subarray(at, at + 1))
      const used = process.cpuUsage(started)
      assert.deepEqual(failures, [])
      assert.equal(elements, 2)
      const milliseconds = (used.user + used.system) / 1000
      assert.ok(milliseconds < 1500, `${milliseconds.toFixed(0)} ms of CPU`)
    })
  }
})

describe("stop", () => {
  test("nothing is passed on after it, not even from the same chunk", () => {
    const seen: string[] = []
    const cutter: Cutter = new Cutter({
      scope,
      rootName,
      handler: {
        stanza(view) {
          seen.push(view.kind)
          if (seen.length === 2) cutter.stop()
        },
        tree: () => seen.push("element"),
        closeTag: () => seen.push("close"),
        failed: () => seen.push("failed"),
      },
    })
    cutter.push(Buffer.from("<iq/><message/><presence/><db:result/>&"))
    cutter.push(Buffer.from("<iq/>"))
    assert.deepEqual(seen, ["iq", "message"])
  })

  test("a default namespace that is no content namespace leaves everything to the tree parser (CORE-11)", () => {
    const events: string[] = []
    const cutter = new Cutter({
      scope: [["", "http://etherx.jabber.org/streams"]],
      rootName: "stream",
      handler: {
        stanza: () => events.push("raw"),
        tree: (element) => events.push(`${element.name} ${element.ns}`),
        closeTag: () => events.push("close"),
        failed: (error) => events.push(error.condition),
      },
    })
    cutter.push(Buffer.from("<message xmlns='jabber:server'><body/></message> <features/></stream>"))
    assert.deepEqual(events, ["message jabber:server", "features http://etherx.jabber.org/streams", "close"])
  })
})

const realStanzas = [
  ordinary,
  "<presence from='room@rooms.one.example/Nick' to='b@two.example/x'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='member' role='participant'/><status code='110'/></x></presence>",
  "<iq from='one.example' to='two.example' id='d-1' type='get'><query xmlns='http://jabber.org/protocol/disco#info' node='x#y'/></iq>",
  "<message to='b@two.example' from='a@one.example' xml:lang='en'><body>❤️ ok</body><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><p style='a: b'>x<br/>y</p></body></html></message>",
  "<message to='b@two.example' from='a@one.example'><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' to='c'><body>x</body></message></forwarded></sent></message>",
  "<db:verify from='one.example' to='two.example' id='s1'>0123456789abcdef</db:verify>",
  "<message to='b@two.example' from='a@one.example'><body><![CDATA[a]]b]]></body></message>",
  "<iq type='result' id='&lt;&#x41;'><s:stats xmlns:s='urn:s' s:n='1'/></iq>",
] as const

describe("properties", () => {
  const chunking = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 6 })

  test("any chunking gives what the tree parser reads from the whole", () => {
    const document = fc.array(fc.constantFrom(...realStanzas, " ", "\r\n"), { minLength: 1, maxLength: 12 }).map((parts) => parts.join(""))
    fc.assert(
      fc.property(document, chunking, (text, sizes) => {
        const bytes = Buffer.from(text)
        const read = readByCutter(pieces(bytes, sizes))
        assert.deepEqual(read.events, readByTree([bytes]).events)
      }),
      { numRuns: 400 },
    )
  })

  const fragments = [
    "'",
    '"',
    "<",
    ">",
    "/",
    "&",
    ";",
    "]",
    "=",
    " ",
    ":",
    "xmlns",
    "xml:",
    "\0",
    "\uFFFE",
    "ü",
    "&#x0;",
    "<!--",
    "]]>",
    "</message>",
    "<a>",
  ]
  const mutation = fc.record({
    position: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
    remove: fc.integer({ min: 0, max: 3 }),
    put: fc.oneof(
      fc.constantFrom(...fragments).map((text) => Buffer.from(text)),
      fc.integer({ min: 0, max: 255 }).map((byte) => Buffer.from([byte])),
      fc.constant(Buffer.alloc(0)),
    ),
  })

  test("mutated streams: the same stanzas and the same verdict, however they are cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(...realStanzas), { minLength: 1, maxLength: 5 }),
        fc.array(mutation, { minLength: 1, maxLength: 3 }),
        chunking,
        (parts, mutations, sizes) => {
          let bytes = Buffer.from(parts.join(" "))
          for (const { position, remove, put } of mutations) {
            const at = Math.floor(position * bytes.length)
            bytes = Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + remove)])
          }
          const tree = readByTree([bytes])
          const read = readByCutter(pieces(bytes, sizes))
          // The cutter may learn of a fault a few bytes later than the tree parser; what came before must agree.
          const known =
            read.events.at(-1) === tree.events.at(-1)
              ? tree.events
              : tree.events.filter((event) => typeof event !== "string" || event === "close")
          assert.deepEqual(read.events, known)
          const complete = readByCutter([...pieces(bytes, sizes), Buffer.from(" ".repeat(600))])
          assert.deepEqual(complete.events, readByTree([bytes, Buffer.from(" ".repeat(600))]).events)
        },
      ),
      { numRuns: 3000 },
    )
  })

  test("addresses agree with the attributes of the tree", () => {
    const address = fc.string({ unit: fc.constantFrom("a", "@", "/", ".", "é", "1"), maxLength: 12 })
    fc.assert(
      fc.property(address, address, (from, to) => {
        let seen = 0
        readByCutter([Buffer.from(`<message from='${from}' to="${to}"/>`)], {}, (view, tree) => {
          seen += 1
          for (const [name, start, end] of [
            ["from", view.fromStart, view.fromEnd],
            ["to", view.toStart, view.toEnd],
          ] as const) {
            const bare = attr(tree, name)!.split("/")[0]!
            assert.equal(view.bytes.toString("utf8", start, end), bare.includes("@") ? bare.slice(bare.indexOf("@") + 1) : bare)
          }
        })
        assert.equal(seen, 1)
      }),
    )
  })
})
