// The Listen port: TCP and Unix sockets, accepted channels paused and half-open capable (security.md 20, 21; ports.ts Listen).
import { lstatSync, unlinkSync } from "node:fs"
import { createServer, type ListenOptions, type Server, Socket } from "node:net"
import { networkInterfaces } from "node:os"
import type { OwnListener } from "../model/reach.ts"
import type { Channel, Listen, Listener, NetworkAddress } from "../ports.ts"
import { errorCode, type NewPace, plainAddress, readAhead, SocketChannel } from "./tcp.ts"

export interface ListenPortOptions {
  /** Permissions of a Unix socket from its first moment on; others are kept out by default. */
  readonly unixMode?: number
  /** Connections the kernel may hold before we accept them. */
  readonly pending?: number
  readonly newPace?: NewPace
  /** Told about a connection that could not be accepted, for instance for want of descriptors; listening goes on. */
  readonly troubled?: (code: string) => void
}

/** Listen, and what it has bound at the moment, for the dial guard. */
export interface NodeListen extends Listen {
  ownListeners(): readonly OwnListener[]
}

/** The address bound and, for a wildcard, every address of this machine. */
function reachedBy(bound: NetworkAddress): OwnListener[] {
  if (bound.address !== "0.0.0.0" && bound.address !== "::") return [bound]
  const addresses = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map((one) => one.address.replace(/%.*$/, "")))
  return [bound.address, "0.0.0.0", ...addresses].map((address) => ({ address, port: bound.port }))
}

function bind(server: Server, where: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject)
    server.listen(where, () => {
      server.off("error", reject)
      resolve()
    })
  })
}

/** A Unix socket gets its mode before anybody can connect: the file mask is narrowed around the bind, which is synchronous. */
async function bindPath(server: Server, path: string, pending: number, mode: number): Promise<void> {
  const mask = process.umask(0o777 & ~mode)
  let bound: Promise<void>
  try {
    bound = bind(server, { path, backlog: pending })
  } finally {
    process.umask(mask)
  }
  await bound
}

/** True when nobody answers on the socket file any more: left behind by a process that was killed. */
function isAbandoned(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    if (!lstatSync(path).isSocket()) return resolve(false)
    const probe = new Socket()
    probe.once("connect", () => {
      probe.destroy()
      resolve(false)
    })
    probe.once("error", (error) => resolve(errorCode(error) === "ECONNREFUSED"))
    probe.connect(path)
  })
}

export function createListen(options: ListenPortOptions = {}): NodeListen {
  const pending = options.pending ?? 511
  const bound = new Set<readonly OwnListener[]>()

  const makeServer = (accept: (channel: Channel) => void, path: string | undefined): Server =>
    createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true, highWaterMark: readAhead }, (socket) => {
      const pace = options.newPace?.()
      const end = { address: path ?? "", port: 0 }
      const channel = new SocketChannel(socket, path === undefined ? { pace } : { pace, addresses: { remote: end, local: end } })
      // Gone before we looked: without an address there is nothing to count it by.
      if (channel.remote.address === "") channel.destroy()
      else accept(channel)
    })

  return {
    ownListeners: () => [...bound].flat(),

    async listen(at, accept): Promise<Listener> {
      const path = "path" in at ? at.path : undefined
      let server = makeServer(accept, path)
      if ("address" in at) {
        // A v6 wildcard also takes IPv4; a v6 address of its own does not concern it.
        await bind(server, { host: at.address, port: at.port, backlog: pending })
      } else {
        const mode = options.unixMode ?? 0o660
        try {
          await bindPath(server, at.path, pending, mode)
        } catch (error) {
          if (errorCode(error) !== "EADDRINUSE" || !(await isAbandoned(at.path))) throw error
          unlinkSync(at.path)
          server = makeServer(accept, path)
          await bindPath(server, at.path, pending, mode)
        }
      }
      // Trouble with accepting (no descriptors left) must not end the process.
      server.on("error", (error) => options.troubled?.(errorCode(error)))
      const where = server.address()
      const address =
        where === null || typeof where === "string"
          ? { address: path ?? "", port: 0 }
          : { address: plainAddress(where.address), port: where.port }
      const own = path === undefined ? reachedBy(address) : []
      bound.add(own)
      return {
        address,
        close: () =>
          new Promise((resolve) => {
            bound.delete(own)
            // The library waits for every connection; listening itself has ended when this returns.
            server.close()
            setImmediate(resolve)
          }),
      }
    },
  }
}
