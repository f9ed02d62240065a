// Exhibits that are asked as a domain of ours with its certificate: what the server makes of it (RFC 6120 6, XEP-0178 3, RFC 7712 4.3).
import type { Internet } from "../internet.ts"
import { type Exhibit, type ExhibitSeen, type ExhibitQuestion, seen, type StandSpec, stand } from "../exhibit.ts"
import { dialbackOffer, featuresOf, mechanismsOf, openingOf, opens, saying } from "../plain-server.ts"

const ours = "visitor.example"

function asOurs(net: Internet): ExhibitQuestion {
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

export const loginExhibits: readonly Exhibit[] = [accepted, refused, notOffered, noWay]
