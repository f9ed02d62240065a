// What `xmpp-dna ctl` prints of the answers of a gateway: tables and sentences for people (docs/operating.md).
import { basename } from "node:path"
import type { CertificateMark, CertificateRow, ComponentRow, DomainRow, ReadyView, StatusView, StreamsView } from "../gateway/admin-views.ts"
import type { DomainEdit } from "../gateway/tenant-files.ts"
import { printable } from "./exit.ts"
import { dateText, lengthText, momentText, table } from "./table.ts"

type Address = { readonly address: string; readonly port: number } | { readonly path: string }

const count = (number: number, one: string): string => `${number} ${one}${number === 1 ? "" : "s"}`
const addresses = (list: readonly Address[]): string =>
  list.length === 0 ? "none" : list.map((at) => ("path" in at ? at.path : `${at.address} port ${at.port}`)).join(", ")

export function showStatus(status: StatusView, now: number): string {
  const { domains, components, streams, listening, nearestExpiry, lastReload } = status
  const published = [...listening.posh, ...listening.poshHttps]
  const missing = domains.withoutCertificate === 0 ? "" : `, ${domains.withoutCertificate} without certificate`
  const lines = [
    `gateway     ${status.node} · xmpp-dna ${status.version} · ${status.state} for ${lengthText(now - Date.parse(status.startedAt))}`,
    `listening   s2s ${addresses(listening.s2s)} · direct TLS ${addresses(listening.directTls)}`,
    `            components ${addresses(listening.components)}`,
    ...(published.length === 0 ? [] : [`            POSH ${addresses(published)}`]),
    `domains     ${domains.served} served, ${domains.suspended} suspended${missing}`,
    `components  ${components.attached} attached, ${components.away} away`,
    `streams     ${streams.in} in, ${streams.out} out · ${count(status.waitingStanzas, "stanza")} waiting`,
    ...(nearestExpiry === undefined ? [] : [`expires     next ${nearestExpiry.name}, ${endText(nearestExpiry.ends, now)}`]),
    ...(lastReload === undefined ? [] : [`reload      ${lastReload.ok ? "good" : "REFUSED"}, ${lengthText(now - Date.parse(lastReload.at))} ago`]),
  ]
  return `${lines.map(printable).join("\n")}\n`
}

function endText(iso: string, now: number): string {
  const left = Date.parse(iso) - now
  return left < 0 ? `ended ${lengthText(left)} ago` : lengthText(left)
}

const outcomes = { proved: "", refuted: "!", absent: undefined, unavailable: "?" } as const

function proofsText(proofs: DomainRow["proofs"]): string {
  if (proofs === undefined) return "-"
  const shown = proofs.flatMap(({ prooftype, outcome }) => (outcomes[outcome] === undefined ? [] : [`${prooftype}${outcomes[outcome]}`]))
  return shown.length === 0 ? "NONE" : shown.join(" ")
}

export function showDomains(domains: readonly DomainRow[]): string {
  const rows = domains.map(({ name, state, certificate, proofs, component, file }) => [name, state, certificate, proofsText(proofs), component, basename(file)])
  const suspended = domains.filter(({ state }) => state === "suspended").length
  return `${table(["NAME", "STATE", "CERTIFICATE", "PROOFS", "COMP", "FILE"], rows, 24)}${count(domains.length, "domain")}, ${suspended} suspended\n`
}

/** Which certificate, and from when; 80 columns have no room for more. */
const markText = (mark: CertificateMark | undefined): string => (mark === undefined ? "-" : `${mark.fingerprint.slice(0, 8)} ${dateText(mark.from)}`)

export function showCertificates(certificates: readonly CertificateRow[], now: number): string {
  const rows = certificates.map((each) => [
    each.name,
    markText(each.onDisk),
    markText(each.served),
    each.served === undefined ? "-" : endText(each.served.ends, now),
    each.keyInDns ?? "-",
    each.posh ?? "-",
  ])
  const held = certificates.flatMap(({ name, because, heldUntil }) =>
    because === undefined ? [] : [`! ${name}: the newer certificate on disk is not served${heldUntil === undefined ? "" : ` until ${momentText(heldUntil)} UTC`}: ${because}\n`],
  )
  return table(["NAME", "ON DISK", "SERVED", "EXPIRES", "KEY IN DNS", "POSH"], rows, 21) + held.map((line) => `${printable(line.trimEnd())}\n`).join("")
}

export function showStreams({ streams, more, without }: StreamsView, now: number): string {
  const rows = streams.map((each) => [
    each.session,
    each.host,
    each.direction === "out" ? "->" : "<-",
    each.peer,
    each.tls?.replace(/^TLSv/, "") ?? "-",
    each.proof,
    each.level,
    lengthText(now - Date.parse(each.since)),
  ])
  const waiting = without.map(({ from, to, state, waiting: stanzas, failures }) =>
    printable(`no stream ${from} -> ${to}: ${state}, ${count(stanzas, "stanza")} waiting, ${count(failures, "failure")}`),
  )
  const authenticated = streams.filter(({ level }) => level === "authenticated").length
  const rest = more === 0 ? "" : `, and ${more} more that are not shown`
  return [
    streams.length === 0 ? "" : table(["SESSION", "HOST", "", "PEER", "TLS", "PROOF", "LEVEL", "AGE"], rows, 22),
    ...waiting.map((line) => `${line}\n`),
    `${count(streams.length, "association")}, ${authenticated} authenticated${rest}\n`,
  ].join("")
}

export function showComponents(components: readonly ComponentRow[]): string {
  const up = components.filter(({ session }) => session !== undefined).length
  const rows = components.map(({ name, session, address }) => [name, session === undefined ? "away" : "up", session ?? "-", address ?? "-"])
  return `${table(["NAME", "COMP", "SESSION", "FROM"], rows, 40)}${up} of ${components.length} attached\n`
}

export function showReady({ ready, reasons }: ReadyView): string {
  return ready ? "ready\n" : `not ready: ${reasons.map(printable).join("; ")}\n`
}

/** What a reload changed, or an edit with it. */
export function showChanges({ changes, needRestart }: Pick<DomainEdit, "changes" | "needRestart">): string {
  const lines = changes.length === 0 ? ["nothing changed"] : changes
  const restart = needRestart.length === 0 ? [] : [`a restart is needed for ${needRestart.join(", ")}`]
  return [...lines, ...restart].map((line) => `${printable(line)}\n`).join("")
}

export function showEdit(edit: DomainEdit): string {
  const secret = edit.secretFile === undefined ? "" : printable(`secret in ${edit.secretFile} (mode 600)`) + "\n"
  return `${showChanges(edit)}${secret}${printable(`${edit.removed === true ? "removed" : "file"} ${edit.file}`)}\n`
}
