// The list of all scenes, in the order they are played; a group of scenes is one file, and one word here.
import type { Scene } from "./scene.ts"
import { associationScenes } from "./scenes/associations.ts"
import { dialbackScenes } from "./scenes/dialback.ts"
import { lastingScenes } from "./scenes/lasting.ts"
import { ownProoftypeScenes } from "./scenes/own-prooftype.ts"
import { poshRefusalScenes } from "./scenes/posh-refusals.ts"
import { poshRolloverScenes } from "./scenes/posh-rollover.ts"
import { poshScenes } from "./scenes/posh.ts"
import { refusalScenes } from "./scenes/refusals.ts"
import { secureDnsScenes } from "./scenes/secure-dns.ts"
import { sharedStreamScenes } from "./scenes/shared-streams.ts"
import { tlsaScenes } from "./scenes/tlsa.ts"

export const scenes: readonly Scene[] = [
  ...associationScenes,
  ...dialbackScenes,
  ...sharedStreamScenes,
  ...lastingScenes,
  ...refusalScenes,
  ...tlsaScenes,
  ...secureDnsScenes,
  ...poshScenes,
  ...poshRefusalScenes,
  ...ownProoftypeScenes,
  ...poshRolloverScenes,
]

/** What is told when nothing else is asked for: proofs by certificate, by signed DNS and by a document, the want of one, and two that fail. */
const main = ["mutual-external", "no-client-certificate", "self-signed-refused", "wrong-name", "dane-ee", "delegated-host", "posh-redirect"]
export const mainScenes: readonly Scene[] = scenes.filter(({ id }) => main.includes(id))
