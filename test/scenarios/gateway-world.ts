// What a whole gateway gets of a host in memory.
import type { GatewayWorld } from "../../src/gateway/contract.ts"
import type { Resolver } from "../../src/model/dns-answer.ts"
import type { MemoryFiles } from "../gateway/config-fixture.ts"
import type { TestHost } from "../world/world.ts"
import { anchors } from "./support.ts"

export function gatewayWorldOf(host: TestHost, files: MemoryFiles, resolver: Resolver = host.resolver): GatewayWorld {
  const { clock, random, tls, listen, dial, https, log } = host
  return {
    clock,
    random,
    tls,
    listen,
    files,
    log,
    https,
    dial: () => dial,
    resolver: () => ({ resolve: (name, type, lookup) => resolver.resolve(name, type, lookup), ability: async () => ({ able: true }) }),
    anchors: () => anchors,
    ownListeners: () => host.ownListeners(),
    environment: () => undefined,
  }
}
