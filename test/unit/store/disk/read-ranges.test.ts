// Goal: ranges that are read together are read with one iterator and few calls of it, and each is returned as it is.
// Method: an iterator over a list counts its calls; a database of classic-level counts its iterators. No time is measured.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import fc from 'fast-check'
import { describe, expect, type MockInstance, test, vi } from 'vitest'
import { under } from '../../../../src/store/disk/layout.js'
import { ENTRIES_PER_ITERATOR, type Level, openClassicLevel } from '../../../../src/store/disk/level.js'
import { PAGE_BYTES, type StoredEntry } from '../../../../src/store/disk/page.js'
import { collectEach } from '../../../../src/store/disk/pages.js'
import { type RangeStart, readRanges, type WantedRange } from '../../../../src/store/disk/read-ranges.js'

const LIMITS = { entriesMax: ENTRIES_PER_ITERATOR, isOver: () => false }

/** An iterator over keys in order, which counts its calls. */
function iteratorOver(keys: readonly string[], text = 'text') {
  let at = 0
  const calls = { seeks: 0, pages: 0, entries: 0 }
  return {
    calls,
    seek(key: string) {
      calls.seeks++
      at = keys.findIndex((one) => one >= key)
      if (at < 0) at = keys.length
    },
    async nextv(size: number): Promise<StoredEntry[]> {
      const fitting = Math.max(1, Math.floor(PAGE_BYTES / text.length))
      const page = keys.slice(at, at + Math.min(size, fitting)).map((key): StoredEntry => [key, text])
      at += page.length
      calls.pages++
      calls.entries += page.length
      return page
    },
  }
}

const number = (index: number) => String(index).padStart(6, '0')
const logKeys = (log: number, records: number) =>
  Array.from({ length: records }, (_, index) => `log/${number(log)}/${number(index)}`)
const wanted = (log: number, expected: number): WantedRange => ({ ...under(`log/${number(log)}/`), expected })
const keysOf = (starts: readonly RangeStart[]) => starts.map(({ entries }) => entries.map(([key]) => key))
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index)

describe('ranges that are read together', () => {
  test('are read in a few pages if they are neighbours', async () => {
    const keys = upTo(90).flatMap((log) => logKeys(log, 10))
    const iterator = iteratorOver(keys)
    const starts = await readRanges(
      iterator,
      upTo(90).map((log) => wanted(log, 10)),
      LIMITS,
    )
    expect(keysOf(starts)).toEqual(upTo(90).map((log) => logKeys(log, 10)))
    expect(starts.every(({ isWhole }) => isWhole)).toBe(true)
    expect(iterator.calls.pages).toBeLessThanOrEqual(5)
    expect(iterator.calls.entries).toBe(900)
  })

  test('are read with one seek each, and few entries of others, if each is far from the next', async () => {
    const keys = upTo(2_000).flatMap((log) => logKeys(log, 10))
    const iterator = iteratorOver(keys)
    const far = upTo(40).map((log) => wanted(log * 50, 10))
    const starts = await readRanges(iterator, far, LIMITS)
    expect(keysOf(starts)).toEqual(upTo(40).map((log) => logKeys(log * 50, 10)))
    expect(iterator.calls.seeks).toBe(40)
    // Of the first page all but ten, and of each other page six.
    expect(iterator.calls.entries).toBeLessThan(40 * 16 + 80)
  })

  test('end after the most entries of one iterator; a log that is longer is begun if it is the first', async () => {
    const keys = [...logKeys(1, 100), ...logKeys(2, 5_000), ...logKeys(3, 10)]
    const ranges = [wanted(1, 100), wanted(2, 5), wanted(3, 10)]
    const shapes = async (ranges: readonly WantedRange[]) => {
      const iterator = iteratorOver(keys)
      const starts = await readRanges(iterator, ranges, LIMITS)
      expect(iterator.calls.entries).toBe(ENTRIES_PER_ITERATOR)
      return starts.map(({ entries, isWhole }) => [entries.length, isWhole])
    }
    expect(await shapes(ranges)).toEqual([[100, true]])
    expect(await shapes(ranges.slice(1))).toEqual([[1_000, false]])
  })

  test('end when the iterator was open for long enough, but not before one page', async () => {
    const iterator = iteratorOver(upTo(90).flatMap((log) => logKeys(log, 10)))
    const ranges = upTo(90).map((log) => wanted(log, 10))
    const starts = await readRanges(iterator, ranges, { ...LIMITS, isOver: () => true })
    expect(iterator.calls.pages).toBe(1)
    expect(keysOf(starts)).toEqual(upTo(8).map((log) => logKeys(log, 10)))
  })

  test('are read whole if their bytes fill many pages', async () => {
    const iterator = iteratorOver([...logKeys(1, 9), ...logKeys(2, 9)], 'x'.repeat(PAGE_BYTES / 2))
    const starts = await readRanges(iterator, [wanted(1, 9), wanted(2, 9)], LIMITS)
    expect(keysOf(starts)).toEqual([logKeys(1, 9), logKeys(2, 9)])
  })

  test('are returned as they are, whatever was expected and whatever lies between them', async () => {
    const logs = fc.array(fc.record({ records: fc.nat(40), expected: fc.nat(60), isWanted: fc.boolean() }), {
      maxLength: 30,
    })
    const limits = fc.record({ entriesMax: fc.integer({ min: 1, max: 200 }), pagesMax: fc.integer({ min: 1, max: 9 }) })
    await fc.assert(
      fc.asyncProperty(logs, limits, async (logs, { entriesMax, pagesMax }) => {
        const iterator = iteratorOver(logs.flatMap(({ records }, log) => logKeys(log, records)))
        let left = logs.flatMap(({ expected, records, isWanted }, log) =>
          isWanted ? [{ log, expected, records }] : [],
        )
        while (left.length > 0) {
          iterator.calls.entries = iterator.calls.pages = 0
          const isOver = () => iterator.calls.pages >= pagesMax
          const ranges = left.map(({ log, expected }) => wanted(log, expected))
          const starts = await readRanges(iterator, ranges, { entriesMax, isOver })
          expect(starts.length).toBeGreaterThan(0)
          expect(iterator.calls.entries).toBeLessThanOrEqual(entriesMax)
          for (const [at, { entries, isWhole }] of starts.entries()) {
            const { log, records } = left[at] as (typeof left)[number]
            const all = logKeys(log, records)
            expect(entries.map(([key]) => key)).toEqual(isWhole ? all : all.slice(0, entries.length))
            if (!isWhole) expect([at, starts.length]).toEqual([0, 1])
          }
          left = left.slice(starts.length)
        }
      }),
      { numRuns: 300 },
    )
  })
})

/** Runs a test on a database with these keys, whose iterators are counted. */
async function withDatabase(
  keys: readonly string[],
  run: (level: Level, made: MockInstance<() => unknown>) => Promise<void>,
): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-ranges-'))
  const level = await openClassicLevel(join(dir, 'db'), { create: true })
  const made = vi.spyOn(ClassicLevel.prototype, 'iterator')
  try {
    const batch = level.batch()
    for (const key of keys) batch.put(key, key)
    await batch.write({ sync: false })
    await run(level, made)
  } finally {
    made.mockRestore()
    await level.close()
    rmSync(dir, { recursive: true, force: true })
  }
}

test('a database reads ranges with one iterator, which is closed after that', async () => {
  const keys = upTo(200).flatMap((log) => logKeys(log, 4))
  await withDatabase(keys, async (level, made) => {
    const far = upTo(20).map((log) => wanted(log * 10, 4))
    const starts = await level.readStarts(far)
    expect(starts.length).toBeGreaterThan(0)
    expect(keysOf(starts)).toEqual(upTo(starts.length).map((log) => logKeys(log * 10, 4)))
    expect(made).toHaveBeenCalledTimes(1)
    const iterator = made.mock.results[0]?.value as { nextv(size: number): Promise<unknown> }
    await expect(iterator.nextv(1)).rejects.toMatchObject({ code: 'LEVEL_ITERATOR_NOT_OPEN' })
  })
})

test('whole ranges are read in the order in which they were wanted, with an iterator for many of them', async () => {
  // Logs of one record, of none, and one that is too long for one iterator.
  const long = 60
  const recordsOf = (log: number) => (log === long ? ENTRIES_PER_ITERATOR + 500 : log % 2)
  const keys = upTo(200).flatMap((log) => logKeys(log, recordsOf(log)))
  await withDatabase(keys, async (level, made) => {
    const logs = upTo(200).reverse()
    const ranges = logs.map((log) => under(`log/${number(log)}/`))
    const found = await collectEach(level, ranges, (key) => key)
    expect(found).toEqual(logs.map((log) => logKeys(log, recordsOf(log))))
    // The long log needs two of its own, and more are needed only on a slow machine.
    expect(made.mock.calls.length).toBeLessThan(20)
    expect(await collectEach(level, [], (key) => key)).toEqual([])
  })
})
