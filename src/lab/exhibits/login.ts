// Exhibits that are asked as a domain of ours with its certificate: what the server makes of it (RFC 6120 6, XEP-0178 3, RFC 7712 4.3).
import type { NetworkAddress } from "../../ports.ts"
import type { Internet, ServerSpec } from "../internet.ts"
import { type Exhibit, type ExhibitSeen, type ExhibitQuestion, seen, type StandSpec, stand } from "../exhibit.ts"
import { dialbackOffer, featuresOf, mechanismsOf, openingOf, opens, saying } from "../plain-server.ts"

function asOurs(net: Internet, ours = "visitor.example"): ExhibitQuestion {
  const { chainPem, keyPem } = net.authority.issue({ names: { dns: [ours] } })
  return { from: { domain: ours, credentials: { certificatePem: chainPem, keyPem } } }
}

function visited(id: string, section: string, title: string, expected: ExhibitSeen, spec: (domain: string) => Omit<StandSpec, "domain">): Exhibit {
  const domain = `${id}.example`
  return {
    id,
    section,
    title,
    domain,
    expected,
    raise: async (net) => {
      await stand(net, { domain, ...spec(domain) })
      return { question: asOurs(net) }
    },
  }
}

const accepted: Exhibit = {
  id: "auth-accepted",
  section: "XEP-0178 3",
  title: "the server takes our certificate",
  domain: "auth-accepted.example",
  expected: seen("authenticated", 0),
  raise: async (net) => {
    await net.addServer({ domain: "auth-accepted.example" })
    return { question: asOurs(net) }
  },
}

const refused = visited("auth-external-refused", "XEP-0178 3", "the server asks for our certificate, and then refuses it", seen("authenticated", 0, "warn auth.external-refused"), (domain) => ({
  behind: saying(`${openingOf(domain)}${featuresOf(mechanismsOf("EXTERNAL") + dialbackOffer)}`, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>"),
}))
const notOffered = visited("auth-external-not-offered", "XEP-0178 3", "the server does not look at certificates: dialback is all there is", seen("authenticated", 0, "warn auth.external-not-offered"), () => ({}))
const noWay = visited("auth-no-way", "RFC 6120 6", "the server offers neither EXTERNAL nor dialback", seen("authenticated", 0, "warn auth.no-way"), (domain) => ({
  // The old way of offering dialback is the namespace on the header.
  behind: (_, answered) => opens(domain, "")(_, answered)?.replace(" xmlns:db='jabber:server:dialback'", ""),
}))

/** The other direction, which the level says nothing of: a gateway that is pinged, and connects to where DNS leads it; DNS of a visitor of its own, since that is remembered. */
function pinged(id: string, title: string, expected: ExhibitSeen, spec: Omit<ServerSpec, "domain">, patience: number, leads: boolean): Exhibit {
  const domain = `${id}.example`
  const ours = `visitor-of-${id}.example`
  return {
    id,
    section: "RFC 7712 4.3",
    title,
    domain,
    expected,
    raise: async (net) => {
      const { component } = await net.addServer({ ...spec, domain })
      net.observe({
        message: (at, message) => {
          // An application answers a ping; that it goes out is all that is needed.
          if (at === domain && message.kind === "received" && message.body === "") component.send(`<iq type='result' id='${message.id}' from='${message.to}' to='${message.from}'/>`)
        },
      })
      const at = aside(net)
      net.signed.zones.set(`_xmpp-server._tcp.${ours}`, { SRV: [[0, 0, leads ? at.port : 1, `xmpp.${ours}`]] })
      net.signed.zones.set(`xmpp.${ours}`, { A: [at.address] })
      return { question: { ...asOurs(net, ours), reverse: { at, patience } } }
    },
  }
}

let asides = 0
/** Where nobody else of this lab listens, and no other lab: its name server's port is its own. */
function aside({ dns: { port }, manyAddresses }: Internet): NetworkAddress {
  asides += 1
  if (!manyAddresses) return { address: "127.0.0.1", port: 5270 + (asides % 250) }
  return { address: `127.${port >> 8}.${port & 255}.${1 + (asides % 250)}`, port: 5269 }
}

const back = pinged("auth-reverse", "the server proves itself when it connects, too", seen("authenticated", 0), {}, 20_000, true)
const backRefused = pinged(
  "auth-reverse-refused",
  "the server proves itself to who connects, and shows no certificate where it connects itself",
  seen("authenticated", 2, "bad auth.reverse-refused"),
  { hidesCertificate: true, require: "encrypted" },
  20_000,
  true,
)
const backUnseen = pinged("auth-reverse-unseen", "the server is pinged, and DNS does not lead it to us", seen("authenticated", 3, "unknown auth.reverse-unseen"), {}, 2000, false)

export const loginExhibits: readonly Exhibit[] = [accepted, refused, notOffered, noWay, back, backRefused, backUnseen]
