// The floor under the memory row: resident memory of bare idle TLS sockets of this Node, each end in a process of its own.
import { fork } from "node:child_process"
import { connect, createServer, type Server, type TLSSocket } from "node:tls"
import { fileURLToPath } from "node:url"
import { CertificateAuthority } from "../src/lab/certificate-authority.ts"
import { residentBytes } from "./process-figures.ts"

const count = 1000

interface Said {
  readonly port?: number
  readonly open?: number
}

/** Bytes for each connection, at the accepting and at the connecting end. */
export async function idleSocketFloor(): Promise<{ accepting: number; connecting: number }> {
  const self = fileURLToPath(import.meta.url)
  const started: ReturnType<typeof fork>[] = []
  const start = (role: string, argument: string): Promise<{ pid: number; port: number; all: Promise<void> }> =>
    new Promise((resolve, reject) => {
      const child = fork(self, [role, argument], { stdio: ["ignore", "inherit", "inherit", "ipc"] })
      started.push(child)
      let done: () => void
      const all = new Promise<void>((settle) => {
        done = settle
      })
      child.on("message", (said: Said) => {
        if (said.port !== undefined) resolve({ pid: child.pid!, port: said.port, all })
        if (said.open === count) done()
      })
      child.once("exit", (code) => reject(new Error(`${role} ended with ${code}`)))
    })
  try {
    const accepting = await start("accept", "")
    const connecting = await start("connect", String(accepting.port))
    await new Promise((resolve) => setTimeout(resolve, 500))
    const before = [residentBytes(accepting.pid), residentBytes(connecting.pid)] as const
    started[1]!.send("go")
    await Promise.all([accepting.all, connecting.all])
    await new Promise((resolve) => setTimeout(resolve, 2000))
    return {
      accepting: (residentBytes(accepting.pid) - before[0]) / count,
      connecting: (residentBytes(connecting.pid) - before[1]) / count,
    }
  } finally {
    for (const child of started) {
      child.removeAllListeners("exit")
      child.kill("SIGKILL")
    }
  }
}

async function accept(): Promise<void> {
  const issued = CertificateAuthority.create({ now: Date.now(), name: "Floor Root" }).issue({ names: { dns: ["floor.example"] } })
  let open = 0
  const kept: TLSSocket[] = []
  const server: Server = createServer({ cert: issued.chainPem, key: issued.keyPem, minVersion: "TLSv1.2" }, (socket) => {
    socket.on("error", () => undefined)
    socket.write("x")
    socket.on("data", () => undefined)
    kept.push(socket)
    open += 1
    if (open === count) process.send?.({ open })
  })
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    if (address !== null && typeof address === "object") process.send?.({ port: address.port })
  })
}

async function dial(port: number): Promise<void> {
  const kept: TLSSocket[] = []
  process.send?.({ port })
  await new Promise((resolve) => process.once("message", resolve))
  for (let index = 0; index < count; index += 1) {
    await new Promise<void>((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false })
      socket.once("error", reject)
      socket.once("data", () => resolve())
      kept.push(socket)
    })
  }
  process.send?.({ open: kept.length })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.on("disconnect", () => process.exit(0))
  if (process.argv[2] === "accept") await accept()
  else if (process.argv[2] === "connect") await dial(Number(process.argv[3]))
}
