// Goal: what a later version stored is kept by this one: kinds of keys, timers, and fields of values that are written again.
// Method: a store on a disk in memory into which such keys and fields are put; then its tasks continue, settle and are swept.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defineTask, Holdfast, silentLogger, type TaskContext } from 'holdfast'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { expect, test } from 'vitest'
import { writeBatch } from '../../../src/store/commit.js'
import { META_FORMAT, timerKey } from '../../../src/store/disk/layout.js'
import { openClassicLevel } from '../../../src/store/disk/level.js'
import { seal, unseal, unsealJson } from '../../../src/store/integrity/envelope.js'
import { type StepRecord, withRecord } from '../../../src/task/log/records.js'
import { emptySegment, PREFIX } from '../../../src/task/log/segment.js'
import { brokenFormatLaws } from '../../helpers/format-laws.js'

const DAY = 86_400_000

/** Puts fields into the first line of a JSON value, or into the object of an array that is a head. */
function withFields(disk: MemoryDisk, key: string, fields: object): void {
  const { seq, body } = unseal(key, disk.content.get(key) as string)
  const [first = '', ...rest] = body.split('\n')
  const value = JSON.parse(first) as unknown
  const changed = Array.isArray(value)
    ? [...value.slice(0, 19), { ...(value[19] as object | undefined), ...fields }]
    : { ...(value as object), ...fields }
  disk.damage(key, seal(key, seq, [JSON.stringify(changed), ...rest].join('\n')))
}

/** The first line of a value. */
function read(disk: MemoryDisk, key: string): unknown {
  return JSON.parse(unseal(key, disk.content.get(key) as string).body.split('\n')[0] as string)
}

const firstKey = (disk: MemoryDisk, prefix: string) =>
  [...disk.content.keys()].find((key) => key.startsWith(prefix)) as string

test('kinds of keys and of timers are left alone, whatever happens to the task that they name', async () => {
  const disk = new MemoryDisk()
  const clock = new ManualClock()
  const quick = defineTask({ name: 'quick' }, (task) => task.step('one', () => 1))
  let holdfast = await openInMemory({ disk, clock, tasks: [quick] })
  const { taskId } = await holdfast.start(quick, undefined, { ttl: '1h' })
  const { taskId: live } = await holdfast.createSessionTask({ type: 'talk' })
  await holdfast.result(taskId)
  await holdfast.close()
  const later = [
    `ix/z/colour/red/${taskId}`,
    `lease/${live}/0001`,
    `attribute/${taskId}/colour`,
    `request/${taskId}`,
    'meta/later',
    timerKey(clock.now() - 1, 'forget-request', taskId),
  ]
  for (const key of later) disk.damage(key, seal(key, 7, `{"of":"${taskId}"}`))
  const planted = later.map((key) => [key, disk.content.get(key)])
  holdfast = await openInMemory({ disk, clock, tasks: [quick] })
  await clock.advance(100 * DAY)
  await untilIdle(holdfast)
  await expect(holdfast.get(taskId)).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' })
  await holdfast.cancel(live)
  await holdfast.close()
  expect(later.map((key) => [key, disk.content.get(key)])).toEqual(planted)
})

test('fields of a head are in every later head of the task, and those of the fixed part stay there', async () => {
  const disk = new MemoryDisk()
  const waits = defineTask({ name: 'waits' }, async (task) => {
    await task.step('one', () => 1)
    await task.input('ok')
    return task.step('two', () => 2)
  })
  let holdfast = await openInMemory({ disk, tasks: [waits] })
  const { taskId } = await holdfast.start(waits, undefined)
  await untilIdle(holdfast)
  await holdfast.close()
  const moving = { title: 'T', attributes: { a: [1] } }
  const fixed = { trace: { traceparent: 'x' }, attributes: { b: 1 } }
  withFields(disk, `live/${taskId}`, moving)
  withFields(disk, `task/${taskId}`, fixed)
  const written = disk.content.get(`task/${taskId}`)
  holdfast = await openInMemory({ disk, tasks: [waits] })
  await holdfast.respond(taskId, { ok: 1 })
  expect(await holdfast.result(taskId)).toBe(2)
  await holdfast.close()
  expect(read(disk, `done/${taskId}`)).toMatchObject({ 19: moving })
  expect(disk.content.get(`task/${taskId}`)).toBe(written)
  expect(brokenFormatLaws(disk.content)).toEqual([])
})

test('fields of a pending step, of an undo, of a record, a key and the totals are kept', async () => {
  const disk = new MemoryDisk()
  const clock = new ManualClock()
  const calls = { charge: 0, refund: 0 }
  const body = async (task: TaskContext) => {
    await task.step('charge', () => ++calls.charge)
    await task.step(
      'flaky',
      () => {
        throw new Error('no')
      },
      { retry: { maximumAttempts: 4, initialInterval: '1h', maximumInterval: '1h' } },
    )
  }
  const flaky = defineTask(
    {
      name: 'flaky',
      undo: {
        charge: () => {
          if (++calls.refund === 1) throw new Error('again')
        },
      },
    },
    body,
  )
  const open = () => openInMemory({ disk, clock, tasks: [flaky] })
  let holdfast = await open()
  // Moves a counter, so that there are totals.
  await holdfast.cancel((await holdfast.createSessionTask({ type: 'talk' })).taskId)
  const { taskId } = await holdfast.start(flaky, undefined, { idempotencyKey: 'k', ttl: '1d' })
  await untilIdle(holdfast)
  await holdfast.close()

  const note = firstKey(disk, `note/${taskId}/`)
  const key = firstKey(disk, 'key/')
  const intent = firstKey(disk, `intent/${taskId}/`)
  withFields(disk, note, { attempts: [{ at: 1, error: 'no' }] })
  withFields(disk, key, { requestedBy: 'ann' })
  withFields(disk, intent, { summary: 'paid' })
  withFields(disk, 'meta/totals', { askedLater: 5 })
  // A record's field moves the sum of its segment.
  const logKey = firstKey(disk, `log/${taskId}/`)
  withFields(disk, logKey, { later: 'paid 5 EUR' })
  const { seq, body: recordText } = unseal(logKey, disk.content.get(logKey) as string)
  expect(seq).toBeGreaterThan(0)
  const head = read(disk, `live/${taskId}`) as unknown[]
  head[6] = withRecord(emptySegment(PREFIX), recordText).sum
  disk.damage(`live/${taskId}`, seal(`live/${taskId}`, 9, JSON.stringify(head)))

  holdfast = await open()
  await clock.advance(3_600_000)
  await untilIdle(holdfast)
  expect(read(disk, note)).toMatchObject({ failedAttempts: 2, attempts: [{ at: 1, error: 'no' }] })
  await holdfast.cancel(taskId)
  await untilIdle(holdfast)
  expect(read(disk, intent)).toMatchObject({ summary: 'paid', undoing: { failedAttempts: 1 } })
  withFields(disk, intent, { undoing: { ...(read(disk, intent) as { undoing: object }).undoing, attempts: ['again'] } })
  await holdfast.close()
  holdfast = await open()
  await clock.advance(60_000)
  await untilIdle(holdfast)
  expect(calls).toEqual({ charge: 1, refund: 2 })
  expect(read(disk, intent)).toMatchObject({
    summary: 'paid',
    undoing: { attempts: ['again'], doneAt: expect.any(Number) },
  })
  const record: Partial<StepRecord> = { kind: 'step', name: 'charge' }
  expect(read(disk, logKey)).toMatchObject({ ...record, later: 'paid 5 EUR' })
  expect(read(disk, 'meta/totals')).toMatchObject({ askedLater: 5, cancelled: 2 })
  await clock.advance(2 * DAY)
  await untilIdle(holdfast)
  // Its task is deleted, and the key says so itself.
  expect(read(disk, key)).toMatchObject({ requestedBy: 'ann', forgetAt: expect.any(Number) })
  await holdfast.close()
})

test('fields of the identity are kept, and are in the record that a repair writes', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-identity-'))
  try {
    const options = { dir, logger: silentLogger } as const
    await (await Holdfast.open(options)).close()
    const file = join(dir, 'holdfast.json')
    const identity = { ...JSON.parse(await readFile(file, 'utf8')), restoredFrom: { storeId: 's', commit: 1, at: 2 } }
    await writeFile(file, JSON.stringify(identity))
    let level = await openClassicLevel(join(dir, 'db'), { create: false })
    await writeBatch(level, [{ key: META_FORMAT, value: 'rot' }], true)
    await level.close()
    await (await Holdfast.open({ ...options, acceptDamage: true })).close()
    expect(JSON.parse(await readFile(file, 'utf8'))).toEqual(identity)
    level = await openClassicLevel(join(dir, 'db'), { create: false })
    expect(unsealJson(META_FORMAT, (await level.get(META_FORMAT)) as string)).toEqual(identity)
    await level.close()
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})
