// Makes the golden evidence: `node test/evidence/make.ts` writes the files anew, with new keys, and the roots they need.
// They are committed, and judged by evidence.test.ts for as long as this version of the format is read.
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import type { EvidenceFile } from "../../src/model/evidence.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { type dane as Dane, dane } from "../../src/proof/dane.ts"
import { pkix } from "../../src/proof/pkix.ts"
import { match } from "../../src/proof/prove.ts"
import type { AnyProoftype, ProofSubject } from "../../src/proof/prooftype.ts"
import { a, allUsages, clientTlsa, hostTlsa, incoming, outgoing, publicAnchors, shownBy, signedZone } from "../proof/dane-support.ts"
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

for (const { file, prooftype, role, zone, chain } of files) {
  const trial = prooftype === pkix ? {} : { prooftype: prooftype as typeof dane }
  const { endpoint, material } = (await (role === "outgoing" ? outgoing : incoming)(zone, chain, trial)).tried[0]!
  const subject: ProofSubject = { source: a, service: "xmpp-server", role, endpoint }
  const pair = role === "outgoing" ? { sender: us, target: a } : { sender: a, target: us }
  const proven = match([{ prooftype, material: prooftype === pkix ? { anchors: publicAnchors } : material }], subject, shownBy(chain, role === "outgoing" ? "tls-server" : "tls-client"), now)
  const [verdict] = proven.verdicts
  const golden: EvidenceFile = {
    evidence: 1,
    tool: { name: "xmpp-dna", version: "0.2.0" },
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
writeFileSync(join(import.meta.dirname, "roots.pem"), publicRoot.certificate.pem)
