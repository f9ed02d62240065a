// Answers for POSH documents, from memory, on a listener that serves nothing else (RFC 7711 3, 6; POSH-02, POSH-03, POSH-18;
// security.md 20).
import { type Domain, tryDomain } from "../model/domain.ts"
import type { HttpAnswer, HttpRequest } from "../ports.ts"
import { poshPath } from "../proof/posh-document.ts"
import type { ServedDocument } from "./rollover-outcome.ts"

const paths: ReadonlySet<string> = new Set([poshPath("xmpp-server"), poshPath("xmpp-client")])

/** POSH-18: HTTP caches may keep a document this long, in seconds; `expires` inside is what counts. */
const cacheSeconds = 60

const plain = (status: number, body: string, more: Readonly<Record<string, string>> = {}): HttpAnswer => ({
  status,
  headers: { "content-type": "text/plain; charset=utf-8", "cache-control": "no-cache", "x-content-type-options": "nosniff", ...more },
  body: `${body}\n`,
})

/**
 * The handler of `listen.posh` and `listen.posh_https`.
 *
 * @param document what is served now under a name; undefined for every other name, and for suspended domains
 */
export function poshHandler(document: (name: Domain) => ServedDocument | undefined): (request: HttpRequest) => HttpAnswer {
  return ({ method, path, host }) => {
    if (method !== "GET" && method !== "HEAD") return plain(405, "only GET and HEAD are answered here", { allow: "GET, HEAD" })
    if (!paths.has(path)) return plain(404, "there is nothing here but POSH documents")
    const name = tryDomain(host)
    const found = name === undefined ? undefined : document(name)
    // POSH-03: 404 says that there is none. Which names are hosted is not told apart from that.
    if (found === undefined) return plain(404, "no POSH document is published here for this name")
    return {
      status: 200,
      headers: { "content-type": "application/json", "cache-control": `max-age=${cacheSeconds}`, "x-content-type-options": "nosniff" },
      body: found.text(),
    }
  }
}
