// The parts of node:http that are used here. An `import` of it would read every name that it exports, and reading the one of WebSocket
// loads a whole HTTP client that nobody here uses: 60 ms of CPU time at every start.
export const { createServer, request } = process.getBuiltinModule("node:http")
