// `xmpp-dna watch`: looks again and again, prints only what changes, and tells a web hook or a command of it (docs/check.md).
import { readDuration } from "../gateway/config-values.ts"
import type { Change, Remembered } from "../inspect/changes.ts"
import { inspect } from "../inspect/ladder.ts"
import { watching } from "../inspect/watching.ts"
import { postJson, WebhookError } from "../node/webhook.ts"
import { concurrencyOf, portsOf, type QuestionOptions, questionsOf } from "./check-questions.ts"
import { readTargets } from "./check-targets.ts"
import { exit, jsonText, Stop } from "./exit.ts"
import { interruptions } from "./interruptions.ts"
import { note, told } from "./publish-world.ts"
import { hanging, type Mark, type Terminal, terminal } from "./terminal.ts"
import { version } from "./version.ts"
import { runCommand } from "./watch-exec.ts"
import { readMemory, writeMemory } from "./watch-state.ts"

export interface WatchOptions extends QuestionOptions {
  readonly input?: string
  readonly concurrency: string
  readonly interval: string
  readonly jitter: string
  readonly rounds?: string
  readonly state?: string
  readonly webhook?: string
  readonly exec?: string
  readonly jsonl?: boolean
  readonly color: string | false
}

const day = 86_400_000
/** Commands started for one round. */
const mostCommands = 100

export function watchCommand(given: readonly string[], options: WatchOptions): Promise<number> {
  return told(false, () => watched(given, options))
}

async function watched(given: readonly string[], options: WatchOptions): Promise<number> {
  const questions = await questionsOf(await readTargets(given, options.input), options)
  const terms = { interval: readDuration(options.interval, 1000, 30 * day), jitter: partOf(options.jitter), concurrency: concurrencyOf(options.concurrency), rounds: roundsOf(options.rounds) }
  const hook = options.webhook === undefined ? undefined : webhookOf(options.webhook)
  const { ports } = await portsOf(options)
  const { state } = options
  const memory = state === undefined ? new Map<string, Remembered>() : await readMemory(state)
  if (state !== undefined) await keepMemory(state, [...memory.values()], true)
  const shown = terminal({ tty: process.stdout.isTTY, environment: process.env, color: options.color })
  const give = interruptions()
  const { clock, random } = ports
  try {
    await watching(
      questions,
      memory,
      terms,
      {
        clock,
        random,
        look: (question, signal) => inspect(question, ports, signal),
        seen: (changes) => {
          for (const change of changes) process.stdout.write(options.jsonl === true ? `${jsonText(change)}\n` : lineOf(change, shown))
        },
        round: async (changes, remembered) => {
          if (state !== undefined) await keepMemory(state, remembered, false)
          // The first sight of a good domain is no news to those who are to do something.
          const news = changes.filter(({ kind, severity }) => kind !== "first" || severity !== "good")
          if (news.length === 0) return
          if (hook !== undefined) await posted(hook, news, clock, give.signal)
          if (options.exec !== undefined) await executed(options.exec, news, clock, give.signal)
        },
      },
      give.signal,
    )
  } finally {
    give.end()
  }
  return give.status() ?? exit.ok
}

function partOf(text: string): number {
  const percent = /^(\d{1,2})%$/.exec(text)?.[1]
  if (percent === undefined) throw new Stop(exit.usage, `--jitter ${JSON.stringify(text)}: write a part of the interval, 0% to 99%.`)
  return Number(percent) / 100
}

function roundsOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const rounds = /^\d{1,6}$/.test(text) ? Number(text) : 0
  if (rounds < 1) throw new Stop(exit.usage, `--rounds ${JSON.stringify(text)}: a number from 1 on is needed.`)
  return rounds
}

function webhookOf(text: string): URL {
  const url = URL.parse(text)
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:")) throw new Stop(exit.usage, `--webhook ${JSON.stringify(text)} is no URL of a web server.`)
  if (url.username !== "" || url.password !== "") throw new Stop(exit.usage, "--webhook takes no name and password in the URL: other users of this machine can read command lines.")
  return url
}

/** @param first a file that cannot be written is a mistake; later it is trouble, which must not end the watch */
async function keepMemory(file: string, remembered: readonly Remembered[], first: boolean): Promise<void> {
  try {
    await writeMemory(file, remembered)
  } catch (error) {
    const sentence = `--state ${file} cannot be written: ${error instanceof Error ? error.message : String(error)}`
    if (first) throw new Stop(exit.usage, sentence)
    note(sentence)
  }
}

async function posted(hook: URL, changes: readonly Change[], clock: Parameters<typeof postJson>[2], signal: AbortSignal): Promise<void> {
  try {
    await postJson(hook, { watch: 1, tool: { name: "xmpp-dna", version: version() }, changes }, clock, signal)
  } catch (error) {
    if (!(error instanceof WebhookError)) throw error
    note(`the web hook was not told of ${changes.length} change${changes.length === 1 ? "" : "s"}: ${error.message}`)
  }
}

async function executed(command: string, changes: readonly Change[], clock: Parameters<typeof postJson>[2], signal: AbortSignal): Promise<void> {
  for (const change of changes.slice(0, mostCommands)) {
    const why = await runCommand(command, change, clock, signal)
    if (why !== undefined) note(`--exec for ${change.domain}: ${why}`)
  }
  if (changes.length > mostCommands) note(`--exec: ${changes.length - mostCommands} more changes were not told.`)
}

const marks: Record<Change["severity"], Mark> = { bad: "bad", warn: "warn", unknown: "unknown", info: "none", good: "good" }

function lineOf({ at, severity, domain, service, sentence, detail, finding }: Change, shown: Terminal): string {
  const when = `${at.slice(0, 10)} ${at.slice(11, 19)}Z`
  const before = `${when} ${shown.mark(marks[severity])} `
  const words = `${domain}${service === "xmpp-client" ? " (c2s)" : ""}: ${sentence}${detail === "" ? "" : `: ${detail}`}${finding === null || sentence.includes(finding) ? "" : ` [${finding}]`}`
  return `${hanging(before, when.length + shown.markWidth + 2, shown.clean(words)).join("\n")}\n`
}
