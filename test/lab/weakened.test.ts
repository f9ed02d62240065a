// The lab judges itself: for every scene one check of the product is weakened, and the scene must come out as not ok.
import assert from "node:assert/strict"
import { test } from "node:test"
import type { FindingId } from "../../src/model/findings.ts"
import type { Verdict } from "../../src/model/verdict.ts"
import type { ServerSpec } from "../../src/lab/internet.ts"
import { altered } from "../../src/gateway/altered.ts"
import { scenes } from "../../src/lab/programme.ts"
import { playAlone } from "../../src/lab/scene.ts"
import { faults } from "../../src/lab/theatre.ts"
import { createResolver } from "../../src/dns/resolver.ts"
import { systemClock } from "../../src/node/clock.ts"
import { nodeDnsTransport } from "../../src/node/dns-transport.ts"
import { systemRandom } from "../../src/node/random.ts"
import type { HttpsAnswer } from "../../src/ports.ts"
import type { AnyProoftype } from "../../src/proof/prooftype.ts"
import { labPorts } from "./support.ts"

type Change = (spec: ServerSpec) => ServerSpec

/** A prooftype that lets one kind of failure count as a proof. */
function overlooking(finding: FindingId, by: "pkix" | "dane" | "posh" = "pkix", orElse: FindingId = finding): Change {
  return weakening(by, ({ match, ...rest }) => ({
    ...rest,
    match: (proof, material, reference, at): Verdict => {
      const verdict = match(proof, material, reference, at)
      if (verdict.outcome === "proved" || (verdict.finding !== finding && verdict.finding !== orElse)) return verdict
      return { outcome: "proved", by, detail: "DNS-ID not looked at", until: at + 3_600_000 }
    },
  }))
}

function weakening(by: "pkix" | "dane" | "posh", weaker: (prooftype: AnyProoftype) => AnyProoftype): Change {
  const changed = (prooftype: AnyProoftype): AnyProoftype => (prooftype.name === by ? weaker(prooftype) : prooftype)
  return (spec) => ({ ...spec, alter: (hosting) => altered(hosting, { prooftypes: hosting.prooftypes.map(changed) }) })
}

/** DANE whose refusals are one opinion among others. */
const withoutBinding = weakening("dane", (prooftype) => ({ ...prooftype, binding: () => false, terms: () => ({ tls: false }) }))

/** Signatures are not looked at: whatever DNS says is taken as a resolver without DNSSEC takes it. */
const withoutValidation: Change = (spec) => ({
  ...spec,
  alterResolver: (_validating, upstream) =>
    createResolver({ dnssec: "off", upstreams: [upstream], transport: nodeDnsTransport(), clock: systemClock, random: systemRandom }),
})

/** What is not signed counts as signed. */
const unsignedAsSigned: Change = (spec) => ({
  ...spec,
  alterResolver: (validating) => ({
    resolve: async (name, type, options) => {
      const answer = await validating.resolve(name, type, options)
      return answer.status === "insecure" ? { ...answer, status: "secure" } : answer
    },
  }),
})

/** POSH reads something else than the web server said. */
function misreading(reading: (answer: HttpsAnswer) => HttpsAnswer): Change {
  return weakening("posh", (prooftype) => ({
    ...prooftype,
    obtain: (subject, ports) => prooftype.obtain(subject, { ...ports, https: { get: async (request) => reading(await ports.https.get(request)) } }),
  }))
}

type Members = Readonly<Record<string, unknown>>

/** The document with other members than it has. */
const rewriting = (rewrite: (members: Members) => Members): Change =>
  misreading((answer) => (answer.status === 200 ? { ...answer, body: Buffer.from(JSON.stringify(rewrite(JSON.parse(Buffer.from(answer.body).toString()) as Members))) } : answer))

/** A reference is as good as a redirect, and of those there may be several. */
const referencesAsRedirects = misreading((answer) => {
  const { url } = JSON.parse(answer.status === 200 ? Buffer.from(answer.body).toString() : "{}") as Members
  return typeof url === "string" ? { ...answer, status: 302, location: url } : answer
})

const unexpiring = rewriting((members) => ({ ...members, expires: 3600 }))
const lastMemberCounts = rewriting((members) => members)
const weakestHashAlone = rewriting(({ fingerprints, ...members }) => ({
  ...members,
  fingerprints: (fingerprints as readonly Members[]).map((descriptor) => ({ "sha-256": descriptor["sha-256"] })),
}))
const anyScheme = misreading(({ location, ...answer }) => ({ ...answer, location: location?.replace("http:", "https:") }))

const staleKeys: Change = ({ zone = {}, ...spec }) => ({
  ...spec,
  zone: { ...zone, targets: (zone.targets ?? []).map(({ tlsa = [], ...target }) => ({ ...target, tlsa: tlsa.map((each) => ({ ...each, of: "stale" as const })) })) },
})

const all =
  (...changes: readonly Change[]): Change =>
  (spec) =>
    changes.reduce((before, change) => change(before), spec)

const certified =
  (certificate: NonNullable<ServerSpec["certificate"]>): Change =>
  (spec) => ({ ...spec, certificate })

/** Another certificate of the host for whoever shows one. */
const hostCertificate =
  (more: Partial<NonNullable<ServerSpec["certificate"]>>): Change =>
  (spec) =>
    spec.certificate === undefined ? spec : { ...spec, certificate: { ...spec.certificate, ...more } }

const lettingIn = /message: expected "bounced", got "delivered"/

/** What peers kept proving is not asked of them. */
const forgetful: Change = ({ configure = (settings) => settings, ...spec }) => ({
  ...spec,
  configure: (settings, at) => {
    const configured = configure(settings, at)
    return { ...configured, federation: { ...(configured["federation"] as object), ratchet: { mode: "off" } } }
  },
})

/** The operator's own prooftype takes every certificate that is in its book for the one shown. */
const trusting: Change = ({ prooftypes = [], ...spec }) => ({
  ...spec,
  prooftypes: prooftypes.map((each) => ({ ...each, match: (_proof, _material, _reference, at): Verdict => ({ outcome: "proved", by: each.name, detail: "not compared", until: at + 3_600_000 }) })),
})

interface Weakness {
  readonly scene: string
  readonly what: string
  readonly change: Change
  /** What must be among the differences. */
  readonly seen: RegExp
}

const weaknesses: readonly Weakness[] = [
  // Both ends are content; only the evidence, judged again by an unweakened judge, tells.
  { scene: "mutual-external", what: "roots are not looked at", change: all(certified({ from: "stranger" }), overlooking("cert.unknown-root")), seen: /recorded otherwise \(different\)/ },
  { scene: "direct-tls", what: "dates are not looked at", change: all(certified({ from: "lab", notBefore: 0, notAfter: 1 }), overlooking("cert.expired")), seen: /recorded otherwise \(different\)/ },
  { scene: "server-only", what: "the purpose is not looked at", change: overlooking("cert.client-only"), seen: /cli\.example -> net\.example\.message: expected "bounced", got "delivered"/ },
  { scene: "server-only", what: "a wrong purpose excuses a missing root", change: overlooking("cert.self-signed"), seen: /sly\.example -> net\.example\.message: expected "bounced", got "delivered"/ },
  { scene: "components", what: "encryption is enough, certificates prove nothing", change: all(certified({ from: "self" }), (spec) => ({ ...spec, require: "encrypted" })), seen: /got \["in encrypted"/ },
  { scene: "no-client-certificate", what: "no certificate counts as one", change: overlooking("cert.none-shown"), seen: /receiver\.level: expected "encrypted", got "authenticated"/ },
  { scene: "no-client-certificate", what: "the certificate is shown after all", change: ({ hidesCertificate: _, ...spec }) => spec, seen: /receiver\.external: expected null, got "accepted"/ },
  { scene: "self-signed-encrypted", what: "a self-signed certificate counts as a proof", change: overlooking("cert.self-signed"), seen: /level: expected "encrypted", got "authenticated"/ },
  { scene: "self-signed-refused", what: "the policy is a level lower", change: (spec) => ({ ...spec, require: "encrypted" }), seen: /message: expected "bounced", got "delivered"/ },
  { scene: "self-signed-refused", what: "a self-signed certificate counts as a proof", change: overlooking("cert.self-signed"), seen: /message: expected "bounced", got "delivered"/ },
  { scene: "expired", what: "dates are not looked at", change: overlooking("cert.expired"), seen: /message: expected "bounced", got "delivered"/ },
  { scene: "wrong-name", what: "names are not looked at", change: overlooking("pkix.name-mismatch"), seen: /message: expected "bounced", got "delivered"/ },
  { scene: "dane-ee", what: "TLSA is of another key and DANE does not look", change: all(staleKeys, overlooking("dane.mismatch", "dane", "dane.other-key")), seen: /dane for \w+\.example: (?:cannot be judged by itself|.*recorded otherwise)/ },
  {
    scene: "dane-ta",
    what: "names are not looked at",
    change: all(({ certificate, ...spec }) => ({ ...spec, certificate: { from: "stranger", ...certificate, names: ["else.example"] } }), overlooking("dane.name-mismatch", "dane", "dane.other-key")),
    seen: /dane for \w+\.example: (?:cannot be judged by itself|.*recorded otherwise)/,
  },
  { scene: "stale-tlsa", what: "PKIX overrules DANE", change: withoutBinding, seen: /view\.example -> late\.example\.message: expected "bounced", got "delivered"/ },
  { scene: "dane-incoming", what: "a broken promise for clients leaves dialback", change: withoutBinding, seen: /fake\.example -> door\.example\.message: expected "bounced", got "delivered"/ },
  { scene: "dane-dialback", what: "no certificate counts as one", change: overlooking("cert.none-shown"), seen: /receiver\.level: expected "encrypted", got "authenticated"/ },
  { scene: "dane-dialback", what: "the policy is a level lower", change: (spec) => ({ ...spec, require: "encrypted" }), seen: /firm\.example\.message: expected "bounced", got "delivered"/ },
  { scene: "delegated-host", what: "signatures are not looked at", change: withoutValidation, seen: /message: expected "delivered", got "bounced"/ },
  { scene: "insecure-delegation", what: "unsigned SRV counts as signed", change: unsignedAsSigned, seen: /fair\.example\.message: expected "bounced", got "delivered"/ },
  { scene: "bogus-srv", what: "signatures are not looked at", change: withoutValidation, seen: /message: expected "bounced", got "delivered"/ },
  { scene: "bogus-tlsa", what: "signatures are not looked at", change: withoutValidation, seen: /lone\.example\.message: expected "bounced", got "delivered"/ },
  { scene: "bogus-tlsa", what: "a failed lookup is an empty one", change: withoutBinding, seen: /lone\.example\.message: expected "bounced", got "delivered"/ },
  { scene: "proven-absence", what: "a self-signed certificate counts as a proof", change: overlooking("cert.self-signed"), seen: /void\.example\.message: expected "bounced", got "delivered"/ },
  { scene: "stripping-resolver", what: "signatures are not looked at", change: withoutValidation, seen: /dusk\.example\.message: expected "bounced", got "delivered"/ },
  { scene: "both-ways", what: "each direction has a connection of its own", change: (spec) => ({ ...spec, bidi: false }), seen: /due\.example -> duo\.example\.receiver\.external: expected null, got "accepted"/ },
  { scene: "assertion", what: "names are not looked at", change: overlooking("pkix.name-mismatch"), seen: /cuckoo\.example -> tree\.example\.message: expected "bounced", got "delivered"/ },
  { scene: "supposition", what: "names are not looked at", change: overlooking("pkix.name-mismatch"), seen: /connections for the other two: expected 2, got 1/ },
  { scene: "one-way", what: "no certificate counts as one", change: overlooking("cert.none-shown"), seen: /meek\.example -> kind\.example\.receiver\.level: expected "encrypted", got "authenticated"/ },
  { scene: "one-way", what: "each direction has a connection of its own", change: (spec) => ({ ...spec, bidi: false }), seen: /of kind\.example, to ask meek\.example's server: expected 1, got 2/ },
  { scene: "ends-and-renewed", what: "dates are not looked at", change: overlooking("cert.expired"), seen: /the streams ended: expected true, got false/ },
  { scene: "kept-and-withdrawn", what: "DANE does not look at keys", change: overlooking("dane.mismatch", "dane", "dane.other-key"), seen: /TLSA names another key: expected \["dane\.mismatch"\], got \[\]/ },
  { scene: "weaker-than-before", what: "nothing is remembered", change: forgetful, seen: /ash\.example -> oak\.example\.message: expected "bounced", got "delivered"/ },
  { scene: "broken-and-resumed", what: "nothing is acknowledged", change: (spec) => ({ ...spec, acknowledges: false }), seen: /messages lost on the way: expected \["once","once","once"\], got \["never"/ },
  { scene: "own-prooftype", what: "the certificate is not compared", change: trusting, seen: /bell\.example -> hum\.example\.message: expected "bounced", got "delivered"/ },
  { scene: "unknown-root", what: "roots are not looked at", change: overlooking("cert.unknown-root"), seen: /message: expected "bounced", got "delivered"/ },
  // POSH. The name of whoever keeps the document, or the certificate, must count for nothing (security.md 5).
  ...["posh-fingerprints", "posh-redirect", "posh-reference", "posh-redirect-reference", "posh-older"].map((scene) => ({
    scene,
    what: "a good certificate of the host's name counts",
    change: overlooking("pkix.name-mismatch"),
    seen: /pkix for \w+\.example: .*recorded otherwise \(different\)/,
  })),
  { scene: "posh-fingerprints", what: "dates are not looked at", change: all(hostCertificate({ notBefore: 0, notAfter: 1 }), overlooking("cert.expired", "posh")), seen: /posh for inn\.example: .*recorded otherwise \(different\)/ },
  { scene: "posh-older", what: "the older form is not asked for", change: ({ configure: _, ...spec }) => spec, seen: /message: expected "delivered", got "bounced"/ },
  { scene: "posh-wrong-hash", what: "any document will do", change: overlooking("posh.mismatch", "posh"), seen: lettingIn },
  { scene: "posh-wrong-hash", what: "the name of the host that a redirect led to counts", change: overlooking("pkix.name-mismatch"), seen: lettingIn },
  { scene: "posh-weaker-hash", what: "any hash that fits will do", change: weakestHashAlone, seen: lettingIn },
  { scene: "posh-expired", what: "`expires` is not looked at", change: unexpiring, seen: lettingIn },
  { scene: "posh-reference-twice", what: "references may lead on", change: referencesAsRedirects, seen: lettingIn },
  { scene: "posh-http-hop", what: "any scheme will do", change: anyScheme, seen: lettingIn },
  { scene: "posh-duplicates", what: "the last of two members counts", change: lastMemberCounts, seen: lettingIn },
  ...(
    [
      ["posh-loop", "posh.delegation-loop"],
      ["posh-wrong-name", "posh.tls-error"],
      ["posh-404", "posh.not-published"],
      ["posh-500", "posh.http-error"],
      ["posh-slow", "posh.too-slow"],
      ["posh-huge", "posh.too-large"],
      ["posh-gzip", "posh.encoded"],
      ["posh-html", "posh.not-json"],
    ] as const
  ).map(([scene, finding]) => ({ scene, what: "what cannot be read is taken for a proof", change: overlooking(finding, "posh"), seen: lettingIn })),
  { scene: "posh-rollover", what: "a renewed certificate is shown at once", change: ({ picksCertificate: _, ...spec }) => spec, seen: /fore\.example -> hut\.example, at once\.message: expected "delivered", got "bounced"/ },
]

for (const { scene: id, what, change, seen } of weaknesses)
  test(`${id} is not ok when ${what}`, async () => {
    const scene = scenes.find((one) => one.id === id)
    assert.ok(scene !== undefined)
    const report = await playAlone(labPorts, scene, { change })
    assert.equal(report.broken, undefined, "it comes to its end, but another one")
    assert.equal(report.ok, false)
    assert.match(faults(report).join("\n"), seen)
  })

test("every scene is weakened at least once", () => {
  const weakened = new Set(weaknesses.map(({ scene }) => scene))
  assert.deepEqual(
    scenes.map(({ id }) => id).filter((id) => !weakened.has(id)),
    [],
  )
})
