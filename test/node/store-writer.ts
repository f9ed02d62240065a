// A process that writes batch after batch into a store and says which ones are done, until it is killed (test/node/store.test.ts).
import { openStore } from "../../src/node/store.ts"

const [folder = "", first = "0"] = process.argv.slice(2)
const store = openStore(folder, Date.now())
for (let batch = Number(first); ; batch += 1) {
  const value = JSON.stringify({ batch, filling: "x".repeat(400) })
  await store.write(Array.from({ length: 40 }, (_, index) => ({ kind: "ratchet", key: `peer-${index}.example`, value, changed: batch })))
  process.stdout.write(`${batch}\n`)
}
