/**
 * Assesses a store that was just opened: compares its database with itself, with `holdfast.json` and with the anchor
 * (store-2). Only reads. The caller refuses the damage, or accepts it and writes `repairs`.
 */

import type { Operation } from './disk/layout.js'
import type { Level } from './disk/level.js'
import { checkIdentity, type Identity, identityOperation } from './init.js'
import { type AnchorFound, readAnchor } from './integrity/anchor.js'
import { acceptOperation, readChain } from './integrity/chain.js'

/** Result of an assessment: the newest commit, and the damage. */
export interface Assessment {
  /** Number of the newest commit. After damage is accepted, later commits are numbered from the anchor's number on. */
  readonly newest: number
  /** A sentence about the missing or damaged parts, or `undefined`. */
  readonly damage: string | undefined
  /** True if the damage is only commits that were not synced. A power cut may remove these from a buffered store. */
  readonly isBuffered: boolean
  /** Operations that the caller writes once the damage is accepted, so that no later open finds the damage again. */
  readonly repairs: readonly Operation[]
}

/**
 * Compares the parts of a store.
 * @throws HoldfastError `STORE_UNUSABLE`, or `STORE_DAMAGED` for damage that cannot be accepted
 */
export async function assess(dir: string, level: Level, identity: Identity, anchorPath: string): Promise<Assessment> {
  const identityDamage = await checkIdentity(dir, level, identity)
  const anchor = await readAnchor(anchorPath)
  const anchored = anchor.kind === 'sound' && anchor.storeId === identity.storeId ? anchor.seq : 0
  const chain = await readChain(level, anchored)
  const anchorDamage = anchorDamageOf(anchor, identity.storeId, chain.newest)
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

/**
 * A sentence about an anchor that cannot show whether the newest commits are in the database.
 * @param newest number of the newest commit in the database
 */
export function anchorDamageOf(anchor: AnchorFound, storeId: string, newest: number): string | undefined {
  const consequence = 'so nothing shows whether the newest commits are there'
  switch (anchor.kind) {
    case 'sound':
      return anchor.storeId === storeId ? undefined : `the anchor file is another store's, ${consequence}`
    case 'damaged':
      return `both slots of the anchor file are damaged, ${consequence}`
    case 'missing':
      // The anchor file is created before the first commit. So after a crash, only a store without commits may lack it.
      return newest === 0 ? undefined : `the anchor file is missing, ${consequence}`
  }
}
