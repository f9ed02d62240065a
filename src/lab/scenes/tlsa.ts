// Scenes in which signed DNS promises a certificate or key, by TLSA (RFC 7673, RFC 7671, RFC 6698).
import type { Scene } from "../scene.ts"
import {
  byDialback,
  daneProved,
  daneSays,
  delivered,
  failed,
  proved,
  provenBy,
  refusedByReceiver,
  refusedBySender,
  refusedWith,
  tooWeakByDialback,
  withoutNumbers,
} from "./expectations.ts"

/** Proven by TLSA alone, at both ends; PKIX is asked first of who connects to us (security.md 18). */
const byDane = (sender: string, receiver: string, pkix: "cert.self-signed" | "cert.unknown-root") =>
  delivered(provenBy([...failed(receiver, pkix), ...daneProved(receiver)]), provenBy([...failed(sender, pkix), ...daneProved(sender)]))
/** The sender asked for TLSA, and there is none. */
const pkixAlone = (receiver: string) => provenBy([...proved(receiver), ...daneSays(receiver, "dane.no-tlsa")])

const ee = { usage: 3, selector: 1, matching: 1 } as const

const daneEe: Scene = {
  id: "dane-ee",
  section: "RFC 7673 4.2, RFC 7671 5.1",
  title: "self-signed, and signed DNS says that this is the key: proved, each way",
  cast: [
    { domain: "key.example", what: "self-signed; TLSA 3 1 1", certificate: { from: "self" }, validates: true, zone: { targets: [{ name: "xmpp.key.example", tlsa: [ee] }] } },
    { domain: "pin.example", what: "self-signed; TLSA 3 0 2", certificate: { from: "self" }, validates: true, zone: { targets: [{ name: "xmpp.pin.example", tlsa: [{ usage: 3, selector: 0, matching: 2 }] }] } },
  ],
  expected: {
    "key.example -> pin.example": byDane("key.example", "pin.example", "cert.self-signed"),
    "pin.example -> key.example": byDane("pin.example", "key.example", "cert.self-signed"),
  },
  play: async ({ exchange }) => ({
    "key.example -> pin.example": await exchange("key.example", "pin.example"),
    "pin.example -> key.example": await exchange("pin.example", "key.example"),
  }),
}

const daneTa: Scene = {
  id: "dane-ta",
  section: "RFC 7671 5.2, RFC 7673 4.1",
  title: "an authority that only signed DNS names: shown with the chain, or absent and whole in DNS",
  cast: [
    {
      domain: "tie.example",
      what: "Other CA, sent along; TLSA 2 0 1",
      certificate: { from: "stranger", sendsRoot: true },
      validates: true,
      zone: { targets: [{ name: "xmpp.tie.example", tlsa: [{ usage: 2, selector: 0, matching: 1, of: "issuer" }] }] },
    },
    {
      domain: "tab.example",
      what: "Other CA, not sent; TLSA 2 0 0",
      certificate: { from: "stranger" },
      validates: true,
      zone: { targets: [{ name: "xmpp.tab.example", tlsa: [{ usage: 2, selector: 0, matching: 0, of: "issuer" }] }] },
    },
  ],
  expected: {
    "tie.example -> tab.example": byDane("tie.example", "tab.example", "cert.unknown-root"),
    "tab.example -> tie.example": byDane("tab.example", "tie.example", "cert.unknown-root"),
  },
  play: async ({ exchange }) => ({
    "tie.example -> tab.example": await exchange("tie.example", "tab.example"),
    "tab.example -> tie.example": await exchange("tab.example", "tie.example"),
  }),
}

const stale: Scene = {
  id: "stale-tlsa",
  section: "RFC 7673 3.4, RFC 7671 8",
  title: "a good certificate, and TLSA that still promises the former key: refused",
  cast: [
    { domain: "late.example", what: "Lab CA; TLSA of its former key", validates: true, zone: { targets: [{ name: "xmpp.late.example", tlsa: [{ ...ee, of: "stale" }] }] } },
    { domain: "view.example", what: "Lab CA; validates", validates: true },
  ],
  expected: {
    "view.example -> late.example": refusedWith(
      [...proved("late.example"), ...daneSays("late.example", "dane.mismatch", "refuted")],
      refusedBySender(
        "late.example",
        "dane.mismatch",
        "_PORT._tcp.xmpp.late.example: the certificate of CN=late.example fits none of 1 usable record (3 1 1); the key shown would be 3 1 1 DIGEST",
      ),
    ),
    // It may connect with another key than its servers show (DANC-6).
    "late.example -> view.example": delivered(pkixAlone("view.example"), provenBy(proved("late.example"))),
  },
  play: async ({ exchange }) => ({
    "view.example -> late.example": withoutNumbers(await exchange("view.example", "late.example")),
    "late.example -> view.example": await exchange("late.example", "view.example"),
  }),
}

const incoming: Scene = {
  id: "dane-incoming",
  section: "RFC 7712 5.1, RFC 6698 4.1",
  title: "what a domain shows when it connects: promised under _xmpp-server, kept and broken",
  cast: [
    { domain: "send.example", what: "self-signed; client TLSA", certificate: { from: "self" }, validates: true, zone: { clientTlsa: [ee] } },
    { domain: "fake.example", what: "self-signed; client TLSA of another key", certificate: { from: "self" }, validates: true, zone: { clientTlsa: [{ ...ee, of: "stale" }] } },
    { domain: "door.example", what: "Lab CA; encryption is enough", require: "encrypted", validates: true },
  ],
  expected: {
    "send.example -> door.example": delivered(pkixAlone("door.example"), provenBy([...failed("send.example", "cert.self-signed"), ...daneProved("send.example")])),
    // What is promised for connections binds: not even dialback is tried.
    "fake.example -> door.example": refusedWith(
      [...failed("fake.example", "cert.self-signed"), ...daneSays("fake.example", "dane.client-mismatch", "refuted")],
      refusedByReceiver(
        "fake.example",
        "dane.client-mismatch",
        "_xmpp-server.fake.example: the certificate of CN=fake.example fits none of 1 usable record (3 1 1); the key shown would be 3 1 1 DIGEST",
      ),
      "receiver",
    ),
  },
  play: async ({ exchange }) => ({
    "send.example -> door.example": await exchange("send.example", "door.example"),
    "fake.example -> door.example": withoutNumbers(await exchange("fake.example", "door.example")),
  }),
}

const dialback: Scene = {
  id: "dane-dialback",
  section: "RFC 7712 4.3, XEP-0220 1.2",
  title: "asked back over a stream that DANE proves: still dialback, still encryption only",
  cast: [
    { domain: "mute.example", what: "self-signed; TLSA 3 1 1; shows none", certificate: { from: "self" }, hidesCertificate: true, validates: true, zone: { targets: [{ name: "xmpp.mute.example", tlsa: [ee] }] } },
    { domain: "calm.example", what: "Lab CA; encryption is enough", require: "encrypted", validates: true },
    { domain: "firm.example", what: "Lab CA; needs a proof", validates: true },
  ],
  expected: {
    "mute.example -> calm.example": delivered(
      { ...pkixAlone("calm.example"), external: null },
      byDialback([...failed("mute.example", "cert.self-signed"), ...daneProved("mute.example")]),
    ),
    "mute.example -> firm.example": tooWeakByDialback("mute.example reaches encrypted, authenticated is required"),
  },
  play: async ({ exchange }) => ({
    "mute.example -> calm.example": await exchange("mute.example", "calm.example"),
    "mute.example -> firm.example": await exchange("mute.example", "firm.example"),
  }),
}

export const tlsaScenes: readonly Scene[] = [daneEe, daneTa, stale, incoming, dialback]
