// Goal: `verify` finds nothing in a sound store, reports damage with its key, and changes nothing.
// Method: real stores with tasks of each kind. Each broken invariant has a case in rules.test.ts.
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Holdfast, silentLogger } from 'holdfast'
import { verify } from 'holdfast/admin'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { FINDINGS } from '../../../src/admin/verify/findings.js'
import { alter, type Filled, fillStore } from '../../helpers/stores.js'

let scratch: string
let original: string
let ids: Filled
let copies = 0
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'holdfast-verify-'))
  original = join(scratch, 'original')
  ids = await fillStore(original)
})
afterAll(() => rm(scratch, { recursive: true, force: true }))

async function copy(): Promise<string> {
  const dir = join(scratch, `copy-${++copies}`)
  await cp(original, dir, { recursive: true })
  return dir
}

test('a store with tasks of each kind is sound, and nothing is left in its directory', async () => {
  const dir = await copy()
  const before = await readdir(dir)
  const seen = new Set<string>()
  const report = await verify({ dir, onProgress: ({ phase }) => seen.add(phase) })
  expect(report).toMatchObject({ isSound: true, findings: [], findingCounts: {}, unknown: {} })
  expect(report.counts).toMatchObject({ task: 7, live: 2, done: 5, message: 1, 'message-key': 1, 'input-key': 2 })
  expect(report.commit).toBeGreaterThan(10)
  expect(await readdir(dir)).toEqual(before)
  expect(seen).toContain('files')
})

test('the golden store is sound', async () => {
  const dir = join(scratch, 'golden')
  await cp(fileURLToPath(new URL('../../../data/golden/format-2', import.meta.url)), dir, { recursive: true })
  expect(await verify({ dir })).toMatchObject({ isSound: true, findings: [] })
})

test('the store of an open Holdfast is verified while it is open', async () => {
  const dir = await copy()
  const holdfast = await Holdfast.open({ dir, logger: silentLogger, recover: 'manual' })
  expect(await verify({ holdfast })).toMatchObject({ isSound: true, findings: [] })
  await expect(verify({ dir })).rejects.toMatchObject({ code: 'STORE_LOCKED' })
  await holdfast.close()
})

test('records of kinds that this version does not know are counted, and are no findings', async () => {
  const dir = await copy()
  await alter(dir, async (database) => database.change('meta/format', () => '{}', 'later/thing'))
  expect(await verify({ dir })).toMatchObject({ isSound: true, unknown: { later: 1 } })
})

test('damage is reported with its key, what it means and what to do', async () => {
  const dir = await copy()
  await alter(dir, async (database) => {
    database.del(`input/${ids.sent}`)
    database.put('later/thing', 'rot')
  })
  const report = await verify({ dir })
  expect(report).toMatchObject({ isSound: false, findingCounts: { VALUE_MISSING: 1, RECORD_SEAL: 1 } })
  expect(report.findings).toMatchObject([
    { code: 'VALUE_MISSING', key: `input/${ids.sent}`, ...FINDINGS.VALUE_MISSING },
    { code: 'RECORD_SEAL', key: 'later/thing', ...FINDINGS.RECORD_SEAL },
  ])
})

test('a process that does not start is no damage', async () => {
  const dir = await copy()
  const { execPath } = process
  process.execPath = join(scratch, 'no-such-program')
  await expect(verify({ dir })).rejects.toMatchObject({ code: 'BACKUP_FAILED' })
  process.execPath = '/bin/false'
  if (process.platform !== 'win32') await expect(verify({ dir })).rejects.toThrow(/exit code 1/)
  process.execPath = execPath
  expect((await readdir(dir)).filter((name) => name.startsWith('db.links'))).toEqual([])
})

test('options of the wrong type are refused', async () => {
  await expect(verify({} as never)).rejects.toThrow(/either `dir` or `holdfast`/)
  await expect(verify({ dir: 5 } as never)).rejects.toThrow(/`dir`/)
  await expect(verify({ holdfast: {} })).rejects.toThrow(/`holdfast`/)
  await expect(verify({ directory: '' } as never)).rejects.toThrow(/directory/)
  await expect(verify({ dir: scratch })).rejects.toMatchObject({ code: 'STORE_UNUSABLE' })
  await expect(verify({ dir: join(scratch, 'none') })).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' })
})
