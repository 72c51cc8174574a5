/**
 * Goal: a write that the store lost is written again without overwriting a newer one.
 * Method: a store on a disk in memory, of which one write fails. Whoever is notified at the reopening writes the same key.
 */
import { ManualClock, MemoryDisk } from 'holdfast/testing'
import { describe, expect, test } from 'vitest'
import { silentLogger } from '../../../src/base/logger.js'
import { NO_AUDIT } from '../../../src/store/audit.js'
import { NO_ANCHOR } from '../../../src/store/integrity/anchor.js'
import { seal, unseal } from '../../../src/store/integrity/envelope.js'
import { Store } from '../../../src/store/store.js'
import { NO_COUNTERS } from '../../../src/store/totals.js'

async function openStore() {
  const disk = new MemoryDisk()
  const store = new Store({
    level: await disk.open(),
    reopen: () => disk.open(),
    assertHeld: () => {},
    anchor: NO_ANCHOR,
    anchorEach: false,
    newest: 0,
    counters: NO_COUNTERS,
    auditEnd: NO_AUDIT,
    damage: undefined,
    durability: 'synced',
    clock: new ManualClock(),
    logger: silentLogger,
    release: async () => {},
  })
  const textAt = (key: string) => {
    const text = disk.content.get(key)
    return text === undefined ? undefined : unseal(key, text).body
  }
  return { disk, store, textAt }
}

const KEY = 'binding/mcp/a'
const OTHER = 'binding/mcp/b'
const patient = { patient: true }

const ways = [
  ["a binding's write", (store: Store, key: string, text: string) => store.commitBinding([{ key, text }], patient)],
  [
    "the engine's own put",
    (store: Store, key: string, text: string) => store.put('', [{ key, value: seal(key, 0, text) }]),
  ],
] as const

describe.each(ways)('%s that was lost', (_, write) => {
  test('does not overwrite a newer one of the same key, made when the store is open again', async () => {
    const { disk, store, textAt } = await openStore()
    let newer: Promise<void> | undefined
    store.onReload(async () => () => {
      newer = write(store, KEY, 'new')
    })
    disk.failAt({ atWrite: 1, applied: false })
    await write(store, KEY, 'old')
    await newer
    expect(textAt(KEY)).toBe('new')
    await store.close()
  })

  test('does not overwrite a newer one that was queued behind it', async () => {
    const { disk, store, textAt } = await openStore()
    disk.failAt({ atWrite: 1, applied: false })
    const older = write(store, KEY, 'old')
    await Promise.resolve().then(() => {}) // the first batch is on its way
    await Promise.all([older, write(store, KEY, 'new')])
    expect(textAt(KEY)).toBe('new')
    await store.close()
  })

  test('is written again as a whole where a newer one names a part of it', async () => {
    const { disk, store, textAt } = await openStore()
    let newer: Promise<void> | undefined
    store.onReload(async () => () => {
      newer = write(store, OTHER, 'new')
    })
    disk.failAt({ atWrite: 1, applied: false })
    await Promise.all([write(store, KEY, 'old'), write(store, OTHER, 'old')])
    await newer
    expect([textAt(KEY), textAt(OTHER)]).toEqual(['old', 'new'])
    await store.close()
  })

  test('is not written a second time where it had reached the disk', async () => {
    const { disk, store, textAt } = await openStore()
    disk.failAt({ atWrite: 1, applied: true })
    await write(store, KEY, 'once')
    expect(textAt(KEY)).toBe('once')
    expect(disk.writes).toBe(1)
    await store.close()
  })
})

test('a write that was lost counts where the newer one of its key was refused', async () => {
  const { disk, store, textAt } = await openStore()
  disk.failAt({ atWrite: 1, applied: false })
  const older = store.commitBinding([{ key: KEY, text: 'old' }], patient)
  await Promise.resolve().then(() => {}) // the first batch is on its way
  const newer = store.commitBinding([{ key: KEY, text: 'new' }], { patient: false })
  await expect(newer).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  await older
  expect(textAt(KEY)).toBe('old')
  await store.close()
})
