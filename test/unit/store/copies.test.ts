// Goal: a linked copy is made without holding the event loop, without links where there are none, and is removed by the next
// opening of a store.
// Method: a folder that looks like a database; `linkSync` is replaced.
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { linkDatabase, removeLeftCopies } from '../../../src/store/copies/linked-copy.js'
import { describeSelf } from '../../../src/store/lock/lock-judge.js'

const links = vi.hoisted(() => ({ act: undefined as (() => void) | undefined, made: 0 }))
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>()
  const linkSync = (from: string, to: string) => {
    links.act?.()
    links.made++
    fs.linkSync(from, to)
  }
  return { ...fs, linkSync, default: { ...fs, linkSync } }
})

let dir: string
const owner = () => describeSelf('1:2', 'token', 1)
beforeEach(async () => {
  links.act = undefined
  links.made = 0
  dir = await mkdtemp(join(tmpdir(), 'holdfast-copies-'))
  await mkdir(join(dir, 'db'))
  await writeFile(join(dir, 'db', 'CURRENT'), 'MANIFEST-000004\n')
  await writeFile(join(dir, 'db', 'MANIFEST-000004'), 'manifest')
  await writeFile(join(dir, 'db', 'LOCK'), '')
  for (let table = 0; table < 200; table++) await writeFile(join(dir, 'db', `${100_000 + table}.ldb`), `table ${table}`)
  await writeFile(join(dir, 'db', '100300.log'), 'log')
})
afterEach(() => rm(dir, { recursive: true, force: true }))

test('tables and logs are linked, the MANIFEST is copied, and LOCK is left alone', async () => {
  const { path, isLinked, remove } = await linkDatabase(dir, owner())
  expect(isLinked).toBe(true)
  const names = await readdir(path)
  expect(names).toHaveLength(200 + 4)
  expect(names).not.toContain('LOCK')
  const inode = async (path: string) => (await stat(path)).ino
  expect(await inode(join(path, '100007.ldb'))).toBe(await inode(join(dir, 'db', '100007.ldb')))
  expect(await inode(join(path, 'MANIFEST-000004'))).not.toBe(await inode(join(dir, 'db', 'MANIFEST-000004')))
  await remove()
  expect(await readdir(dir)).toEqual(['db'])
})

test('a turn of the event loop makes at most 64 links', async () => {
  const perTurn: number[] = []
  let isOver = false
  const watch = () => {
    perTurn.push(links.made - perTurn.reduce((sum, made) => sum + made, 0))
    if (!isOver) setImmediate(watch)
  }
  setImmediate(watch)
  await linkDatabase(dir, owner())
  isOver = true
  expect(links.made).toBe(201)
  expect(Math.max(...perTurn)).toBeLessThanOrEqual(64)
})

test('without hard links, the files are copied', async () => {
  links.act = () => {
    throw Object.assign(new Error('no links'), { code: 'EPERM' })
  }
  const { path, isLinked } = await linkDatabase(dir, owner())
  expect(isLinked).toBe(false)
  expect(await readFile(join(path, '100007.ldb'), 'utf8')).toBe('table 7')
  expect(await readFile(join(path, '100300.log'), 'utf8')).toBe('log')
})

test('a MANIFEST that changes meanwhile is copied again, and links that were made are kept', async () => {
  let isFirst = true
  links.act = () => {
    if (!isFirst) return
    isFirst = false
    void writeFile(join(dir, 'db', 'MANIFEST-000004'), 'manifest with an edit')
  }
  const { path } = await linkDatabase(dir, owner())
  expect(await readFile(join(path, 'MANIFEST-000004'), 'utf8')).toBe('manifest with an edit')
})

test('a database without its MANIFEST is copied as it is', async () => {
  await rm(join(dir, 'db', 'MANIFEST-000004'))
  const { path } = await linkDatabase(dir, owner())
  expect(await readdir(path)).not.toContain('MANIFEST-000004')
  expect(await readFile(join(path, '100007.ldb'), 'utf8')).toBe('table 7')
})

test('a failure leaves no copy', async () => {
  links.act = () => {
    throw Object.assign(new Error('disk'), { code: 'EIO' })
  }
  await expect(linkDatabase(dir, owner())).rejects.toThrow('disk')
  expect(await readdir(dir)).toEqual(['db'])
})

test('copies of processes that have ended are removed, and those of a running process are not', async () => {
  const self = owner()
  await linkDatabase(dir, self)
  await linkDatabase(dir, { ...self, token: 'ended', pid: 2 ** 30 })
  await removeLeftCopies(dir, self)
  const isProved = self.bootId !== null && self.pidNamespace !== null
  expect(await readdir(dir)).toEqual(isProved ? ['db', 'db.links-token'] : ['db'])
})
