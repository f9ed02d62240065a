// The fingerprints we publish are those that the openssl command line computes from the same certificate (RFC 7711 3.1; POSH-06).
import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { test } from "node:test"
import { fingerprintsDocument } from "../../src/gateway/posh-document.ts"
import { CertificateAuthority } from "../../src/lab/certificate-authority.ts"
import { peerMissing, peerUsed } from "./peers-used.ts"

const root = CertificateAuthority.create({ name: "Root", now: Date.UTC(2026, 10, 22) })

function openssl(args: readonly string[], input: string | Uint8Array): Buffer {
  return execFileSync("openssl", args, { input, timeout: 10_000, stdio: ["pipe", "pipe", "pipe"] })
}

test("openssl computes the same fingerprints", { skip: peerMissing("openssl") }, () => {
  for (const algorithm of ["p256", "rsa2048", "ed25519"] as const) {
    const { pem, der } = root.issue({ names: { dns: ["host.example"] }, algorithm })
    const whole = openssl(["x509", "-outform", "der"], pem)
    const digest = (hash: string): string => openssl(["base64", "-A"], openssl(["dgst", `-${hash}`, "-binary"], whole)).toString()
    assert.deepEqual(JSON.parse(fingerprintsDocument([der], 600)), { fingerprints: [{ "sha-256": digest("sha256"), "sha-512": digest("sha512") }], expires: 600 })
    // What POSH does not mean: the digest of the key.
    const keyOnly = openssl(["pkey", "-pubin", "-outform", "der"], openssl(["x509", "-noout", "-pubkey"], pem))
    assert.ok(!fingerprintsDocument([der], 600).includes(openssl(["base64", "-A"], openssl(["dgst", "-sha256", "-binary"], keyOnly)).toString()))
  }
  peerUsed("openssl")
})
