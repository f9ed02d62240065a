// Somebody who reads and rewrites what goes over a connection of the world in memory, under its TLS as well: for peers that
// are not as ours are.

const unmasked = (bytes: Buffer): Buffer => Buffer.from(bytes.map((byte) => byte ^ 0x5a))

/** Rewrites every write that is XML, in clear or masked; whatever else passes as it is. */
export function alteredText(alter: (text: string, towards: "server" | "client") => string): (bytes: Buffer, towards: "server" | "client") => Buffer {
  return (bytes, towards) => {
    const first = bytes[0]
    if (first === 0x3c) return Buffer.from(alter(bytes.toString("utf8"), towards))
    if (first !== (0x3c ^ 0x5a)) return bytes
    return unmasked(Buffer.from(alter(unmasked(bytes).toString("utf8"), towards)))
  }
}
