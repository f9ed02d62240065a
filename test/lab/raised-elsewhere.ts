// Findings that no scene and no exhibit of the lab shows, since they are about this machine, its clock or its files, about what a peer may cost,
// or about who connects to us: for each the test that raises it, and the words by which it is known there.
import type { FindingId } from "../../src/model/findings.ts"

export interface RaisedElsewhere {
  readonly test: string
  /** The id, unless given. */
  readonly words?: string
}

const inFile = (test: string, words?: string): RaisedElsewhere => ({ test: `test/${test}`, ...(words === undefined ? {} : { words }) })

export const elsewhere: Partial<Record<FindingId, RaisedElsewhere>> = {
  "dns.cannot-validate": inFile("gateway/dns-ability.test.ts"),
  "dns.unreachable": inFile("gateway/dns-ability.test.ts"),
  "dns.not-validating": inFile("gateway/dns-ability.test.ts"),
  "dns.not-a-domain": inFile("discovery/discover.test.ts"),
  "reach.no-route": inFile("inspect/ladder.test.ts"),
  "reach.capped": inFile("scenarios/section-5-no-client-certificate.test.ts"),
  "reach.budget": inFile("gateway/hostile-peer.test.ts", "too much work was asked for"),
  "stream.from-own-domain": inFile("attacks/certificates.test.ts"),
  "stream.too-much": inFile("inspect/flood.test.ts"),
  "stream.too-many": inFile("gateway/gateway.test.ts"),
  "tls.no-certificate": inFile("scenarios/refusals.test.ts"),
  "tls.resumed": inFile("node/tls-attacks.test.ts", 'failure("resumed")'),
  "dane.other-key": inFile("proof/dane-incoming.test.ts"),
  "dane.too-old": inFile("proof/dane-outgoing.test.ts"),
  "posh.capped": inFile("proof/posh-memory.test.ts"),
  "posh.wrong-service": inFile("proof/posh.test.ts"),
  "auth.dialback-invalid": inFile("attacks/dialback.test.ts"),
  "auth.dialback-error": inFile("scenarios/section-6-1-assertion.test.ts", "type='error'><error type='cancel'><item-not-found"),
  "auth.dialback-timeout": inFile("interop/silent-peer.test.ts"),
  "auth.authzid": inFile("attacks/certificates.test.ts", "<invalid-authzid"),
  "policy.exception-ended": inFile("gateway/config-hosted.test.ts"),
  "policy.ratchet-full": inFile("federation/ratchet.test.ts"),
  "policy.memory-lost": inFile("federation/ratchet.test.ts"),
  "policy.clock": inFile("federation/ratchet.test.ts"),
  "policy.switched-off": inFile("scenarios/switches.test.ts"),
  "proof.not-presented": inFile("examples/token-prooftype.test.ts", "token-prooftype.ts"),
  "proof.not-valid": inFile("examples/token-prooftype.test.ts", "token-prooftype.ts"),
  "proof.unavailable": inFile("proof/prove.test.ts"),
  "proof.internal": inFile("proof/dane-outgoing.test.ts"),
  "own.no-proof": inFile("gateway/self-check.test.ts"),
  "own.refused": inFile("gateway/self-check.test.ts"),
  "own.elsewhere": inFile("gateway/self-check.test.ts"),
  "own.posh-unpublished": inFile("gateway/self-check.test.ts"),
  "route.foreign-target": inFile("gateway/gateway.test.ts"),
  "route.unproven-sender": inFile("gateway/gateway.test.ts"),
}
