/**
 * Goal: `verify` and `repair` report each kind of damage in the same way from version to version.
 * Method: each store of data/damaged is copied and read; its reports are in the same folder (make-damaged.ts).
 */
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { repair, verify } from 'holdfast/admin'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DAMAGED, DAMAGES, repairOf, verificationOf } from './damaged.js'

let scratch: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'holdfast-damaged-'))
})
afterAll(() => rm(scratch, { recursive: true, force: true }))

const reportOf = async (name: string, file: string) =>
  JSON.parse(await readFile(join(DAMAGED, name, file), 'utf8')) as object

test('there is a store for each damage, and no other', async () => {
  expect((await readdir(DAMAGED)).sort()).toEqual(Object.keys(DAMAGES).sort())
})

test.each(Object.keys(DAMAGES))('%s: verify finds it, repair ends it, and both report as before', async (name) => {
  const dir = join(scratch, name)
  await cp(join(DAMAGED, name, 'store'), dir, { recursive: true })
  const verified = verificationOf(await verify({ dir }))
  expect(verified).toEqual(await reportOf(name, 'verify.json'))
  expect(verified).toMatchObject({ isSound: false })
  expect(repairOf(await repair({ dir }))).toEqual(await reportOf(name, 'repair.json'))
  expect(await verify({ dir })).toMatchObject({ isSound: true, findings: [] })
})
