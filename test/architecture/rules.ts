// The rules of the house as functions from one file to sentences about what is wrong with it; architecture.test.ts applies them.
import { stripTypeScriptTypes } from "node:module"
import { posix } from "node:path"
import { imports, views } from "./source.ts"

export interface SourceFile {
  /** Relative to the root of the repository, with `/`. */
  readonly path: string
  readonly text: string
}
export type Rule = (file: SourceFile) => string[]

/** From left to right; nothing imports to the right, and what stands in one step does not import each other. */
const steps = [
  ["model"],
  ["ports"],
  ["dns", "x509", "xml"],
  ["discovery", "stream", "proof"],
  ["federation"],
  ["gateway"],
  ["dashboard", "lab", "inspect"],
  ["index"],
  ["entry"],
  ["cli"],
]
const stepOf = (part: string): number => steps.findIndex((parts) => parts.includes(part))

/** `src/dns/name.ts` -> `dns`, `src/ports.ts` -> `ports`; undefined outside src. */
function partOf(path: string): string | undefined {
  const [top, first] = path.split("/")
  return top === "src" ? first!.replace(/\.ts$/, "") : undefined
}

const packageHomes: Readonly<Record<string, readonly string[]>> = {
  commander: ["cli"],
  yaml: ["gateway", "cli"],
  zod: ["gateway", "inspect", "cli"],
  pino: ["node", "cli"],
  "pino-pretty": ["node", "cli"],
}
const pureModules = ["node:crypto", "node:buffer"]
const modulesOf: Readonly<Record<string, readonly string[] | "any">> = {
  ...Object.fromEntries(["model", "dns", "x509", "xml", "proof"].map((part) => [part, pureModules])),
  ports: [],
  ...Object.fromEntries(
    ["discovery", "stream", "federation", "gateway", "dashboard", "inspect", "index", "entry"].map((part) => [
      part,
      [...pureModules, "node:util", "node:path"],
    ]),
  ),
  lab: "any",
  node: "any",
  cli: "any",
}

/** The import rule of the architecture, for values and types alike, and which packages and `node:` modules a folder may use. */
export const importRule: Rule = (file) => {
  const from = partOf(file.path)
  if (from === undefined || !file.path.endsWith(".ts")) return []
  if (from !== "node" && stepOf(from) < 0) return [`${file.path} is in no part of the architecture`]
  return imports(views(file.text)).flatMap(({ specifier, typeOnly }) => {
    const wrong = (why: string): string[] => [`${file.path} imports ${specifier}: ${why}`]
    if (specifier.startsWith("node:")) {
      const allowed = modulesOf[from]!
      return allowed === "any" || allowed.includes(specifier) ? [] : wrong(`${from} may use ${allowed.join(", ") || "no node: module"}`)
    }
    if (!specifier.startsWith(".")) {
      const homes = packageHomes[specifier.split("/")[0]!]
      return homes?.includes(from) ? [] : wrong(homes === undefined ? "not a dependency we decided on" : `only for ${homes.join(", ")}`)
    }
    if (!specifier.endsWith(".ts")) return wrong("relative imports end in .ts")
    const target = posix.join(posix.dirname(file.path), specifier)
    const to = partOf(target)
    if (to === undefined) return wrong("it leaves src/")
    if (from === "ports" && !typeOnly) return wrong("ports.ts holds types only")
    if (to === from) return []
    if (to === "node") return from === "entry" || from === "cli" ? [] : wrong("only src/entry/ and src/cli/ import src/node/")
    // node/ implements what the inner parts ask for: their code up to the parsers, only the types of what lies further right.
    if (from === "node")
      return stepOf(to) <= 2 || (typeOnly && stepOf(to) <= 5) ? [] : wrong("node/ implements ports, it does not use what is built on them")
    return stepOf(to) < stepOf(from) ? [] : wrong(stepOf(to) === stepOf(from) ? "a sibling in the same step" : "it lies to the right")
  })
}

/** src/ports.ts leaves nothing behind once its types are stripped. */
export const portsAreTypes: Rule = (file) => {
  if (file.path !== "src/ports.ts") return []
  const left = views(stripTypeScriptTypes(file.text))
    .uncommented.replace(/export\s*\{\s*\}|;/g, "")
    .trim()
  return left === "" ? [] : [`${file.path} has code besides types: ${left.slice(0, 60)}`]
}

function matches(file: SourceFile, text: string, table: readonly (readonly [RegExp, string])[]): string[] {
  return table.flatMap(([pattern, why]) =>
    [...text.matchAll(new RegExp(pattern, "g"))].map(
      (hit) => `${file.path}:${text.slice(0, hit.index).split("\n").length}: ${hit[0].trim()}: ${why}`,
    ),
  )
}

const impurities = [
  [/\bDate\s*\.\s*now\b|\bnew\s+Date\s*(?:\(\s*\)|(?![\s(]))|(?<!new\s+|\.)\bDate\s*\(|\bperformance\s*\.\s*now\b/, "time is an argument"],
  [/\bMath\s*\.\s*random\b|\b(?:randomBytes|randomUUID|randomInt|randomFillSync|getRandomValues)\b/, "randomness is an argument"],
  [/\b(?:setTimeout|setInterval|setImmediate)\b|\bAbortSignal\s*\.\s*timeout\b/, "timers are an argument"],
  [/(?<![.\w$])process\s*[.[]|\bglobalThis\s*\.\s*process\b/, "the process belongs to node/ and cli/"],
  [/(?<![.\w$])(?:fetch|WebSocket)\s*\(/, "the network is an argument"],
  [/\bconsole\s*\./, "what is said goes through a port"],
] as const

/** Time, randomness, timers, the network and the process are arguments outside node/, cli/ and lab/. */
export const purity: Rule = (file) => {
  const part = partOf(file.path)
  if (part === undefined || ["node", "cli", "lab"].includes(part)) return []
  return matches(file, views(file.text).code, impurities)
}

/** An error may be ignored only with a word on why that is right. */
export const noSwallowedErrors: Rule = (file) => {
  if (!/\.(?:ts|cjs|js)$/.test(file.path)) return []
  const { code } = views(file.text)
  const empty = /\bcatch\s*(?:\([^)]*\)\s*)?\{\s*\}|\.catch\s*\(\s*\(\s*\w*\s*\)\s*=>\s*(?:\{\s*\}|undefined\s*\))/g
  return [...code.matchAll(empty)]
    .filter((hit) => !/\/[/*]/.test(file.text.slice(hit.index, hit.index + hit[0].length)))
    .map((hit) => `${file.path}:${code.slice(0, hit.index).split("\n").length}: an error is swallowed without a reason`)
}

const tlsAdapter = "src/node/tls.ts"
const tlsGetters =
  /\b(?:getPeerCertificate|getPeerX509Certificate|getProtocol|getCipher|getEphemeralKeyInfo|getSession|getTLSTicket|getFinished|getPeerFinished|getSharedSigalgs|getX509Certificate|isSessionReused|exportKeyingMaterial)\s*\(/

/**
 * No decision rests on what node:tls thinks of a certificate. The TLS adapter alone may switch the name check
 * off, once, and ask a socket for its facts (a getter after the handshake can crash the process).
 */
export const tlsOpinions: Rule = (file) => {
  if (partOf(file.path) === undefined) return []
  const { code, uncommented } = views(file.text)
  const opinion = /\b(?:authorized|authorizationError|checkServerIdentity)\b/
  let text = code
  if (file.path === tlsAdapter)
    text = text.replace(/\bcheckServerIdentity\s*(?::\s*)?\(\s*\)\s*(?::\s*undefined\s*)?(?:=>\s*)?(?:\{\s*\}|undefined)/, (off) =>
      " ".repeat(off.length),
    )
  const getters = file.path === tlsAdapter ? [] : matches(file, code, [[tlsGetters, "TLS facts are copied once, in the TLS adapter"]])
  const quoted = matches(file, uncommented, [
    [/\[\s*["'`](?:authorized|authorizationError|checkServerIdentity)["'`]\s*\]/, "our own validator judges"],
  ])
  return [...matches(file, text, [[opinion, "our own validator judges"]]), ...quoted, ...getters]
}

/** At most 500 lines; the first says in a comment what the file is. */
export const shape: Rule = (file) => {
  if (!/^(?:src|test|bench|tools)\/.*\.(?:ts|cjs)$/.test(file.path)) return []
  const lines = file.text.replace(/\n$/, "").split("\n")
  const found: string[] = []
  if (lines.length > 500) found.push(`${file.path} has ${lines.length} lines, the limit is 500`)
  if (!/^(?:\/\/|\/\*\*?) ?\S.{15,}/.test(lines[0]!.startsWith("#!") ? lines[1]! : lines[0]!))
    found.push(`${file.path}: the first line does not say what the file is`)
  return found
}

/** Names that say nothing, and trust as a bare boolean. */
export const names: Rule = (file) => {
  if (partOf(file.path) === undefined) return []
  const vague = /(?:^|[/-])(?:utils?|helpers?|manager|misc|common)\.ts$/.test(file.path) ? [`${file.path}: the file name says nothing`] : []
  return [
    ...vague,
    ...matches(file, views(file.text).code, [
      [/\bisSecure\b|\btrusted\s*[?]?\s*[:=]\s*(?:boolean|true|false)\b/, "trust is a verdict, not a boolean"],
    ]),
  ]
}

// Written so that this file does not contain what it looks for.
const leftovers = [
  [/\b(?:TO[D]O|FIX[M]E|XX[X]|HAC[K])\b/, "nothing is left for later in the code"],
  [/registr[y]\.(?:npmjs|yarnpkg|npmmirror)\.|codeloa[d]\.github/, "a registry host"],
  [/(?<![\w.$}*)\]>~-])\/(?:work|root|tmp|Users\/\w+|home\/\w+)\/(?=\w)/, "a path of one machine"],
  [/^(?:<{7}|>{7}) /m, "a merge conflict"],
] as const

/** In every text file of the repository, also documents and configuration. */
export const nothingLeftOver: Rule = (file) => matches(file, file.text, leftovers)

/**
 * docs/rfc-map.md: every table row names a section, at least one source file and at least one test that exist, and every
 * requirement id of its first cell (as `CORE-12`) is cited in one of the files it names.
 */
export function rfcMap(text: string, read: (path: string) => string | undefined): string[] {
  const lines = text.split("\n")
  const isRule = (line: string | undefined): boolean => line !== undefined && /^\|[\s:|-]+\|?$/.test(line)
  const rows = lines.filter((line, at) => line.startsWith("|") && !isRule(line) && !isRule(lines[at + 1])) // without headings
  const found: string[] = []
  for (const row of rows) {
    const paths = [...row.matchAll(/\b(?:src|test)\/[\w./-]+\.\w+/g)].map(([path]) => path)
    const section = row.split("|")[1]!.trim()
    if (section === "") found.push(`a row without a section: ${row}`)
    for (const [folder, what] of [
      ["src/", "source file"],
      ["test/", "test"],
    ] as const)
      if (!paths.some((path) => path.startsWith(folder))) found.push(`${section} names no ${what}`)
    const texts = paths.map((path) => ({ path, text: read(path) }))
    for (const { path, text: body } of texts) if (body === undefined) found.push(`${section} names ${path}, which does not exist`)
    for (const [id] of section.matchAll(/\b[A-Z]{2,}[A-Z0-9]*-\d+\b/g))
      if (!/^(?:RFC|XEP)-/.test(id) && !texts.some(({ text: body }) => body?.includes(id)))
        found.push(`${id} is cited in none of ${paths.join(", ")}`)
  }
  return rows.length === 0 ? ["the map has no rows"] : found
}
