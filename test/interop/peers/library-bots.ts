// Components made with foreign libraries, unmodified, each in a process of its own: @xmpp/component and slixmpp.
import { join } from "node:path"
import { type PeerProcess, startProcess } from "./process.ts"

export interface LibraryBot extends PeerProcess {
  readonly domain: string
  /** Sends a chat message from `bot@<domain>`. The body is one line. */
  say(to: string, body: string): void
}

export interface LibraryBotOptions {
  readonly domain: string
  readonly secret: string
  readonly server: { readonly address: string; readonly port: number }
}

async function whenOnline(bot: PeerProcess, domain: string): Promise<LibraryBot> {
  try {
    await bot.waitForLog(/^online /, { timeout: 60_000 })
  } catch (error) {
    await bot.stop()
    throw error
  }
  return Object.assign(bot, { domain, say: (to: string, body: string) => bot.input(`${to} ${body}\n`) })
}

export async function startXmppJsBot({ domain, secret, server }: LibraryBotOptions): Promise<LibraryBot> {
  const script = join(import.meta.dirname, "xmpp-js-bot.mjs")
  const bot = startProcess("@xmpp/component", process.execPath, [script, `xmpp://${server.address}:${server.port}`, domain, secret], {
    stopWith: "SIGKILL",
  })
  return whenOnline(bot, domain)
}

export async function startSlixmppBot({ domain, secret, server }: LibraryBotOptions): Promise<LibraryBot> {
  const script = join(import.meta.dirname, "slixmpp_bot.py")
  const bot = startProcess("slixmpp", "/usr/bin/python3", [script, server.address, `${server.port}`, domain, secret], {
    stopWith: "SIGKILL",
  })
  return whenOnline(bot, domain)
}
