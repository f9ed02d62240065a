// The push relay: order, what the handler is told, xml:lang of the stream, and the cache of routes (RFC 6120 8.1.5).
import assert from "node:assert/strict"
import { describe, test } from "node:test"

import { Relay, type RelayOptions, type StanzaView } from "../../src/stream/relay.ts"
import { RouteCache } from "../../src/stream/route-cache.ts"
import { attr, xmlNamespace } from "../../src/xml/element.ts"

const scope = [
  ["", "jabber:server"],
  ["stream", "http://etherx.jabber.org/streams"],
  ["db", "jabber:server:dialback"],
] as const

function copyOf(view: StanzaView): string {
  const { bytes, start, end, insert, insertAt } = view
  if (insert === undefined) return bytes.toString("utf8", start, end)
  return bytes.toString("utf8", start, insertAt) + insert.toString() + bytes.toString("utf8", insertAt, end)
}

function record(options: Partial<RelayOptions> = {}): { relay: Relay; events: string[] } {
  const events: string[] = []
  const relay = new Relay({
    contentNs: "jabber:server",
    scope,
    rootName: "stream:stream",
    unread: Buffer.alloc(0),
    handler: {
      stanza: (view) => events.push(`raw ${copyOf(view)}`),
      tree: (element) => events.push(`tree ${element.name}${attr(element, "lang", xmlNamespace) ?? ""}`),
      closeTag: () => events.push("close"),
      failed: (error) => events.push(`failed ${error.condition}`),
      flushed: () => events.push("flushed"),
    },
    ...options,
  })
  return { relay, events }
}

describe("Relay", () => {
  test("keeps the order of raw stanzas and trees, and says when a chunk is done", () => {
    const { relay, events } = record()
    relay.chunk(Buffer.from("<iq id='1'/><db:result>k</db:result><message/><x:y xmlns:x='urn:x'/> <presence/><mess"))
    relay.chunk(Buffer.from("age/></stream:stream>"))
    assert.deepEqual(events, [
      "raw <iq id='1'/>",
      "tree result",
      "raw <message/>",
      "tree y",
      "raw <presence/>",
      "flushed",
      "raw <message/>",
      "close",
      "flushed",
    ])
  })

  test("reads what the negotiation left over first, once", () => {
    const { relay, events } = record({ unread: Buffer.from("<iq/><mess") })
    relay.chunk(Buffer.from("age/>"))
    relay.start()
    assert.deepEqual(events, ["raw <iq/>", "flushed", "raw <message/>", "flushed"])
    const second = record({ unread: Buffer.from("<iq/>") })
    second.relay.start()
    second.relay.start()
    assert.deepEqual(second.events, ["raw <iq/>", "flushed"])
  })

  test("after a fault the chunk's flush comes, then nothing", () => {
    const { relay, events } = record()
    relay.chunk(Buffer.from("<iq/><!-- no --><iq/>"))
    relay.chunk(Buffer.from("<iq/>"))
    assert.deepEqual(events, ["raw <iq/>", "failed restricted-xml", "flushed"])
  })

  test("stop inside a callback ends the chunk but not its flush", () => {
    const events: string[] = []
    const { relay }: { relay: Relay } = record({
      handler: {
        stanza() {
          events.push("stanza")
          relay.stop()
        },
        tree: () => events.push("tree"),
        closeTag: () => events.push("close"),
        failed: () => events.push("failed"),
        flushed: () => events.push("flushed"),
      },
    })
    relay.chunk(Buffer.from("<iq/><iq/><db:result/>"))
    relay.chunk(Buffer.from("<iq/>"))
    assert.deepEqual(events, ["stanza", "flushed"])
  })

  test("a handler's own error is not taken for the peer's, and what came before is flushed", () => {
    const events: string[] = []
    const { relay } = record({
      handler: {
        stanza: () => events.push("stanza"),
        tree() {
          throw new TypeError("ours")
        },
        closeTag: () => undefined,
        failed: () => assert.fail("the peer did nothing wrong"),
        flushed: () => events.push("flushed"),
      },
    })
    assert.throws(() => relay.chunk(Buffer.from("<iq/><db:result/>")), /ours/)
    assert.deepEqual(events, ["stanza", "flushed"])
  })

  test("the stream's language follows a stanza only where it differs from ours", () => {
    const stanzas =
      "<message to='x'/><iq xml:lang='fr'/><message><x:y xmlns:x='urn:x'/></message><message xml:lang='fr'><x:y xmlns:x='urn:x'/></message><db:result/>"
    const german = record({ xmlLang: "de-AT" })
    german.relay.chunk(Buffer.from(stanzas))
    assert.deepEqual(german.events, [
      "raw <message xml:lang='de-AT' to='x'/>",
      "raw <iq xml:lang='fr'/>",
      "tree messagede-AT",
      "tree messagefr",
      "tree result",
      "flushed",
    ])
    for (const xmlLang of ["en", "'/><evil", "", "x".repeat(200)]) {
      const other = record({ xmlLang })
      other.relay.chunk(Buffer.from(stanzas))
      assert.deepEqual(other.events.slice(0, 3), ["raw <message to='x'/>", "raw <iq xml:lang='fr'/>", "tree message"], xmlLang)
    }
  })

  test("idle says whether an element is half read", () => {
    const { relay } = record()
    assert.equal(relay.idle, true)
    relay.chunk(Buffer.from("<mess"))
    assert.equal(relay.idle, false)
    relay.chunk(Buffer.from("age/>\n"))
    assert.equal(relay.idle, true)
    relay.chunk(Buffer.from("<db:result>"))
    assert.equal(relay.idle, false)
  })
})

/** Runs a cache over the stanzas of a text, as a router would. */
function route(
  cache: RouteCache<string>,
  text: string,
  epoch: number,
  keep: (view: StanzaView) => string | undefined,
): (string | undefined)[] {
  const found: (string | undefined)[] = []
  const { relay } = record({
    handler: {
      stanza(view) {
        found.push(cache.find(view, epoch))
        const entry = keep(view)
        if (entry !== undefined) cache.keep(view, epoch, entry)
      },
      tree: () => assert.fail("not here"),
      closeTag: () => undefined,
      failed: (error) => assert.fail(error),
      flushed: () => undefined,
    },
  })
  relay.chunk(Buffer.from(text))
  return found
}

describe("RouteCache", () => {
  const stanza = (from: string, to: string) => `<iq from='${from}' to='${to}'/>`

  test("finds a pair whatever the local part and the resource are", () => {
    const cache = new RouteCache<string>()
    const text =
      stanza("a@one.example/x", "b@two.example") +
      stanza("one.example", "two.example/y") +
      stanza("c@one.example", "three.example") +
      stanza("one.example", "two.example")
    assert.deepEqual(
      route(cache, text, 1, (view) => view.bytes.toString("utf8", view.toStart, view.toEnd)),
      [undefined, "two.example", undefined, "two.example"],
    )
  })

  test("the border between the two domains counts", () => {
    const cache = new RouteCache<string>()
    route(cache, stanza("ab", "c"), 1, () => "first")
    assert.deepEqual(
      route(cache, stanza("a", "bc") + stanza("ab", "c"), 1, () => undefined),
      [undefined, "first"],
    )
  })

  test("bytes that are the same in Latin-1 only are different", () => {
    const cache = new RouteCache<string>()
    route(cache, stanza("ü.example", "x"), 1, () => "u umlaut")
    assert.deepEqual(
      route(cache, stanza("Ã¼.example", "x") + stanza("ü.example", "x"), 1, () => undefined),
      [undefined, "u umlaut"],
    )
  })

  test("another epoch forgets everything", () => {
    const cache = new RouteCache<string>()
    route(cache, stanza("a", "b"), 1, () => "old")
    assert.deepEqual(
      route(cache, stanza("a", "b"), 2, () => undefined),
      [undefined],
    )
    assert.deepEqual(
      route(cache, stanza("a", "b"), 1, () => undefined),
      [undefined],
    )
  })

  test("a stanza without an address is never found or kept", () => {
    const cache = new RouteCache<string>()
    const text = "<iq/><iq from='a'/><iq to='b'/><iq from='' to=''/>"
    route(cache, text, 1, () => "kept")
    assert.deepEqual(
      route(cache, text, 1, () => undefined),
      [undefined, undefined, undefined, "kept"],
    )
  })

  test("it keeps no more pairs than it may", () => {
    const cache = new RouteCache<string>(3)
    const pairs = ["a", "b", "c", "d"].map((to) => stanza("x", to))
    route(cache, pairs.join(""), 1, () => "kept")
    assert.deepEqual(
      route(cache, pairs.join(""), 1, () => undefined),
      [undefined, undefined, undefined, "kept"],
    )
  })

  test("domains too long to be the last ones are found all the same", () => {
    const cache = new RouteCache<string>()
    const long = stanza("l".repeat(600), "x")
    route(cache, long, 1, () => "long")
    assert.deepEqual(
      route(cache, long + stanza("a", "b") + long, 1, () => undefined),
      ["long", undefined, "long"],
    )
  })
})
