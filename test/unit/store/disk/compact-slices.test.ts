// Goal: a compaction of the whole database holds nothing for long: it is done in slices of bounded size, with reads in between.
// Method: a made-up database of keys with sizes, whose calls are recorded; and a real one.
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { compactSlices, type SliceOptions } from '../../../../src/store/disk/compact-slices.js'
import { middleOf } from '../../../../src/store/disk/key-middle.js'
import { type Level, openClassicLevel } from '../../../../src/store/disk/level.js'
import { pages } from '../../../../src/store/disk/pages.js'

const sizes = new Map<string, number>()
for (let task = 0; task < 400; task++) {
  const id = `task-01K${String(task * 7_919).padStart(23, '0')}`
  sizes.set(`done/${id}`, 100)
  for (let record = 0; record < 5; record++) sizes.set(`log/${id}/0/${String(record).padStart(10, '0')}`, 900)
}
// One task with most of the bytes, and a record that no slice can hold.
for (let record = 0; record < 2_000; record++) sizes.set(`log/task-02/0/${String(record).padStart(10, '0')}`, 1_000)
sizes.set('state/task-03/checkpoint', 500_000)
const keys = [...sizes.keys()].sort()
const bytesIn = (from: string, to: string) =>
  keys.filter((key) => key >= from && key < to).reduce((sum, key) => sum + (sizes.get(key) as number), 0)

/** A database whose compactions are recorded. */
class RecordedLevel {
  readonly compacted: [from: string, to: string][] = []
  running = 0

  async approximateSize(from: string, to: string): Promise<number> {
    expect(this.running, 'calls while a slice is compacted').toBe(0)
    return bytesIn(from, to)
  }

  async compactRange(from: string, to: string): Promise<void> {
    this.running++
    await new Promise((resolve) => setImmediate(resolve))
    this.running--
    this.compacted.push([from, to])
  }
}

function compact(level: RecordedLevel, options: Partial<SliceOptions> = {}) {
  const beforeSlice = async () => {}
  const given = { beforeSlice, withPauses: false, sliceBytes: 50_000, ...options }
  return compactSlices((use) => use(level as unknown as Level), given)
}

test('the slices are small, and together they are all keys, in order and once', async () => {
  const level = new RecordedLevel()
  const progress: number[] = []
  const total = bytesIn('', '~')
  const report = await compact(level, { onProgress: (done, all) => progress.push(done / all) })
  expect(report).toEqual({ bytesBefore: total, bytesAfter: total })
  for (const [at, [from, to]] of level.compacted.entries()) {
    if (at > 0) expect(from).toBe(level.compacted[at - 1]?.[1])
    const keysIn = keys.filter((key) => key >= from && key < to)
    if (keysIn.length > 1) expect(bytesIn(from, to), `${from} ${to}`).toBeLessThanOrEqual(50_000)
  }
  expect(level.compacted[0]?.[0]).toBe('!')
  expect(level.compacted.at(-1)?.[1]).toBe('\u007f')
  // Not a slice for each key either: most are more than half full.
  expect(level.compacted.length).toBeLessThan((2.5 * total) / 50_000)
  expect(progress).toEqual([...progress].sort((one, other) => one - other))
  expect(progress.at(-1)).toBe(1)
})

test('a refusal before a slice ends the compaction there', async () => {
  const level = new RecordedLevel()
  let asked = 0
  const beforeSlice = async () => {
    if (++asked === 4) throw new Error('the disk is full')
  }
  await expect(compact(level, { beforeSlice })).rejects.toThrow('the disk is full')
  expect(level.compacted).toHaveLength(3)
})

test('a small database is one slice, also if nothing is in a table yet', async () => {
  const level = new RecordedLevel()
  await compact(level, { sliceBytes: Number.MAX_SAFE_INTEGER })
  expect(level.compacted).toEqual([['!', '\u007f']])
})

test('what was deleted is gone from the files of a real database, and what was kept is readable', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-compact-'))
  const level = await openClassicLevel(join(dir, 'db'), { create: true, writeBufferBytes: 1_048_576 })
  // Digits without a pattern, which LevelDB does not compress.
  const digits = (text: string) => createHash('sha512').update(text).digest('hex')
  const value = (at: number) => [1, 2, 3, 4, 5].map((part) => digits(`${at} ${part}`)).join('')
  const write = async (from: number, to: number, isKept: (at: number) => boolean) => {
    const batch = level.batch()
    for (let at = from; at < to; at++) {
      const key = `log/task-${String(at).padStart(6, '0')}`
      if (isKept(at)) batch.put(key, value(at))
      else batch.del(key)
    }
    await batch.write({ sync: false })
    await batch.close()
  }
  for (let at = 0; at < 10_000; at += 500) await write(at, at + 500, () => true)
  for (let at = 0; at < 10_000; at += 500) await write(at, at + 500, (each) => each % 10 === 0)
  const slices: number[] = []
  const beforeSlice = async () => void slices.push(1)
  const report = await compactSlices((use) => use(level), { beforeSlice, withPauses: true, sliceBytes: 1_048_576 })
  expect(slices.length).toBeGreaterThan(2)
  expect(report.bytesAfter).toBeLessThan(report.bytesBefore / 4)
  expect(await level.get('log/task-000010')).toBe(value(10))
  let left = 0
  for await (const page of pages(level, { gte: 'log/', lt: 'log0' })) left += page.length
  expect(left).toBe(1_000)
  await level.close()
  rmSync(dir, { recursive: true, force: true })
})

test('the middle of two keys is between them, or there is none', () => {
  for (const [from, to] of [
    ['!', '\u007f'],
    ['log/task-01K0', 'log/task-01K1'],
    ['a', 'a!'],
  ] as const) {
    const middle = middleOf(from, to)
    expect(middle, `${from} ${to}`).toBeDefined()
    expect((middle as string) > from && (middle as string) < to).toBe(true)
  }
  expect(middleOf('a', 'a')).toBeUndefined()
  expect(middleOf(`${'x'.repeat(100)}1`, `${'x'.repeat(100)}2`)).toBeUndefined()
})
