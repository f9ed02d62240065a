// What a line of a log or the id of a finding means (RFC 6120 4.9.3, XEP-0178): found in our catalogue and among the sentences of other
// servers; pure.
import { explanations } from "../model/explanations.ts"
import { type FindingId, findings } from "../model/findings.ts"
import { anyServer, type ForeignSentence, foreignSentences } from "../model/foreign-sentences.ts"
import { nearestWord } from "../gateway/did-you-mean.ts"
import { logEvents } from "../gateway/log-lines.ts"
import type { ExplainedFinding, ExplainedSentence, Explanation } from "./explain-report.ts"

const ids = Object.keys(findings) as FindingId[]

/** A line of a log has less. */
export const longestLine = 4096

/** As it stands in XML that was copied out of an error. */
const escapes: Readonly<Record<string, string>> = { apos: "'", "#39": "'", quot: '"', lt: "<", gt: ">", amp: "&" }

const plain = (text: string): string =>
  text
    .slice(0, longestLine)
    .toLowerCase()
    .replace(/&(apos|#39|quot|lt|gt|amp);/g, (_, name: string) => escapes[name] ?? "")
    .replace(/[\u2018\u2019]/g, "'")
    .replace(/\s+/g, " ")
    .trim()

/** The literal parts of a sentence, in its order; what `*` stands for lies between. */
const parts = (says: string): string[] => plain(says).split("*").map((part) => part.trim()).filter((part) => part !== "")

const known: readonly { readonly sentence: ForeignSentence; readonly parts: readonly string[]; readonly length: number }[] = foreignSentences.map((sentence) => {
  const literal = parts(sentence.says)
  return { sentence, parts: literal, length: literal.join("").length }
})

const letter = /[\p{L}\p{N}]/u

/** Where a part stands as words of its own, from `from` on; -1 if nowhere. */
function wordsAt(text: string, part: string, from: number): number {
  for (let at = text.indexOf(part, from); at >= 0; at = text.indexOf(part, at + 1)) {
    const [before, after] = [text[at - 1] ?? " ", text[at + part.length] ?? " "]
    const whole = (!letter.test(before) || !letter.test(part[0] ?? "")) && (!letter.test(after) || !letter.test(part.at(-1) ?? ""))
    // `peer-not-authorized` is another word than `not-authorized`.
    if (whole && before !== "-") return at
  }
  return -1
}

function holds(text: string, literal: readonly string[]): boolean {
  let from = 0
  for (const part of literal) {
    const at = wordsAt(text, part, from)
    if (at < 0) return false
    from = at + part.length
  }
  return true
}

/** The first of the table counts: a cause stands before the frame that is put around it. */
const foreign = (text: string): (typeof known)[number] | undefined => known.find((each) => holds(text, each.parts))

/** An id as a word of its own: in brackets as our sentences end, else alone or as a value of a line in JSON. */
function idIn(text: string): FindingId | undefined {
  const words: readonly string[] = text.match(/(?<![\w.-])[a-z]+\.[a-z0-9-]+(?![\w-]|\.\w)/g) ?? []
  return ids.findLast((id) => text.includes(`[${id}]`)) ?? ids.find((id) => words.includes(id))
}

/** What these say is that the other side refused; its reason stands in their detail. */
const frames: readonly FindingId[] = ["stream.error", "stream.closed", "auth.external-refused", "auth.dialback-refused", "auth.dialback-error"]

/** The name of an event alone says what happened, not why. */
function event(text: string): Explanation["said"] {
  if (!(logEvents as readonly string[]).includes(text)) return null
  const means = "the name of an event, as it stands in every line about such a thing (docs/operating.md, Logs)"
  return { says: text, product: "xmpp-dna", versions: "this one", seen: "the log of its gateway", means, party: "nobody", action: "explain the whole line: at its end, or as `finding`, is the id of what was found" }
}

/** Our own sentence without its id, as it stands in errors that peers get; the longest, since one may be the beginning of another. */
function ownSentence(text: string): FindingId | undefined {
  const said = ids.filter((id) => wordsAt(text, plain(findings[id].sentence), 0) >= 0)
  return said.sort((one, other) => findings[other].sentence.length - findings[one].sentence.length)[0]
}

const saidWords = ({ says, product, versions, seen, means, party, action }: ForeignSentence): ExplainedSentence => ({ says, product, versions, seen, means, party, action })

/** A line that says that the other side refused our login. */
const ownRefused = (text: string): boolean => known.some(({ sentence, parts: literal }) => sentence.finding === "auth.external-refused" && sentence.product !== anyServer && holds(text, literal))

/** What is wrong with a certificate concerns ours then; that the other side wants another purpose of it stays the other's matter. */
function ofOurs(sentence: ForeignSentence): ExplainedSentence {
  const { finding, party } = sentence
  const ours = party === "peer" && (finding?.startsWith("cert.") || finding?.startsWith("pkix.")) === true && finding !== "cert.server-only"
  return ours ? { ...saidWords(sentence), means: `${sentence.means}; it is your certificate, which the other server refused`, party: "you" } : saidWords(sentence)
}

function page(id: FindingId, scenesOf: (id: FindingId) => readonly string[]): ExplainedFinding {
  const { severity, party, sentence, repair, section } = findings[id]
  const saidBy = foreignSentences.filter(({ finding }) => finding === id).map(({ product, says }) => ({ product, says }))
  return { id, severity, party, sentence, meaning: explanations[id], repair, section, saidBy, scenes: [...scenesOf(id)] }
}

const wordsOf = (text: string): Set<string> => new Set(plain(text).match(/[\p{L}\p{N}]{4,}/gu) ?? [])

const vocabulary: readonly (readonly [FindingId, ReadonlySet<string>])[] = ids.map((id) => [id, wordsOf(`${id} ${findings[id].sentence} ${explanations[id]}`)])

/** Findings that have the rarer words of a text; none for one with nothing in common. */
function nearest(text: string): FindingId[] {
  const word = nearestWord(text.trim(), ids)
  const wanted = [...wordsOf(text)].slice(0, mostWords).map((each): [string, number] => [each, 1 / Math.max(1, vocabulary.filter(([, words]) => words.has(each)).length)])
  const scored = vocabulary.map(([id, words]): [FindingId, number] => [id, wanted.reduce((sum, [each, weight]) => sum + (words.has(each) ? weight : 0), 0)])
  const near = scored.filter(([, score]) => score >= leastScore).sort(([, one], [, other]) => other - one).map(([id]) => id)
  const first = ids.filter((id) => id === word)
  return [...first, ...near.filter((id) => id !== word)].slice(0, 3)
}

const mostWords = 64

/** A word that a tenth of all findings have says nothing. */
const leastScore = 0.15

/**
 * @param text a line of a log, an error, or the id of a finding
 * @param scenesOf where in the lab a finding can be seen
 */
export function explain(text: string, scenesOf: (id: FindingId) => readonly string[]): Explanation {
  const searched = plain(text)
  const id = idIn(searched)
  const told = foreign(searched)
  const own = id ?? ownSentence(searched)
  // Without an id the sentence with more words counts; with one, other words are a reason only where it has room for one.
  const ours = own !== undefined && (id !== undefined ? !frames.includes(id) || told === undefined || told.sentence.product === anyServer : told === undefined || findings[own].sentence.length >= told.length)
  const reason = ours ? undefined : told?.sentence
  const finding = reason === undefined ? own : (reason.finding ?? undefined)
  const said = reason === undefined ? event(searched) : own === "auth.external-refused" || ownRefused(searched) ? ofOurs(reason) : saidWords(reason)
  const isKnown = finding !== undefined || said !== null
  return { text, known: isKnown, said, finding: finding === undefined ? null : page(finding, scenesOf), nearest: isKnown ? [] : nearest(text) }
}
