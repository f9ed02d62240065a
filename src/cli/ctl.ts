// `xmpp-dna ctl`: asks a running gateway, prints the answer, and turns a refusal into an exit status (docs/operating.md).
import { resolve } from "node:path"
import type { AdminAnswer, AdminFailure, AdminRequest, AdminVerb, SecretPlace } from "../gateway/admin-protocol.ts"
import type { CertificateRow, ComponentRow, DomainRow, ReadyView, StatusView, StreamsView } from "../gateway/admin-views.ts"
import type { DomainEdit } from "../gateway/tenant-files.ts"
import { askGateway } from "./admin-client.ts"
import { ctlRefused, exit, printable, Stop } from "./exit.ts"
import { showCertificates, showChanges, showComponents, showDomains, showEdit, showReady, showStatus, showStreams } from "./ctl-show.ts"

export const defaultSocket = "/run/xmpp-dna/admin.sock"

export interface CtlOptions {
  readonly socket?: string
  readonly json?: boolean
  readonly timeout?: string
}

export interface AddOptions {
  readonly secretFile?: string
  readonly secretCredential?: string
  readonly secretEnv?: string
  readonly generateSecret?: string | true
  readonly certificate?: string
  readonly posh?: boolean
  readonly file?: string
}

const statuses: Readonly<Record<AdminFailure, number>> = {
  request: exit.unavailable,
  argument: exit.usage,
  config: exit.config,
  busy: exit.unavailable,
  stopping: exit.unavailable,
  internal: exit.bug,
}

type Show = (result: unknown) => string
const now = (): number => Date.now()

/** Verbs that change something print the diff; the others what they found. */
const shows: Readonly<Record<AdminVerb, Show>> = {
  status: (result) => showStatus(result as StatusView, now()),
  ready: (result) => showReady(result as ReadyView),
  domains: (result) => showDomains((result as { domains: DomainRow[] }).domains),
  certs: (result) => showCertificates((result as { certificates: CertificateRow[] }).certificates, now()),
  components: (result) => showComponents((result as { components: ComponentRow[] }).components),
  "s2s.show": (result) => showStreams(result as StreamsView, now()),
  "domain.add": (result) => showEdit(result as DomainEdit),
  "domain.set": (result) => showEdit(result as DomainEdit),
  "domain.suspend": (result) => showEdit(result as DomainEdit),
  "domain.resume": (result) => showEdit(result as DomainEdit),
  "domain.remove": (result) => showEdit(result as DomainEdit),
  "domain.abandon": (result) => `the certificate of ${(result as { name: string }).name} is abandoned; \`xmpp-dna ctl certs\` shows what is served\n`,
  reload: (result) => showChanges(result as DomainEdit),
  drain: () => "draining\n",
}

/**
 * Asks, prints, and says how it went.
 *
 * @param asked makes the request; may throw Stop when it cannot be meant
 */
export async function ctl(asked: () => AdminRequest, options: CtlOptions): Promise<number> {
  const json = options.json === true
  let request: AdminRequest
  let answer: AdminAnswer
  try {
    request = asked()
    answer = await askGateway(options.socket ?? defaultSocket, request, timeoutMs(options.timeout))
  } catch (error) {
    if (!json || !(error instanceof Stop)) throw error
    print(ctlRefused(error.status, error.message))
    return error.status
  }
  if (json) print(answer)
  if (!answer.ok) {
    const { kind, problems } = answer.error
    if (!json) {
      for (const { place, sentence } of problems) process.stderr.write(`${printable(place === undefined ? `xmpp-dna: ${sentence}` : `${place}  ${sentence}`)}\n`)
      if (kind === "config") process.stderr.write("nothing was changed\n")
    }
    return statuses[kind] ?? exit.unavailable
  }
  if (!json) {
    process.stdout.write(shows[request.verb](answer.result))
    const { warnings } = answer.result as Partial<DomainEdit>
    for (const warning of warnings ?? []) process.stderr.write(`warning  ${printable(warning)}\n`)
  }
  return request.verb === "ready" && !(answer.result as ReadyView).ready ? exit.bad : exit.ok
}

function print(document: unknown): void {
  process.stdout.write(`${JSON.stringify(document)}\n`)
}

function timeoutMs(text = "60s"): number {
  const match = /^(\d{1,4})(s|m)$/.exec(text)
  const ms = match === null ? 0 : Number(match[1]) * (match[2] === "m" ? 60_000 : 1000)
  if (ms === 0) throw new Stop(exit.usage, `${JSON.stringify(text)} is not a time: write 10s or 2m.`)
  return ms
}

/** `domain add NAME`: exactly one place for the secret. Paths are those of this shell, not of the gateway. */
export function addRequest(name: string, options: AddOptions): AdminRequest {
  const { secretFile, secretCredential, secretEnv, generateSecret, certificate, posh, file } = options
  const places: SecretPlace[] = [
    ...(secretFile === undefined ? [] : [{ file: resolve(secretFile) }]),
    ...(secretCredential === undefined ? [] : [{ credential: secretCredential }]),
    ...(secretEnv === undefined ? [] : [{ env: secretEnv }]),
    ...(generateSecret === undefined ? [] : [{ generate: true as const, ...(generateSecret === true ? {} : { file: resolve(generateSecret) }) }]),
  ]
  const [secret, second] = places
  if (secret === undefined || second !== undefined) {
    throw new Stop(exit.usage, "Name exactly one of --generate-secret, --secret-file, --secret-credential and --secret-env.")
  }
  return {
    v: 1,
    verb: "domain.add",
    name,
    secret,
    ...(certificate === undefined ? {} : { certificate }),
    ...(posh === true ? { posh } : {}),
    ...(file === undefined ? {} : { file }),
  }
}

const pathKeys = new Set(["secret.file", "posh.next"])

/** `domain set NAME key=value...` */
export function setRequest(name: string, settings: readonly string[]): AdminRequest {
  return {
    v: 1,
    verb: "domain.set",
    name,
    settings: settings.map((setting) => {
      const at = setting.indexOf("=")
      if (at <= 0) throw new Stop(exit.usage, `${JSON.stringify(setting)} is not a setting: write key=value, or key= to take it out.`)
      const key = setting.slice(0, at)
      const value = setting.slice(at + 1)
      return { key, value: pathKeys.has(key) && value !== "" ? resolve(value) : value }
    }),
  }
}
