// The architecture, enforced: import rule, purity, TLS opinions, file shape, leftovers, section map. Each rule is also shown to fail.
import assert from "node:assert/strict"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { extname, join } from "node:path"
import { test } from "node:test"
import {
  importRule,
  names,
  noSwallowedErrors,
  nothingLeftOver,
  portsAreTypes,
  purity,
  type Rule,
  rfcMap,
  type SourceFile,
  shape,
  tlsOpinions,
} from "./architecture/rules.ts"
import { imports, views } from "./architecture/source.ts"

const root = join(import.meta.dirname, "..")
const outside = new Set(["node_modules", "dist", ".git", "coverage"])
const textual = new Set([".ts", ".js", ".cjs", ".json", ".md", ".yaml", ".yml", ".txt", ".xml", ".html", ".css", ".sh", ""])

function* walk(folder: string): Generator<SourceFile> {
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    if (outside.has(entry.name)) continue
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`
    if (entry.isDirectory()) yield* walk(path)
    else if (entry.isFile() && textual.has(extname(entry.name))) yield { path, text: readFileSync(join(root, path), "utf8") }
  }
}
const files = [...walk("")]

/** The rule holds for the whole repository, passes every good sample and refuses every bad one. */
function enforce(
  name: string,
  rule: Rule,
  samples: { good: readonly (readonly [string, string])[]; bad: readonly (readonly [string, string])[] },
): void {
  test(name, () => {
    for (const [path, text] of samples.good) assert.deepEqual(rule({ path, text }), [], `good sample ${path}: ${text}`)
    for (const [path, text] of samples.bad) assert.notDeepEqual(rule({ path, text }), [], `bad sample ${path}: ${text}`)
    assert.deepEqual(files.flatMap(rule), [])
  })
}

test("the reader tells code from comments, text and regular expressions", () => {
  const source = "a = /* b */ 'c', // d\n/e[/]f/.test(`g ${h({ i: `j` })} k`) / l"
  assert.equal(views(source).code.replace(/\s+/g, ""), "a='',//.test(`{h({i:``})}`)/l")
  assert.equal(views(source).code.length, source.length)
  const several = `import a from "one"\nimport type { B } from './two.ts'\nexport * from "three"\nimport "four"\nimport {\n  c,\n  d as e,\n} from "five"\n// import "no"\nawait import("six")\ntype T = import("seven").T`
  assert.deepEqual(
    imports(views(several)).map((found) => [found.specifier, found.typeOnly]),
    [
      ["one", false],
      ["./two.ts", true],
      ["three", false],
      ["four", false],
      ["five", false],
      ["six", false],
      ["seven", false],
    ],
  )
})

enforce("imports go to the left only", importRule, {
  good: [
    ["src/stream/open.ts", 'import { XmlParser } from "../xml/parser.ts"\nimport type { Clock } from "../ports.ts"'],
    ["src/node/tls.ts", 'import tls from "node:tls"\nimport type { Tls } from "../ports.ts"'],
    ["src/entry/main.ts", 'import { dial } from "../node/dial.ts"'],
    ["src/cli/main.ts", 'import { Command } from "commander"\nimport fs from "node:fs"'],
    ["src/x509/der.ts", 'import { Buffer } from "node:buffer"\nimport { createHash } from "node:crypto"'],
    ["src/gateway/config.ts", 'import { z } from "zod"'],
  ],
  bad: [
    ["src/model/domain.ts", 'import { readName } from "../dns/name.ts"'],
    ["src/model/domain.ts", 'import type { Clock } from "../ports.ts"'],
    ["src/dns/resolver.ts", 'import { parseCertificate } from "../x509/certificate.ts"'],
    ["src/proof/pkix.ts", 'import type { XmlStream } from "../stream/xml-stream.ts"'],
    ["src/lab/scenes.ts", 'import { startDashboard } from "../dashboard/server.ts"'],
    ["src/stream/open.ts", 'export { dialback } from "../federation/dialback.ts"'],
    ["src/gateway/gateway.ts", 'import { listen } from "../node/listen.ts"'],
    ["src/lab/lab.ts", 'const { listen } = await import("../node/listen.ts")'],
    ["src/node/dial.ts", 'import { serve } from "../federation/serve.ts"'],
    ["src/node/files.ts", 'import { main } from "../entry/main.ts"'],
    ["src/proof/pkix.ts", 'import { connect } from "node:net"'],
    ["src/federation/serve.ts", 'import { readFile } from "node:fs/promises"'],
    ["src/dns/name.ts", 'import { Socket } from "net"'],
    ["src/model/policy.ts", 'import { z } from "zod"'],
    ["src/ports.ts", 'import { parseDomain } from "./model/domain.ts"'],
    ["src/xml/parser.ts", 'import { element } from "./element"'],
    ["src/xml/parser.ts", 'import { startWorld } from "../../test/world/world.ts"'],
    ["src/shared/thing.ts", ""],
  ],
})

enforce("ports.ts holds types only", portsAreTypes, {
  good: [
    ["src/ports.ts", 'import type { Domain } from "./model/domain.ts"\nexport interface Clock { now(): number }\nexport type Id = string'],
  ],
  bad: [
    ["src/ports.ts", "export const limit = 3"],
    ["src/ports.ts", "export class Clock { now(): number { return 0 } }"],
  ],
})

enforce("time, randomness, timers, network and process are arguments", purity, {
  good: [
    [
      "src/dns/resolver.ts",
      'const at = clock.now() // not Date.now()\nconst words = "Math.random"\nconst when = new Date(at)\nthis.process(at)',
    ],
    ["src/node/clock.ts", "Date.now(); setTimeout(f, 1); process.pid"],
    ["src/lab/peer.ts", "process.kill(pid)"],
  ],
  bad: [
    ["src/dns/resolver.ts", "const at = Date.now()"],
    ["src/stream/open.ts", "const at = new Date()"],
    ["src/stream/open.ts", "const at = new Date"],
    ["src/stream/open.ts", "const at = Date()"],
    ["src/dns/srv.ts", "Math.random() * weight"],
    ["src/federation/dialback.ts", "randomBytes(16)"],
    ["src/federation/serve.ts", "setTimeout(() => {}, 5)"],
    ["src/federation/serve.ts", "AbortSignal.timeout(5)"],
    ["src/gateway/config.ts", "`${process.env.HOME}`"],
    ["src/proof/posh.ts", "await fetch(url)"],
    ["src/entry/main.ts", "process.on('exit', stop)"],
    ["src/gateway/router.ts", "console.log(stanza)"],
  ],
})

enforce("no decision rests on the opinion of node:tls", tlsOpinions, {
  good: [
    ["src/node/tls.ts", "tls.connect({ rejectUnauthorized: false, checkServerIdentity() {} }); socket.getPeerX509Certificate()"],
    ["src/node/tls.ts", "tls.connect({ checkServerIdentity: () => undefined })"],
    ["src/stream/sasl-external.ts", 'fail("not-authorized")'],
  ],
  bad: [
    ["src/node/tls.ts", "if (socket.authorized) accept()"],
    ["src/node/tls.ts", "a = { checkServerIdentity() {} }; b = { checkServerIdentity() {} }"],
    ["src/node/tls.ts", "checkServerIdentity: (name, certificate) => tls.checkServerIdentity(name, certificate)"],
    ["src/node/dial.ts", "options = { checkServerIdentity() {} }"],
    ["src/gateway/publish.ts", "socket.authorizationError === undefined"],
    ["src/cli/serve.ts", 'socket["authorized"]'],
    ["src/node/dial.ts", "log(socket.getProtocol())"],
  ],
})

enforce("no error is swallowed without a reason", noSwallowedErrors, {
  good: [
    ["src/a.ts", "try { f() } catch {\n  // the peer is gone already, nobody is left to tell\n}\nserver.on('drain', () => {})"],
    ["src/a.ts", "try { f() } catch (error) { report(error) }"],
  ],
  bad: [
    ["src/a.ts", "try { f() } catch {}"],
    ["test/a.test.ts", "try { f() } catch (error) {\n}"],
    ["src/a.ts", "f().catch(() => {})"],
    ["src/a.ts", "f().catch(() => undefined)"],
  ],
})

enforce("files are short and say what they are", shape, {
  good: [
    ["src/a.ts", "// Says what this file is and why.\n"],
    ["tools/a.cjs", "#!/usr/bin/env node\n// Says what this file is and why.\n"],
  ],
  bad: [
    ["src/a.ts", 'import "./b.ts"\n'],
    ["test/a.test.ts", ""],
    ["src/a.ts", `// Says what this file is and why.\n${"x\n".repeat(500)}`],
  ],
})

enforce("names mean something", names, {
  good: [["src/proof/pkix.ts", 'const because = "trusted"\nconst trustedNames = []']],
  bad: [
    ["src/proof/utils.ts", ""],
    ["src/gateway/stream-manager.ts", ""],
    ["src/proof/pkix.ts", "const isSecure = 1"],
    ["src/proof/pkix.ts", "let x: { trusted: boolean }"],
  ],
})

const joined = (...parts: string[]): string => parts.join("")
enforce("nothing is left over: no postponed work, registry, machine or conflict", nothingLeftOver, {
  good: [["docs/operating.md", "certificates: /etc/letsencrypt/live/ and https://host.example/root/file, ./work/file"]],
  bad: [
    ["src/a.ts", joined("// TO", "DO: later")],
    ["README.md", joined("FIX", "ME")],
    ["package-lock.json", joined("https://registr", "y.npmjs.org/zod")],
    ["docs/a.md", joined("see /wo", "rk/main")],
    ["docs/a.md", joined("`/tm", "p/out.json`")],
    ["docs/a.md", joined("/hom", "e/someone/file")],
    ["docs/a.md", joined("<<<<", "<<< HEAD\n")],
  ],
})

test("docs/rfc-map.md names sections, sources and tests that exist", () => {
  const read = (path: string): string | undefined => (existsSync(join(root, path)) ? readFileSync(join(root, path), "utf8") : undefined)
  const head = "| section | source | test |\n|---|---|---|\n"
  const here = "test/architecture.test.ts"
  const sample = (path: string): string | undefined => ({ "src/a.ts": "// CORE-12", [here]: "" })[path]
  assert.deepEqual(rfcMap(`${head}| CORE-12, RFC 6120 4.8 | src/a.ts | ${here} |`, sample), [])
  assert.deepEqual(rfcMap(head, sample), ["the map has no rows"])
  assert.equal(rfcMap(`${head}| CORE-13 | \`src/a.ts\` | ${here} |`, sample).length, 1)
  assert.equal(rfcMap(`${head}| CORE-12 | src/gone.ts | ${here} |`, sample).length, 2)
  assert.equal(rfcMap(`${head}| CORE-12 | src/a.ts | none |`, sample).length, 1)
  assert.equal(rfcMap(`${head}|  | src/a.ts | ${here} |`, sample).length, 1)
  const map = read("docs/rfc-map.md")
  if (map !== undefined) assert.deepEqual(rfcMap(map, read), [])
})
