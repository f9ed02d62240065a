// The lab's component: attached it sends and hears; refused it says why (COMP-2; security.md 21).
import assert from "node:assert/strict"
import { test } from "node:test"
import { parseCidr } from "../../src/model/address.ts"
import { ComponentClient } from "../../src/lab/component-client.ts"
import { Internet } from "../../src/lab/internet.ts"
import { labPorts } from "./support.ts"

test("a component is attached with the right secret only, and only once", async () => {
  const net = await Internet.start(labPorts)
  try {
    const server = await net.addServer({ domain: "a.example" })
    const dial = labPorts.world({ write: () => undefined }).dial(() => ({ networks: [parseCidr("127.0.0.0/8")], names: [], ownListeners: [] }))
    const attach = (domain: string, secret: string) =>
      ComponentClient.attach({ dial, to: server.componentAddress, domain, secret, signal: AbortSignal.timeout(5000), received: () => undefined })
    await assert.rejects(attach("a.example", "0123456789abcdef0123456789abcdef"), /not-authorized/)
    await assert.rejects(attach("b.example", server.componentSecret), /host-unknown/)
    await assert.rejects(attach("a.example", server.componentSecret), /conflict/)
    await server.component.close()
    assert.match(await server.component.closed, /closed/)
  } finally {
    await net.close()
  }
})

test("the lab says what it waited for in vain, and who is not there", async () => {
  const net = await Internet.start(labPorts)
  try {
    await assert.rejects(
      net.until("rain", () => undefined, 10),
      { name: "WaitedInVain", message: "waited in vain for rain" },
    )
    assert.throws(() => net.server("nobody.example"), /there is no server of nobody\.example/)
    await assert.rejects(net.addServer({ domain: "not a domain" }))
    assert.deepEqual(net.servers, [])
  } finally {
    await net.close()
  }
})
