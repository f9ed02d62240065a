// The scenes and exhibits as a page of documentation (docs/scenes.md), made from what the lab itself plays and puts up.
import { checkedScenes } from "./checked-scenes.ts"
import type { ExhibitSeen } from "./exhibit.ts"
import { exhibits } from "./exhibits.ts"
import { scenes } from "./programme.ts"

const head = `<!-- Made by \`npm run pages\` from src/lab/exhibits and src/lab/scenes: change those. -->

# What the lab shows

Every row stands by its name: \`xmpp-dna lab NAME\` ([how](lab.md)). What \`check\` finds there is tried by a test on every row: exactly these findings
and this exit status, besides that there are no TLSA records or no POSH document, which is left out here.

## Exhibits

Domains that stand there to be checked, each with one thing wrong, or none.

| name | what is wrong | level | \`check\` finds | exit |
|---|---|---|---|---|
`

const between = `
## Scenes

Played by whole gateways that meet, and told step by step; both ends' words and evidence are judged. Behind each: what \`check\` finds at its domains
afterwards, where something is to be found.

| name | what happens | of | \`check\` finds |
|---|---|---|---|
`

const cell = (text: string): string => text.replaceAll("|", "\\|")
/** Said of nearly every domain. */
const usual = ["info dane.no-tlsa", "info dane.not-signed", "info posh.not-published", "info posh.unreachable"]
const telling = ({ findings }: ExhibitSeen): string => {
  const told = findings.filter((each) => !usual.includes(each))
  return told.map((each) => `\`${each.slice(each.indexOf(" ") + 1)}\`${each.startsWith("bad ") ? "" : ` (${each.slice(0, each.indexOf(" "))})`}`).join(", ")
}

/** The whole page. */
export function scenesPage(): string {
  const standing = exhibits.map(({ id, title, expected }) => `| \`${id}\` | ${cell(title)} | ${expected.level ?? "could not tell"} | ${telling(expected)} | ${expected.exit} |\n`)
  const played = scenes.map(({ id, title, section }) => {
    const seen = Object.entries(checkedScenes[id] ?? {}).filter(([, each]) => each.exit !== 0)
    return `| \`${id}\` | ${cell(title)} | ${section} | ${seen.map(([domain, each]) => `${domain}: ${telling(each)}`).join("; ")} |\n`
  })
  return `${head}${standing.join("")}${between}${played.join("")}`
}
