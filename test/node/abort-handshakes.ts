// Run as a process of its own: breaks off TLS handshakes at every octet, in both roles, and prints what became of them.
// Argument "weak": a copy of the adapter that asks the socket for its protocol when it closes, as a careless log line would.
import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net"
import tls from "node:tls"
import { CertificateAuthority } from "../../src/lab/certificate-authority.ts"
import { TlsError } from "../../src/model/errors.ts"
import { SocketChannel } from "../../src/node/tcp.ts"
import { createTls } from "../../src/node/tls.ts"
import type { SecuredChannel } from "../../src/ports.ts"

const weak = process.argv[2] === "weak"
const modes = ["end", "reset", "garbage"] as const
type Role = "server" | "client"
type Version = "TLSv1.2" | "TLSv1.3"
interface Plan {
  readonly role: Role
  readonly version: Version
  /** Octets of theirs that reach us. */
  readonly limit: number
  readonly mode: (typeof modes)[number]
}

const authority = CertificateAuthority.create({ now: Date.now() })
const issued = authority.issue({ names: { dns: ["a.example"] } })
const credentials = { certificatePem: issued.chainPem, keyPem: issued.keyPem }
const transport = createTls()
const results = { attempts: 0, secured: 0, failures: {} as Record<string, number>, unexpected: [] as string[] }

async function listening(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return (server.address() as AddressInfo).port
}

const silence = (socket: Socket): Socket => socket.on("error", () => socket.destroy())

/** Their side: plain node:tls, as any peer might be. */
function theirs(plan: Plan, socket: Socket): void {
  const common = { cert: issued.chainPem, key: issued.keyPem, ca: [], ecdhCurve: "X25519:P-256", maxVersion: plan.version }
  if (plan.role === "server") silence(tls.connect({ socket, rejectUnauthorized: false, servername: "a.example", ...common }))
  else silence(new tls.TLSSocket(socket, { isServer: true, requestCert: true, secureContext: tls.createSecureContext(common) }))
}

/** Our side of the connection, under attack. */
async function ours(plan: Plan, socket: Socket): Promise<SecuredChannel> {
  const signal = AbortSignal.timeout(20_000)
  if (weak) return await careless(plan, socket)
  const channel = new SocketChannel(socket)
  return plan.role === "server"
    ? await transport.server(channel, { pick: () => credentials, alpn: ["xmpp-server"], signal })
    : await transport.client(channel, { serverName: "a.example", credentials, signal })
}

function careless(plan: Plan, raw: Socket): Promise<SecuredChannel> {
  const context = tls.createSecureContext({ cert: issued.chainPem, key: issued.keyPem, ca: [] })
  const socket =
    plan.role === "server"
      ? new tls.TLSSocket(raw, { isServer: true, requestCert: true, rejectUnauthorized: false, secureContext: context })
      : tls.connect({ socket: raw, rejectUnauthorized: false, secureContext: context })
  return new Promise((_, reject) => {
    raw.once("end", () => socket.destroy())
    socket.on("error", () => socket.destroy())
    socket.on("close", () => reject(new TlsError("closed", `closed while speaking ${socket.getProtocol()}`)))
  })
}

/** Stands between the two and carries exactly `limit` octets towards us, then does its worst. */
function carry(plan: Plan, from: Socket, to: Socket, count: (total: number) => void): void {
  let carried = 0
  to.on("data", (bytes: Buffer) => from.writable && from.write(bytes))
  to.on("close", () => from.destroy())
  from.on("close", () => to.destroy())
  from.on("data", (bytes: Buffer) => {
    if (carried >= plan.limit) return
    const piece = bytes.subarray(0, plan.limit - carried)
    carried += piece.length
    count(carried)
    if (carried < plan.limit) to.write(piece)
    else if (plan.mode === "end") to.end(piece)
    else if (plan.mode === "garbage") to.end(Buffer.concat([piece, Buffer.alloc(64, 0xa5)]))
    else to.write(piece, () => setImmediate(() => to.resetAndDestroy()))
  })
}

async function attempt(plan: Plan): Promise<number> {
  let carried = 0
  const middle = createServer({ allowHalfOpen: true, noDelay: true })
  const end = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true })
  const [middlePort, endPort] = await Promise.all([listening(middle), listening(end)])
  const dialled = silence(connect({ port: middlePort, host: "127.0.0.1", allowHalfOpen: true }))
  const onward = silence(connect({ port: endPort, host: "127.0.0.1", allowHalfOpen: true }))
  const [[through], [accepted]] = (await Promise.all([once(middle, "connection"), once(end, "connection"), once(dialled, "connect")])) as [
    [Socket],
    [Socket],
    unknown,
  ]
  silence(through)
  if (weak) silence(accepted)
  middle.close()
  end.close()
  // In the server role we are the one at the end, in the client role the one who dialled.
  const [weAre, theyAre] = plan.role === "server" ? [accepted, dialled] : [dialled, accepted]
  const [near, far] = plan.role === "server" ? [onward, through] : [through, onward]
  carry(plan, far, near, (total) => (carried = total))
  results.attempts += 1
  try {
    const outcome = ours(plan, weAre)
    theirs(plan, theyAre)
    const { channel } = await outcome
    results.secured += 1
    channel.destroy()
  } catch (error) {
    const failure = error instanceof TlsError ? error.failure : "other"
    results.failures[failure] = (results.failures[failure] ?? 0) + 1
    if (!(error instanceof TlsError) || failure === "timeout") results.unexpected.push(`${JSON.stringify(plan)}: ${String(error)}`)
  } finally {
    for (const socket of [dialled, onward, through, accepted]) socket.destroy()
  }
  return carried
}

const plans: Plan[] = []
for (const role of ["server", "client"] as const)
  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    const length = weak ? 600 : await attempt({ role, version, limit: Number.POSITIVE_INFINITY, mode: "end" })
    // Each octet in one way at least, and in each way at every third.
    for (let limit = 1; limit < length; limit += 1)
      plans.push({ role, version, limit, mode: modes[(limit + plans.length) % modes.length]! })
  }
const whole = results.secured
const queue = plans.values()
await Promise.all(
  Array.from({ length: 16 }, async () => {
    for (const plan of queue) await attempt(plan)
  }),
)
process.stdout.write(JSON.stringify({ ...results, whole, planned: plans.length }))
