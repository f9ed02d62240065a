// How an interop test says which foreign program it needs and that it really ran it; read by the runner behind `npm test`.
import { appendFileSync } from "node:fs"
import { isAvailable, peers } from "../../tools/peers.ts"

const listed: readonly string[] | undefined =
  process.env["XMPP_DNA_PEERS"] === undefined ? undefined : (JSON.parse(process.env["XMPP_DNA_PEERS"]) as string[])

export type PeerName = "prosody" | "ejabberd" | "openssl" | "slixmpp" | "unbound" | "nsd" | "nsupdate" | "nginx" | "apache" | "caddy" | "testssl"

/** For `{ skip: peerMissing("prosody") }`: false where the peer can be used, else the reason of the skip. */
export function peerMissing(...names: PeerName[]): false | string {
  const missing = names.filter((name) => {
    const peer = peers.find((candidate) => candidate.name === name)
    return peer === undefined || !(listed === undefined ? isAvailable(peer) : listed.includes(name))
  })
  return missing.length === 0 ? false : `not installed: ${missing.join(", ")}`
}

/** Records that a test exchanged something with this peer. To be called after it did, not before. */
export function peerUsed(name: PeerName): void {
  const log = process.env["XMPP_DNA_PEERS_LOG"]
  if (log !== undefined) appendFileSync(log, `${name}\n`)
}
