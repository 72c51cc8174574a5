// Goal: each rule of `verify` names what breaks it, with its key.
// Method: a store in memory with tasks of each kind; for each case, one record of a copy of it is changed.
import { MemoryDisk } from 'holdfast/testing'
import { beforeAll, expect, test } from 'vitest'
import { type FindingCode, Findings } from '../../../src/admin/verify/findings.js'
import { verifyDatabase } from '../../../src/admin/verify/verify-database.js'
import { META_FORMAT } from '../../../src/store/disk/layout.js'
import { seal } from '../../../src/store/integrity/envelope.js'
import { Alterable, type Filled, fillDisk } from '../../helpers/stores.js'

const storeId = 'a-store'
const original = new MemoryDisk()
let ids: Filled
beforeAll(async () => {
  ids = await fillDisk(original)
  // Only a store on disk has an identity.
  original.damage(META_FORMAT, seal(META_FORMAT, 0, JSON.stringify({ storeId })))
})

async function verified(harm: Harm = () => {}, anchored = 0) {
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
    database.put('ix/a/colour/red/task-0', seal('ix/a/colour/red/task-0', 1, '')),
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

type Harm = (database: Alterable) => unknown

test.each<[string, Harm, FindingCode, RegExp]>([
  ['a flipped value', (database) => database.put(`live/${ids.waiting}`, 'rot'), 'RECORD_SEAL', /^live\//],
  ['no fixed part', (database) => database.del(`task/${ids.waiting}`), 'HEAD_PART_MISSING', /^task\//],
  ['no moving part', (database) => database.del(`live/${ids.waiting}`), 'HEAD_PART_MISSING', /^live\//],
  ['no head', (database) => [database.del(`live/${ids.sent}`), database.del(`task/${ids.sent}`)], 'ORPHAN', /./],
  [
    'both heads',
    (database) => database.change(`done/${ids.settled}`, (body) => body, `live/${ids.settled}`),
    'HEAD_TWICE',
    /^live\//,
  ],
  ['no record', (database) => database.del(database.first(`log/${ids.waiting}/`)), 'LOG_INCOMPLETE', /^log\//],
  ['no input', (database) => database.del(`input/${ids.sent}`), 'VALUE_MISSING', /^input\//],
  ['no outcome', (database) => database.del(`outcome/${ids.large}`), 'VALUE_MISSING', /^outcome\//],
  [
    'an outcome of an unfinished task',
    (database) => database.change(`outcome/${ids.large}`, (body) => body, `outcome/${ids.waiting}`),
    'VALUE_SURPLUS',
    /^outcome\//,
  ],
  [
    'no description of a checkpoint',
    (database) => database.del(database.first(`checkpoint/${ids.waiting}/`)),
    'CHECKPOINT_MISSING',
    /^checkpoint\//,
  ],
  [
    'no state of a checkpoint',
    (database) => database.del(database.first(`state/${ids.waiting}/`)),
    'CHECKPOINT_MISSING',
    /^state\//,
  ],
  ['no undo record', (db) => db.del(db.first(`intent/${ids.waiting}/`)), 'COUNT_WRONG', /^intent\//],
  ['no pending input', (db) => db.del(db.first(`note/${ids.waiting}/`)), 'COUNT_WRONG', /^note\//],
  ['no message', (db) => db.del(db.first(`message/${ids.sent}/`)), 'COUNT_WRONG', /^message\//],
  ['no entry of a type', (database) => database.del(`ix/t/echo/c/${ids.large}`), 'INDEX_MISSING', /^ix\/t\//],
  ['no entry of an owner', (database) => database.del(`ix/o/alice/c/${ids.settled}`), 'INDEX_MISSING', /^ix\/o\//],
  [
    'an entry with other content',
    (database) => database.change(`ix/o/alice/c/${ids.settled}`, () => '["other",1]'),
    'INDEX_MISSING',
    /^ix\/o\//,
  ],
  [
    'an entry of an unfinished task',
    (database) => database.change(`ix/t/echo/c/${ids.large}`, (body) => body, `ix/t/wait/c/${ids.waiting}`),
    'INDEX_SURPLUS',
    /^ix\/t\/wait/,
  ],
  ['no timer of a sweep', (db) => db.del(timerOf(db, 'sweep')), 'TIMER_MISSING', /^timer\//],
  ['no entry for retention', (db) => db.del(db.first('settled/')), 'TIMER_MISSING', /^settled\//],
  [
    'a timer of no task',
    (db) => db.change(timerOf(db, 'sweep'), (body) => body, `timer/0123456789ab/sweep/${ids.waiting}`),
    'TIMER_SURPLUS',
    /^timer\//,
  ],
  ['no key of an unfinished task', (database) => database.del('key//wait/waits'), 'KEY_MISSING', /^key\//],
  ['no key of a settled task', (database) => database.del('key/alice/echo/once'), 'KEY_MISSING', /^key\//],
  [
    'a key of no task',
    (database) =>
      database.change(
        'key/alice/echo/once',
        (body) => body.replaceAll('once', 'else').replace(/task-\w+/, 'task-0'),
        'key/alice/echo/else',
      ),
    'KEY_SURPLUS',
    /^key\//,
  ],
  ['no audit value', (db) => db.del(db.first('audit/')), 'TRAIL_WRONG', /^trail\//],
  ['no key of the trail', (db) => db.del(db.first('trail/task')), 'TRAIL_WRONG', /^trail\//],
  [
    'an audit value without entries',
    (db) => db.change(db.first('audit/'), () => '{"prev":"","at":1,"bytes":1,"entries":[]}'),
    'AUDIT_ORDER',
    /^audit\//,
  ],
  [
    'an audit entry with another actor',
    (db) => db.change(db.first('audit/'), (body) => body.replace('"by":"', '"by":"x')),
    'AUDIT_CHAIN',
    /^audit\//,
  ],
  [
    'no first audit value, and no keys that lead to it',
    (db) => {
      const key = db.first('audit/')
      for (const trail of db.keys('trail/')) if (trail.endsWith(key.slice('audit'.length))) db.del(trail)
      db.del(key)
    },
    'AUDIT_CHAIN',
    /^audit\//,
  ],
  [
    'other counters',
    (database) => database.change('meta/totals', (body) => body.replace(/"completed":\d+/, '"completed":7')),
    'TOTALS_WRONG',
    /^meta\/totals/,
  ],
  ['no commit', (db) => db.del(db.keys('chain/')[3] as string), 'COMMITS_MISSING', /^chain\//],
  [
    'the identity of another store',
    (database) => database.change('meta/format', (body) => body.replace(/"storeId":"[^"]*"/, '"storeId":"other"')),
    'IDENTITY_WRONG',
    /^meta\/format/,
  ],
  ['a head that is no JSON', (database) => database.change(`task/${ids.sent}`, () => '{'), 'RECORD_UNREADABLE', /./],
])('%s is found', async (_, harm, code, key) => {
  const { findings } = await verified(harm)
  expect(findings.list).toContainEqual(expect.objectContaining({ code, key: expect.stringMatching(key) }))
  expect(findings.counts[code]).toBeGreaterThan(0)
})

function timerOf(database: Alterable, kind: string): string {
  return database.keys('timer/').find((key) => key.split('/')[2] === kind) as string
}
