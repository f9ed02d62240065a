// nginx, Apache and Caddy with one web site on loopback whose configuration holds the lines we print.
import { chmodSync, mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { type Identity, type PeerProcess, startProcess, temporaryFolder, untilListening } from "./process.ts"

export type WebPeer = "nginx" | "apache" | "caddy"

/** Below the ports that the kernel gives to connections. */
export const webPorts: Readonly<Record<WebPeer, number>> = { nginx: 15743, apache: 15744, caddy: 15745 }

export interface Site {
  readonly domain: string
  readonly identity: Identity
  readonly snippet: string
  /** Of whoever is asked for the answer; the system's otherwise. */
  readonly anchors?: string
}

const configurations: Readonly<Record<WebPeer, (folder: string, site: Site) => string>> = {
  nginx: (folder, { domain, snippet }) => `user root;
daemon off;
worker_processes 1;
pid ${folder}/pid;
error_log stderr;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi; uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  server {
    listen 127.0.0.1:${webPorts.nginx} ssl;
    server_name ${domain};
    ssl_certificate ${folder}/site.pem;
    ssl_certificate_key ${folder}/site.key;
${snippet}
  }
}
`,
  apache: (folder, { domain, snippet }) => `ServerRoot ${folder}
DefaultRuntimeDir ${folder}
PidFile ${folder}/pid
ErrorLog ${folder}/error.log
ServerName ${domain}
User nobody
Group nogroup
${["mpm_event", "authz_core", "alias", "ssl", "proxy", "proxy_http"].map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join("\n")}
Listen 127.0.0.1:${webPorts.apache}
<VirtualHost *:${webPorts.apache}>
SSLEngine on
SSLCertificateFile ${folder}/site.pem
SSLCertificateKeyFile ${folder}/site.key
${snippet}
</VirtualHost>
`,
  caddy: (folder, { domain, snippet }) => `{
	admin off
	auto_https off
	storage file_system ${folder}/storage
}
https://${domain}:${webPorts.caddy} {
	bind 127.0.0.1
	tls ${folder}/site.pem ${folder}/site.key
${snippet}
}
`,
}

const commands: Readonly<Record<WebPeer, (file: string) => readonly [string, ...string[]]>> = {
  nginx: (file) => ["/usr/sbin/nginx", "-c", file],
  apache: (file) => ["/usr/sbin/apache2", "-D", "FOREGROUND", "-f", file],
  caddy: (file) => ["/usr/bin/caddy", "run", "--adapter", "caddyfile", "--config", file],
}

/** A folder that the peers' own users may read. */
export function publicFolder(): string {
  const folder = temporaryFolder("web")
  chmodSync(folder, 0o755)
  return folder
}

export function writePublic(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 })
  writeFileSync(path, text, { mode: 0o644 })
}

export async function startWebServer(peer: WebPeer, site: Site): Promise<PeerProcess> {
  const folder = publicFolder()
  writePublic(join(folder, "site.pem"), site.identity.chainPem)
  writeFileSync(join(folder, "site.key"), site.identity.keyPem, { mode: 0o600 })
  const file = join(folder, "configuration")
  writePublic(file, configurations[peer](folder, site))
  const [program, ...args] = commands[peer](file)
  const environment = { HOME: folder, ...(site.anchors === undefined ? {} : { SSL_CERT_FILE: site.anchors }) }
  const process = startProcess(peer, program, args, { folder, environment })
  try {
    await untilListening(process, peer, "127.0.0.1", webPorts[peer], 15_000)
  } catch (error) {
    await process.stop()
    throw error
  }
  return process
}
