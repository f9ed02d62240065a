// `xmpp-dna tlsa` and `tlsa rollover`: records of certificates, and a change of key that breaks nobody (docs/operating.md).
import { readFile, rename, rm, writeFile } from "node:fs/promises"
import { isAbsolute } from "node:path"
import { lookAgain } from "../gateway/rollover.ts"
import { readEnd, readSocketAddress } from "../gateway/config-values.ts"
import { endedSentence, type PublishedFile } from "../inspect/publish-certificate.ts"
import { hookKinds, hookScript } from "../inspect/publish-hooks.ts"
import { formatRecords, type PublishedRecord, recordFormats, recordObjects } from "../inspect/publish-records.ts"
import { LookHistory, planTlsaRollover, type ServerAnswer, type TlsaRolloverPlan } from "../inspect/publish-rollover.ts"
import { type AuthoritativeServer, authoritativeServers } from "../inspect/publish-servers.ts"
import { olderUsages, placesOf, readKind, type TlsaKind, tlsaOwner, type TlsaPlace, tlsaRecords, type TlsaSource } from "../inspect/publish-tlsa.ts"
import { exit, printable, Stop } from "./exit.ts"
import { type AskOptions, type Asking, asking, domainOf, note, oneOf, portOf, print, readCertificates, readKey, timeoutOf, told, trustOf, ttlOf, wrapped } from "./publish-world.ts"

export interface TlsaOptions extends AskOptions {
  readonly host?: string
  readonly port: string
  readonly for?: string
  readonly service: string
  readonly kind: string
  readonly ttl: string
  readonly format: string
  readonly zone?: string
  readonly nextKey?: string
  readonly yesIMean?: boolean
  readonly json?: boolean
}

export interface RolloverOptions extends TlsaOptions {
  readonly current?: string
  readonly next?: string
  readonly since?: string
  readonly remember?: string
  readonly authoritative: readonly string[]
  readonly wait?: boolean
  readonly hook?: string
  readonly key?: string
  readonly reload: string
}

function kindOf(options: TlsaOptions): TlsaKind {
  const kind = readKind(options.kind)
  if (kind.usage < 2 && options.yesIMean !== true) throw new Stop(exit.usage, olderUsages)
  return kind
}

export const tlsaCommand = (files: readonly string[], options: TlsaOptions): Promise<number> =>
  told(options.json, async () => {
    const kind = kindOf(options)
    const ttl = ttlOf(options.ttl)
    const format = oneOf(options.format, recordFormats, "--format")
    const zone = options.zone === undefined ? undefined : domainOf(options.zone)
    if (files.length === 0 && options.nextKey === undefined) throw new Stop(exit.usage, "Name a certificate, or a key with --next-key.")
    const certificates = await readCertificates(files)
    for (const file of certificates) {
      const ended = endedSentence(file, Date.now())
      if (ended !== undefined) note(`${ended}${kind.usage === 3 ? "; records of usage 3 hold all the same, PKIX and POSH do not" : ": a record of this usage proves nothing with it"}`)
    }
    const sources: TlsaSource[] = options.nextKey === undefined ? certificates : [...certificates, await readKey(options.nextKey)]
    const places = await placesFor(options, certificates)
    if (typeof places === "number") return places
    const records = tlsaRecords(sources, places, kind, ttl)
    if (options.json === true) print({ schema: 1, kind: "tlsa", records: recordObjects(records), exit: exit.ok })
    else process.stdout.write(`${formatRecords(records, format, zone === undefined ? {} : { zone }).join("\n")}\n`)
    return exit.ok
  })

/** Where the records stand: as named, as SRV says, or as the certificate says; else the status to end with. */
async function placesFor(options: TlsaOptions, certificates: readonly PublishedFile[]): Promise<readonly TlsaPlace[] | number> {
  const port = portOf(options.port)
  if (options.host !== undefined) {
    if (options.for !== undefined) throw new Stop(exit.usage, "--host and --for exclude each other: SRV records say which hosts there are.")
    return [{ host: domainOf(options.host), port }]
  }
  if (options.for !== undefined) {
    const service = oneOf(options.service, ["server", "client"], "--service") === "server" ? "xmpp-server" : "xmpp-client"
    const { resolver } = await asking(options)
    const found = await placesOf(domainOf(options.for), service, resolver, AbortSignal.timeout(timeoutOf(options.timeout, "10s")))
    if (found.ok) {
      found.notes.forEach(note)
      return found.places
    }
    if (options.json === true) print({ error: found.sentence, exit: found.unknown ? exit.unknown : exit.bad })
    process.stderr.write(`xmpp-dna: ${printable(found.sentence)}\n`)
    return found.unknown ? exit.unknown : exit.bad
  }
  const names = [...new Set(certificates.flatMap(({ leaf }) => (leaf.subjectAltNames ?? []).flatMap((name) => (name.type === "dns" ? [name.text] : []))))]
  const [only, ...others] = names
  if (only === undefined || others.length > 0 || only.startsWith("*.")) throw new Stop(exit.usage, "Say which server it is: --host NAME (and --port), or --for DOMAIN to follow its SRV records.")
  note(`for ${only} port ${port}, the only name in the certificate; --host names another server, --for DOMAIN follows SRV`)
  return [{ host: domainOf(only), port }]
}

export const tlsaRollover = (options: RolloverOptions): Promise<number> =>
  told(options.json, async () => {
    const { host } = options
    if (host === undefined) throw new Stop(exit.usage, "Say which server it is: --host NAME, and --port unless it is 5269.")
    const place: TlsaPlace = { host: domainOf(host), port: portOf(options.port) }
    const { current } = options
    if (current === undefined) throw new Stop(exit.usage, "--current CERT is needed: the certificate that is shown now.")
    if (options.hook !== undefined) return hook(options.hook, place, current, options)
    if ((options.next === undefined) === (options.nextKey === undefined)) throw new Stop(exit.usage, "Name the next certificate with --next, or the next key alone with --next-key.")
    const [shown] = await readCertificates([current])
    const next: TlsaSource = options.nextKey === undefined ? ((await readCertificates([options.next as string]))[0] as PublishedFile) : await readKey(options.nextKey)
    const history = await historyOf(place, options.remember)
    const ask = await asking(options)
    const base = { place, current: shown as PublishedFile, next, kind: kindOf(options), ttl: ttlOf(options.ttl), history, anchors: trustOf(options), ...(options.since === undefined ? {} : { since: sinceOf(options.since) }) }
    const look = async (): Promise<TlsaRolloverPlan> => {
      const plan = planTlsaRollover({ ...base, ...(await lookUp(place, options.authoritative, ask)), now: Date.now() })
      if (options.remember !== undefined) await keep(options.remember, history)
      return plan
    }
    const plan = options.wait === true ? await untilSafe(look, timeoutOf(options.timeout, "7d")) : await look()
    const status = { yes: exit.ok, no: exit.bad, unknown: exit.unknown }[plan.safe]
    if (options.json === true) {
      const { records, remove, until, ...rest } = plan
      print({ schema: 1, kind: "tlsa-rollover", host: place.host, port: place.port, ...rest, records: recordObjects(records), remove: recordObjects(remove), until: until === null ? null : new Date(until).toISOString(), exit: status })
    } else process.stdout.write(planText(plan))
    return status
  })

function hook(kind: string, place: TlsaPlace, current: string, { key, reload }: RolloverOptions): number {
  if (key === undefined) throw new Stop(exit.usage, "--hook needs --key FILE: where the server finds the private key that belongs to --current.")
  if (!isAbsolute(current) || !isAbsolute(key)) throw new Stop(exit.usage, "--current and --key must be absolute paths in a hook.")
  process.stdout.write(hookScript({ kind: oneOf(kind, hookKinds, "--hook"), place, current, key, reload }))
  return exit.ok
}

function sinceOf(text: string): number {
  const since = readEnd(text)
  if (since > Date.now()) throw new Stop(exit.usage, `--since ${text} is in the future.`)
  return since
}

async function historyOf(place: TlsaPlace, file: string | undefined): Promise<LookHistory> {
  if (file === undefined) return new LookHistory(place)
  let text: string
  try {
    text = await readFile(file, "utf8")
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return new LookHistory(place)
    throw new Stop(exit.usage, `--remember ${file}: ${error instanceof Error ? error.message : String(error)}`)
  }
  try {
    return new LookHistory(place, text)
  } catch (error) {
    throw new Stop(exit.usage, `--remember ${file}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** Whole or not at all. */
async function keep(file: string, history: LookHistory): Promise<void> {
  try {
    await rm(`${file}.new`, { force: true })
    // Made here and by nobody else: in a folder of many it could be somebody's link to another file.
    await writeFile(`${file}.new`, history.text(), { mode: 0o600, flag: "wx" })
    await rename(`${file}.new`, file)
  } catch (error) {
    throw new Stop(exit.usage, `--remember ${file}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** One lookup with its retries, ms. */
const patience = 10_000

async function lookUp(place: TlsaPlace, named: readonly string[], { resolver, reach, authoritative }: Asking) {
  const owner = tlsaOwner(place)
  resolver.flush()
  const signal = AbortSignal.timeout(patience)
  const [validated, found] = await Promise.all([
    resolver.resolve(owner, "TLSA", { signal }),
    named.length > 0 ? named.map((text): AuthoritativeServer => ({ name: text, at: readSocketAddress(text, 1, 53) })) : authoritativeServers(owner, resolver, reach, signal),
  ])
  const servers = await Promise.all(
    found.map(async ({ name, at }): Promise<ServerAnswer> => {
      const nowhere = { ...validated, records: [], outcome: "failure" as const, status: "indeterminate" as const, why: [{ code: "no-upstream" as const, detail: "it has no address that may be asked" }] }
      return { server: name, answer: at === undefined ? nowhere : await authoritative(at).resolve(owner, "TLSA", { signal }) }
    }),
  )
  return { validated, servers }
}

/** Looks again until it is safe; says what changes. */
async function untilSafe(look: () => Promise<TlsaRolloverPlan>, patienceMs: number): Promise<TlsaRolloverPlan> {
  const end = performance.now() + patienceMs
  let said = ""
  for (;;) {
    const plan = await look()
    const left = end - performance.now()
    if (plan.safe === "yes" || left <= 0) return plan
    const words = `${plan.step} ${plan.safe}`
    if (words !== said) note(`step ${plan.step} of 4, ${plan.title}: ${plan.because}`)
    said = words
    const until = plan.until === null ? lookAgain : Math.max(1000, plan.until - Date.now())
    await new Promise((resolve) => setTimeout(resolve, Math.min(until, lookAgain, left)))
  }
}

function planText({ step, title, records, remove, seen, safe, because }: TlsaRolloverPlan): string {
  const lines = (list: readonly PublishedRecord[]): string[] => [...formatRecords(list, "zone")]
  return `${[
    `STEP ${step} of 4  ${title}`,
    ...(remove.length > 0 ? lines(remove).map((line) => `; remove  ${line}`) : lines(records)),
    ...seen.map((line) => `  ${printable(line)}`),
    wrapped(`SAFE TO SWITCH KEY:  ${safe === "unknown" ? "could not tell" : safe}, because ${printable(because)}`, "  "),
  ].join("\n")}`
}
