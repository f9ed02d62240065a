// Scenes in which no certificate proves the sender and the receiver asks the sender's own server (XEP-0220, RFC 7712 4.3).
import type { Scene } from "../scene.ts"
import { byCertificate, byDialback, byDns, delivered, failed, proved, refusedDialback } from "./expectations.ts"

const hidden: Scene = {
  id: "no-client-certificate",
  section: "RFC 7712 4.3, XEP-0220 2",
  title: "the sender shows no certificate: dialback where encryption is enough",
  cast: [
    { domain: "shy.example", what: "Lab CA; shows none when it connects", require: "encrypted", hidesCertificate: true },
    { domain: "lax.example", what: "Lab CA; encryption is enough", require: "encrypted" },
    { domain: "hub.example", what: "Lab CA; needs a proof" },
  ],
  expected: {
    "shy.example -> lax.example": delivered(byCertificate("lax.example", null), byDialback(proved("shy.example"))),
    "shy.example -> hub.example": refusedDialback("shy.example"),
  },
  play: async ({ exchange }) => ({
    "shy.example -> lax.example": await exchange("shy.example", "lax.example"),
    "shy.example -> hub.example": await exchange("shy.example", "hub.example"),
  }),
}

const selfSigned = { from: "self" } as const

/** Neither certificate proves anything: the sender believes DNS, the receiver the server that DNS names. */
const byOpinion = (sender: string, receiver: string) => delivered(byDns(receiver, "cert.self-signed"), byDialback(failed(sender, "cert.self-signed")))

const selfSignedEncrypted: Scene = {
  id: "self-signed-encrypted",
  section: "RFC 7712 4.3, XEP-0220 2",
  title: "both self-signed, encryption is enough: dialback, each way",
  cast: [
    { domain: "own.example", what: "self-signed; encryption is enough", certificate: selfSigned, require: "encrypted" },
    { domain: "ego.example", what: "self-signed; encryption is enough", certificate: selfSigned, require: "encrypted" },
  ],
  expected: {
    "own.example -> ego.example": byOpinion("own.example", "ego.example"),
    "ego.example -> own.example": byOpinion("ego.example", "own.example"),
  },
  play: async ({ exchange }) => ({
    "own.example -> ego.example": await exchange("own.example", "ego.example"),
    "ego.example -> own.example": await exchange("ego.example", "own.example"),
  }),
}

export const dialbackScenes: readonly Scene[] = [hidden, selfSignedEncrypted]
