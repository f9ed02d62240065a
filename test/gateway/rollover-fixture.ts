// Hosted domains with certificates that can be renewed, and a desk that plans for them.
import { CertificateAuthority, type IssueOptions, type IssuedCertificate } from "../../src/lab/certificate-authority.ts"
import { type Domain, parseDomain } from "../../src/model/domain.ts"
import { CertificateSnapshot, type ShownCertificate } from "../../src/gateway/certificates.ts"
import type { HostedDomain } from "../../src/gateway/config.ts"
import { RolloverDesk } from "../../src/gateway/rollover-desk.ts"
import type { RolloverConfig, RolloverNews, RolloverPlan } from "../../src/gateway/rollover-outcome.ts"
import { RolloverStore } from "../../src/gateway/rollover-state.ts"
import { Secret } from "../../src/gateway/secret.ts"
import { anchorSet } from "../../src/x509/anchors.ts"
import { parseCertificate } from "../../src/x509/certificate.ts"
import { MemoryFiles, secretA, testNow } from "./config-fixture.ts"

export const hour = 3_600_000
export const day = 24 * hour
export const root = CertificateAuthority.create({ name: "Root", now: testNow })

export function issue(name: string, more: IssueOptions = {}): IssuedCertificate {
  return root.issue({ names: { dns: [name] }, notBefore: testNow - day, notAfter: testNow + 60 * day, ...more })
}

export function shown({ chainPem, keyPem, der }: IssuedCertificate, path = "/certs/x.pem"): ShownCertificate {
  return { credentials: Object.freeze({ certificatePem: chainPem, keyPem }), leaf: parseCertificate(der), certificatePath: path, keyPath: path, names: new Set() }
}

export const fingerprint = ({ der }: IssuedCertificate): string => parseCertificate(der).fingerprint

export function hosted(name: string, more: Partial<HostedDomain> = {}): HostedDomain {
  return { name: parseDomain(name), secret: new Secret(secretA), conflict: "kick_new", suspended: false, source: "/etc/gw.yaml", ...more }
}

export const served = (expiresMs: number, next: readonly string[] = []) => ({ posh: { serve: true, expiresMs, next } })

export interface DeskOptions {
  readonly domains: readonly HostedDomain[]
  readonly files?: MemoryFiles
  readonly now?: number
  readonly looks?: boolean
  readonly dnssec?: RolloverConfig["dnssec"]
}

/** A gateway's life as the desk sees it: certificates come and go, time passes. */
export class DeskLife {
  readonly files: MemoryFiles
  readonly news: RolloverNews[] = []
  readonly trouble: string[] = []
  readonly desk: RolloverDesk
  now = testNow
  config: RolloverConfig
  shown: CertificateSnapshot | undefined

  private constructor(options: DeskOptions) {
    this.files = options.files ?? new MemoryFiles()
    const listen = { posh: [{ address: "127.0.0.1", port: 8081 }], poshHttps: [] }
    this.config = { listen, sources: ["/etc/gw.yaml"], domains: new Map(options.domains.map((each) => [each.name, each])), dnssec: options.dnssec ?? "off", proofs: new Set(["pkix", "posh", "dane"]), daneUsages: [3, 2] }
    const store = new RolloverStore("/state", this.files, (sentence) => this.trouble.push(sentence))
    this.desk = new RolloverDesk({ files: this.files, store, news: (news) => this.news.push(news), looks: options.looks !== false })
  }

  static async begin(options: DeskOptions): Promise<DeskLife> {
    const life = new DeskLife(options)
    life.now = options.now ?? testNow
    await life.desk.open()
    return life
  }

  /** The folders have these now; a reload follows. */
  async load(certificates: Readonly<Record<string, IssuedCertificate>>): Promise<RolloverPlan> {
    const onDisk = new CertificateSnapshot(new Map(Object.entries(certificates).map(([name, certificate]) => [parseDomain(name), shown(certificate)])))
    const plan = await this.desk.plan({ config: this.config, certificates: onDisk, previous: this.shown, anchors: anchorSet([root.certificate.der]), now: this.now })
    this.desk.commit(plan, this.now)
    this.shown = plan.certificates
    await this.desk.settled()
    return plan
  }

  pick(name: string): string | undefined {
    return this.shown?.pick(parseDomain(name))?.leaf.fingerprint
  }

  document(name: string): readonly string[] | undefined {
    return this.desk.document(name as Domain)?.fingerprints
  }
}
