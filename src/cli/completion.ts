// `xmpp-dna completion`: scripts for bash, zsh and fish, made from the tree of commands. Each finds the command that the words so far have
// come to, and completes its subcommands, its options and the values of these; nothing is asked of the program while somebody types.
import type { Command } from "commander"
import { nearestWord } from "../gateway/did-you-mean.ts"
import { schemas } from "../inspect/schemas.ts"
import { exhibits } from "../lab/exhibits.ts"
import { scenes } from "../lab/programme.ts"
import { findings } from "../model/findings.ts"
import { exit, Stop } from "./exit.ts"
import { type CommandWords, everyCommand, type OptionWords, type Value, wordsOf } from "./words.ts"

export const shells = ["bash", "zsh", "fish"] as const
export type Shell = (typeof shells)[number]

/** @throws Stop for a shell that is not known */
export function completionCommand(program: Command, name: string): number {
  const shell = shells.find((each) => each === name)
  if (shell === undefined) {
    const near = nearestWord(name, shells)
    throw new Stop(exit.usage, `there is no completion for ${JSON.stringify(name)}: ${shells.join(", ")}.${near === undefined ? "" : ` Did you mean ${near}?`}`)
  }
  process.stdout.write(completion(program, shell))
  return exit.ok
}

export function completion(program: Command, shell: Shell): string {
  const words = wordsOf(program, {
    "lab scene": [...scenes, ...exhibits].map(({ id }) => id),
    "schema name": Object.keys(schemas),
    "explain text": Object.keys(findings),
  })
  return { bash, zsh, fish }[shell](words)
}

/** Everything below is put between single quotes. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

const placeOf = ({ path }: CommandWords): string => path.join(" ")
const flagsOf = (options: readonly OptionWords[]): string[] => [...options.flatMap(({ flags }) => flags), "--help"]

/** Patterns of `case`: the place and the word before. */
const places = (of: readonly { readonly command: CommandWords; readonly flag: string }[]): string => of.map(({ command, flag }) => quoted(`${placeOf(command)} ${flag}`)).join("|")

interface Asked {
  readonly command: CommandWords
  readonly flag: string
  readonly value: Value
}

/** Options that take a value, by what they take: where, and which words. */
function valued(all: readonly CommandWords[]): { readonly files: readonly Asked[]; readonly texts: readonly Asked[]; readonly words: readonly (readonly [words: string, asked: readonly Asked[]])[] } {
  const asked = all.flatMap((command) => command.options.flatMap(({ flags, value }) => flags.map((flag): Asked => ({ command, flag, value }))))
  const words = new Map<string, Asked[]>()
  for (const each of asked) {
    if (each.value.kind !== "words") continue
    const list = each.value.words.join(" ")
    words.set(list, [...(words.get(list) ?? []), each])
  }
  return { files: asked.filter(({ value }) => value.kind === "file"), texts: asked.filter(({ value }) => value.kind === "text"), words: [...words] }
}

/** What may stand where no option does: subcommands, and the argument's words. */
const plainWords = ({ commands, argument }: CommandWords): string[] => [...commands.map(({ path }) => path.at(-1) ?? ""), ...(argument.kind === "words" ? argument.words : [])]

function bash(root: CommandWords): string {
  const all = everyCommand(root)
  const { files, texts, words } = valued(all)
  const steps = all.slice(1).map((command) => quoted(placeOf(command)))
  return `# Completion of xmpp-dna for bash: source this file, or put it at /usr/share/bash-completion/completions/xmpp-dna
_xmpp_dna() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} at='' words='' i
  local file=''
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "\${at:+$at }\${COMP_WORDS[i]}" in
      ${steps.join("|")}) at="\${at:+$at }\${COMP_WORDS[i]}" ;;
    esac
  done
  COMPREPLY=()
  case "$at $prev" in
    ${places(files)}) file=yes ;;
${words.map(([list, asked]) => `    ${places(asked)}) words=${quoted(list)} ;;`).join("\n")}
    ${places(texts)}) return ;;
    *)
      case "$at" in
${all.map((command) => `        ${quoted(placeOf(command))}) words=${quoted(plainWords(command).join(" "))}${command.argument.kind === "file" ? " file=yes" : ""}; [[ $cur == -* ]] && words=${quoted(flagsOf(command.options).join(" "))} ;;`).join("\n")}
      esac ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
  if [[ $file && $cur != -* ]]; then
    local found
    mapfile -t found < <(compgen -f -- "$cur")
    COMPREPLY+=("\${found[@]}")
    compopt -o filenames 2>/dev/null
  fi
}
complete -F _xmpp_dna xmpp-dna
`
}

/** `word:what it is`, as \`_describe\` of zsh wants it. */
const described = (word: string, about: string): string => quoted(`${word.replaceAll(":", "\\:")}:${about}`)

function zsh(root: CommandWords): string {
  const all = everyCommand(root)
  const { files, texts, words } = valued(all)
  const steps = all.slice(1).map((command) => quoted(placeOf(command)))
  const row = (command: CommandWords): string => {
    const { options, commands, argument } = command
    const flags = [...options.flatMap((option) => option.flags.map((flag) => described(flag, option.about))), described("--help", "show help")]
    const named = commands.map(({ path, about }) => described(path.at(-1) ?? "", about))
    const list = [...named, ...(argument.kind === "words" ? argument.words.map(quoted) : [])]
    return `        ${quoted(placeOf(command))}) entries=(${list.join(" ")})${argument.kind === "file" ? " file=yes" : ""}; [[ $cur == -* ]] && entries=(${flags.join(" ")}) ;;`
  }
  return `#compdef xmpp-dna
# Completion of xmpp-dna for zsh: put this file as _xmpp-dna into a folder of $fpath
_xmpp_dna() {
  local cur="\${words[CURRENT]}" prev="\${words[CURRENT-1]}" at='' file='' step i
  local -a entries
  for ((i = 2; i < CURRENT; i++)); do
    step="\${at:+$at }\${words[i]}"
    case "$step" in
      ${steps.join("|")}) at="$step" ;;
    esac
  done
  case "$at $prev" in
    ${places(files)}) file=yes ;;
${words.map(([list, asked]) => `    ${places(asked)}) entries=(${list}) ;;`).join("\n")}
    ${places(texts)}) return ;;
    *)
      case "$at" in
${all.map(row).join("\n")}
      esac ;;
  esac
  (( \${#entries} )) && _describe -o 'xmpp-dna' entries
  [[ -n $file && $cur != -* ]] && _files
  return 0
}
if [[ \${zsh_eval_context[-1]} == loadautofunc ]]; then _xmpp_dna "$@"; else compdef _xmpp_dna xmpp-dna; fi
`
}

function fish(root: CommandWords): string {
  const all = everyCommand(root)
  const steps = all.slice(1).map((command) => quoted(placeOf(command)))
  const line = (command: CommandWords, ...rest: string[]): string => `complete -c xmpp-dna -n ${quoted(`__xmpp_dna_is ${placeOf(command)}`.trim())} ${rest.join(" ")}`
  const about = (text: string): string => `-d ${fishQuoted(text)}`
  const option = (command: CommandWords, { flags, about: what, value }: OptionWords): string => {
    const names = flags.map((flag) => (flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`))
    const takes = value.kind === "file" ? ["-r", "-F"] : value.kind === "text" ? ["-x"] : value.kind === "words" ? ["-x", "-a", fishQuoted(value.words.join(" "))] : []
    return line(command, ...names, ...takes, about(what))
  }
  const rows = all.flatMap((command) => {
    const { commands, argument, options } = command
    const named = commands.map(({ path, about: what }) => line(command, "-a", path.at(-1) ?? "", about(what)))
    const values = argument.kind === "words" ? [line(command, "-a", fishQuoted(argument.words.join(" ")))] : argument.kind === "file" ? [line(command, "-F")] : []
    return [...named, ...values, ...options.map((each) => option(command, each)), line(command, "-l help", "-s h", about("show help"))]
  })
  return `# Completion of xmpp-dna for fish: put this file at ~/.config/fish/completions/xmpp-dna.fish
function __xmpp_dna_is
  set -l at
  for word in (commandline -opc)[2..-1]
    switch (string trim "$at $word")
      case ${steps.join(" ")}
        set -a at $word
    end
  end
  test "$at" = "$argv"
end
complete -c xmpp-dna -f
${rows.join("\n")}
`
}

/** In fish's single quotes two characters are escaped. */
const fishQuoted = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`
