// Path validations per second on one thread: leaf, intermediate and root, the presented certificates
// parsed each time, among 145 anchors. Usage: node bench/x509.ts [seconds per row]

import { CertificateAuthority, type IssueOptions, type KeyAlgorithm } from "../src/lab/certificate-authority.ts"
import { anchorSet } from "../src/x509/anchors.ts"
import { parseCertificate } from "../src/x509/certificate.ts"
import { matchIdentity } from "../src/x509/identifiers.ts"
import { validatePath } from "../src/x509/path.ts"

const now = Date.UTC(2026, 10, 20)
const seconds = Number(process.argv[2] ?? 2)
if (!(seconds > 0 && seconds <= 60)) throw new RangeError("seconds per row: more than 0, at most 60")

/** Runs `once` for the given time and gives the rate. */
function rate(once: () => void): number {
  for (let warm = 0; warm < 200; warm++) once()
  const start = process.hrtime.bigint()
  const end = start + BigInt(Math.round(seconds * 1e9))
  let count = 0
  let last = start
  while (last < end) {
    for (let inner = 0; inner < 20; inner++) once()
    count += 20
    last = process.hrtime.bigint()
  }
  return count / (Number(last - start) / 1e9)
}

const print = (label: string, perSecond: number): void =>
  console.log(`${label.padEnd(44)} ${Math.round(perSecond).toLocaleString("en").padStart(10)} /s`)

const bystanders = Array.from(
  { length: 144 },
  (_, index) => CertificateAuthority.create({ now, name: `Bystander ${index}` }).certificate.der,
)
const rows: [string, KeyAlgorithm, KeyAlgorithm][] = [
  ["ECDSA P-256", "p256", "p256"],
  ["RSA 2048", "rsa2048", "rsa2048"],
  ["P-256 leaf under RSA CAs", "p256", "rsa2048"],
  ["Ed25519", "ed25519", "ed25519"],
]
const names: NonNullable<IssueOptions["names"]> = { dns: ["a.example", "*.a.example"], srv: ["_xmpp-server.a.example"] }
for (const [label, leafKind, caKind] of rows) {
  const root = CertificateAuthority.create({ now, name: "Root", algorithm: caKind })
  const { chain } = root.intermediate({ algorithm: caKind }).issue({ names, algorithm: leafKind })
  const anchors = anchorSet([...bystanders, root.certificate.der])
  const accept = [{ type: "DNS-ID", value: "a.example" }] as const
  const once = (): void => {
    const result = validatePath({ chain, anchors, at: now, purpose: "server" })
    if (!result.ok || !("matched" in matchIdentity(result.path[0]!, accept))) throw new Error(`${label}: not proved`)
  }
  print(`${label}, path and name`, rate(once))
}
const single = CertificateAuthority.create({ now }).issue({ names }).der
print(
  "parse one certificate",
  rate(() => void parseCertificate(single)),
)
