// Scenes about how far DNS can be believed: signed, unsigned, broken, and kept from us (RFC 7673 3, RFC 4035 4.3; security.md 15).
import { ConfigError } from "../../model/errors.ts"
import type { Internet, ServerSpec } from "../internet.ts"
import type { Scene } from "../scene.ts"
import { daneProved, daneSays, delivered, failed, proved, provenBy, refusedBySender, refusedWith, stoppedBySender, withoutNumbers } from "./expectations.ts"

/** DANE has nothing to say, for this reason; the certificate proves both. */
const byPkix = (sender: string, receiver: string, because: "dane.no-tlsa" | "dane.not-signed" = "dane.no-tlsa") =>
  delivered(provenBy([...proved(receiver), ...daneSays(receiver, because)]), provenBy(proved(sender)))

const host = { from: "lab", names: ["xmpp.hosting.example"] } as const
const ee = { usage: 3, selector: 1, matching: 1 } as const

const delegated: Scene = {
  id: "delegated-host",
  section: "RFC 7673 4.1, RFC 6120 13.7.2.1",
  title: "signed SRV leads to a host, whose certificate names the host alone: proved",
  cast: [
    { domain: "club.example", what: "Lab CA, for its host only; signed SRV", certificate: host, zone: { targets: [{ name: "xmpp.hosting.example" }] }, validates: true },
    { domain: "ring.example", what: "Lab CA; validates", validates: true },
  ],
  expected: {
    "ring.example -> club.example": delivered(
      provenBy([...proved("club.example"), ...daneSays("club.example", "dane.no-tlsa")]),
      provenBy(proved("ring.example")),
    ),
  },
  play: async ({ exchange }) => ({ "ring.example -> club.example": await exchange("ring.example", "club.example") }),
}

const insecure: Scene = {
  id: "insecure-delegation",
  section: "RFC 7673 3.1 and 4.1",
  title: "the same by unsigned SRV: neither the host's name nor its TLSA counts; refused",
  cast: [
    {
      domain: "fair.example",
      what: "Lab CA, for its host only; unsigned SRV",
      certificate: { from: "lab", names: ["xmpp.renting.example"] },
      zone: { signed: false, targets: [{ name: "xmpp.renting.example", tlsa: [ee] }] },
      validates: true,
    },
    { domain: "open.example", what: "Lab CA; unsigned DNS", zone: { signed: false }, validates: true },
    { domain: "wary.example", what: "Lab CA; validates", validates: true },
  ],
  expected: {
    "wary.example -> fair.example": refusedWith(
      [...failed("fair.example", "pkix.name-mismatch"), ...daneSays("fair.example", "dane.not-signed")],
      refusedBySender("fair.example", "pkix.name-mismatch", "the certificate is for xmpp.renting.example, wanted fair.example"),
    ),
    "wary.example -> open.example": byPkix("wary.example", "open.example", "dane.not-signed"),
  },
  play: async ({ exchange }) => ({
    "wary.example -> fair.example": await exchange("wary.example", "fair.example"),
    "wary.example -> open.example": await exchange("wary.example", "open.example"),
  }),
}

const bogusSrv: Scene = {
  id: "bogus-srv",
  section: "RFC 7673 3.1",
  title: "the signature over SRV does not verify: nobody is connected to",
  cast: [
    { domain: "torn.example", what: "Lab CA; SRV signed wrongly", zone: { bogusSrv: true }, validates: true },
    { domain: "sure.example", what: "Lab CA; validates", validates: true },
  ],
  expected: {
    "sure.example -> torn.example": stoppedBySender(
      "dns.bogus",
      "_xmpp-server._tcp.torn.example SRV: the signature over SRV of _xmpp-server._tcp.torn.example by key TAG is wrong",
    ),
  },
  play: async ({ exchange }) => ({ "sure.example -> torn.example": withoutNumbers(await exchange("sure.example", "torn.example")) }),
}

const bogusTlsa: Scene = {
  id: "bogus-tlsa",
  section: "RFC 7673 3.4",
  title: "the signature over TLSA does not verify: the next host, and without one refused",
  cast: [
    { domain: "lone.example", what: "Lab CA; TLSA signed wrongly", zone: { targets: [{ name: "xmpp.lone.example", tlsa: [ee], bogusTlsa: true }] }, validates: true },
    {
      domain: "twin.example",
      what: "Lab CA; two hosts, the first's TLSA wrong",
      zone: {
        targets: [
          { name: "one.twin.example", tlsa: [ee], bogusTlsa: true },
          { name: "two.twin.example", priority: 10, tlsa: [ee] },
        ],
      },
      validates: true,
    },
    { domain: "keen.example", what: "Lab CA; validates", validates: true },
  ],
  expected: {
    "keen.example -> lone.example": stoppedBySender(
      "dane.tlsa-bogus",
      "_PORT._tcp.xmpp.lone.example TLSA: the signature over TLSA of _PORT._tcp.xmpp.lone.example by key TAG is wrong",
      daneSays("lone.example", "dane.tlsa-bogus", "unavailable"),
    ),
    "keen.example -> twin.example": delivered(provenBy([...proved("twin.example"), ...daneProved("twin.example")]), provenBy(proved("keen.example"))),
    hosts: ["two.twin.example"],
  },
  play: async ({ exchange, server }) => ({
    "keen.example -> lone.example": withoutNumbers(await exchange("keen.example", "lone.example")),
    "keen.example -> twin.example": await exchange("keen.example", "twin.example"),
    hosts: server("keen.example").events.flatMap((event) => (event.kind === "associated" && event.direction === "out" ? [event.association.endpoint?.delegation.derived] : [])),
  }),
}

const provenAbsence: Scene = {
  id: "proven-absence",
  section: "RFC 7673 3.4 and 4.1, RFC 4035 5.4",
  title: "signed DNS without TLSA, and that is proven: the certificate alone decides",
  cast: [
    { domain: "bare.example", what: "Lab CA; signed, no TLSA", zone: {}, validates: true },
    { domain: "void.example", what: "self-signed; signed, no TLSA", certificate: { from: "self" }, zone: {}, validates: true },
    { domain: "fine.example", what: "Lab CA; validates", validates: true },
  ],
  expected: {
    "fine.example -> bare.example": byPkix("fine.example", "bare.example"),
    "fine.example -> void.example": refusedWith(
      [...failed("void.example", "cert.self-signed"), ...daneSays("void.example", "dane.no-tlsa")],
      refusedBySender("void.example", "cert.self-signed", "the certificate of CN=void.example is self-signed and not among the trusted ones"),
    ),
  },
  play: async ({ exchange }) => ({
    "fine.example -> bare.example": await exchange("fine.example", "bare.example"),
    "fine.example -> void.example": await exchange("fine.example", "void.example"),
  }),
}

const stripping: Scene = {
  id: "stripping-resolver",
  section: "RFC 4035 4.3 and 5, RFC 7673 3.1",
  title: "a resolver that keeps signatures to itself: no start, and later nothing is believed",
  cast: [
    { domain: "trap.example", what: "Lab CA; behind a resolver that will strip", behindStripping: true, validates: true },
    { domain: "days.example", what: "Lab CA; met before", validates: true },
    { domain: "dusk.example", what: "Lab CA; met after", validates: true },
  ],
  expected: {
    "trap.example -> days.example": byPkix("trap.example", "days.example"),
    "trap.example -> dusk.example": stoppedBySender(
      "dns.bogus",
      "_xmpp-server._tcp.dusk.example SRV: the absence of DS of dusk.example is not proven: no NSEC record covers the name",
    ),
    "start behind it": "dns.stripped",
  },
  play: async ({ exchange, net }) => {
    const before = await exchange("trap.example", "days.example")
    net.signed.strips = true
    try {
      return {
        "trap.example -> days.example": before,
        "trap.example -> dusk.example": await exchange("trap.example", "dusk.example"),
        "start behind it": await startOf(net, { domain: "dawn.example", behindStripping: true, validates: true }),
      }
    } finally {
      net.signed.strips = false
    }
  },
}

/** Whether a gateway starts; where it does not, what is wrong in a word of the catalogue. */
async function startOf(net: Internet, spec: ServerSpec): Promise<string> {
  try {
    await net.removeServer(await net.addServer(spec))
    return "started"
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.flatMap(({ sentence }) => /\[([a-z.-]+)\]/.exec(sentence)?.[1] ?? sentence).join()
  }
}

export const secureDnsScenes: readonly Scene[] = [delegated, insecure, bogusSrv, bogusTlsa, provenAbsence, stripping]
