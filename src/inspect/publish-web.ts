// What to put where, so that a web server answers with a domain's POSH document (RFC 7711 3.1, 3.3, 6; POSH-01, POSH-02, POSH-11): a file of
// one's own, or the hoster's passed on. Passing on asks for the hoster's certificate, or anybody on the path could write the document.
import type { Domain } from "../model/domain.ts"
import { poshPath } from "../proof/posh-document.ts"
import { PublishError } from "./publish-certificate.ts"

export const webServers = ["nginx", "caddy", "apache", "github-pages"] as const
export type WebServer = (typeof webServers)[number]

export interface WebQuestion {
  readonly server: WebServer
  /** Whose web site it is. */
  readonly domain: Domain
  readonly service: "xmpp-server" | "xmpp-client"
  /** The document that is to be answered with; `from`: the hoster's is passed on. */
  readonly document: { readonly text: string } | { readonly from: string }
  /** Folder in which documents are kept, absolute. */
  readonly folder: string
  /** Trust anchors of the web server, a PEM file; absolute. */
  readonly anchors: string
}

export interface WebInstructions {
  /** One line each: what to do with the snippet. */
  readonly steps: readonly string[]
  /** To be pasted. */
  readonly snippet: string
  /** To be written to disk, beside. */
  readonly file: { readonly path: string; readonly text: string } | undefined
}

/** Nothing that ends a word or a line in any of the files below. */
const plainPath = /^\/[A-Za-z0-9._/-]{1,300}$/
const plainUrl = /^https:\/\/[a-z0-9.-]+(?::\d{1,5})?\/[A-Za-z0-9._~/%-]{0,400}$/

interface Parts {
  readonly path: string
  readonly file: string
  readonly from: URL | undefined
  readonly anchors: string
}

const snippets: Readonly<Record<Exclude<WebServer, "github-pages">, (parts: Parts) => readonly string[]>> = {
  nginx: ({ path, file, from, anchors }) =>
    from === undefined
      ? [`location = ${path} {`, `    alias ${file};`, "    types { }", "    default_type application/json;", "}"]
      : [
          `location = ${path} {`,
          `    proxy_pass ${from.href};`,
          `    proxy_set_header Host ${from.host};`,
          "    proxy_ssl_server_name on;",
          `    proxy_ssl_name ${from.hostname};`,
          "    proxy_ssl_verify on;",
          "    proxy_ssl_verify_depth 5;",
          `    proxy_ssl_trusted_certificate ${anchors};`,
          "}",
        ],
  caddy: ({ path, file, from }) =>
    from === undefined
      ? [`handle ${path} {`, `\troot * ${file.slice(0, file.lastIndexOf("/"))}`, `\trewrite * ${file.slice(file.lastIndexOf("/"))}`, "\theader Content-Type application/json", "\tfile_server", "}"]
      : [
          `handle ${path} {`,
          `\trewrite * ${from.pathname}`,
          // It asks for the certificate of its own accord, by the system's trust anchors.
          `\treverse_proxy ${from.origin} {`,
          `\t\theader_up Host ${from.host}`,
          "\t}",
          "}",
        ],
  apache: ({ path, file, from, anchors }) =>
    from === undefined
      ? [`Alias "${path}" "${file}"`, `<Location "${path}">`, "    ForceType application/json", "    Require all granted", "</Location>"]
      : [
          "SSLProxyEngine on",
          "SSLProxyVerify require",
          "SSLProxyVerifyDepth 5",
          "SSLProxyCheckPeerName on",
          `SSLProxyCACertificateFile "${anchors}"`,
          `ProxyPass "${path}" "${from.href}"`,
        ],
}

const reloads: Readonly<Record<Exclude<WebServer, "github-pages">, string>> = {
  nginx: "nginx -t && systemctl reload nginx",
  caddy: "systemctl reload caddy",
  apache: "a2enmod alias ssl proxy proxy_http && apachectl configtest && systemctl reload apache2",
}
const places: Readonly<Record<Exclude<WebServer, "github-pages">, (domain: Domain) => string>> = {
  nginx: (domain) => `into the server block of ${domain} that listens on port 443`,
  caddy: (domain) => `into the site block of ${domain}, before other handle blocks`,
  apache: (domain) => `into the <VirtualHost *:443> of ${domain}`,
}

/** @throws PublishError for paths and URLs that would not stay in their place */
export function webInstructions({ server, domain, service, document, folder, anchors }: WebQuestion): WebInstructions {
  for (const path of [folder, anchors]) {
    if (!plainPath.test(path) || path.split("/").includes("..")) throw new PublishError(`${JSON.stringify(path)} is not an absolute path of letters, digits, dots, hyphens and slashes.`)
  }
  const path = poshPath(service)
  if (server === "github-pages") return pages(domain, path, document)
  let from: URL | undefined
  if ("from" in document) {
    if (!plainUrl.test(document.from)) throw new PublishError(`${JSON.stringify(document.from)} is not an https URL with a path and nothing else.`)
    from = new URL(document.from)
    if (from.hostname === domain && from.pathname === path) throw new PublishError(`${document.from} is the very address that is to be answered: it would ask itself.`)
  }
  const file = `${folder.replace(/\/$/, "")}/${domain}/${service}.json`
  const text = "text" in document ? document.text : undefined
  return {
    steps: [...(text === undefined ? [] : [`write the document to ${file}`]), `paste this ${places[server](domain)}`, reloads[server], `xmpp-dna posh verify ${domain}`],
    snippet: `${snippets[server]({ path, file, from, anchors }).join("\n")}\n`,
    file: text === undefined ? undefined : { path: file, text },
  }
}

/** Pages cannot pass anything on: what is not ours is referred to by a document of that kind. */
function pages(domain: Domain, path: string, document: WebQuestion["document"]): WebInstructions {
  if (!("text" in document)) throw new PublishError("GitHub Pages serve files only; a document that refers to the hoster's is needed here.")
  return {
    steps: [`write the document to ${path.slice(1)} in the repository of ${domain}`, "keep folders that begin with a dot: paste this into _config.yml", "push, and wait for the deployment", `xmpp-dna posh verify ${domain}`],
    snippet: "include:\n  - .well-known\n",
    file: { path: path.slice(1), text: document.text },
  }
}
