// Answers that a real Prosody sends on the wrong stream: to a question that came on a stream of two other domains it answers on
// the stream of those. They arrive where the certificate of that stream proves who they are from, and only there (security.md 9).
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { eventually, linesOf, startOurs } from "./ours.ts"
import { peerMissing } from "./peers-used.ts"
import { startForeign } from "./servers.ts"
import { createWorld } from "./world.ts"

const world = await createWorld()
after(() => world.end())

const rows = [
  { what: "with one certificate, which says errors", label: "wrong", oneCertificate: true, saysErrors: true, modules: [], wrong: true },
  { what: "the same with both directions on a connection", label: "wrong-bidi", oneCertificate: true, saysErrors: true, modules: ["s2s_bidi"], wrong: true },
  { what: "as it is", label: "right", oneCertificate: false, saysErrors: false, modules: [], wrong: false },
] as const
for (const { what, label, oneCertificate, saysErrors, modules, wrong } of rows)
  test(`chatrooms and a user of our second domain; Prosody ${what}`, { skip: peerMissing("prosody") }, async () => {
    const [one, two] = [`one.${label}.example`, `two.${label}.example`]
    const gateway = await startOurs(world, { domains: [{ name: one }, { name: two }], require: "authenticated", oneCertificate: true })
    const foreign = await startForeign(world, "prosody", { label: `${label}-muc`, strict: true, oneCertificate, saysErrors, modules })
    const [first, second] = [await gateway.bot(one), await gateway.bot(two)]
    // The stream between the first domains is there when the second user comes along.
    first.say(`bot@${foreign.domain}`, "hello")
    await foreign.bot.waitFor("<body>hello</body>")
    foreign.bot.say(`bot@${one}`, "hello yourself")
    await first.waitFor("<body>hello yourself</body>")

    second.send(`<iq type='get' id='what' from='bot@${two}/g' to='${foreign.rooms}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>`)
    assert.match(await second.waitFor(/<iq[^>]*id=['"]what['"]/), /category=['"]conference['"]/)

    const room = `lobby@${foreign.rooms}`
    second.send(`<presence from='bot@${two}/g' to='${room}/guest'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>`)
    assert.match(await second.waitFor(new RegExp(`<presence[^>]*${room}/guest`)), /code=['"]110['"]/)
    second.send(`<iq type='set' id='unlock' from='bot@${two}/g' to='${room}'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>`)
    assert.match(await second.waitFor(/<iq[^>]*id=['"]unlock['"]/), /type=['"]result['"]/)
    // Our first domain joins as well, and each hears the other.
    first.send(`<presence from='bot@${one}/f' to='${room}/first'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>`)
    assert.match(await first.waitFor(new RegExp(`<presence[^>]*${room}/first`)), /code=['"]110['"]/)
    for (const [bot, resource, nick] of [[second, "g", "guest"], [first, "f", "first"]] as const) {
      bot.send(`<message type='groupchat' from='bot@${bot.domain}/${resource}' to='${room}'><body>from ${nick}</body></message>`)
      for (const hearing of [first, second]) assert.match(await hearing.waitFor(`<body>from ${nick}</body>`), new RegExp(`${room}/${nick}`))
    }

    const arriving = () => linesOf(gateway, "s2s.associated").filter(({ dir }) => dir === "in")
    const sendersOf = (stream: string | undefined) => new Set(arriving().filter(({ sid }) => sid === stream).map(({ from }) => from))
    // A stream on which two domains of theirs arrived is the wrong one for one of them: they never ask for a second one.
    await eventually(() => assert.equal(arriving().some(({ sid }) => sendersOf(sid).size > 1), wrong))
    assert.deepEqual(arriving().filter(({ level_reached: level }) => level !== "authenticated"), [], "each by the certificate, judged for that pair")
    assert.deepEqual(linesOf(gateway, "s2s.refused"), [])
    for (const bot of [first, second]) assert.deepEqual(bot.received.filter((stanza) => /type=['"]error['"]/.test(stanza)), [])
  })
