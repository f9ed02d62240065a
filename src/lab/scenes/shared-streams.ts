// Scenes in which one stream serves several domains, or both directions: assertion, supposition and bidi (RFC 7712 4.3, 4.4;
// XEP-0220 2.6, XEP-0288; S5.2, S6.1.1, S6.1.3, S6.2.1).
import type { LabServer } from "../internet.ts"
import type { Scene } from "../scene.ts"
import { byCertificate, byDialback, delivered, mutual, proved, refusedByReceiver } from "./expectations.ts"

/** On a stream that is there: each end judges the certificates that it has seen. */
const joined = (sender: string, receiver: string) => delivered(byCertificate(receiver, null), byCertificate(sender, null))

/** Connections that a server opened to others so far. */
function opened({ events }: LabServer): number {
  return events.filter(({ kind, direction }) => kind === "connected" && direction === "out").length
}

const assertion: Scene = {
  id: "assertion",
  section: "RFC 7712 4.4.1, XEP-0220 2.6.1",
  title: "further senders on one stream: one is in the certificate; one is not, and harms nobody",
  cast: [
    {
      domain: "nest.example",
      what: "Lab CA, for itself and egg.example",
      certificate: { from: "lab", names: ["nest.example", "egg.example"] },
      also: [{ domain: "egg.example" }, { domain: "cuckoo.example" }],
    },
    { domain: "tree.example", what: "certificate of the Lab CA" },
  ],
  expected: {
    "nest.example -> tree.example": mutual("nest.example", "tree.example"),
    "egg.example -> tree.example": joined("egg.example", "tree.example"),
    "connections for these two": 1,
    "cuckoo.example -> tree.example": refusedByReceiver(
      "cuckoo.example",
      "pkix.name-mismatch",
      "the certificate is for nest.example, egg.example, wanted cuckoo.example",
    ),
    "nest.example -> tree.example, afterwards": "delivered",
    "streams that ended for nest.example": 0,
  },
  play: async ({ exchange, server }) => ({
    "nest.example -> tree.example": await exchange("nest.example", "tree.example"),
    "egg.example -> tree.example": await exchange("egg.example", "tree.example"),
    "connections for these two": opened(server("nest.example")),
    "cuckoo.example -> tree.example": await exchange("cuckoo.example", "tree.example"),
    "nest.example -> tree.example, afterwards": (await exchange("nest.example", "tree.example")).message,
    "streams that ended for nest.example": server("nest.example").events.filter(({ kind, ...event }) => kind === "closed" && "pair" in event && event.pair?.sender === "nest.example").length,
  }),
}

const supposition: Scene = {
  id: "supposition",
  section: "RFC 7712 4.4.2, XEP-0220 2.6.2",
  title: "a further target: on the same stream where its certificate covers it, else on one of its own",
  cast: [
    {
      domain: "hall.example",
      what: "Lab CA, for itself and its rooms",
      certificate: { from: "lab", names: ["hall.example", "rooms.hall.example"] },
      also: [{ domain: "rooms.hall.example" }],
    },
    {
      domain: "barn.example",
      what: "Lab CA, for itself alone",
      also: [{ domain: "rooms.barn.example", what: "there, too, with a certificate of its own", certificate: { from: "lab" } }],
    },
    { domain: "moor.example", what: "certificate of the Lab CA" },
  ],
  expected: {
    "moor.example -> hall.example": mutual("moor.example", "hall.example"),
    "moor.example -> rooms.hall.example": joined("moor.example", "rooms.hall.example"),
    "connections for these two": 1,
    "moor.example -> barn.example": mutual("moor.example", "barn.example"),
    "moor.example -> rooms.barn.example": mutual("moor.example", "rooms.barn.example"),
    "connections for the other two": 2,
  },
  play: async ({ exchange, server }) => {
    const walker = server("moor.example")
    const first = await exchange("moor.example", "hall.example")
    const second = await exchange("moor.example", "rooms.hall.example")
    const one = opened(walker)
    const third = await exchange("moor.example", "barn.example")
    const fourth = await exchange("moor.example", "rooms.barn.example")
    return {
      "moor.example -> hall.example": first,
      "moor.example -> rooms.hall.example": second,
      "connections for these two": one,
      "moor.example -> barn.example": third,
      "moor.example -> rooms.barn.example": fourth,
      "connections for the other two": opened(walker) - one,
    }
  },
}

const oneWay: Scene = {
  id: "one-way",
  section: "RFC 7712 4.3, XEP-0288 2",
  title: "no client certificate: a key ties the stream to its domain, and then it serves both directions",
  cast: [
    { domain: "meek.example", what: "Lab CA; shows none when it connects", require: "encrypted", hidesCertificate: true, bidi: true },
    { domain: "kind.example", what: "Lab CA; encryption is enough", require: "encrypted", bidi: true },
  ],
  expected: {
    "meek.example -> kind.example": delivered(byCertificate("kind.example", null), byDialback(proved("meek.example"))),
    "kind.example -> meek.example": delivered(byDialback(proved("meek.example")), byCertificate("kind.example", null)),
    "connections of meek.example": 1,
    "of kind.example, to ask meek.example's server": 1,
  },
  play: async ({ exchange, server }) => ({
    "meek.example -> kind.example": await exchange("meek.example", "kind.example"),
    "kind.example -> meek.example": await exchange("kind.example", "meek.example"),
    "connections of meek.example": opened(server("meek.example")),
    "of kind.example, to ask meek.example's server": opened(server("kind.example")),
  }),
}

export const sharedStreamScenes: readonly Scene[] = [assertion, supposition, oneWay]
