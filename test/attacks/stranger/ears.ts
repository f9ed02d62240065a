// What the stranger hears from the gateway, and how it answers in the mood it is in.
import assert from "node:assert/strict"
import type { Tls } from "../../../src/ports.ts"
import { never } from "../../scenarios/support.ts"
import { club, home, honest, keyOf, type Pair } from "./facts.ts"
import type { Heard, Line } from "./line.ts"
import { conditions, problem, sasl, sm, type Speech } from "./speech.ts"
import type { Wits } from "./wits.ts"

export class Ears {
  readonly #wits: Wits
  readonly #speech: Speech
  readonly #tls: Tls

  constructor(wits: Wits, speech: Speech, tls: Tls) {
    this.#wits = wits
    this.#speech = speech
    this.#tls = tls
  }

  hear(line: Line, heard: Heard): void {
    const { name } = heard
    if (name === "error" || name === "end") {
      line.ended = true
      if (name === "end") {
        line.say("</stream:stream>")
        line.channel.end()
      }
      return
    }
    if (name === "stanza") return this.#left(line, heard)
    if (name === "db:result") return this.#result(line, heard)
    if (name === "db:verify") return this.#verify(line, heard)
    if (["enable", "enabled", "resume", "resumed", "r", "a"].includes(name)) return this.#management(line, heard)
    if (line.dialled) this.#accepting(line, heard)
    else this.#connecting(line, heard)
  }

  /** The gateway answers on a connection of the stranger's. */
  #accepting(line: Line, heard: Heard): void {
    switch (heard.name) {
      case "header": {
        const id = heard.attribute("id") ?? ""
        this.#wits.ids.push(id)
        const pair = line.answer(id)
        // EXT-06: whoever was authenticated, to whom the new header is addressed.
        if (pair !== undefined) this.#granted(line, pair)
        return
      }
      case "features":
        line.offered = heard.text.includes("EXTERNAL")
        return
      case "proceed":
        void line.secure(this.#tls, line.wish, line.serverName, never)
        return
      case "success":
        line.authenticated = line.current?.from
        return
    }
  }

  /** The gateway speaks on a connection of its own. */
  #connecting(line: Line, heard: Heard): void {
    switch (heard.name) {
      case "header": {
        const [from, to] = [heard.attribute("from") ?? "", heard.attribute("to") ?? ""]
        line.began(from, to)
        this.#wits.model.showed(line, to)
        line.say(this.#speech.header(line, to, from) + this.#speech.features(line))
        line.answered += line.secured ? 1 : 0
        return
      }
      case "starttls":
        line.say("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        void line.secure(this.#tls, this.#wits.mood.shown, "", never)
        return
      case "bidi":
        line.bidi = true
        return
      case "auth": {
        line.external("asked")
        if (this.#wits.mood.auth === "silence") return
        if (this.#wits.mood.auth === "success") line.external("granted")
        line.say(this.#wits.mood.auth === "success" ? `<success ${sasl}/>` : `<failure ${sasl}><not-authorized/></failure>`)
        return
      }
    }
  }

  #granted(line: Line, pair: Pair): void {
    this.#wits.tally.granted += 1
    if (line.current !== undefined) this.#wits.model.granted(line, line.current, pair)
  }

  #result(line: Line, { text, attribute }: Heard): void {
    const [from, to, type] = [attribute("from") ?? "", attribute("to") ?? "", attribute("type")]
    if (type !== undefined) {
      if (type === "valid") this.#granted(line, { from: to, to: from })
      return
    }
    const key = />([^<]*)</.exec(text)?.[1] ?? ""
    this.#wits.keys.push(key)
    const id = line.dialled ? (line.current?.id ?? "") : line.id
    this.#wits.made.push({ pair: { from, to }, id, key })
    this.#wits.model.keyMade({ from, to }, id, key)
    this.#wits.model.asked(line, { from, to })
    line.asked.add(keyOf({ from, to }))
    const result = line.told.size === 0 ? this.#wits.mood.result : this.#wits.mood.further
    if (result === "silence") return
    if (result === "another") {
      const other = { from: from === home ? club : home, to }
      if (line.asked.has(keyOf(other))) line.welcome(other)
      return line.say(`<db:result from='${honest}' to='${from}' type='valid'/><db:result from='${to}' to='${other.from}' type='valid'/>`)
    }
    if (result === "valid") line.welcome({ from, to })
    line.say(`<db:result from='${to}' to='${from}' type='${result}'>${result === "error" ? problem : ""}</db:result>`)
  }

  #verify(line: Line, { attribute }: Heard): void {
    const [from, to, id, type] = [attribute("from") ?? "", attribute("to") ?? "", attribute("id") ?? "", attribute("type")]
    if (type !== undefined) {
      if (type === "valid") {
        this.#wits.tally.vouched += 1
        this.#wits.model.vouchedFor({ from, to }, id)
      }
      return
    }
    const { verify } = this.#wits.mood
    if (verify === "silence") return
    const other = from === home ? club : home
    if (verify === "valid") this.#wits.model.vouched(line, { from: to, to: from }, id)
    if (verify === "another pair") this.#wits.model.vouched(line, { from: to, to: other }, id)
    const answer = (by: string, whom: string, which: string, type: string): string =>
      `<db:verify from='${by}' to='${whom}' id='${which}' type='${type}'>${type === "error" ? problem : ""}</db:verify>`
    if (verify === "another id") return line.say(answer(to, from, `${id}x`, "valid"))
    if (verify === "another pair") return line.say(answer(to, other, id, "valid") + answer(honest, from, id, "valid"))
    line.say(answer(to, from, id, verify))
  }

  #management(line: Line, { name, attribute }: Heard): void {
    const { counts, resumes } = this.#wits.mood
    switch (name) {
      case "enable":
        line.counting = true
        line.counted = 0
        line.session = `x${line.number}`
        if (resumes !== "silence") line.say(`<enabled ${sm} id='${line.session}' resume='true'/>`)
        return
      case "enabled": {
        const id = attribute("id")
        line.counting = true
        if (id === undefined) return
        line.session = id
        this.#wits.sessions.push(id)
        return
      }
      case "resume":
        line.counting = true
        if (resumes === "resumed") line.session = attribute("previd") ?? ""
        if (resumes === "resumed") line.say(`<resumed ${sm} previd='${attribute("previd")}' h='${attribute("h")}'/>`)
        else if (resumes === "failed") line.say(`<failed ${sm}><item-not-found ${conditions}/></failed>`)
        return
      case "resumed":
        this.#wits.tally.resumed += 1
        line.counting = true
        this.#wits.model.resumed(line, attribute("previd") ?? "")
        this.#wits.model.counted(line, Number(attribute("h")))
        return
      case "r":
        if (counts !== "silence") line.say(`<a ${sm} h='${line.counted + (counts === "right" ? 0 : 7)}'/>`)
        return
      case "a":
        this.#wits.model.counted(line, Number(attribute("h")))
        return
    }
  }

  #left(line: Line, { attribute }: Heard): void {
    line.counted += 1
    const domain = (jid: string | undefined): string => (jid ?? "").split("/")[0]!.split("@").at(-1)!
    const pair = { from: domain(attribute("from")), to: domain(attribute("to")) }
    this.#wits.model.leaving(line, line.dialled ? line.current : line.document, pair)
    const id = attribute("id") ?? ""
    if (attribute("type") === "error") this.#wits.model.returned(id)
    const fate = this.#wits.fates.get(id)
    if (fate === undefined) return
    assert.equal(fate.to, pair.to)
    fate.seen += 1
    fate.left ||= !line.counting
  }
}