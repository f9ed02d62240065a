// Scenes in which POSH proves a hosted domain, whose server shows its host's certificate (RFC 7711 3, 4; RFC 7712 5.2).
import type { Scene } from "../scene.ts"
import { asking, fingerprints, fromHosted, hosted, type HostedStage, publishes, toHosted, wellKnown, wellKnownOlder } from "./posh-hosting.ts"

interface Good {
  readonly id: string
  readonly section: string
  readonly title: string
  readonly domain: string
  readonly host: string
  readonly peer: string
  /** Asks for the older form as well. */
  readonly older?: true
  /** Puts the document where the scene wants it. */
  readonly web: (stage: HostedStage) => void
}

/** Proven each way: where it is connected to, and where it connects. */
function good({ id, section, title, domain, host, peer, older, web }: Good): Scene {
  return {
    id,
    section,
    title,
    cast: [hosted(domain, host), asking(peer, older === undefined ? {} : { what: "asks for both forms of POSH", configure: withOlder })],
    expected: { [`${peer} -> ${domain}`]: toHosted(peer, domain), [`${domain} -> ${peer}`]: fromHosted(domain, peer) },
    play: async ({ net, server, exchange }) => {
      web({ net, server: server(domain) })
      return { [`${peer} -> ${domain}`]: await exchange(peer, domain), [`${domain} -> ${peer}`]: await exchange(domain, peer) }
    },
  }
}

function withOlder(settings: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return { ...settings, federation: { ...(settings["federation"] as object), posh: { older: true } } }
}

const fingerprintsScene = good({
  id: "posh-fingerprints",
  section: "RFC 7711 3.1, RFC 7712 5.2",
  title: "the domain's web server names the certificate of its host: proved, each way",
  domain: "inn.example",
  host: "landlord.example",
  peer: "guest.example",
  web: (stage) => publishes(stage, fingerprints(stage.server)),
})

const redirect = good({
  id: "posh-redirect",
  section: "RFC 7711 3, RFC 7712 5.2",
  title: "it answers with 302, and the host's web server has the document: proved",
  domain: "pub.example",
  host: "brewer.example",
  peer: "regular.example",
  web: ({ net, server }) => {
    const host = net.web({ host: "brewer.example", answers: { [wellKnown]: fingerprints(server) } })
    publishes({ net, server }, { location: host.url(wellKnown) })
  },
})

const reference = good({
  id: "posh-reference",
  section: "RFC 7711 3.2",
  title: "its document refers to the host's: proved, as long as both of them last",
  domain: "stall.example",
  host: "market.example",
  peer: "buyer.example",
  web: ({ net, server }) => {
    const host = net.web({ host: "market.example", answers: { "/stalls.json": fingerprints(server) } })
    publishes({ net, server }, { json: { url: host.url("/stalls.json"), expires: 3600 } })
  },
})

const redirectThenReference = good({
  id: "posh-redirect-reference",
  section: "RFC 7711 3, 3.2",
  title: "302 to a document that refers to another host's: proved",
  domain: "barge.example",
  host: "harbour.example",
  peer: "bridge.example",
  web: ({ net, server }) => {
    const last = net.web({ host: "harbour.example", answers: { "/posh.json": fingerprints(server) } })
    const between = net.web({ host: "lock.example", answers: { "/barges.json": { json: { url: last.url("/posh.json"), expires: 86_400 } } } })
    publishes({ net, server }, { location: between.url("/barges.json") })
  },
})

const older = good({
  id: "posh-older",
  section: "POSH prooftype draft 03",
  title: "the older form, whole certificates, asked for where it is switched on: proved",
  domain: "manor.example",
  host: "county.example",
  peer: "squire.example",
  older: true,
  web: ({ net, server }) => {
    const keys = [{ kty: "PKIX", x5c: [Buffer.from(server.certificate.der).toString("base64")] }]
    net.web({ host: server.domain, answers: { [wellKnownOlder]: { json: { keys } } } })
  },
})

export const poshScenes: readonly Scene[] = [fingerprintsScene, redirect, reference, redirectThenReference, older]
