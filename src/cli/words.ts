// The words of the command line, read off the tree of commands: for completion and for man pages.
import type { Argument, Command, Option } from "commander"

/** What may follow: nothing; a file; one of a few words; text that nobody can complete. */
export type Value = { readonly kind: "none" | "file" | "text" } | { readonly kind: "words"; readonly words: readonly string[] }

export interface OptionWords {
  readonly flags: readonly string[]
  readonly about: string
  readonly value: Value
}

export interface CommandWords {
  /** Words from the program's name on, which is not among them. */
  readonly path: readonly string[]
  readonly about: string
  readonly commands: readonly CommandWords[]
  /** Its own and those of the commands above it, without `--help`. */
  readonly options: readonly OptionWords[]
  readonly argument: Value
}

/** Words an option or argument takes, by its command's path and its long flag or name; without a path: wherever it stands. */
export const valueWords: Readonly<Record<string, readonly string[]>> = {
  "--color": ["auto", "always", "never"],
  "--dnssec": ["validate", "off"],
  "--expect": ["authenticated", "encrypted", "verified"],
  "--fail-on": ["bad", "warn"],
  "--format": ["zone", "generic", "nsupdate", "json", "terraform"],
  "--hook": ["certbot", "acme.sh"],
  "--instructions": ["nginx", "caddy", "apache", "github-pages"],
  "--service": ["server", "client", "both"],
  "posh --service": ["server", "client"],
  "tlsa --service": ["server", "client"],
  "completion shell": ["bash", "zsh", "fish"],
}

const files = ["file", "pem", "cert", "folder", "path"]

/** @param more words that are known elsewhere, by command and argument */
export function wordsOf(program: Command, more: Readonly<Record<string, readonly string[]>> = {}): CommandWords {
  const known = { ...valueWords, ...more }
  const taking = (path: readonly string[], name: string, placeholder: string): Value => {
    const words = path.map((_, index) => known[`${path.slice(0, path.length - index).join(" ")} ${name}`]).find((each) => each !== undefined) ?? known[name]
    if (words !== undefined) return { kind: "words", words }
    return { kind: files.includes(placeholder) ? "file" : "text" }
  }
  const option = (path: readonly string[], { short, long, flags, description }: Option): OptionWords => {
    const placeholder = /[<[]([^\]>]+)[\]>]/.exec(flags)?.[1]
    const names = [short, long].flatMap((flag) => flag ?? [])
    return { flags: names, about: description, value: placeholder === undefined ? { kind: "none" } : taking(path, long ?? flags, placeholder) }
  }
  const argument = (path: readonly string[], given: readonly Argument[]): Value => {
    const [first] = given
    return first === undefined ? { kind: "none" } : taking(path, first.name(), first.name())
  }
  const command = (each: Command, above: readonly string[], inherited: readonly OptionWords[]): CommandWords => {
    const path = each.parent === null ? [] : [...above, each.name()]
    // A subcommand's option hides one of the same name above it.
    const own = each.options.filter(({ hidden }) => !hidden).map((one) => option(path, one))
    const options = [...own, ...inherited.filter(({ flags }) => !own.some((one) => one.flags.some((flag) => flags.includes(flag))))]
    // Whoever asks for the version asks the program.
    const passed = options.filter(({ flags }) => !flags.includes("--version"))
    return { path, about: each.summary() || firstSentence(each.description()), options, argument: argument(path, each.registeredArguments), commands: each.commands.map((sub) => command(sub, path, passed)) }
  }
  const root = command(program, [], [])
  // Commander's own command, which stands in no list.
  const help: CommandWords = { path: ["help"], about: "show help for a command", commands: [], options: [], argument: { kind: "words", words: root.commands.flatMap(({ path }) => path) } }
  return { ...root, commands: [...root.commands, help] }
}

const firstSentence = (text: string): string => text.replace(/\s+/g, " ").replace(/(?<=[a-z)])\. .*$/, "")

/** The program and every command below it. */
export function everyCommand(words: CommandWords): readonly CommandWords[] {
  return [words, ...words.commands.flatMap(everyCommand)]
}
