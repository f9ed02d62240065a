// The foreign servers as the tests use them: one host with a component (a bot of ours) and a chat-room service, published in DNS.
import { type Bot, startBot } from "./bot.ts"
import { startEjabberd } from "./peers/ejabberd.ts"
import { type ForeignServer, startProsody } from "./peers/prosody.ts"
import { peerUsed } from "./peers-used.ts"
import type { Flaw, World } from "./world.ts"

export type Kind = "prosody" | "ejabberd"

export interface Foreign {
  readonly kind: Kind
  readonly server: ForeignServer
  /** The domain of the bot that is attached there. */
  readonly domain: string
  readonly rooms: string
  readonly bot: Bot
  /** The secret of a further component. */
  secret(component: string): string
}

export interface ForeignSetup {
  /** Domains become `<label>.example`, `bot.<label>.example` and `rooms.<label>.example`. */
  readonly label: string
  /** Judges certificates strictly and has, on ejabberd, no dialback. Default false. */
  readonly strict?: boolean
  /** Flaw of the certificates it shows. */
  readonly flaw?: Flaw
  readonly directTls?: boolean
  /** Further components, `<word>.<label>.example`, to which nothing is attached yet. */
  readonly components?: readonly string[]
  readonly debug?: boolean
  /** Further modules of Prosody's own: s2s_bidi, smacks. */
  readonly modules?: readonly string[]
  /** Prosody says that it knows dialback errors, as ejabberd does by itself. */
  readonly saysErrors?: boolean
  /** One certificate has the names of all its domains. */
  readonly oneCertificate?: boolean
  /** In DNS and in that certificate, `<word>.<label>.example`, and not served. */
  readonly absent?: readonly string[]
  /** Where its domains are published, where that is not where it listens. */
  readonly published?: string
}

/** Starts the server, attaches the bot, and notes that this peer was really run. */
export async function startForeign(world: World, kind: Kind, setup: ForeignSetup): Promise<Foreign> {
  const { label, strict = false, flaw, directTls = false, components = [], debug = false, modules = [], saysErrors = false } = setup
  const name = `${label}.example`
  const domain = `bot.${name}`
  const rooms = `rooms.${name}`
  const secret = world.secret()
  const further = components.map((word) => ({ word, name: `${word}.${name}`, secret: world.secret() }))
  const address = await world.address()
  const others = [domain, rooms, ...further.map((one) => one.name), ...(setup.absent ?? []).map((word) => `${word}.${name}`)]
  for (const each of [name, ...others]) world.publish(each, setup.published ?? address, { directTls })
  const shared = setup.oneCertificate === true ? world.identity(name, flaw, others) : undefined
  const identity = (of: string) => shared ?? world.identity(of, flaw)
  const options = {
    address,
    domains: [
      {
        name,
        identity: identity(name),
        components: [{ name: domain, secret }, ...further].map((one) => ({ ...one, identity: identity(one.name) })),
        rooms: { name: rooms, identity: identity(rooms) },
      },
    ],
    caPem: world.caPem,
    debug,
  }
  const server = world.add(
    kind === "prosody"
      ? await startProsody({ ...options, dns: world.dns, secureAuth: strict, dialback: true, directTls, modules, saysErrors })
      : await startEjabberd({ ...options, dns: world.numericDns, secureAuth: strict, dialback: !strict }),
  )
  const bot = world.add(await startBot({ domain, secret, server: server.component }))
  peerUsed(kind)
  const secretOf = (component: string): string => {
    const found = further.find((one) => one.word === component)
    if (found === undefined) throw new Error(`${name} has no component ${component}`)
    return found.secret
  }
  return { kind, server, domain, rooms, bot, secret: secretOf }
}

/** A message each way, by bodies that occur once. */
export async function exchange(one: Bot, other: Bot, label: string, timeout?: number): Promise<void> {
  one.say(`bot@${other.domain}`, `${label} there`)
  await other.waitFor(`<body>${label} there</body>`, timeout)
  other.say(`bot@${one.domain}`, `${label} back`)
  await one.waitFor(`<body>${label} back</body>`, timeout)
}
