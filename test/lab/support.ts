// The machine for the lab's tests: real sockets on loopback, real TLS.
import type { LabPorts } from "../../src/lab/ports.ts"
import { createGatewayWorld } from "../../src/node/gateway-world.ts"

export const labPorts: LabPorts = { world: (log) => createGatewayWorld({ log }) }
