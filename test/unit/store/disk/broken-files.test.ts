// Goal: files of the database that LevelDB cannot read are called damaged, with the advice that helps; a fault of the machine
// is not.
// Method: real stores whose files are harmed while they are closed; and LevelDB's errors as they were seen.
import { cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { Holdfast, silentLogger } from 'holdfast'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { createIds } from '../../../../src/base/ids.js'
import { checkOptions } from '../../../../src/engine/checks/open-options.js'
import { isBroken } from '../../../../src/store/disk/damage.js'
import { type OpenLevel, openClassicLevel } from '../../../../src/store/disk/level.js'
import { openStore } from '../../../../src/store/open.js'

/** Another program deletes the file at the moment in which it is to become the lock file. */
let isCleaned = false
vi.mock('node:fs/promises', async (original) => {
  const actual = await original<typeof import('node:fs/promises')>()
  return {
    ...actual,
    link: async (from: string, to: string) => {
      if (isCleaned) await actual.rm(from)
      return actual.link(from, to)
    },
  }
})

let scratch: string
let stores = 0
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'holdfast-broken-'))
  const open = () => Holdfast.open({ dir: join(scratch, 'whole'), logger: silentLogger })
  // Each open writes the log of the one before into a table.
  for (let opened = 0; opened < 3; opened++) {
    const holdfast = await open()
    await holdfast.createSessionTask({ type: 'talk' })
    await holdfast.close()
  }
})
afterAll(() => rm(scratch, { recursive: true, force: true }))

/** A copy of the store, and the path of one of its database's files. */
async function copyOf(kind: RegExp): Promise<{ dir: string; file: string }> {
  const dir = join(scratch, `store-${++stores}`)
  await cp(join(scratch, 'whole'), dir, { recursive: true })
  const names = await readdir(join(dir, 'db'))
  return { dir, file: join(dir, 'db', names.sort().find((name) => kind.test(name)) ?? '.') }
}

const open = (dir: string, acceptDamage = false) => Holdfast.open({ dir, acceptDamage, logger: silentLogger })

const intoDirectory = async (file: string) => {
  await rm(file)
  await mkdir(file)
}
const garble = async (file: string) => {
  const bytes = await readFile(file)
  await writeFile(file, bytes.fill(0xff, bytes.length >> 1))
}
const halve = async (file: string) => truncate(file, (await readFile(file)).length >> 1)

describe('a store is STORE_DAMAGED, and the advice is to restore a copy', () => {
  const TABLE = /\.ldb$/
  test.each([
    ['a table is missing', TABLE, rm],
    ['a table is empty', TABLE, (file: string) => truncate(file, 0)],
    ['a table is cut short', TABLE, halve],
    ['a table is a directory', TABLE, intoDirectory],
    ['CURRENT is missing', /CURRENT/, rm],
    ['CURRENT is empty', /CURRENT/, (file: string) => truncate(file, 0)],
    ['CURRENT names no file', /CURRENT/, (file: string) => writeFile(file, 'MANIFEST-999999\n')],
    ['CURRENT is a directory', /CURRENT/, intoDirectory],
    ['the MANIFEST is missing', /MANIFEST/, rm],
    ['the MANIFEST is cut short', /MANIFEST/, halve],
    ['the MANIFEST is garbled', /MANIFEST/, garble],
    ['the MANIFEST is a directory', /MANIFEST/, intoDirectory],
    [
      'the database is an empty directory',
      /^$/,
      async (dir: string) => {
        await rm(dir, { recursive: true })
        await mkdir(dir)
      },
    ],
    [
      'the database is a file',
      /^$/,
      async (dir: string) => {
        await rm(dir, { recursive: true })
        await writeFile(dir, '')
      },
    ],
    ['the database is gone', /^$/, (dir: string) => rm(dir, { recursive: true })],
  ])('where %s', async (_, kind, harm) => {
    const { dir, file } = await copyOf(kind)
    await harm(file)
    const said = expect.objectContaining({
      code: 'STORE_DAMAGED',
      message: expect.stringMatching(
        /Restore a backup, or run `npx holdfast repair --dir \S+` to keep what is whole; `acceptDamage` does not help/,
      ),
    })
    await expect(open(dir)).rejects.toThrow(said)
    await expect(open(dir, true)).rejects.toThrow(said)
  })

  test('where the database lacks the record that every store has', async () => {
    const { dir } = await copyOf(/^$/)
    const level = new ClassicLevel(join(dir, 'db'))
    await level.del('meta/format')
    await level.close()
    await expect(open(dir, true)).rejects.toMatchObject({
      code: 'STORE_DAMAGED',
      message: expect.stringMatching(/lacks the record/),
    })
  })

  test('where a read finds it while the store is open', async () => {
    const { dir } = await copyOf(/^$/)
    const cause = Object.assign(new Error('Corruption: block checksum mismatch'), { code: 'LEVEL_CORRUPTION' })
    const openLevel: OpenLevel = async (path, about) => {
      const level = await openClassicLevel(path, about)
      const { get } = level
      return Object.assign(level, {
        get: (key: string) => (key === 'input/x' ? Promise.reject(cause) : get.call(level, key)),
      })
    }
    const options = checkOptions({ dir, logger: silentLogger })
    const store = await openStore({ ...options, ids: createIds(), openLevel })
    await expect(store.read((level) => level.get('input/x'))).rejects.toMatchObject({ code: 'STORE_DAMAGED', cause })
    await store.close()
  })
})

const levelError = (code: string, message: string) =>
  Object.assign(new Error('Database failed to open', { cause: Object.assign(new Error(message), { code }) }), {
    code: 'LEVEL_DATABASE_NOT_OPEN',
  })

test.each([
  ['LEVEL_IO_ERROR', 'IO error: /data/store/db/CURRENT: Permission denied'],
  ['LEVEL_IO_ERROR', 'IO error: /data/store/db/000007.ldb: Too many open files'],
  ['LEVEL_IO_ERROR', 'IO error: /data/store/db/000012.log: No space left on device'],
  ['LEVEL_IO_ERROR', 'IO error: /data/store/db/000005.ldb: Input/output error'],
  ['LEVEL_IO_ERROR', 'IO error: /data/store/db/LOCK: Read-only file system'],
  ['LEVEL_IO_ERROR', 'IO error: /data/store/db: Invalid argument'],
  ['LEVEL_LOCKED', 'IO error: lock /data/store/db/LOCK: Resource temporarily unavailable'],
])('a fault of the machine is no damage: %s, %s', async (code, message) => {
  expect(isBroken(levelError(code, message))).toBe(false)
})

test('a fault of the machine at the open is STORE_UNUSABLE', async () => {
  const { dir } = await copyOf(/^$/)
  const cause = levelError('LEVEL_IO_ERROR', `IO error: ${dir}/db/CURRENT: Permission denied`)
  const options = { ...checkOptions({ dir, logger: silentLogger }), ids: createIds() }
  const opened = openStore({ ...options, openLevel: () => Promise.reject(cause) })
  await expect(opened).rejects.toMatchObject({
    code: 'STORE_UNUSABLE',
    message: expect.stringMatching(/Permission denied/),
  })
})

describe('a lock file that cannot be made', () => {
  test('because a directory has its name is told apart, and says what to do', async () => {
    const { dir } = await copyOf(/^$/)
    await mkdir(join(dir, 'lock'))
    await expect(open(dir)).rejects.toMatchObject({
      code: 'STORE_UNUSABLE',
      message: expect.stringMatching(/`lock` in it is a directory.*remove that directory/),
    })
  })

  test('because another program deletes it says so, and leaves the directory free', async () => {
    const { dir } = await copyOf(/^$/)
    isCleaned = true
    await expect(open(dir)).rejects.toMatchObject({
      code: 'STORE_UNUSABLE',
      message: expect.stringMatching(/lock\.new-\S+, made a moment ago, was deleted by another program/),
    })
    isCleaned = false
    await (await open(dir)).close()
  })
})
