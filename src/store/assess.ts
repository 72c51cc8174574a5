/**
 * Assesses a store that was just opened: compares its database with itself, with `holdfast.json` and with the anchor (store-2).
 * Reads only. The caller refuses the damage, or accepts it and writes `repairs`.
 */

import type { Operation } from './disk/layout.js'
import type { Level } from './disk/level.js'
import { checkIdentity, type Identity, identityOperation } from './init.js'
import { type AnchorFound, readAnchor } from './integrity/anchor.js'
import { acceptOperation, readChain } from './integrity/chain.js'

/** What is left of a store, and what is wrong with it. */
export interface Assessment {
  /** The number of the newest commit. After damage is accepted, later commits are numbered from the anchor's on. */
  readonly newest: number
  /** A sentence about what is missing or damaged, or `undefined`. */
  readonly damage: string | undefined
  /** True if all of the damage is commits that were not synced, which a power cut may take from a buffered store. */
  readonly isBuffered: boolean
  /** Written once the damage is accepted, so that no later open finds it again. */
  readonly repairs: readonly Operation[]
}

/** @throws HoldfastError `STORE_UNUSABLE`, `STORE_DAMAGED` for what cannot be accepted */
export async function assess(dir: string, level: Level, identity: Identity, anchorPath: string): Promise<Assessment> {
  const identityDamage = await checkIdentity(dir, level, identity)
  const anchor = await readAnchor(anchorPath)
  const anchored = anchor.kind === 'sound' && anchor.storeId === identity.storeId ? anchor.seq : 0
  const chain = await readChain(level, anchored)
  const anchorDamage = complaintOf(anchor, identity, chain.newest)
  const damages = [...chain.damages, identityDamage, anchorDamage].filter((damage) => damage !== undefined)
  if (damages.length === 0) return { newest: chain.newest, damage: undefined, isBuffered: false, repairs: [] }
  const newest = Math.max(chain.newest, anchored)
  return {
    newest,
    damage: damages.join('; '),
    isBuffered: chain.isBuffered && identityDamage === undefined && anchorDamage === undefined,
    repairs: [
      ...chain.unreadable.map((key) => ({ key })),
      ...(identityDamage === undefined ? [] : [identityOperation(identity)]),
      acceptOperation(newest),
    ],
  }
}

/** A sentence about an anchor that cannot tell whether the newest commits are there. */
function complaintOf(anchor: AnchorFound, { storeId }: Identity, newest: number): string | undefined {
  const consequence = 'so nothing shows whether the newest commits are there'
  switch (anchor.kind) {
    case 'sound':
      return anchor.storeId === storeId ? undefined : `the anchor file is another store's, ${consequence}`
    case 'damaged':
      return `both slots of the anchor file are damaged, ${consequence}`
    case 'missing':
      // A process that makes a store may die before the anchor is there, and never after its first commit.
      return newest === 0 ? undefined : `the anchor file is missing, ${consequence}`
  }
}
