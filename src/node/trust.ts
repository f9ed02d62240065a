// Trust anchors of this machine: the system's bundle, or the roots that come with Node (field: trust; RFC 6120 13.7.2).
import { readFileSync } from "node:fs"
import { getCACertificates, rootCertificates } from "node:tls"
import { type AnchorSet, anchorSet, anchorsFromPem, certificatesFromPem } from "../x509/anchors.ts"

/** Where Debian and its kin, Red Hat and its kin, Alpine and BSD keep their bundle. */
const bundles = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"]

/** One odd root in a bundle that others keep must not stop anybody; in the operator's own file it is an error. */
const lenient = { skipUnusable: true }

/**
 * @param source `system`: the bundle named by SSL_CERT_FILE or the usual file, else Node's view of the system's store;
 *   `bundled`: the roots Node was built with; otherwise a PEM file
 * @throws AnchorError or an error of the file system, naming the file
 */
export function loadTrust(source: "system" | "bundled" | { readonly file: string }): AnchorSet {
  if (source === "bundled") return anchorSet(rootCertificates.flatMap(certificatesFromPem), lenient)
  if (typeof source === "object") return anchorsFromPem(readFileSync(source.file, "utf8"))
  const named = process.env["SSL_CERT_FILE"]
  for (const file of named === undefined ? bundles : [named]) {
    try {
      return anchorsFromPem(readFileSync(file, "utf8"), lenient)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT" || named !== undefined) throw error
    }
  }
  // The list repeats certificates; the set does not.
  return anchorSet(getCACertificates("system").flatMap(certificatesFromPem), lenient)
}
