// XML namespaces of the stream layer (RFC 6120, XEP-0114, XEP-0198, XEP-0220, XEP-0288, XEP-0478).

export const ns = {
  streams: "http://etherx.jabber.org/streams",
  server: "jabber:server",
  client: "jabber:client",
  component: "jabber:component:accept",
  dialback: "jabber:server:dialback",
  dialbackFeature: "urn:xmpp:features:dialback",
  tls: "urn:ietf:params:xml:ns:xmpp-tls",
  sasl: "urn:ietf:params:xml:ns:xmpp-sasl",
  streamErrors: "urn:ietf:params:xml:ns:xmpp-streams",
  stanzaErrors: "urn:ietf:params:xml:ns:xmpp-stanzas",
  bidiFeature: "urn:xmpp:features:bidi",
  bidi: "urn:xmpp:bidi",
  sm: "urn:xmpp:sm:3",
  limits: "urn:xmpp:stream-limits:0",
  pipelining: "urn:xmpp:features:pipelining",
  ping: "urn:xmpp:ping",
  errors: "urn:xmpp:errors",
} as const

/** The namespaces whose elements are stanzas; which one a stream has is a parameter of the stream layer. */
export type ContentNamespace = typeof ns.server | typeof ns.client | typeof ns.component
