// A component of ours in a chat room of theirs (XEP-0045): join, message, both directions, over two domains of the peer.
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { startOurs } from "./ours.ts"
import { peerMissing } from "./peers-used.ts"
import { type Kind, startForeign } from "./servers.ts"
import { createWorld } from "./world.ts"

const world = await createWorld()
after(() => world.end())

for (const kind of ["prosody", "ejabberd"] as const satisfies readonly Kind[]) {
  test(`a bot of ours joins a room on ${kind} and talks there`, { skip: peerMissing(kind) }, async () => {
    const ours = `guest.${kind}-rooms.example`
    const gateway = await startOurs(world, { domains: [{ name: ours }], require: "authenticated" })
    const foreign = await startForeign(world, kind, { label: `${kind}-muc` })
    const guest = await gateway.bot(ours)
    const room = `lobby@${foreign.rooms}`
    const join = (from: string, nick: string): string =>
      `<presence from='${from}' to='${room}/${nick}'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>`

    // Their bot opens the room; a new room is locked until its owner accepts the default configuration.
    const owner = foreign.bot
    owner.send(join(`bot@${owner.domain}/o`, "owner"))
    await owner.waitFor(new RegExp(`<presence[^>]*lobby@${foreign.rooms}/owner`))
    owner.send(
      `<iq type='set' id='unlock' from='bot@${owner.domain}/o' to='${room}'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>`,
    )
    assert.match(await owner.waitFor(/<iq[^>]*unlock/), /type=['"]result['"]/)

    guest.send(join(`bot@${ours}/g`, "guest"))
    // Who is there already, then ourselves (110), then the subject.
    await guest.waitFor(new RegExp(`<presence[^>]*lobby@${foreign.rooms}/owner`))
    assert.match(await guest.waitFor(new RegExp(`<presence[^>]*lobby@${foreign.rooms}/guest`)), /code=['"]110['"]/)
    await guest.waitFor("<subject")
    await owner.waitFor(new RegExp(`<presence[^>]*lobby@${foreign.rooms}/guest`))

    guest.send(`<message type='groupchat' from='bot@${ours}/g' to='${room}'><body>hello room</body></message>`)
    assert.match(await owner.waitFor("<body>hello room</body>"), new RegExp(`lobby@${foreign.rooms}/guest`))
    assert.match(await guest.waitFor("<body>hello room</body>"), /type=['"]groupchat['"]/)
    owner.send(`<message type='groupchat' from='bot@${owner.domain}/o' to='${room}'><body>hello guest</body></message>`)
    assert.match(await guest.waitFor("<body>hello guest</body>"), new RegExp(`lobby@${foreign.rooms}/owner`))

    // An iq through the room, answered by us.
    foreign.bot.send(`<iq type='get' id='ping-1' from='bot@${owner.domain}/o' to='bot@${ours}/g'><ping xmlns='urn:xmpp:ping'/></iq>`)
    const ping = await guest.waitFor(/<iq[^>]*ping-1/)
    assert.match(ping, /urn:xmpp:ping/)
    guest.send(`<iq type='result' id='ping-1' from='bot@${ours}/g' to='bot@${owner.domain}/o'/>`)
    assert.match(await owner.waitFor(/<iq[^>]*ping-1/), /type=['"]result['"]/)
  })
}
