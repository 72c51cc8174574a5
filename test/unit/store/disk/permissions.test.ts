/**
 * Goal: LevelDB's files are readable for one user only, and no write to them wakes the event loop for that.
 * Method: files that are created after the begin, waited for; and a spy in place of `fs.watch`.
 */
import { chmodSync, mkdtempSync, rmSync, statSync, watch, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test, vi } from 'vitest'
import { keepPrivate } from '../../../../src/store/disk/permissions.js'

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>()
  return { ...fs, watch: vi.fn(fs.watch) }
})

const scratch = mkdtempSync(join(tmpdir(), 'holdfast-permissions-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

const modeOf = (name: string) => (statSync(join(scratch, name)).mode & 0o777).toString(8)
function create(name: string) {
  writeFileSync(join(scratch, name), '')
  chmodSync(join(scratch, name), 0o644)
}

test('sets the mode of files that exist, of files that are created later, and of each that is there at the end', async () => {
  create('000001.log')
  const stop = await keepPrivate(scratch)
  expect(modeOf('000001.log')).toBe('600')
  create('000002.ldb')
  create('CURRENT')
  expect(modeOf('000002.ldb')).toBe('644')
  await vi.waitFor(() => expect([modeOf('000002.ldb'), modeOf('CURRENT')]).toEqual(['600', '600']), { timeout: 10_000 })
  create('000003.ldb')
  await stop()
  expect(modeOf('000003.ldb')).toBe('600')
})

test('does not watch the folder: a watcher would be called for every write to a file', async () => {
  const stop = await keepPrivate(scratch)
  expect(watch).not.toHaveBeenCalled()
  await stop()
})
