// Deploy hooks for certbot and acme.sh that hand a renewed certificate to the server only when its TLSA records allow it (RFC 7671 8.1).
// They may run as often as one likes, also from cron: what is not safe yet is left for the next run.
import { PublishError } from "./publish-certificate.ts"
import type { TlsaPlace } from "./publish-tlsa.ts"

export const hookKinds = ["certbot", "acme.sh"] as const
export type HookKind = (typeof hookKinds)[number]

export interface HookQuestion {
  readonly kind: HookKind
  readonly place: TlsaPlace
  /** The file with the certificate that the server shows now. */
  readonly current: string
  /** Where the key is that belongs to it. */
  readonly key: string
  /** Run after the files were replaced. */
  readonly reload: string
}

const plainPath = /^\/[A-Za-z0-9._/-]{1,300}$/
const sources: Readonly<Record<HookKind, (host: string) => readonly string[]>> = {
  certbot: (host) => [
    `# certbot: save as /etc/letsencrypt/renewal-hooks/deploy/xmpp-${host}, chmod 755; and run it hourly from cron`,
    `lineage="\${RENEWED_LINEAGE:-/etc/letsencrypt/live/${host}}"`,
    `[ "$lineage" = "/etc/letsencrypt/live/${host}" ] || exit 0`,
    'next="$lineage/fullchain.pem"',
    'next_key="$lineage/privkey.pem"',
  ],
  "acme.sh": (host) => [
    `# acme.sh: name it as --reloadcmd of acme.sh --install-cert -d ${host}; and run it hourly from cron`,
    `home="\${LE_CONFIG_HOME:-$HOME/.acme.sh}"`,
    `next="\${CERT_FULLCHAIN_PATH:-$home/${host}_ecc/fullchain.cer}"`,
    `next_key="\${CERT_KEY_PATH:-$home/${host}_ecc/${host}.key}"`,
  ],
}

/** @throws PublishError for paths that a shell would read otherwise */
export function hookScript({ kind, place: { host, port }, current, key, reload }: HookQuestion): string {
  for (const path of [current, key]) {
    if (!plainPath.test(path)) throw new PublishError(`${JSON.stringify(path)} is not an absolute path of letters, digits, dots, hyphens and slashes.`)
  }
  return `${[
    "#!/bin/sh",
    ...sources[kind](host),
    "set -eu",
    `current="${current}"`,
    `current_key="${key}"`,
    'cmp -s "$next" "$current" && exit 0',
    "status=0",
    `xmpp-dna tlsa rollover --host ${host} --port ${port} --current "$current" --next "$next" --remember "$current.rollover" || status=$?`,
    "# 2: not yet; the records to publish and the time to wait were printed. 3: DNS could not be asked.",
    'if [ "$status" -eq 2 ] || [ "$status" -eq 3 ]; then exit 0; fi',
    '[ "$status" -eq 0 ] || exit "$status"',
    'umask 077',
    'cp "$next_key" "$current_key.new"',
    'cp "$next" "$current.new"',
    'if [ -e "$current_key" ]; then chmod --reference="$current_key" "$current_key.new"; chown --reference="$current_key" "$current_key.new"; fi',
    'chmod --reference="$current" "$current.new"; chown --reference="$current" "$current.new"',
    'mv "$current_key.new" "$current_key"',
    'mv "$current.new" "$current"',
    'rm -f "$current.rollover"',
    reload,
  ].join("\n")}\n`
}
