// Goal: a repair makes each broken rule whole again by the rule for it, and reports what was lost.
// Method: a store in memory with tasks of each kind; for each case, one record of a copy of it is changed, and the copy repaired.
import { MemoryDisk, openInMemory } from 'holdfast/testing'
import { beforeAll, describe, expect, test } from 'vitest'
import { LostFound } from '../../../src/admin/repair/lost-found.js'
import { repairDatabase } from '../../../src/admin/repair/repair-database.js'
import { Findings } from '../../../src/admin/verify/findings.js'
import { verifyDatabase } from '../../../src/admin/verify/verify-database.js'
import { FORMAT_VERSION, META_FORMAT } from '../../../src/store/disk/layout.js'
import { seal } from '../../../src/store/integrity/envelope.js'
import { HARMS } from '../../helpers/harms.js'
import { Alterable, type Filled, fillDisk, storeTasks } from '../../helpers/stores.js'

const storeId = 'a-store'
const identity = { format: FORMAT_VERSION, storeId, createdAt: 0 }
const now = Date.now()
const original = new MemoryDisk()
let ids: Filled
beforeAll(async () => {
  ids = await fillDisk(original)
  // Only a store on disk has an identity.
  original.damage(META_FORMAT, seal(META_FORMAT, 0, JSON.stringify(identity)))
})

/** Repairs a copy that was harmed. */
async function repaired(harm: (database: Alterable) => unknown, { anchored = 0, start = false } = {}) {
  const content = new Map(original.content)
  harm(new Alterable(content))
  const disk = new MemoryDisk()
  for (const [key, text] of content) disk.damage(key, text)
  let text = ''
  const add = async (more: unknown) => {
    text += String(more)
  }
  const file = { writeFile: add, sync: async () => {} }
  const level = await disk.open()
  const settings = { identity, anchored, now, retentionMs: 86_400_000, start, lostParts: [] }
  const report = await repairDatabase(level, new LostFound(file), settings)
  const findings = new Findings()
  await verifyDatabase(level, { storeId, anchored: report.commit }, findings)
  await level.close()
  const lost = text
    .split('\n')
    .flatMap((line) => (line === '' ? [] : [JSON.parse(line) as { key: string; text: string }]))
  return { report, findings: findings.list, disk, lost }
}

/** Opens a repaired disk, with the tasks that filled it. */
async function open(disk: MemoryDisk) {
  return openInMemory({ disk, tasks: Object.values(storeTasks()), recover: 'manual' })
}

const failed = { status: 'failed', error: { code: 'RECORD_DAMAGED' } }

describe('each broken rule', () => {
  test.each(HARMS)(
    '%s: the repaired store has no findings, and the report names the key',
    async (_, harm, code, key) => {
      const { report, findings, disk } = await repaired((database) => harm(database, ids))
      expect(findings).toEqual([])
      expect(report.changes).toContainEqual(expect.objectContaining({ code, key: expect.stringMatching(key) }))
      const holdfast = await open(disk)
      expect(holdfast.recovery.storeDamage).toBeUndefined()
      await holdfast.close()
    },
  )

  test('every record of every kind that is damaged, one at a time, ends in a sound store', async () => {
    const first = new Map<string, string>()
    for (const key of original.content.keys()) {
      const [kind = '', taskId = ''] = key.split('/')
      first.set(['log', 'note', 'task', 'live', 'done', 'ix'].includes(kind) ? `${kind} ${taskId}` : kind, key)
    }
    for (const key of first.values()) {
      const { findings, report, lost } = await repaired((database) => database.put(key, 'rot'))
      expect(findings, key).toEqual([])
      if (!key.startsWith('chain/')) expect(lost, key).toContainEqual(expect.objectContaining({ key, text: 'rot' }))
      expect(report.changes.length, key).toBeGreaterThan(0)
    }
  })
})

test('a sound store keeps each record, and its commits', async () => {
  const { report, disk } = await repaired(() => {})
  expect(report).toMatchObject({ changes: [], counts: { lost: 0, madeAnew: 0 }, lostFound: 0, held: undefined })
  const own = /^(chain|meta)\//
  const rest = (content: ReadonlyMap<string, string>) => [...content].filter(([key]) => !own.test(key)).sort()
  expect(rest(disk.content)).toEqual(rest(original.content))
})

describe('a task that lost records', () => {
  test('fails if it was unfinished, runs no more, and keeps its idempotency key', async () => {
    const harmed = await repaired((database) => database.del(database.first(`log/${ids.waiting}/`)))
    expect(harmed.report).toMatchObject({ failedTasks: 1, failedTaskIds: [ids.waiting], unfinished: 1 })
    const holdfast = await open(harmed.disk)
    const task = await holdfast.get(ids.waiting)
    expect(task).toMatchObject({ ...failed, cleanUp: 'failed', cleanUpReason: 'NOT_RUN' })
    const [last] = (await holdfast.audit({ taskId: ids.waiting })).slice(-1)
    expect(last).toMatchObject({ action: 'failed', by: 'repair', to: 'failed', why: 'RECORD_DAMAGED' })
    const again = await holdfast.start('wait', 'small', { idempotencyKey: 'waits' })
    expect(again).toEqual({ taskId: ids.waiting, created: false })
    await holdfast.close()
  })

  test('keeps the beginning of its log up to the gap, and the checkpoints before it', async () => {
    const logOf = (database: Alterable) => database.keys(`log/${ids.waiting}/`)
    // The last record is in the segment that the checkpoint opened.
    const { disk, lost } = await repaired((database) => database.del(logOf(database).at(-1) as string))
    const holdfast = await open(disk)
    const kept = (await holdfast.steps(ids.waiting)).flatMap(({ steps }) => steps.map(({ name }) => name))
    expect(kept).toEqual(['one'])
    expect(lost.map(({ key }) => key)).toContainEqual(expect.stringMatching(/^(log|checkpoint|state)\//))
    await holdfast.close()
  })

  test('keeps nothing of its log without its input, so that no fork runs with another one', async () => {
    const { disk, lost } = await repaired((database) => database.del(`input/${ids.sent}`))
    const holdfast = await open(disk)
    expect(await holdfast.get(ids.sent)).toMatchObject(failed)
    await expect(holdfast.fork(ids.sent, { afterStep: 'one' })).rejects.toMatchObject({ code: 'STEP_NOT_FOUND' })
    expect(await holdfast.listCheckpoints(ids.sent)).toEqual([])
    expect(lost.some(({ key }) => key.startsWith(`log/${ids.sent}/`))).toBe(true)
    await holdfast.close()
  })

  test('stays completed with its result if only its log is broken, and fails if the result is lost', async () => {
    const log = await repaired((database) => database.del(database.first(`log/${ids.large}/`)))
    expect(log.report.failedTasks).toBe(0)
    const holdfast = await open(log.disk)
    expect(await holdfast.result(ids.large)).toHaveLength(600)
    expect((await holdfast.audit({ taskId: ids.large })).at(-1)).toMatchObject({ action: 'repaired', by: 'repair' })
    await holdfast.close()
    const outcome = await repaired((database) => database.del(`outcome/${ids.large}`))
    const other = await open(outcome.disk)
    await expect(other.result(ids.large)).rejects.toMatchObject({ code: 'RECORD_DAMAGED' })
    expect(await other.list({ status: ['failed'] })).toMatchObject({
      tasks: expect.arrayContaining([expect.objectContaining({ taskId: ids.large })]),
    })
    await other.close()
  })

  test('keeps its type and its ID without the fixed part of its head', async () => {
    const { disk } = await repaired((database) => database.put(`task/${ids.waiting}`, 'rot'))
    const holdfast = await open(disk)
    expect(await holdfast.get(ids.waiting)).toMatchObject({ ...failed, type: 'wait' })
    await holdfast.close()
  })

  test('never becomes unfinished again, if its settled head is damaged and an old one is back', async () => {
    const { disk } = await repaired((database) => {
      database.change(`live/${ids.waiting}`, (body) => body, `live/${ids.settled}`)
      database.put(`done/${ids.settled}`, 'rot')
    })
    const holdfast = await open(disk)
    expect(await holdfast.get(ids.settled)).toMatchObject(failed)
    await holdfast.close()
  })

  test('is not started again by a parent that waits for it', async () => {
    const { disk, report } = await repaired((database) => {
      // The pending call of the child, and a record of it without a head.
      const note = database.first(`note/${ids.waiting}/`)
      const child = `task-${'0'.repeat(26)}`
      database.change(note, (body) => JSON.stringify({ ...JSON.parse(body), child: { taskId: child } }))
      database.change(`live/${ids.waiting}`, (body) => {
        const row = JSON.parse(body) as [...unknown[], object]
        return JSON.stringify([...row.slice(0, 19), { ...(row[19] as object), children: 1 }])
      })
      database.put(`patch/${child}/00000000`, seal(`patch/${child}/00000000`, 1, '{}'))
    })
    expect(report.failedTaskIds).toEqual([ids.waiting])
    const holdfast = await open(disk)
    expect(await holdfast.get(ids.waiting)).toMatchObject(failed)
    await holdfast.close()
  })
})

describe('commits that are missing', () => {
  const withoutCommit = (database: Alterable) => database.del(database.keys('chain/')[3] as string)

  test('hold the unfinished tasks, which may be older than they were, until recover()', async () => {
    const { disk, report } = await repaired(withoutCommit)
    expect(report).toMatchObject({
      counts: { lost: 1 },
      unfinished: 2,
      held: expect.stringMatching(/was repaired on/),
    })
    const tasks = Object.values(storeTasks())
    const holdfast = await openInMemory({ disk, tasks })
    expect(holdfast.recovery.heldReason).toBe(report.held)
    expect(holdfast.recovery.startedAt).toBeUndefined()
    await holdfast.close()
  })

  test('hold nothing with `start`', async () => {
    const { report } = await repaired(withoutCommit, { start: true })
    expect(report.held).toBeUndefined()
  })

  test('never have their numbers used again', async () => {
    const { report } = await repaired(() => {}, { anchored: 5_000 })
    expect(report.commit).toBeGreaterThanOrEqual(5_000 + 8_192)
  })
})

test('a key of an unfinished task is made anew, so that a repeated start finds the task', async () => {
  const { disk, report } = await repaired((database) => database.del('key//wait/waits'))
  expect(report.counts).toEqual({ lost: 0, madeAnew: 1 })
  const holdfast = await open(disk)
  expect(await holdfast.start('wait', 'small', { idempotencyKey: 'waits' })).toMatchObject({ taskId: ids.waiting })
  await holdfast.close()
})

test('a key of a task that is lost refuses starts until it is forgotten', async () => {
  const { disk } = await repaired((database) => {
    for (const key of ['log', 'note', 'checkpoint', 'state', 'intent', 'patch', 'input-key'].flatMap((kind) =>
      database.keys(`${kind}/${ids.waiting}/`),
    )) {
      database.del(key)
    }
    for (const kind of ['task', 'live']) database.del(`${kind}/${ids.waiting}`)
  })
  const holdfast = await openInMemory({ disk, tasks: Object.values(storeTasks()), recover: 'manual' })
  await expect(holdfast.start('wait', 'small', { idempotencyKey: 'waits' })).rejects.toMatchObject({
    code: 'RESULT_GONE',
  })
  await holdfast.close()
})
