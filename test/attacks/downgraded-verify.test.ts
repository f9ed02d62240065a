// Attacks on the connection that a key is verified over: what answers there is only as good as that connection (security.md 1, 3;
// DB-13, TLS-08, DANE-33).
import assert from "node:assert/strict"
import { test } from "node:test"
import type { RequiredLevel } from "../../src/model/policy.ts"
import { dane } from "../../src/proof/dane.ts"
import { pkix } from "../../src/proof/pkix.ts"
import { SignedDns, tlsaRow } from "../scenarios/signed-dns.ts"
import { type MemoryScene, memoryScene, message, openHeader, own } from "../scenarios/support.ts"
import { Recorder } from "../world/recorder.ts"

/** Somebody on the path to the victim's server takes its place: no TLS to be had, and every key is good. @returns keys asked about */
async function downgrading(scene: MemoryScene, address: string): Promise<string[]> {
  const asked: string[] = []
  await scene.world.host(address).listen.listen({ address, port: 5269 }, (channel) => {
    const heard = new Recorder()
    let answered = 0
    channel.attach({
      chunk(bytes) {
        heard.chunk(bytes)
        if (answered === 0 && heard.text.includes("<stream:stream")) {
          answered = 1
          channel.write(Buffer.from(`${openHeader("victim.example", "b.example", " id='x'")}<stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>`))
        }
        if (answered === 1 && heard.text.includes("<starttls")) {
          answered = 2
          channel.write(Buffer.from("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>"))
        }
        const id = /<db:verify [^>]*id='([^']*)'/.exec(heard.text)?.[1]
        if (answered === 1 && id !== undefined) {
          answered = 2
          asked.push(id)
          channel.write(Buffer.from(`<db:verify from='victim.example' to='b.example' id='${id}' type='valid'/>`))
        }
      },
      drain: () => {},
      end: () => {},
      close: () => {},
    })
    channel.resume()
  })
  scene.dns("_xmpp-server._tcp.victim.example", { SRV: [[0, 0, 5269, "host.victim.example"]] })
  scene.dns("host.victim.example", { A: [address] })
  return asked
}

async function run(require: RequiredLevel, promises = false): Promise<{ readonly levels: readonly string[]; readonly bodies: readonly string[]; readonly asked: number }> {
  const scene = memoryScene()
  const dns = new SignedDns()
  const asked = await downgrading(scene, "127.0.0.97")
  if (promises) scene.dns("_5269._tcp.host.victim.example", { TLSA: [tlsaRow(own("victim.example"))] })
  const b = await scene.server({ domains: ["b.example"], require, prooftypes: [pkix, dane], ports: dns.ports })
  const peer = await scene.raw(b)
  await peer.upToFeatures("victim.example", "b.example", undefined)
  peer.send("<db:result from='victim.example' to='b.example'>forged</db:result>")
  await scene.settle()
  peer.channel.write(message("king@victim.example", "y@b.example", "forged"))
  await scene.settle()
  const done = { levels: b.admitted.map(({ level }) => level), bodies: b.bodies, asked: asked.length }
  await scene.close()
  return done
}

test("attack: db:verify is answered over a connection whose TLS was taken away", async () => {
  // The policy that allows clear text is the weakened copy: there it works, and the level says how little it is worth.
  assert.deepEqual(await run("verified"), { levels: ["verified"], bodies: ["forged"], asked: 1 })
  for (const require of ["encrypted", "authenticated"] as const) assert.deepEqual(await run(require), { levels: [], bodies: [], asked: 0 })
})

test("attack: the same where clear text is allowed, but the victim's TLSA records promise TLS", async () => {
  assert.deepEqual(await run("verified", true), { levels: [], bodies: [], asked: 0 })
})
