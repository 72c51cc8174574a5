/**
 * Goal: the directory is synced once for each log that LevelDB begins, and for no other write (src/store/disk/log-name.ts).
 * Method: a real database; the numbers of its logs are held against the writes that had to wait for a sync.
 */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type Level, openClassicLevel } from '../../../../src/store/disk/level.js'

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>()
  return { ...fs, statSync: vi.fn(fs.statSync) }
})

let folder: string
let level: Level
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-log-name-'))
  level = await openClassicLevel(join(folder, 'db'), { create: true })
})
afterEach(async () => {
  await level.close()
  rmSync(folder, { recursive: true })
})

const newestLog = () =>
  readdirSync(join(folder, 'db'))
    .filter((name) => name.endsWith('.log'))
    .sort()
    .at(-1)

/** Writes; says whether the write had to wait until the directory was synced. */
async function write(key: string, value: string): Promise<boolean> {
  const batch = level.batch()
  batch.put(key, value)
  await batch.write({ sync: true })
  const naming = level.afterWrite?.([{ key, value }], true)
  await naming
  return naming !== undefined
}

test('the first write after an open waits for the directory, the next ones do not', async () => {
  expect([await write('a', '1'), await write('a', '2'), await write('b', '')]).toEqual([true, false, false])
})

test('a write that begins a new log waits, whether it is begun by a full buffer or by a compaction', async () => {
  let log = newestLog()
  const waited = new Set([log])
  const logs = new Set([log])
  expect(await write('a', '')).toBe(true)
  for (let i = 0; i < 30; i++) {
    if (i % 10 === 5) await level.compactRange('a', 'z')
    const naming = await write(`key-${i}`, 'x'.repeat(500_000))
    log = newestLog()
    expect(naming, `write ${i}`).toBe(!logs.has(log))
    logs.add(log)
    if (naming) waited.add(log)
  }
  expect(waited).toEqual(logs)
  expect(logs.size).toBeGreaterThan(5)
})

test('a log name is never taken for durable because another file has grown', async () => {
  await write('a', 'x'.repeat(1_000))
  // The new log is longer than the old one ever was.
  await level.compactRange('a', 'z')
  expect(await write('a', 'x'.repeat(50_000))).toBe(true)
  expect(await write('a', '')).toBe(false)
})

test('no write looks for a new log before the write buffer can be full', async () => {
  await write('a', '')
  vi.mocked(statSync).mockClear()
  for (let i = 0; i < 100; i++) await write(`key-${i}`, 'x'.repeat(1_000))
  expect(statSync).not.toHaveBeenCalled()
  await write('a', 'x'.repeat(3_500_000))
  expect(statSync).toHaveBeenCalledOnce()
})

test.each([
  ['short values', 'key', 20, 'x'],
  ['values of three bytes a character', 'key', 400, '漢'],
  ['values that fill a block of the buffer alone', 'key', 3_000, 'x'],
  ['long keys', 'k'.repeat(900), 1, 'x'],
])('a new log is found however little of the buffer is used: %s', async (_, prefix, length, character) => {
  await level.close()
  level = await openClassicLevel(join(folder, 'db'), { create: false, writeBufferBytes: 64 * 1024 })
  await write('a', '')
  const logs = new Set([newestLog()])
  for (let i = 0; i < 6_000 && logs.size < 4; i++) {
    const waited = await write(`${prefix}-${i}`, character.repeat(length))
    expect(waited, `write ${i}`).toBe(!logs.has(newestLog()))
    logs.add(newestLog())
  }
  expect(logs.size).toBe(4)
})
