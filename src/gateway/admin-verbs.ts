// What each verb of the admin socket does (docs/operating.md): shows the gateway, edits tenant files, reloads, drains.
import type { Domain } from "../model/domain.ts"
import { AdminRefusal, type AdminRequest, type AdminRequestOf, type AdminVerb, domainArgument } from "./admin-protocol.ts"
import { certificateRows, componentRows, domainRows, type GatewaySights, readyView, statusView, streamsView } from "./admin-views.ts"
import type { LogLines } from "./log-lines.ts"
import type { Reloading } from "./reloading.ts"
import type { TenantFiles } from "./tenant-files.ts"

export interface VerbSurroundings {
  readonly lines: LogLines
  readonly reloading: Reloading
  readonly tenants: TenantFiles
  sights(): GatewaySights
  /** No renewal waits for the certificate that is shown for this domain. */
  abandon(domain: Domain): void
  /** Begins to stop; the answer does not wait for the end. */
  drain(): void
}

type Handler<Verb extends AdminVerb, From> = (request: AdminRequestOf<Verb>, from: From) => unknown
type LookingVerb = "status" | "ready" | "domains" | "certs" | "components" | "s2s.show"
type ChangingVerb = Exclude<AdminVerb, LookingVerb>

const looking: { readonly [Verb in LookingVerb]: Handler<Verb, GatewaySights> } = {
  status: (_request, gateway) => statusView(gateway),
  ready: (_request, gateway) => readyView(gateway),
  domains: (_request, gateway) => ({ domains: domainRows(gateway) }),
  certs: (_request, gateway) => ({ certificates: certificateRows(gateway) }),
  components: (_request, gateway) => ({ components: componentRows(gateway) }),
  "s2s.show": ({ name }, gateway) => streamsView(gateway, name === undefined ? undefined : domainArgument(name)),
}

const changing: { readonly [Verb in ChangingVerb]: Handler<Verb, VerbSurroundings> } = {
  "domain.add": (request, { tenants }) => tenants.add(request),
  "domain.set": (request, { tenants }) => tenants.set(request),
  "domain.suspend": ({ name }, { tenants }) => tenants.suspend(name),
  "domain.resume": ({ name }, { tenants }) => tenants.resume(name),
  "domain.remove": ({ name }, { tenants }) => tenants.remove(name),
  "domain.abandon": ({ name }, { abandon, sights }) => {
    const domain = domainArgument(name)
    const { domains } = sights().snapshot.config
    // A certificate that is only shown for others has a name that is not hosted.
    if (!domains.has(domain) && ![...domains.values()].some(({ certificate }) => certificate === domain)) throw new AdminRefusal("argument", `${domain} is not hosted here.`)
    abandon(domain)
    return { name: domain }
  },
  reload: async (_request, { reloading }) => {
    const result = await reloading.reload()
    if (!result.ok) throw new AdminRefusal("config", result.problems)
    const { changes, needRestart, warnings } = result
    return { changes, needRestart, warnings: warnings.map(({ place, sentence }) => `${place}  ${sentence}`) }
  },
  drain: (_request, { drain }) => {
    drain()
    return { draining: true }
  },
}

/**
 * Carries out one request.
 *
 * @throws AdminRefusal
 */
export async function answerVerb(request: AdminRequest, around: VerbSurroundings): Promise<unknown> {
  if (isLooking(request.verb)) return (looking[request.verb] as Handler<AdminVerb, GatewaySights>)(request, around.sights())
  if (around.sights().state !== "running") throw new AdminRefusal("stopping", "The gateway is shutting down.")
  const { verb } = request
  const what = "name" in request && request.name !== undefined ? `${verb} ${JSON.stringify(request.name)}` : verb
  around.lines.write("info", "admin.request", { verb, text: `asked over the admin socket: ${what}` })
  try {
    return await (changing[verb as ChangingVerb] as Handler<AdminVerb, VerbSurroundings>)(request, around)
  } catch (error) {
    if (error instanceof AdminRefusal) around.lines.write("warn", "admin.refused", { verb, text: `${what} refused: ${error.problems.map(({ sentence }) => sentence).join(" ")}` })
    throw error
  }
}

function isLooking(verb: AdminVerb): verb is LookingVerb {
  return Object.hasOwn(looking, verb)
}
