// The foreign programs our tests talk to, as Debian packages: which are here, and how to get the others (decision 0001).
import { execFile, spawnSync } from "node:child_process"
import { existsSync, renameSync, rmSync, writeFileSync } from "node:fs"

export interface Peer {
  readonly name: string
  /** Debian packages to install, the peer's own first. Recommended packages that a test needs are written out. */
  readonly packages: readonly string[]
  /** A command that succeeds only where the peer can be used. */
  readonly probe: readonly [program: string, ...args: string[]]
}

export const peers: readonly Peer[] = [
  { name: "prosody", packages: ["prosody", "lua-unbound", "lua-event"], probe: ["/usr/bin/prosodyctl", "about"] },
  { name: "ejabberd", packages: ["ejabberd"], probe: ["test", "-x", "/usr/sbin/ejabberdctl"] },
  // The daemon, not the library: Debian's libunbound knows no Ed448.
  { name: "unbound", packages: ["unbound"], probe: ["/usr/sbin/unbound", "-V"] },
  { name: "nsd", packages: ["nsd", "ldnsutils"], probe: ["/bin/sh", "-c", "/usr/sbin/nsd -v && ldns-signzone -v"] },
  { name: "nsupdate", packages: ["bind9-dnsutils"], probe: ["/usr/bin/nsupdate", "-V"] },
  { name: "nginx", packages: ["nginx-light"], probe: ["/usr/sbin/nginx", "-v"] },
  { name: "apache", packages: ["apache2-bin"], probe: ["/usr/sbin/apache2", "-v"] },
  { name: "caddy", packages: ["caddy"], probe: ["/usr/bin/caddy", "version"] },
  { name: "openssl", packages: ["openssl"], probe: ["openssl", "version"] },
  { name: "testssl", packages: ["testssl.sh"], probe: ["test", "-x", "/usr/bin/testssl"] },
  // Debian's own interpreter: another python3 earlier on PATH would not see Debian's module.
  { name: "slixmpp", packages: ["python3-slixmpp"], probe: ["/usr/bin/python3", "-c", "import slixmpp"] },
]

export function isAvailable(peer: Peer): boolean {
  const [program, ...args] = peer.probe
  return spawnSync(program, args, { stdio: "ignore", timeout: 20_000 }).status === 0
}

export const aptLine = (missing: readonly Peer[]): string =>
  `apt-get install --no-install-recommends ${missing.flatMap((peer) => peer.packages).join(" ")}`

const policyFile = "/usr/sbin/policy-rc.d"
const savedPolicy = `${policyFile}.before-xmpp-dna`

function restorePolicy(): void {
  rmSync(policyFile, { force: true })
  if (existsSync(savedPolicy)) renameSync(savedPolicy, policyFile)
}

/** Runs apt-get without questions; its output is shown only when it fails. Resolves to whether it worked. */
async function apt(...args: string[]): Promise<boolean> {
  process.stdout.write(`apt-get ${args.join(" ")}\n`)
  const options = ["-qq", "-o", "Acquire::Retries=2", "-o", "Acquire::http::Timeout=30", "-o", "DPkg::Lock::Timeout=60"]
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" }
  return new Promise((resolve) => {
    execFile("apt-get", [...options, ...args], { env, timeout: 240_000, maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      if (error !== null) process.stdout.write(`${stdout}${stderr}${error.message}\n`)
      resolve(error === null)
    })
  })
}

/**
 * Installs peers with apt-get, as root, while a policy-rc.d forbids every service start: a server started by a
 * package's script would hold the ports and files the tests use. The earlier policy is put back afterwards, also
 * when the run is interrupted. Resolves to a sentence when it did not work.
 */
export async function installPeers(missing: readonly Peer[]): Promise<string | undefined> {
  const interrupted = (): void => {
    restorePolicy()
    process.exit(130)
  }
  process.on("SIGINT", interrupted).on("SIGTERM", interrupted)
  if (existsSync(policyFile)) renameSync(policyFile, savedPolicy)
  try {
    writeFileSync(policyFile, "#!/bin/sh\nexit 101\n", { mode: 0o755 })
    if (!(await apt("update"))) return "apt-get update failed"
    const packages = missing.flatMap((peer) => peer.packages)
    return (await apt("install", "-y", "--no-install-recommends", ...packages)) ? undefined : "apt-get install failed"
  } finally {
    restorePolicy()
    process.off("SIGINT", interrupted).off("SIGTERM", interrupted)
  }
}
