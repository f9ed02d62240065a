// What `check` finds at the domains of the scenes once they were played (RFC 7712 4.2): the gateways stay up, and DNS and the web with them.
import { type ExhibitSeen, seen, seenAlone, type Standing } from "./exhibit.ts"
import { scenes } from "./programme.ts"

const noTlsa = "info dane.no-tlsa"
const noPosh = "info posh.not-published"
const hosted = (...findings: Parameters<typeof seenAlone>[2][]): ExhibitSeen => seenAlone("encrypted", 2, "bad pkix.name-mismatch", noTlsa, ...findings)
const inHouse = seenAlone("authenticated", 0, "info pkix.name-mismatch", noTlsa)
const selfSigned = seen("encrypted", 2, "bad cert.self-signed")
const pinned = seenAlone("authenticated", 0, "info cert.self-signed", noPosh)

/** By domain; nothing is wrong with any other. */
const found: Readonly<Record<string, ExhibitSeen>> = {
  "web.example": seen("authenticated", 0, "info cert.server-only"),
  "cli.example": seen("encrypted", 2, "bad cert.client-only"),
  "sly.example": seen("encrypted", 2, "bad cert.self-signed", "info cert.server-only"),
  "own.example": selfSigned,
  "ego.example": selfSigned,
  "cuckoo.example": seen("encrypted", 2, "bad pkix.name-mismatch"),
  // Its time is not ours any more: in the scene days have passed.
  "brief.example": seen("encrypted", 2, "bad cert.not-yet-valid"),
  "keel.example": pinned,
  "oak.example": selfSigned,
  "one.example": selfSigned,
  "two.example": selfSigned,
  "old.example": seen("encrypted", 2, "bad cert.expired"),
  "odd.example": seen("encrypted", 2, "bad pkix.name-mismatch"),
  "far.example": seen("encrypted", 2, "bad cert.unknown-root"),
  "key.example": pinned,
  "pin.example": pinned,
  "tie.example": seenAlone("authenticated", 0, "info cert.unknown-root", noPosh),
  "tab.example": seenAlone("authenticated", 0, "info cert.unknown-root", noPosh),
  "late.example": seenAlone("none", 2, "bad dane.mismatch", noPosh),
  // What it promises for its own connections says nothing about those to it.
  "send.example": selfSigned,
  "fake.example": selfSigned,
  "mute.example": pinned,
  "fair.example": seenAlone("encrypted", 2, "bad pkix.name-mismatch", "info dane.not-signed", noPosh),
  "open.example": seenAlone("authenticated", 0, "info dane.not-signed", noPosh),
  "torn.example": seenAlone("none", 2, "bad dns.bogus"),
  "twin.example": seenAlone("none", 2, "bad dane.tlsa-bogus", noPosh),
  "lone.example": seenAlone("none", 2, "bad dane.tlsa-bogus"),
  "void.example": selfSigned,
  "inn.example": inHouse,
  "pub.example": inHouse,
  "stall.example": inHouse,
  "barge.example": inHouse,
  // The older form is asked for only where an operator says so.
  "manor.example": hosted(noPosh),
  "tenant.example": hosted("bad posh.mismatch"),
  "loft.example": hosted("bad posh.weaker-hash"),
  "ruin.example": hosted("unknown posh.expired"),
  "round.example": hosted("bad posh.delegation-loop"),
  "hamlet.example": hosted("bad posh.reference-to-reference"),
  "shed.example": hosted("bad posh.redirect-insecure"),
  "mask.example": hosted("bad posh.tls-error"),
  "tent.example": hosted(noPosh),
  "booth.example": hosted("bad posh.http-error"),
  "snail.example": hosted("bad posh.too-slow"),
  "whale.example": hosted("bad posh.too-large"),
  "balloon.example": hosted("bad posh.encoded"),
  "kiosk.example": hosted("bad posh.not-json"),
  "twins.example": hosted("bad posh.duplicate-member"),
  // Its proof is one that `check` does not know.
  "bell.example": selfSigned,
  "reed.example": selfSigned,
  "hum.example": selfSigned,
  "hut.example": seenAlone("encrypted", 2, "bad cert.not-yet-valid", "bad posh.tls-error", noTlsa),
}

/** By scene and domain. */
export const checkedScenes: Readonly<Record<string, Readonly<Record<string, ExhibitSeen>>>> = Object.fromEntries(
  scenes.map(({ id, cast }) => {
    const domains = cast.flatMap(({ domain, also = [] }) => [domain, ...also.map((each) => each.domain)])
    return [id, Object.fromEntries(domains.map((domain) => [domain, found[domain] ?? seen("authenticated", 0)]))]
  }),
)

/** How they are asked, where the usual takes long: what never comes is waited for. */
export const sceneStandings: Readonly<Record<string, Standing>> = { "snail.example": { question: { patience: 6000 } } }
