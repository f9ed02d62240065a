// What a reload changed about hosted domains, as lines for people: `+ domain x`, `~ domain x: setting a -> b`, `- domain x`.
import type { GatewayConfig, HostedDomain } from "./config.ts"
import { durationText } from "./config-values.ts"
import { ShardedMap } from "./sharded-map.ts"

const none = "none"

/** What is told of a change: its name and both values; a secret's values are nobody's business (security.md 27). */
const settings: readonly (readonly [string, (domain: HostedDomain) => string])[] = [
  ["certificate", ({ certificate }) => certificate ?? "own"],
  ["posh.serve", ({ posh }) => String(posh?.serve ?? false)],
  ["posh.expires", ({ posh }) => (posh === undefined ? none : durationText(posh.expiresMs))],
  ["posh.next", ({ posh }) => posh?.next.join(", ") || none],
  ["component.conflict", ({ conflict }) => conflict],
  ["file", ({ source }) => source],
]

function changesOf(before: HostedDomain, after: HostedDomain): string[] {
  const changes: string[] = []
  if (before.suspended !== after.suspended) changes.push(after.suspended ? "suspended" : "resumed")
  if (before.secret.handshake("") !== after.secret.handshake("")) changes.push("secret")
  for (const [name, read] of settings) {
    const was = read(before)
    const is = read(after)
    // Publishing that begins or ends says it all.
    if (was === is || (name !== "posh.serve" && name.startsWith("posh.") && (before.posh === undefined || after.posh === undefined))) continue
    changes.push(`${name} ${was} -> ${is}`)
  }
  return changes
}

/** One line for each domain that came, changed or went. */
export function domainChanges({ domains: before }: GatewayConfig, { domains: after }: GatewayConfig): string[] {
  const differing = ShardedMap.differences(before, after)
  const lines = differing.filter((name) => !before.has(name)).map((name) => `+ domain ${name}`)
  for (const name of differing) {
    const was = before.get(name)
    const now = after.get(name)
    if (was === undefined) continue
    if (now === undefined) lines.push(`- domain ${name}`)
    else {
      const changes = changesOf(was, now)
      if (changes.length > 0) lines.push(`~ domain ${name}: ${changes.join(", ")}`)
    }
  }
  return lines
}
