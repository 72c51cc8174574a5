/**
 * Goal: no commit takes less than 1,024 bytes of LevelDB's log, and none takes more for it than it has to.
 * Method: a committer over a database that notes the bytes of each batch as LevelDB lays them out; then a padding that is
 * missing. test/crash/store/ring.test.ts shows what the padding is for.
 */
import { ManualClock, MemoryDisk } from 'holdfast/testing'
import { afterEach, expect, test, vi } from 'vitest'
import { silentLogger } from '../../../src/base/logger.js'
import { NO_AUDIT } from '../../../src/store/audit.js'
import type { Level } from '../../../src/store/disk/level.js'
import { NO_ANCHOR } from '../../../src/store/integrity/anchor.js'
import * as chain from '../../../src/store/integrity/chain.js'
import { Store } from '../../../src/store/store.js'
import { NO_COUNTERS } from '../../../src/store/totals.js'

vi.mock('../../../src/store/integrity/chain.js', async (original) => {
  const actual = await original<typeof chain>()
  return { ...actual, chainOperation: vi.fn(actual.chainOperation) }
})
afterEach(() => void vi.restoreAllMocks())

const varint = (value: number) => (value < 128 ? 1 : value < 16_384 ? 2 : 3)
const bytesOf = (text: string) => varint(Buffer.byteLength(text)) + Buffer.byteLength(text)

/** The level, with a note of how many bytes each batch takes of a log: LevelDB's log_format.txt and write_batch.cc. */
function noting(level: Level, sizes: number[]): Level {
  const batch = () => {
    const inner = level.batch()
    let bytes = 7 + 8 + 4 // the header of the record, the sequence number, the count
    return {
      ...inner,
      put(key: string, value: string) {
        bytes += 1 + bytesOf(key) + bytesOf(value)
        return inner.put(key, value)
      },
      del(key: string) {
        bytes += 1 + bytesOf(key)
        return inner.del(key)
      },
      write(options: { sync: boolean }) {
        sizes.push(bytes)
        return inner.write(options)
      },
    }
  }
  return new Proxy(level, {
    get: (target, name) => (name === 'batch' ? batch : Reflect.get(target, name).bind(target)),
  })
}

async function openStore(): Promise<{ store: Store; sizes: number[] }> {
  const disk = new MemoryDisk()
  const sizes: number[] = []
  const store = new Store({
    level: noting(await disk.open(), sizes),
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
  return { store, sizes }
}

const patient = { patient: true }

test('small commits are padded to 1,024 bytes of the log, and large ones are not', async () => {
  const { store, sizes } = await openStore()
  await store.commitBinding([{ key: 'binding/t/a', text: '' }], patient)
  await store.commitBinding([{ key: 'binding/t/a', text: undefined }], patient)
  await store.commitBinding([{ key: 'binding/t/a', text: 'é'.repeat(300) }], patient)
  for (let length = 880; length < 960; length++) {
    await store.commitBinding([{ key: 'binding/t/a', text: 'x'.repeat(length) }], patient)
  }
  expect(Math.min(...sizes)).toBeGreaterThanOrEqual(1_024)
  // The varints of the lengths are counted as one byte each, and a character as one byte.
  expect(Math.max(...sizes.slice(0, 2), ...sizes.slice(3, 8))).toBeLessThan(1_024 + 8)
  await store.commitBinding([{ key: 'binding/t/a', text: 'x'.repeat(5_000) }], patient)
  expect(sizes.at(-1)).toBeLessThan(5_000 + 100)
})

test('a commit that is smaller is never written', async () => {
  const { store, sizes } = await openStore()
  const actual = vi.mocked(chain.chainOperation).getMockImplementation()
  vi.mocked(chain.chainOperation).mockImplementation((seq) => ({ key: `chain/${seq}`, value: '' }))
  await expect(store.commitBinding([{ key: 'binding/t/a', text: '1' }], { patient: false })).rejects.toThrow(
    expect.objectContaining({ code: 'STORE_UNAVAILABLE', message: expect.stringMatching(/at least 1024/) }),
  )
  expect(sizes).toEqual([])
  if (actual) vi.mocked(chain.chainOperation).mockImplementation(actual)
})
