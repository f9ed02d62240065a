// Why bytes are no certificate (RFC 5280 4.1, 4.2): the only thing the parser throws.

export type CertificateErrorCode = "der" | "limit" | "version" | "algorithm" | "name" | "time" | "extension" | "key"

/** Thrown by parseCertificate and by nothing else here; `detail` is a phrase without the code. */
export class CertificateError extends Error {
  override readonly name = "CertificateError"
  readonly code: CertificateErrorCode
  readonly detail: string

  constructor(code: CertificateErrorCode, detail: string) {
    super(`not a certificate (${code}): ${detail}`)
    this.code = code
    this.detail = detail
  }
}
