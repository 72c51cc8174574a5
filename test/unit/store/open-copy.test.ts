// Goal: whatever is done with a linked copy, the database that it was made of stays as it is, also in the middle of a compaction.
// Method: real databases. Tables of a compaction that has not ended are made up; test/crash/admin/copies.test.ts has real ones.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { linkDatabase } from '../../../src/store/copies/linked-copy.js'
import { openCopy } from '../../../src/store/copies/open-copy.js'
import { type Level, openClassicLevel } from '../../../src/store/disk/level.js'
import { pages } from '../../../src/store/disk/pages.js'
import { readManifest } from '../../../src/store/files/manifest.js'
import { describeSelf } from '../../../src/store/lock/lock-judge.js'

let dir: string
let level: Level
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-open-copy-'))
  level = await openClassicLevel(join(dir, 'db'), { create: true })
})
afterEach(async () => {
  await level.close()
  rmSync(dir, { recursive: true, force: true })
})

const key = (n: number) => `key-${String(n).padStart(6, '0')}`
async function write(entries: number): Promise<void> {
  const batch = level.batch()
  for (let n = 0; n < entries; n++) batch.put(key(n), 'original'.padEnd(1_000, 'x'))
  await batch.write({ sync: false })
}

const link = () => linkDatabase(dir, describeSelf('1:2', 'token', 1))

/** Opens a copy, changes it, and has LevelDB write its tables anew. Returns the number of its entries before that. */
async function changeCopy(path: string): Promise<number> {
  const copy = await openCopy(path)
  let entries = 0
  for await (const page of pages(copy, { gte: '', lt: '\uffff' })) entries += page.length
  const batch = copy.batch()
  for (let n = 0; n < 300; n++) batch.put(key(n), 'changed in the copy'.padEnd(1_000, 'y'))
  await batch.write({ sync: true })
  await copy.compactRange('', '\uffff')
  await copy.close()
  return entries
}

test('a table that the MANIFEST does not name yet is not written by the copy', async () => {
  await write(300)
  const db = join(dir, 'db')
  const manifest = readFileSync(join(db, 'CURRENT'), 'utf8').trim()
  const { nextFile } = readManifest(readFileSync(join(db, manifest)))
  const unfinished = Array.from({ length: 40 }, (_, at) => join(db, `${String(nextFile + at).padStart(6, '0')}.ldb`))
  const made = unfinished.filter((path) => statSync(path, { throwIfNoEntry: false }) === undefined)
  for (const path of made) writeFileSync(path, `a part of ${path}`)
  const { path, isLinked } = await link()
  expect(isLinked).toBe(true)
  expect(await changeCopy(path)).toBe(300)
  for (const path of made) expect(readFileSync(path, 'utf8')).toBe(`a part of ${path}`)
})

test('a copy without a MANIFEST is refused, and its original stays', async () => {
  await write(100)
  const { path } = await link()
  for (const name of readdirSync(path)) if (name.startsWith('MANIFEST')) rmSync(join(path, name))
  await expect(openCopy(path)).rejects.toThrow()
  expect((await level.page({ gte: '', lt: '\uffff' }, 1_000)).length).toBeGreaterThan(0)
})
