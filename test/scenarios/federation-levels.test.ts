// The federation levels (XEP-0238, in the words of the seed; FED-1): six types of server, each with each, and what the two ends
// together reach. Twice: as servers were in 2008, and with DANE or POSH for those that sign their own certificates.
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { test } from "node:test"
import { type FederationLevel, weaker } from "../../src/model/association.ts"
import type { RequiredLevel } from "../../src/model/policy.ts"
import type { NetworkAddress } from "../../src/ports.ts"
import { dane } from "../../src/proof/dane.ts"
import { pkix } from "../../src/proof/pkix.ts"
import { createPosh } from "../../src/proof/posh.ts"
import type { AnyProoftype } from "../../src/proof/prooftype.ts"
import type { IssuedCertificate } from "../../src/lab/certificate-authority.ts"
import { credentialsOf, good, memoryScene, own, type Server } from "./support.ts"
import { SignedDns, tlsaRow } from "./signed-dns.ts"
import type { WebReply } from "../world/web.ts"

interface ServerType {
  readonly requires: RequiredLevel
  readonly certificate: "none" | "self-signed" | "of an authority"
}

/** XEP-0238 2: what each of the six demands, and what it can show. */
const types: readonly ServerType[] = [
  { requires: "verified", certificate: "none" },
  { requires: "verified", certificate: "self-signed" },
  { requires: "verified", certificate: "of an authority" },
  { requires: "encrypted", certificate: "self-signed" },
  { requires: "encrypted", certificate: "of an authority" },
  { requires: "authenticated", certificate: "of an authority" },
]

/** U: no stream comes to be; V: verified; E: encrypted; T: authenticated, then called trusted. */
type Cell = "U" | "V" | "E" | "T"
/** Rows open the stream, columns accept it. */
type Matrix = readonly (readonly Cell[])[]

const matrix = (...rows: readonly string[]): Matrix => rows.map((row) => row.split(" ") as Cell[])

/** XEP-0238 3, as printed. */
const printed = matrix(
  "V V V U U U", //
  "V V E E U U",
  "V V E E E T",
  "U E E E E U",
  "U E T E T T",
  "U U T U T T",
)

/** Where our outcome is another one, and why. A cell that agrees must not stand here. */
const exceptions: readonly { readonly cell: string; readonly ours: Cell; readonly because: string }[] = [
  { cell: "2 2", ours: "E", because: "TLS is taken wherever it is offered, however the certificate was signed; leaving it out proves no more" },
  { cell: "3 2", ours: "E", because: "the same: a certificate that proves nothing still encrypts" },
  { cell: "3 3", ours: "T", because: "two certificates of an authority prove both ends, although neither of them demands it (5 3 in the table says so, too)" },
  { cell: "3 5", ours: "T", because: "the same pair the other way round is T in the table" },
  { cell: "2 5", ours: "E", because: "the table has 4 5 as E; a sender that demands less does not get less" },
]

/** What the self-signed types reach when a prooftype of today stands in for the authority: as 3 and 5 do among themselves. */
const lifted = matrix(
  "V V V U U U", //
  "V T T T T T",
  "V T T T T T",
  "U T T T T T",
  "U T T T T T",
  "U T T T T T",
)

const letters: Readonly<Record<FederationLevel, Cell>> = { permissive: "U", verified: "V", encrypted: "E", authenticated: "T" }

/** Somebody from 2008 that knows no TLS: what it opens goes on in clear, as if STARTTLS were not offered. */
function withoutStarttls(bytes: Buffer, towards: "server" | "client"): Buffer {
  if (towards === "server") return bytes
  return Buffer.from(bytes.toString("latin1").replace(/<starttls xmlns='[^']*'(?:\/>|>.*?<\/starttls>)/, ""), "latin1")
}

/** What a domain says of its certificate over HTTPS (RFC 7711 3.1). */
function poshDocument({ der }: IssuedCertificate): WebReply {
  return { status: 200, body: JSON.stringify({ fingerprints: [{ "sha-256": createHash("sha256").update(der).digest("base64") }], expires: 86_400 }) }
}

type Lift = "2008" | "DANE" | "POSH"
const inUse: Readonly<Record<Lift, () => readonly AnyProoftype[]>> = { "2008": () => [pkix], DANE: () => [pkix, dane], POSH: () => [pkix, createPosh()] }

/** What both ends know of each other in the end; the weaker of the two counts. */
async function outcome(initiating: ServerType, receiving: ServerType, lift: Lift): Promise<Cell> {
  const plain = new Set<string>()
  const link = (from: NetworkAddress) => (plain.has(from.address) ? { middle: withoutStarttls } : {})
  const scene = memoryScene({ link })
  const dns = new SignedDns()
  if (lift !== "DANE") dns.rules.set(".example", "insecure")
  const make = async (name: string, type: ServerType, web: string): Promise<Server> => {
    const shown: IssuedCertificate | null = type.certificate === "none" ? null : type.certificate === "self-signed" ? own(name) : good(name)
    const times = { negotiation: 20_000, dialbackAnswer: 15_000 }
    const server = await scene.server({ domains: [name], certificate: shown, require: type.requires, prooftypes: inUse[lift](), ports: dns.ports, times })
    if (type.certificate === "none") plain.add(server.address.address)
    if (shown === null || type.certificate !== "self-signed") return server
    if (lift === "DANE") scene.dns(`_5269._tcp.host.${name}`, { TLSA: [tlsaRow(shown)] })
    if (lift === "POSH") {
      scene.dns(name, { A: [web] })
      await scene.world.web(web, { credentials: credentialsOf(good(name)), answer: () => poshDocument(shown) })
    }
    return server
  }
  const a = await make("a.example", initiating, "127.0.0.101")
  const b = await make("b.example", receiving, "127.0.0.102")
  const level = await scene.until(
    a.open("b.example").then(
      (stream) => stream.association.level,
      () => undefined,
    ),
  )
  await scene.settle()
  const admitted = b.admitted[0]?.level
  await scene.close()
  if (level === undefined) return "U"
  assert.ok(admitted !== undefined, "one end believes in a stream that the other has not let in")
  return letters[weaker(level, admitted)]
}

async function played(lift: Lift): Promise<Matrix> {
  const rows: Cell[][] = []
  for (const initiating of types) {
    const row: Cell[] = []
    for (const receiving of types) row.push(await outcome(initiating, receiving, lift))
    rows.push(row)
  }
  return rows
}

const pictured = (cells: Matrix): string => ["    1 2 3 4 5 6", ...cells.map((row, index) => ` ${index + 1}  ${row.join(" ")}`)].join("\n")

test("FED-1: six types of server with the means of 2008 reach what XEP-0238 prints, but for five cells with a reason each", async (t) => {
  const cells = await played("2008")
  t.diagnostic(`initiating down, receiving across\n${pictured(cells)}`)
  const expected = printed.map((row, down) => row.map((cell, across) => exceptions.find((each) => each.cell === `${down + 1} ${across + 1}`)?.ours ?? cell))
  assert.equal(pictured(cells), pictured(expected))
  for (const { cell, ours } of exceptions) {
    const [down = 0, across = 0] = cell.split(" ").map(Number)
    assert.notEqual(printed[down - 1]?.[across - 1], ours, `${cell} is no exception`)
  }
})

for (const lift of ["DANE", "POSH"] as const) {
  test(`FED-1: with ${lift} the types that sign their own certificates are authenticated like those of an authority`, async (t) => {
    const cells = await played(lift)
    t.diagnostic(`initiating down, receiving across\n${pictured(cells)}`)
    assert.equal(pictured(cells), pictured(lifted))
  })
}
