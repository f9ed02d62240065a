// Attacks on what is remembered of peers (security.md 9, 13): each works against a weakened copy and fails against ours.
import assert from "node:assert/strict"
import { test } from "node:test"
import type { Association, FederationLevel } from "../../src/model/association.ts"
import { type Domain, parseDomain } from "../../src/model/domain.ts"
import { peerOf } from "../../src/model/policy.ts"
import type { StoreKind } from "../../src/ports.ts"
import { Memory, type MemoryOptions } from "../../src/federation/memory.ts"
import { Ratchet, type RatchetOptions, type RatchetSettings } from "../../src/federation/ratchet.ts"
import { RatchetTime } from "../../src/federation/ratchet-time.ts"
import { associationWith, SteppedClock } from "../federation/ratchet-support.ts"
import { patched } from "./weakened.ts"

const day = 86_400_000
const friend = parseDomain("friend.example")
const victim = parseDomain("victim.example")
const settings: RatchetSettings = { mode: "enforce", overrides: [], provesDns: true }

interface Kinds {
  readonly ratchet?: new (options: RatchetOptions) => Ratchet
  readonly memory?: new (options: MemoryOptions) => Memory
}

function build({ ratchet: Kind = Ratchet, memory: Kept = Memory }: Kinds = {}, clock = new SteppedClock(), capacity = { abilities: 10, ratchet: 50 }) {
  const memory = new Kept({ clock, capacity })
  return { clock, memory, ratchet: new Kind({ memory, clock, settings: () => settings }) }
}
type Built = ReturnType<typeof build>

const asked = ({ ratchet, clock }: Pick<Built, "ratchet" | "clock">, peer: Domain) => ratchet.raise({ require: "verified" }, peer, "out", clock.now()).require

async function pin(built: Built, peer: Domain, level: FederationLevel = "authenticated"): Promise<void> {
  for (const way of ["in", "out"] as const) built.ratchet.exchanged(peer, way)
  for (let count = 0; count < 8; count += 1) {
    built.ratchet.associated(associationWith("out", peer, level))
    await built.clock.advance(day)
  }
  assert.equal(asked(built, peer), level)
}

// Hostile pin: whoever holds a domain for a while, or imitates it, makes us hold its owner to a proof he does not have.

/** Every association counts, though nobody here ever spoke with the domain. */
class CredulousRatchet extends Ratchet {
  override associated(association: Association): void {
    for (const way of ["in", "out"] as const) this.exchanged(peerOf(association.pair, association.direction), way)
    super.associated(association)
  }
}

async function imitate(built: Built): Promise<FederationLevel> {
  for (let count = 0; count < 20; count += 1) {
    // The imitator sends us stanzas; nothing of ours ever goes there.
    built.ratchet.exchanged(victim, "in")
    built.ratchet.associated(associationWith("out", victim, "authenticated"))
    await built.clock.advance(day)
  }
  return asked(built, victim)
}

test("hostile pin: a domain that nobody here speaks with is held to nothing", async () => {
  assert.equal(await imitate(build({ ratchet: CredulousRatchet })), "authenticated", "the weakened copy locks the owner out")
  assert.equal(await imitate(build()), "verified")
})

/** The ratchet's time as the wall says, which makes a week out of a moment. */
const wallTime = (body: () => Promise<void>) => patched(RatchetTime.prototype, "now", function (this: RatchetTime) { return this.wall() }, body)

async function hurried(built: Built): Promise<FederationLevel> {
  for (const way of ["in", "out"] as const) built.ratchet.exchanged(victim, way)
  for (let count = 0; count < 5; count += 1) {
    built.ratchet.associated(associationWith("out", victim, "authenticated"))
    // Minutes pass, and the wall clock is set two days forward each time.
    await built.clock.advance(60_000)
    built.clock.offset += 2 * day
  }
  return asked(built, victim)
}

test("hostile pin: a clock that is stepped forward does not ripen one", async () => {
  await wallTime(async () => assert.equal(await hurried(build()), "authenticated"))
  assert.equal(await hurried(build()), "verified")
})

// Eviction flood: strangers push out what is remembered of a friend, who can then be imitated with less.

/** Makes room for the new by forgetting the old. */
class ForgetfulMemory extends Memory {
  override put(kind: StoreKind, key: string, value: string): boolean {
    if (super.put(kind, key, value)) return true
    for (const [oldest] of this.entries(kind)) {
      if (oldest === RatchetTime.key) continue
      this.remove(kind, oldest)
      break
    }
    return super.put(kind, key, value)
  }
}

async function flood(built: Built): Promise<FederationLevel> {
  await pin(built, friend)
  for (let count = 0; count < 200; count += 1) {
    const stranger = parseDomain(`stranger-${count}.example`)
    // They write to somebody here, and somebody answers.
    for (const way of ["in", "out"] as const) built.ratchet.exchanged(stranger, way)
    built.ratchet.associated(associationWith("out", stranger, "authenticated"))
  }
  await built.clock.advance(day)
  return asked(built, friend)
}

test("eviction flood: a full memory refuses strangers and keeps its friends", async () => {
  assert.equal(await flood(build({ memory: ForgetfulMemory })), "verified", "the weakened copy forgets its friend")
  const built = build()
  assert.equal(await flood(built), "authenticated")
  assert.equal(built.memory.size("ratchet"), 50)
})

// Clock stepped: what is remembered is made to rot.

async function rot(built: Built): Promise<FederationLevel> {
  await pin(built, friend)
  built.clock.offset += 100 * day
  return asked(built, friend)
}

test("a clock stepped a hundred days forward makes nothing decay", async () => {
  await wallTime(async () => assert.equal(await rot(build()), "verified"))
  assert.equal(await rot(build()), "authenticated")
})

/** After a restart time goes on where the wall clock says. */
class WallAtStart extends Memory {
  override get(kind: StoreKind, key: string): string | undefined {
    return key === RatchetTime.key ? undefined : super.get(kind, key)
  }
}

async function restarted(kind: typeof Memory): Promise<FederationLevel> {
  const built = build({ memory: kind })
  await pin(built, friend)
  const clock = new SteppedClock(built.clock.now() + 100 * day)
  const ratchet = new Ratchet({ memory: built.memory, clock, settings: () => settings })
  return asked({ ratchet, clock }, friend)
}

test("nor does one that is stepped forward between two runs", async () => {
  assert.equal(await restarted(WallAtStart), "verified")
  assert.equal(await restarted(Memory), "authenticated")
})

test("a clock stepped back lets nothing rot, and ripens nothing", async () => {
  const built = build()
  await pin(built, friend)
  built.clock.offset -= 50 * day
  assert.equal(asked(built, friend), "authenticated")
  assert.equal(await hurried(built), "verified")
})

// Stripping: somebody on the way takes proofs away, again and again.

test("stripping lowers nothing that binds, however often it is tried", async () => {
  const built = build()
  await pin(built, friend)
  for (let count = 0; count < 60; count += 1) {
    built.ratchet.associated(associationWith("out", friend, "verified"))
    built.ratchet.associated(associationWith("out", friend, "encrypted"))
    built.ratchet.withdrawn(friend, "out", [])
    await built.clock.advance(day)
  }
  assert.equal(asked(built, friend), "authenticated")
})
