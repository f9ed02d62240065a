// The small internet that the transcripts in the docs are played in, and the files that lie in the folder they are typed in.
import { createHash, createPublicKey } from "node:crypto"
import { readdirSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { variables } from "../../src/cli/environment.ts"
import { Internet, type LabTlsa } from "../../src/lab/internet.ts"
import { ending, start, throughLab } from "../cli/command.ts"
import { labPorts } from "../lab/support.ts"

export interface Documented {
  readonly net: Internet
  /** By which every command asks in there. */
  readonly environment: Readonly<Record<string, string>>
}

/** @param folder of the caller, who removes it; commands are run in it */
export async function documented(folder: string): Promise<Documented> {
  const net = await Internet.start(labPorts)
  try {
    const signed = (domain: string, of?: LabTlsa["of"]) => ({ targets: [{ name: `xmpp.${domain}`, tlsa: [{ usage: 3, selector: 1, matching: 1, ...(of === undefined ? {} : { of }) } as const] }] })
    await net.addServer({ domain: "chat.example", zone: signed("chat.example") })
    await net.addServer({ domain: "shop.example", certificate: { from: "lab", names: ["landlord.example"] }, zone: { signed: false, targets: [{ name: "xmpp.landlord.example" }] } })
    await net.addServer({ domain: "stale.example", zone: signed("stale.example", "stale") })
    await net.addServer({ domain: "soon.example", certificate: { from: "lab", notAfter: Date.now() + 5.5 * 86_400_000 } })
    await net.addServer({ domain: "self.example", certificate: { from: "self" } })
    await net.addServer({ domain: "late.example", certificate: { from: "lab", notBefore: Date.now() - 92 * 86_400_000, notAfter: Date.now() - 2.5 * 86_400_000 } })
    net.signed.zones.set("_xmpp-server._tcp.closed.example", { SRV: [[0, 0, 0, "."]] })
    net.dns.misbehave("_xmpp-server._tcp.mute.example", "servfail")
    throughLab(net, folder)
    const own: Readonly<Record<string, string>> = {
      resolver: `${net.dns.address}:${net.dns.port}`,
      dnsAnchors: join(folder, "root.txt"),
      caFile: join(folder, "ca.pem"),
      allow: "127.0.0.0/8 ::1/128 example",
      httpsPort: String(net.webAt.port),
    }
    return { net, environment: Object.fromEntries(Object.entries(variables).map(([option, name]) => [name, own[option] ?? ""])) }
  } catch (error) {
    await net.close()
    throw error
  }
}

/** In the docs it stands for the name server of the lab, which has another port each time. */
export const nameServer = "127.0.0.1:5353"

/** What else lies in the folder: certificates to publish, and evidence of a refusal; and of the servers that show them, what is published. */
export async function filesOf({ net, environment }: Documented, folder: string): Promise<void> {
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text, { mode: 0o600 })
  const { chainPem, keyPem } = net.authority.issue({ names: { dns: ["host.example"] } })
  write("host.pem", chainPem)
  write("host.key", keyPem)
  const next = net.authority.issue({ names: { dns: ["host.example"] } })
  write("next.key", next.keyPem)
  write("next.pem", next.chainPem)
  const record = (of: string) => [3, 1, 1, createHash("sha256").update(createPublicKey(of).export({ type: "spki", format: "der" })).digest("hex")] as const
  net.signed.zones.set("_5269._tcp.xmpp1.host.example", { TLSA: [record(chainPem)] })
  net.signed.zones.set("_5269._tcp.xmpp2.host.example", { TLSA: [record(chainPem), record(next.keyPem)] })
  await ending(start(["check", "-q", "--evidence", "evidence", "shop.example"], folder, environment))
  const [refusal = ""] = readdirSync(join(folder, "evidence"))
  renameSync(join(folder, "evidence", refusal), join(folder, "refusal.json"))
}
