// `check --reverse`: where the domain's server is waited for, bound before anybody is asked (RFC 7712 4.3; docs/check.md).
import { readDuration, readSocketAddress } from "../gateway/config-values.ts"
import type { InspectQuestion } from "../inspect/question.ts"
import type { ReverseQuestion } from "../inspect/reverse.ts"
import { errorCode } from "../node/tcp.ts"
import type { Channel, Listen, Listener, NetworkAddress } from "../ports.ts"
import { exit, Stop } from "./exit.ts"
import { note } from "./publish-world.ts"

export interface ReverseOptions {
  readonly reverse?: boolean
  readonly ping?: boolean
  readonly listen?: string
  readonly patience: string
  readonly at?: string
}

export interface Waiting {
  readonly question: ReverseQuestion
  close(): Promise<void>
}

const day = 86_400_000
const usualPort = 5269

/**
 * @returns undefined: it was not asked for
 * @throws Stop for what does not fit, and where somebody else listens: then nobody was asked
 */
export async function waitingFor(options: ReverseOptions, questions: readonly InspectQuestion[], listen: Listen): Promise<Waiting | undefined> {
  const { reverse, ping } = options
  if (reverse !== true) {
    if (ping === true || options.listen !== undefined) throw new Stop(exit.usage, `--${ping === true ? "ping" : "listen"} belongs to --reverse.`)
    return undefined
  }
  const [only] = questions
  if (only === undefined || questions.length > 1 || only.service !== "xmpp-server") throw new Stop(exit.usage, "--reverse waits for the server of one domain: name one, and no clients' service.")
  const { from, domain } = only
  if (from?.credentials === undefined) throw new Stop(exit.usage, "--reverse needs --from with --cert and --key: servers connect to a domain that proves itself.")
  if (options.at !== undefined) throw new Stop(exit.usage, "--reverse and --at exclude each other: who connects is judged as of now.")
  const patience = readDuration(options.patience, 1000, day)
  const at = options.listen === undefined ? undefined : readSocketAddress(options.listen, 0, usualPort)
  const held = await hold(listen, at)
  const where = shownAddress(held.bound.address)
  return {
    close: () => held.bound.close(),
    question: {
      listen: held.listen,
      at: held.bound.address,
      asked: ping === true ? "ping" : "operator",
      patience,
      ready: () => {
        const wanted = ping === true ? "it was pinged" : `send something from an account of ${domain} to ${from.domain}`
        note(`waiting at ${where} for ${domain} to connect, ${Math.round(patience / 1000)} s at most: ${wanted}.`)
      },
    },
  }
}

const shownAddress = ({ address, port }: NetworkAddress): string => (address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`)

/** Bound now, and taken from when it is come to that. */
async function hold(listen: Listen, at: NetworkAddress | undefined): Promise<{ bound: Listener; listen: Listen }> {
  let taker: ((channel: Channel) => void) | undefined
  const accept = (channel: Channel): void => {
    if (taker === undefined) channel.destroy()
    else taker(channel)
  }
  const bound = at === undefined ? await everywhere(listen, accept) : await bind(listen, at, accept)
  return {
    bound,
    listen: {
      listen: async (_, take) => {
        taker = take
        return bound
      },
    },
  }
}

/** All addresses; of IPv4 alone where the machine has no IPv6. */
async function everywhere(listen: Listen, accept: (channel: Channel) => void): Promise<Listener> {
  try {
    return await listen.listen({ address: "::", port: usualPort }, accept)
  } catch (error) {
    if (errorCode(error) !== "EAFNOSUPPORT" && errorCode(error) !== "EADDRNOTAVAIL") throw problem(error, { address: "::", port: usualPort })
    return await bind(listen, { address: "0.0.0.0", port: usualPort }, accept)
  }
}

async function bind(listen: Listen, at: NetworkAddress, accept: (channel: Channel) => void): Promise<Listener> {
  try {
    return await listen.listen(at, accept)
  } catch (error) {
    throw problem(error, at)
  }
}

const elsewhere = "listen elsewhere with --listen ADDRESS:PORT, and lead the SRV record of a domain for tests there"

/** The port of a running gateway is never taken from it. */
function problem(error: unknown, at: NetworkAddress): unknown {
  const where = shownAddress(at)
  switch (errorCode(error)) {
    case "EADDRINUSE":
      return new Stop(exit.unavailable, `somebody listens at ${where} already, a running gateway perhaps, which is left alone: ${elsewhere}.`)
    case "EACCES":
      return new Stop(exit.unavailable, `${where} may not be listened at by this user: ${elsewhere}.`)
    case "EADDRNOTAVAIL":
      return new Stop(exit.unavailable, `${at.address} is no address of this machine.`)
    default:
      return error
  }
}
