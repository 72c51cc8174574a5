// Goal: each rule of `verify` names what breaks it, with its key.
// Method: a store in memory with tasks of each kind; for each case, one record of a copy of it is changed.
import { MemoryDisk } from 'holdfast/testing'
import { beforeAll, expect, test } from 'vitest'
import { Findings } from '../../../src/admin/verify/findings.js'
import { verifyDatabase } from '../../../src/admin/verify/verify-database.js'
import { META_FORMAT } from '../../../src/store/disk/layout.js'
import { seal } from '../../../src/store/integrity/envelope.js'
import { HARMS } from '../../helpers/harms.js'
import { Alterable, type Filled, fillDisk } from '../../helpers/stores.js'

const storeId = 'a-store'
const original = new MemoryDisk()
let ids: Filled
beforeAll(async () => {
  ids = await fillDisk(original)
  // Only a store on disk has an identity.
  original.damage(META_FORMAT, seal(META_FORMAT, 0, JSON.stringify({ storeId })))
})

async function verified(harm: (database: Alterable) => unknown = () => {}, anchored = 0) {
  const content = new Map(original.content)
  harm(new Alterable(content))
  const disk = new MemoryDisk()
  for (const [key, text] of content) disk.damage(key, text)
  const findings = new Findings()
  const level = await disk.open()
  const database = await verifyDatabase(level, { storeId, anchored }, findings)
  await level.close()
  return { findings, database }
}

test('a store with tasks of each kind has no findings, and each record is read once', async () => {
  const { findings, database } = await verified()
  expect(findings.list).toEqual([])
  expect(Object.values(database.counts).reduce((sum, count) => sum + count, 0)).toBe(original.content.size)
})

test('a commit that the anchor has and the database has not is found', async () => {
  const { findings } = await verified(() => {}, 10_000)
  expect(findings.list).toMatchObject([{ code: 'COMMITS_MISSING' }])
})

test('an index entry of a kind that this version does not know is no finding', async () => {
  const { findings } = await verified((database) =>
    database.put('ix/z/colour/red/task-0', seal('ix/z/colour/red/task-0', 1, '')),
  )
  expect(findings.list).toEqual([])
})

test('the due timer of a deletion that was interrupted is no finding, and the same timer of a task that is shown is one', async () => {
  const timer = `timer/0123456789ab/sweep/${ids.large}`
  const interrupted = (database: Alterable) => {
    database.put(timer, seal(timer, 0, ''))
    database.change(`done/${ids.large}`, (body) => {
      const row = JSON.parse(body) as unknown[]
      row[19] = { ...(row[19] as object), sweeping: true }
      return JSON.stringify(row)
    })
  }
  expect((await verified(interrupted)).findings.list).toEqual([])
  const { findings } = await verified((database) => database.put(timer, seal(timer, 0, '')))
  expect(findings.list).toMatchObject([{ code: 'TIMER_SURPLUS', key: timer }])
})

test('a report of the last recovery that names too many tasks, or is none, is found', async () => {
  const report = { startedAt: 1, finishedAt: 2, found: 1, counts: { parked: 1 }, tasks: [{ taskId: 'task-0' }] }
  const withReport = (body: string) => (database: Alterable) =>
    database.put('meta/recovery', seal('meta/recovery', 1, body))
  expect((await verified(withReport(JSON.stringify(report)))).findings.list).toEqual([])
  for (const body of ['{', JSON.stringify({ ...report, counts: {} })]) {
    const { findings } = await verified(withReport(body))
    expect(findings.list).toMatchObject([{ code: 'RECORD_UNREADABLE', key: 'meta/recovery' }])
  }
})

test.each(HARMS)('%s is found', async (_, harm, code, key) => {
  const { findings } = await verified((database) => harm(database, ids))
  expect(findings.list).toContainEqual(expect.objectContaining({ code, key: expect.stringMatching(key) }))
  expect(findings.counts[code]).toBeGreaterThan(0)
})
