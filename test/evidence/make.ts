// Makes the golden evidence: `node test/evidence/make.ts posh` writes the files of POSH anew, without a word those
// of PKIX and DANE, with new keys, and the roots they need.
// They are committed, and judged by evidence.test.ts for as long as this version of the format is read.
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import type { EvidenceFile } from "../../src/model/evidence.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { type dane as Dane, dane } from "../../src/proof/dane.ts"
import { pkix } from "../../src/proof/pkix.ts"
import { posh } from "../../src/proof/posh.ts"
import { match } from "../../src/proof/prove.ts"
import type { AnyProoftype, ProofSubject } from "../../src/proof/prooftype.ts"
import { a, allUsages, clientTlsa, hostTlsa, incoming, outgoing, publicAnchors, shownBy, signedZone } from "../proof/dane-support.ts"
import { documentOf, json, listing, portsOf, redirect, scriptedWeb, type Web, webChain, webOf } from "../proof/posh-support.ts"
import { bogus, insecure, type Zone } from "../proof/scripted-dns.ts"
import { day, issued, middle, now, own, publicRoot, root, spoilt, tlsa } from "../proof/tlsa-support.ts"

const us = parseDomain("b.example")
const years = { notBefore: now - day, notAfter: now + 3650 * day }
const nobody = own({ names: {}, commonName: "nobody", ...years })
const byPublic = issued(publicRoot, "a.example", years)
const forHost = issued(middle, "host.example", years)
const direct = issued(root, "host.example", years)

interface Golden {
  readonly file: string
  readonly prooftype: AnyProoftype
  readonly role: ProofSubject["role"]
  readonly zone: Zone
  readonly chain: readonly Uint8Array[]
}

const promised = (named: Uint8Array, kind: string): Zone => signedZone({ [hostTlsa]: { records: [tlsa(named, kind)] } })
const out = (file: string, zone: Zone, chain: readonly Uint8Array[], prooftype: typeof Dane = dane): Golden => ({ file, prooftype, role: "outgoing", zone, chain })
const into = (file: string, zone: Zone): Golden => ({ file, prooftype: dane, role: "incoming", zone, chain: nobody.chain })

const files: readonly Golden[] = [
  { file: "pkix", prooftype: pkix, role: "outgoing", zone: signedZone(), chain: byPublic.chain },
  out("dane-ee-3-1-1", promised(nobody.der, "3 1 1"), nobody.chain),
  out("dane-ee-3-0-2", promised(nobody.der, "3 0 2"), nobody.chain),
  out("dane-ta-2-0-1", promised(root.certificate.der, "2 0 1"), [...forHost.chain, root.certificate.der]),
  out("dane-ta-2-0-0-absent", promised(root.certificate.der, "2 0 0"), direct.chain),
  out("dane-ta-2-1-0-absent", promised(root.certificate.der, "2 1 0"), direct.chain),
  out("pkix-ee-1-1-1", promised(byPublic.der, "1 1 1"), byPublic.chain, allUsages),
  out("pkix-ta-0-0-1", promised(publicRoot.certificate.der, "0 0 1"), byPublic.chain, allUsages),
  out("dane-without-srv", { "a.example A": signedZone()["host.example A"]!, "_5269._tcp.a.example TLSA": { records: [tlsa(nobody.der, "3 1 1")] } }, nobody.chain),
  into("dane-incoming-client", { [clientTlsa]: { records: [tlsa(nobody.der, "3 1 1")] } }),
  into("dane-incoming-server", promised(nobody.der, "3 1 1")),
  into("dane-incoming-client-mismatch", { [clientTlsa]: { records: [spoilt(tlsa(nobody.der, "3 1 1"))] } }),
  out("dane-mismatch", promised(byPublic.der, "3 1 1"), nobody.chain),
  out("dane-tlsa-bogus", signedZone({ [hostTlsa]: bogus }), nobody.chain),
  out("dane-not-signed", Object.fromEntries(Object.entries(promised(nobody.der, "3 1 1")).map(([name, said]) => [name, insecure(said)])), nobody.chain),
]

/** Of POSH: what web hosts said, and the certificate shown. */
const posted: readonly (readonly [file: string, role: ProofSubject["role"], web: Web])[] = [
  ["posh-direct", "outgoing", webOf(documented())],
  ["posh-incoming", "incoming", webOf(documented())],
  ["posh-redirect", "outgoing", webOf(redirect("https://hoster.example/posh?for=a.example"), { "hoster.example": { pages: { "/posh?for=a.example": documented() } } })],
  ["posh-reference", "outgoing", webOf(json({ url: "https://hoster.example/a.json", expires: 3600 }), { "hoster.example": { pages: { "/a.json": documented() } } })],
  ["posh-mismatch", "outgoing", webOf(json(documentOf(byPublic.der)))],
  ["posh-expired", "outgoing", webOf(listing(0))],
  ["posh-not-published", "incoming", { "a.example": {} }],
  ["posh-wrong-name", "outgoing", { "a.example": { chain: webChain("b.example") } }],
  ["posh-both", "outgoing", webOf(json({ ...documentOf(nobody.der), url: "https://hoster.example/a.json" }))],
]

function documented() {
  return json(documentOf(nobody.der))
}

interface Judged {
  readonly file: string
  readonly prooftype: AnyProoftype
  readonly role: ProofSubject["role"]
  readonly endpoint: ProofSubject["endpoint"]
  readonly material: unknown
  readonly chain: readonly Uint8Array[]
}

const judged: Judged[] = []
for (const [file, role, web] of posted) {
  const material = await posh.obtain({ source: a, service: "xmpp-server", role, endpoint: undefined }, portsOf(scriptedWeb(web)))
  judged.push({ file, prooftype: posh, role, endpoint: undefined, material, chain: nobody.chain })
}
for (const { file, prooftype, role, zone, chain } of files) {
  const trial = prooftype === pkix ? {} : { prooftype: prooftype as typeof dane }
  const { endpoint, material } = (await (role === "outgoing" ? outgoing : incoming)(zone, chain, trial)).tried[0]!
  judged.push({ file, prooftype, role, endpoint, material: prooftype === pkix ? { anchors: publicAnchors } : material, chain })
}

const isPosh = process.argv[2] === "posh"
for (const { file, prooftype, role, endpoint, material, chain } of judged.filter((each) => (each.prooftype === posh) === isPosh)) {
  const subject: ProofSubject = { source: a, service: "xmpp-server", role, endpoint }
  const pair = role === "outgoing" ? { sender: us, target: a } : { sender: a, target: us }
  const proven = match([{ prooftype, material }], subject, shownBy(chain, role === "outgoing" ? "tls-server" : "tls-client"), now)
  const [verdict] = proven.verdicts
  const golden: EvidenceFile = {
    evidence: 1,
    tool: { name: "xmpp-dna", version: "0.3.0" },
    recorded: new Date(now).toISOString(),
    direction: role === "outgoing" ? "out" : "in",
    pair,
    decision: verdict!.outcome === "proved" ? "associated" : "refused",
    level: verdict!.outcome === "proved" ? "authenticated" : null,
    finding: verdict!.outcome === "proved" ? null : verdict!.finding,
    sentence: "",
    items: proven.evidence(pair),
  }
  writeFileSync(join(import.meta.dirname, `${file}.json`), `${JSON.stringify(golden, null, 1)}\n`)
}
writeFileSync(join(import.meta.dirname, isPosh ? "posh-roots.pem" : "roots.pem"), publicRoot.certificate.pem)
