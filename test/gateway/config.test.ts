// The configuration file: what is read, and each mistake with its line, column and sentence (docs/operating.md).
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { inspect } from "node:util"
import { describe, it } from "node:test"
import { parseDomain } from "../../src/model/domain.ts"
import { ConfigError } from "../../src/model/errors.ts"
import { loadConfig } from "../../src/gateway/config.ts"
import { configWorld, goodConfig, secretA, secretB, testNow } from "./config-fixture.ts"

async function problems(config: string, ...rest: Parameters<typeof configWorld> extends [string, ...infer Rest] ? Rest : never): Promise<string[]> {
  try {
    await loadConfig("/etc/gw.yaml", configWorld(config, ...rest))
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map((problem) => `${problem.place}  ${problem.setting === undefined ? "" : `${problem.setting}  `}${problem.sentence}`)
  }
  return []
}

async function load(config: string, ...rest: Parameters<typeof configWorld> extends [string, ...infer Rest] ? Rest : never) {
  return loadConfig("/etc/gw.yaml", configWorld(config, ...rest))
}

describe("a configuration in order", () => {
  it("is read with its defaults", async () => {
    const { config, warnings } = await load(goodConfig)
    assert.deepEqual(warnings, [])
    assert.equal(config.node, "gw1")
    assert.deepEqual([...config.domains.keys()], ["bot.example", "rooms.example"])
    assert.equal(config.require, "authenticated")
    assert.deepEqual([...config.proofs].sort(), ["pkix", "posh"])
    assert.equal(config.limits.stanza, 524288)
    assert.equal(config.idleTimeoutMs, 840_000)
    assert.equal(config.retryMaxMs, 300_000)
    assert.deepEqual(config.resolvers, [{ address: "127.0.0.1", port: 5300 }])
    assert.deepEqual(config.trust, { kind: "system" })
    assert.equal(config.domains.get(parseDomain("bot.example"))!.secret.acceptsHandshake("id", "x"), false)
  })

  it("may be written as JSON", async () => {
    const json = JSON.stringify({
      federation: { resolver: { dnssec: "off" } },
      certificates: { dirs: ["certs"] },
      domains: [{ name: "bot.example", component: { secret: { file: "/secrets/bot" } } }],
    })
    const { config } = await load(json)
    assert.deepEqual(config.certificates.dirs, ["/etc/certs"])
    assert.deepEqual(config.listen.components, [{ address: "127.0.0.1", port: 5347 }])
  })

  it("takes every setting", async () => {
    const { config } = await load(`node: gw2
listen:
  s2s: ["[::]:5269"]
  direct_tls: ["0.0.0.0:5270"]
  components: ["unix:/run/x.sock", "[::1]:5347"]
  posh: ["127.0.0.1:8081", "unix:/run/posh.sock"]
  posh_https: ["[::]:443"]
  admin: "unix:/run/admin.sock"
federation:
  require: encrypted
  proofs: [pkix]
  posh: { older: true }
  dialback: { offer: false, as: encrypted, without_dialback: false }
  bidi: false
  piggyback: false
  blocklists: []
  idle_timeout: 90s
  retry_max: 500s
  timeout: 20s
  resolver: { address: [127.0.0.1, "[::1]:5353"], dnssec: off }
  trust: roots.pem
  exceptions: [{ peer: OLD.example., require: verified, until: 2027-02-01, why: no certificate yet }]
  ratchet: { mode: off, overrides: [{ peer: OLD.example, until: 2027-02-01, why: they move }] }
  allow: { networks: [127.0.0.0/8, "::1"], names: [example] }
  overrides: [{ peer: x.example, connect: "127.0.0.1:5270", transport: direct-tls }]
certificates: { dirs: [/a, b], reload: signal, warn: 7d }
domains:
  - name: bücher.example
    component: { secret: { env: BOT }, conflict: kick_new }
    certificate: Host.example
    posh: { serve: false, expires: 2h, next: [next.pem, /n/x.pem] }
    suspended: true
limits: { stanza: 10000, depth: 32, queue: 1MiB, input: 2MiB, queued: 64MiB, unauthenticatedPerIp: 8, unauthenticatedTotal: 100, unauthenticated: 5s, streams: 1000 }
log: { level: debug, format: json }
shutdown: { drain: 0s, deadline: 3s }
state: { dir: state, evidence_files: 10, evidence_bytes: 1MiB }
`, {}, { environment: (name) => (name === "BOT" ? secretA : undefined) })
    assert.deepEqual([...config.domains.keys()], ["xn--bcher-kva.example"])
    assert.deepEqual(config.exceptions, [{ peer: "old.example", require: "verified", until: 1_801_440_000_000, why: "no certificate yet" }])
    assert.deepEqual(config.resolvers, [{ address: "127.0.0.1", port: 53 }, { address: "::1", port: 5353 }])
    assert.deepEqual(config.overrides.get(parseDomain("x.example")), { address: "127.0.0.1", port: 5270, transport: "direct-tls" })
    assert.deepEqual(config.listen.components, [{ path: "/run/x.sock" }, { address: "::1", port: 5347 }])
    assert.deepEqual([config.listen.posh, config.listen.poshHttps, config.listen.admin], [
      [{ address: "127.0.0.1", port: 8081 }, { path: "/run/posh.sock" }],
      [{ address: "::", port: 443 }],
      { path: "/run/admin.sock" },
    ])
    const { secret: _, ...book } = config.domains.get(parseDomain("bücher.example"))!
    assert.deepEqual(book, {
      name: "xn--bcher-kva.example",
      conflict: "kick_new",
      certificate: "host.example",
      posh: { serve: false, expiresMs: 7_200_000, next: ["/etc/next.pem", "/n/x.pem"] },
      suspended: true,
      source: "/etc/gw.yaml",
    })
    assert.equal(config.poshOlder, true)
    assert.deepEqual(config.trust, { kind: "file", path: "/etc/roots.pem" })
    assert.deepEqual(config.state, { dir: "/etc/state", evidenceFiles: 10, evidenceBytes: 1048576 })
    assert.equal(config.limits.unauthenticatedMs, 5000)
    assert.equal(config.dialback, false)
    assert.deepEqual(config.ratchet, { mode: "off", overrides: [{ peer: "old.example", until: Date.UTC(2027, 1, 1), why: "they move" }] })
  })

  it("DNSSEC is validated unless said otherwise, and DANE then goes with it", async () => {
    const bare = goodConfig.replace(/federation:\n.*\n/, "")
    const anchors = ". IN DS 12345 13 2 0000000000000000000000000000000000000000000000000000000000000000 ; of the lab\n"
    const resolver = (words: string): string => withLine(', dnssec: off', words)
    for (const [text, mode, proofs] of [
      [bare, "validate", ["dane", "pkix", "posh"]],
      [resolver(""), "validate", ["dane", "pkix", "posh"]],
      [resolver(", dnssec: validate, anchors: root.ds"), "validate", ["dane", "pkix", "posh"]],
      [resolver(", dnssec: trust-ad"), "trust-ad", ["dane", "pkix", "posh"]],
      [resolver(", dnssec: off"), "off", ["pkix", "posh"]],
      [resolver("").replace("  resolver:", "  proofs: [pkix]\n  resolver:"), "validate", ["pkix"]],
      [resolver("").replace("  resolver:", "  proofs: [dane]\n  resolver:"), "validate", ["dane"]],
    ] as const) {
      const { config } = await load(text, { "/etc/root.ds": anchors })
      assert.deepEqual([config.dnssec, [...config.proofs].sort()], [mode, [...proofs]], text)
      assert.equal(config.dnsAnchors?.anchors[0]?.ds[0]?.keyTag, text.includes("anchors") ? 12345 : undefined)
    }
  })

  it("takes domains from included files, and says where in them a mistake is", async () => {
    const main = goodConfig.slice(0, goodConfig.indexOf("domains:"))
    const files = { "/etc/t.d/a.yaml": "domains: [{ name: a.example, component: { secret: { file: /secrets/bot } } }]", "/etc/t.d/.b.yaml": "nonsense: 1" }
    const { config } = await load(`${main}include: [t.d/*.yaml]\n`, files)
    assert.deepEqual([...config.domains.keys()], ["a.example"])
    assert.deepEqual(config.sources, ["/etc/gw.yaml", "/etc/t.d/a.yaml"])
    const wrong = await problems(`${main}include: [t.d/*.yaml, other.yaml]\n`, { "/etc/t.d/c.yaml": "domains:\n  - nam: c.example\n" })
    assert.deepEqual(wrong, [
      "/etc/t.d/c.yaml:2:5  domains[0].name  `domains[0].name` is missing.",
      "/etc/t.d/c.yaml:2:5  domains[0].component  `domains[0].component` is missing.",
      "/etc/t.d/c.yaml:2:5  domains[0].nam  `domains[0].nam` is not a setting. Did you mean `name`?",
      "/etc/other.yaml  The file cannot be read: there is no such file or folder.",
    ])
  })

  it("the documented example is in order, and shows the defaults", async () => {
    const example = readFileSync(join(import.meta.dirname, "../../docs/config/gateway.yaml"), "utf8")
    const files = { "/etc/xmpp-dna/secrets/bot": secretA, "/etc/xmpp-dna/secrets/customer": `${secretB}0`, "/run/credentials/rooms-secret": secretB }
    const environment = (name: string): string | undefined => ({ CREDENTIALS_DIRECTORY: "/run/credentials", SHOP_SECRET: `${secretA}${secretB}` })[name]
    const { config, warnings } = await load(example, files, { environment })
    assert.deepEqual(warnings, [])
    const { config: plain } = await load(goodConfig.replace(", dnssec: off", ""))
    assert.deepEqual(config.limits, plain.limits)
    assert.deepEqual(config.shutdown, plain.shutdown)
    assert.deepEqual(config.log, plain.log)
    assert.deepEqual([config.require, config.proofs, config.dialback, config.trust], [plain.require, plain.proofs, plain.dialback, plain.trust])
    assert.deepEqual([config.dnssec, config.dnsAnchors], [plain.dnssec, plain.dnsAnchors])
    assert.deepEqual([config.idleTimeoutMs, config.retryMaxMs, config.timeoutMs], [plain.idleTimeoutMs, plain.retryMaxMs, plain.timeoutMs])
  })

  it("never shows a secret", async () => {
    const { config } = await load(goodConfig)
    const shown = [inspect(config, { depth: 9 }), JSON.stringify({ ...config, domains: [...config.domains.values()] }), `${config.domains.get(parseDomain("bot.example"))!.secret}`]
    for (const text of shown) assert.equal(text.includes(secretA), false)
    assert.match(shown[1]!, /\[secret\]/)
  })
})

/** Replaces one line of the good configuration. */
function withLine(found: string, instead: string): string {
  assert.ok(goodConfig.includes(found))
  return goodConfig.replace(found, instead)
}

const head = goodConfig.slice(0, goodConfig.indexOf("certificates:"))

const mistakes: readonly (readonly [what: string, config: string, expected: readonly string[]])[] = [
  ["a mistyped section", `${goodConfig}limit: {}\n`, ["/etc/gw.yaml:14:1  limit  `limit` is not a setting. Did you mean `limits`?"]],
  ["a mistyped setting", withLine("  s2s:", "  directTls: []\n  s2s:"), ["/etc/gw.yaml:3:3  listen.directTls  `listen.directTls` is not a setting. Did you mean `direct_tls`?"]],
  [
    "a setting that is nothing like any",
    withLine("certificates:\n", "certificates:\n  zebra: 1\n"),
    ["/etc/gw.yaml:8:3  certificates.zebra  `certificates.zebra` is not a setting; known here: dirs, reload, warn."],
  ],
  ["__proto__ as a setting", `${goodConfig}__proto__: { x: 1 }\n`, ["/etc/gw.yaml:14:1  __proto__  `__proto__` is not a setting; known here: node, listen, federation, certificates, domains, include, limits, log, shutdown, state."]],
  ["a setting of a later version", `${goodConfig}cluster: { nats: {} }\n`, ["/etc/gw.yaml:14:1  cluster  A cluster of gateways is not in this version yet: remove `cluster`."]],
  [
    "a domain's setting of a later version",
    withLine("  - name: bot.example\n", "  - name: bot.example\n    limits: { rate: 200/s }\n"),
    ["/etc/gw.yaml:11:5  domains[0].limits  Limits for one domain is not in this version yet: remove `domains[0].limits`."],
  ],
  ["a switch for a peer that is none", withLine("  resolver:", "  peers: [{ peer: o.example, bidi: sometimes }]\n  resolver:"), ["/etc/gw.yaml:6:36  federation.peers[0].bidi  `federation.peers[0].bidi` must be true or false."]],
  [
    "require: permissive",
    withLine("  resolver:", "  require: permissive\n  resolver:"),
    [
      "/etc/gw.yaml:6:12  federation.require  `permissive` would accept anybody under any name: write authenticated, encrypted or verified; for single peers use federation.exceptions.",
    ],
  ],
  ["a mistyped level", withLine("  resolver:", "  require: authentikated\n  resolver:"), ['/etc/gw.yaml:6:12  federation.require  "authentikated" is not one of authenticated, encrypted, verified. Did you mean authenticated?']],
  ["a mistyped mode of DNSSEC", withLine("dnssec: off", "dnssec: valdate"), ['/etc/gw.yaml:6:50  federation.resolver.dnssec  "valdate" is not one of validate, trust-ad, off. Did you mean validate?']],
  [
    "trust-ad of a resolver elsewhere",
    withLine('"127.0.0.1:5300", dnssec: off', '["127.0.0.1:5300", 192.0.2.53], dnssec: trust-ad'),
    [
      "/etc/gw.yaml:6:43  federation.resolver.address  `trust-ad` is for a validating resolver on this machine, and 192.0.2.53 is not a loopback address: name one, or write `dnssec: validate`.",
    ],
  ],
  [
    "trust-ad of nobody in particular",
    withLine('address: "127.0.0.1:5300", dnssec: off', "dnssec: trust-ad"),
    ["/etc/gw.yaml:6:23  federation.resolver.dnssec  `trust-ad` believes another validator, so name it: `address: 127.0.0.1:53`, a validating resolver on this machine."],
  ],
  [
    "anchors that nobody uses",
    withLine("dnssec: off", "dnssec: off, anchors: root.ds"),
    [
      "/etc/gw.yaml:6:64  federation.resolver.anchors  Anchors are used by `dnssec: validate` only; this is `off`: remove one of the two.",
      "/etc/gw.yaml:6:64  federation.resolver.anchors  /etc/root.ds cannot be read: there is no such file or folder.",
    ],
  ],
  ["anchors that are not there", withLine("dnssec: off", "anchors: /etc/none.ds"), ["/etc/gw.yaml:6:51  federation.resolver.anchors  /etc/none.ds cannot be read: there is no such file or folder."]],
  [
    "anchors that are none",
    withLine("dnssec: off", "anchors: /secrets/bot"),
    ["/etc/gw.yaml:6:51  federation.resolver.anchors  /secrets/bot cannot be used: line 1: neither a DS nor a DNSKEY record. Write DS or DNSKEY records, one a line, as in a zone file."],
  ],
  ["a document kept for too long", withLine("  - name: bot.example\n", "  - name: bot.example\n    posh: { expires: 8d }\n"), ['/etc/gw.yaml:11:22  domains[0].posh.expires  "8d" is out of range: from 1h to 7d.']],
  [
    "the admin socket open to the network",
    withLine("  s2s:", '  admin: "127.0.0.1:5270"\n  s2s:'),
    ['/etc/gw.yaml:3:10  listen.admin  `listen.admin` must be a Unix socket, which file permissions guard: write "unix:/run/xmpp-dna/admin.sock".'],
  ],
  [
    "DANE without signed DNS",
    withLine("  resolver:", "  proofs: [pkix, dane]\n  resolver:"),
    ["/etc/gw.yaml:6:18  federation.proofs[1]  DANE rests on signed DNS, and `federation.resolver.dnssec` is off: it could never prove anything. Remove dane."],
  ],
  ["no TLSA usage", withLine("  resolver:", "  dane: { usages: [] }\n  resolver:"), ["/etc/gw.yaml:6:19  federation.dane.usages  `federation.dane.usages` must name at least one usage: 3, 2."]],
  ["a mistyped prooftype", withLine("  resolver:", "  proofs: [pkixx]\n  resolver:"), ['/etc/gw.yaml:6:12  federation.proofs[0]  "pkixx" is not one of pkix, dane, posh. Did you mean pkix?']],
  ["no prooftype", withLine("  resolver:", "  proofs: []\n  resolver:"), ["/etc/gw.yaml:6:11  federation.proofs  `federation.proofs` must name at least one prooftype: pkix, dane, posh."]],
  [
    "components open to the world",
    withLine('components: ["127.0.0.1:0"]', 'components: ["0.0.0.0:5347"]'),
    [
      '/etc/gw.yaml:4:16  listen.components[0]  0.0.0.0:5347 can be reached by others, and a component sends its secret and everything else in clear there: write "127.0.0.1:5347", "[::1]:5347" or "unix:/path".',
    ],
  ],
  [
    "components behind a mapped address",
    withLine('components: ["127.0.0.1:0"]', 'components: ["[::ffff:127.0.0.1]:5347"]'),
    [
      '/etc/gw.yaml:4:16  listen.components[0]  [::ffff:7f00:1]:5347 can be reached by others, and a component sends its secret and everything else in clear there: write "127.0.0.1:5347", "[::1]:5347" or "unix:/path".',
    ],
  ],
  ["a name to listen on", withLine('s2s: ["127.0.0.1:0"]', "s2s: [localhost:5269]"), ['/etc/gw.yaml:3:9  listen.s2s[0]  "localhost" is not an IP address. Write "127.0.0.1" or "[::1]".']],
  ["a port alone", withLine('s2s: ["127.0.0.1:0"]', "s2s: [5269]"), ['/etc/gw.yaml:3:9  listen.s2s[0]  5269 is not an address with a port: write "127.0.0.1:5269" or "[::]:5269".']],
  ["a port too high", withLine('s2s: ["127.0.0.1:0"]', "s2s: [127.0.0.1:65536]"), ['/etc/gw.yaml:3:9  listen.s2s[0]  "127.0.0.1:65536": the port must be from 0 to 65535.']],
  ["IPv6 without brackets", withLine('s2s: ["127.0.0.1:0"]', 's2s: ["::1"]'), ['/etc/gw.yaml:3:9  listen.s2s[0]  "::1" is not an address with a port: write "[::1]:PORT".']],
  ["the same address twice", withLine('s2s: ["127.0.0.1:0"]', 's2s: ["[::]:5269"]\n  direct_tls: ["[0::0]:5269"]'), ["/etc/gw.yaml:4:16  listen.direct_tls[0]  The address is already used by listen.s2s[0]."]],
  ["a duration without unit", withLine("  resolver:", "  retry_max: 300\n  resolver:"), ["/etc/gw.yaml:6:14  federation.retry_max  300 has no unit: write 300s, 300m or the like."]],
  ["a duration in words", withLine("  resolver:", "  retry_max: 5 min\n  resolver:"), ['/etc/gw.yaml:6:14  federation.retry_max  "5 min" is not a duration: write a whole number and ms, s, m, h or d, for example 90s.']],
  ["a duration out of range", withLine("  resolver:", "  idle_timeout: 1s\n  resolver:"), ['/etc/gw.yaml:6:17  federation.idle_timeout  "1s" is out of range: from 10s to 7d.']],
  ["a size with a wrong unit", `${goodConfig}limits: { stanza: 512K }\n`, ['/etc/gw.yaml:14:19  limits.stanza  "512K" has the unit "K", which is not known: B, kB, KiB, MB, MiB, GB, GiB. Did you mean KiB?']],
  ["stanzas below the least of RFC 6120", `${goodConfig}limits: { stanza: 9999 }\n`, ["/etc/gw.yaml:14:19  limits.stanza  9999 is out of range: from 10000B to 16MiB."]],
  ["a queue below a stanza", `${goodConfig}limits: { stanza: 1MiB, queue: 64KiB }\n`, ["/etc/gw.yaml:14:32  limits.queue  A queue smaller than one stanza (`limits.stanza`) could hold nothing: raise it."]],
  ["a fraction where a number is due", `${goodConfig}limits: { unauthenticatedPerIp: 1.5 }\n`, ["/etc/gw.yaml:14:33  limits.unauthenticatedPerIp  `limits.unauthenticatedPerIp` must be a whole number."]],
  ["a deadline before the drain", `${goodConfig}shutdown: { drain: 30s }\n`, ["/etc/gw.yaml:14:11  shutdown.deadline  The deadline ends before `shutdown.drain` does: raise it."]],
  ["a list where a mapping is due", withLine("certificates:\n  dirs: [/certs]", "certificates: [/certs]"), ["/etc/gw.yaml:7:15  certificates  `certificates` must be a mapping of settings, not a list."]],
  ["an empty section", withLine("certificates:\n  dirs: [/certs]", "certificates:"), ["/etc/gw.yaml:7:14  certificates  `certificates` is empty; it must be a mapping of settings."]],
  ["no certificates", goodConfig.replace(/certificates:\n.*\n/, ""), ["/etc/gw.yaml:1:1  certificates  `certificates` is missing."]],
  ["no domains", `${head}certificates: { dirs: [/certs] }\n`, ["/etc/gw.yaml:1:1  domains  No domain is hosted: name at least one under `domains`."]],
  ["not a mapping", "- a\n- b\n", ["/etc/gw.yaml:1:1  The file must hold a mapping of settings, not a list."]],
  ["a domain with a space", withLine("name: bot.example", 'name: "bot .example"'), ['/etc/gw.yaml:10:11  domains[0].name  "bot .example" has the label "bot "; only letters, digits and hyphens may stand in it.']],
  ["two domains of one name", withLine("name: rooms.example", "name: BOT.example."), ["/etc/gw.yaml:12:11  domains  bot.example is already hosted at /etc/gw.yaml:10:11: remove one of the two."]],
  ["an address as a domain", withLine("name: bot.example", "name: 127.0.0.1"), ['/etc/gw.yaml:10:11  domains[0].name  "127.0.0.1" is an IP address, not a domain name.']],
  [
    "kick_old",
    withLine("{ secret: { file: /secrets/bot } }", "{ secret: { file: /secrets/bot }, conflict: kick_old }"),
    ["/etc/gw.yaml:11:60  domains[0].component.conflict  `kick_old` would let a second connection push the running component out: write kick_new."],
  ],
  [
    "a ratchet that nothing could satisfy",
    withLine("  resolver:", "  ratchet: { mode: enforce }\n  resolver:"),
    [
      "/etc/gw.yaml:6:20  federation.ratchet.mode  `enforce` needs signed DNS, and `federation.resolver.dnssec` is off, which satisfies no ratchet: write warn or off, or `dnssec: validate`.",
    ],
  ],
  [
    "an override of the ratchet without an end or a reason",
    withLine("  resolver:", "  ratchet: { overrides: [{ peer: old.example }] }\n  resolver:"),
    [
      "/etc/gw.yaml:6:26  federation.ratchet.overrides[0].until  `federation.ratchet.overrides[0].until` is missing.",
      "/etc/gw.yaml:6:26  federation.ratchet.overrides[0].why  `federation.ratchet.overrides[0].why` is missing.",
    ],
  ],
  [
    "a mode of the ratchet that is none",
    withLine("  resolver:", "  ratchet: { mode: on }\n  resolver:"),
    ['/etc/gw.yaml:6:20  federation.ratchet.mode  "on" is not one of off, warn, enforce.'],
  ],
  [
    "an exception without an end or a reason",
    withLine("  resolver:", "  exceptions: [{ peer: old.example, require: encrypted }]\n  resolver:"),
    [
      "/etc/gw.yaml:6:16  federation.exceptions[0].until  `federation.exceptions[0].until` is missing.",
      "/etc/gw.yaml:6:16  federation.exceptions[0].why  `federation.exceptions[0].why` is missing.",
    ],
  ],
  [
    "an exception that ends on no day",
    withLine("  resolver:", "  exceptions: [{ peer: old.example, require: encrypted, until: 2027-02-30, why: x }]\n  resolver:"),
    ['/etc/gw.yaml:6:64  federation.exceptions[0].until  "2027-02-30" is not a day of the calendar.'],
  ],
  [
    "two exceptions for one peer",
    withLine("  resolver:", "  exceptions:\n    - { peer: o.example, require: encrypted, until: 2027-02-01, why: x }\n    - { peer: O.example, require: verified, until: 2027-02-01, why: y }\n  resolver:"),
    ["/etc/gw.yaml:8:15  federation.exceptions[1].peer  o.example is already named at /etc/gw.yaml:7:15: remove one of the two."],
  ],
  [
    "an override for a special name that is not allowed",
    withLine("  resolver:", '  overrides: [{ peer: x.example, connect: "192.0.2.1:5269" }]\n  resolver:'),
    ["/etc/gw.yaml:6:23  federation.overrides[0].peer  x.example is below the special-use name example (RFC 6761): allow it in federation.allow.names if it is meant."],
  ],
  ["a network with host bits", withLine("  resolver:", "  allow: { networks: [10.1.0.0/8] }\n  resolver:"), ['/etc/gw.yaml:6:23  federation.allow.networks[0]  "10.1.0.0/8" has bits behind its prefix; did you mean 10.0.0.0/8?']],
  ["trust in a word", withLine("  resolver:", "  trust: mozilla\n  resolver:"), ["/etc/gw.yaml:6:10  federation.trust  `federation.trust` must be system, bundled or the path of a PEM file with root certificates."]],
  ["a key twice", `${goodConfig}node: gw2\n`, ["/etc/gw.yaml:14:1  This is not YAML as expected here: Map keys must be unique."]],
  ["a second document", `${goodConfig}---\nnode: gw2\n`, ["/etc/gw.yaml:14:1  A second document begins here; one file holds one."]],
]

describe("a mistake in the configuration is told with its place and remedy", () => {
  for (const [what, config, expected] of mistakes) {
    it(what, async () => {
      assert.deepEqual(await problems(config), expected)
    })
  }

  it("every problem is told at once, in order", async () => {
    const all = await problems(`nod: x\nfederation: { resolver: { dnssec: on }, retry_max: 5 }\ncertificates: { dirs: [] }\n`)
    assert.deepEqual(
      all.map((line) => line.slice(0, line.indexOf("  "))),
      ["/etc/gw.yaml:1:1", "/etc/gw.yaml:2:35", "/etc/gw.yaml:2:52", "/etc/gw.yaml:3:23"],
    )
  })

  it("broken YAML, bad UTF-8, bombs and big files end in a sentence", async () => {
    assert.match((await problems("a: [1, 2\nb: 3\n"))[0]!, /^\/etc\/gw\.yaml:\d+:\d+ {2}This is not YAML as expected here: /)
    assert.match((await problems("a: \u0000"))[0]!, /^\/etc\/gw\.yaml:1:/)
    const bytes = await problems("", { "/etc/gw.yaml": { text: new Uint8Array([0x61, 0xff, 0xfe]) } })
    assert.deepEqual(bytes, ["/etc/gw.yaml  The file is not UTF-8 text."])
    const bomb = ["a: &a [x,x,x,x,x,x,x,x,x]", ...Array.from({ length: 9 }, (_, i) => `${String.fromCharCode(98 + i)}: &${String.fromCharCode(98 + i)} [${`*${String.fromCharCode(97 + i)},`.repeat(9)}]`)].join("\n")
    assert.match((await problems(bomb))[0]!, /^\/etc\/gw\.yaml {2}The file cannot be read: Excessive alias count/)
    assert.match((await problems("#".repeat(5 * 1024 * 1024)))[0]!, /The file has 5242880 octets; 4194304 are the limit/)
    assert.match((await problems("!!js/function x"))[0]!, /^\/etc\/gw\.yaml:1:1 {2}This is not YAML as expected here: Unresolved tag/)
  })

  it("an empty file names what is missing", async () => {
    const all = await problems("")
    assert.equal(all.length, 1)
    assert.match(all.join("\n"), /`certificates` is missing/)
  })
})

describe("secrets (security.md 21)", () => {
  const at = "/etc/gw.yaml:11:26  domains[0].component.secret  "
  const line = "{ secret: { file: /secrets/bot } }"
  it("stand in the file only when that is asked for", async () => {
    const config = withLine(line, `{ secret: ${secretA} }`)
    assert.deepEqual(await problems(config), [`${at}A secret stands in the file itself: write \`{ file: PATH }\`, \`{ env: NAME }\` or \`{ credential: NAME }\`, or start with --allow-inline-secrets.`])
    assert.deepEqual(await problems(config, {}, { allowInlineSecrets: true }), [])
  })
  it("are strong", async () => {
    for (const [weak, bits] of [["changeme", 0], ["correct horse", 85], ["0123456789abcdef0123456789abcde", 124], ["a".repeat(64), 0], ["", 0]] as const) {
      assert.deepEqual(await problems(goodConfig, { "/secrets/bot": weak }), [
        `${at}The secret of bot.example is too weak (${bits} bits at most; 128 are needed): generate one, for example with \`openssl rand -hex 32\`.`,
      ])
    }
  })
  it("are distinct", async () => {
    assert.deepEqual(await problems(goodConfig, { "/secrets/rooms": secretA }), [
      "/etc/gw.yaml:13:26  domains[1].component.secret  rooms.example and bot.example have the same secret: generate one for each.",
    ])
  })
  it("are missed with a sentence", async () => {
    assert.deepEqual(await problems(withLine("/secrets/bot", "/secrets/none")), [`${at}/secrets/none cannot be read: there is no such file or folder.`])
    assert.deepEqual(await problems(withLine("{ file: /secrets/bot }", "{ env: NONE }")), [`${at}The environment variable NONE is not set.`])
    assert.deepEqual(await problems(withLine("{ file: /secrets/bot }", "{ file: /secrets/bot, env: X }")), [`${at}The secret must name exactly one of file, env and credential.`])
    assert.deepEqual(await problems(withLine("{ file: /secrets/bot }", "{ files: /secrets/bot }")), [
      "/etc/gw.yaml:11:28  domains[0].component.secret.files  `domains[0].component.secret.files` is not a setting. Did you mean `file`?",
    ])
    assert.deepEqual(await problems(withLine("{ file: /secrets/bot }", "{ credential: bot }")), [
      `${at}The credential bot cannot be read: CREDENTIALS_DIRECTORY is not set (systemd sets it for LoadCredential=).`,
    ])
    assert.match((await problems(withLine("{ file: /secrets/bot }", "{ credential: ../bot }")))[0]!, /must be the name of a systemd credential/)
    assert.match((await problems(goodConfig, { "/secrets/bot": "x".repeat(5000) }))[0]!, /5000 octets, which is too long/)
    assert.match((await problems(goodConfig, { "/secrets/bot": "one\ntwo\n" }))[0]!, /more than one line/)
  })
  it("come from a credential", async () => {
    const { config } = await load(withLine("{ file: /secrets/bot }", "{ credential: bot }"), { "/run/credentials/bot": `${"Zx9".repeat(3)}abcdefghijklmnopqrstu` }, {
      environment: (name) => (name === "CREDENTIALS_DIRECTORY" ? "/run/credentials" : undefined),
    })
    assert.equal(config.domains.size, 2)
  })
  it("in a file that others can read are a warning", async () => {
    const { warnings } = await load(goodConfig, { "/secrets/bot": { text: secretA, mode: 0o644 }, "/secrets/rooms": { text: secretB, mode: 0o640 } })
    assert.deepEqual(
      warnings.map((warning) => warning.sentence),
      ["/secrets/bot can be read by everybody: chmod 600 /secrets/bot", "/secrets/rooms can be read by its group: chmod 600 /secrets/rooms"],
    )
  })
  it("never appear in an error", async () => {
    const text = (await problems(withLine(line, `{ secret: ${secretA}, conflict: balance }`), {}, { allowInlineSecrets: true })).join()
    assert.match(text, /`balance` is not in this version yet/)
    assert.equal(text.includes(secretA), false)
    const twice = (await problems(withLine(line, `{ secret: [${secretA}] }`))).join()
    assert.match(twice, /must be text, not a list/)
    assert.equal(twice.includes(secretA), false)
  })
})

describe("exceptions end", () => {
  const config = withLine("  resolver:", "  exceptions: [{ peer: old.example, require: encrypted, until: 2026-11-22T12:00:00Z, why: x }]\n  resolver:")
  it("an override of the ratchet that has ended warns, too", async () => {
    const ended = withLine("  resolver:", "  ratchet: { overrides: [{ peer: old.example, until: 2026-11-22T12:00:00Z, why: x }] }\n  resolver:")
    const { warnings } = await load(ended)
    assert.deepEqual(warnings.map(({ place, setting, sentence }) => [place, setting, sentence]), [
      ["/etc/gw.yaml:6:54", "federation.ratchet.overrides[0].until", "The override for old.example has ended and counts no more [policy.exception-ended]."],
    ])
    assert.deepEqual((await load(ended, {}, { now: testNow - 1 })).warnings, [])
  })

  it("one that has ended warns, and the gateway runs without it", async () => {
    const { config: loaded, warnings } = await load(config)
    assert.deepEqual(warnings, [
      {
        place: "/etc/gw.yaml:6:64",
        setting: "federation.exceptions[0].until",
        sentence: "The exception for old.example has ended and counts no more [policy.exception-ended].",
      },
    ])
    assert.equal(loaded.exceptions[0]!.until, testNow)
  })
  it("one in force does not warn", async () => {
    assert.deepEqual((await load(config, {}, { now: testNow - 1 })).warnings, [])
  })
})
