/**
 * Goal: an exported task continues in another store under the same keys, and only after `resume`; a file that is not whole or
 * not complete is never imported.
 * Method: real stores, open and at rest; files that are cut, changed and redacted; tasks that note the key of each call.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { defineTask, Holdfast, type OpenOptions, silentLogger } from 'holdfast'
import { exportTask, importTask, verify } from 'holdfast/admin'
import { untilIdle } from 'holdfast/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { alter, CallNotes, type Filled, fillStore, storeIdOf, storeTasks } from '../../helpers/stores.js'

let scratch: string
let source: string
let ids: Filled
let names = 0
const fresh = () => join(scratch, `place-${++names}`)
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'holdfast-export-'))
  source = fresh()
  ids = await fillStore(source)
})
afterAll(() => rm(scratch, { recursive: true, force: true }))

const open = (dir: string, notes = new CallNotes(), more: Partial<OpenOptions> = {}) =>
  Holdfast.open({ dir, tasks: Object.values(storeTasks(notes)), logger: silentLogger, ...more })

/** A store without tasks. */
async function emptyStore(): Promise<string> {
  const dir = fresh()
  await (await open(dir)).close()
  return dir
}

/** The records of a task, without those that name the commit. */
const recordsOf = (dir: string, taskId: string) =>
  alter(dir, async (database) =>
    database
      .keys('')
      .filter((key) => key.includes(taskId) && !/^(trail|audit|live)\//.test(key))
      .map((key) => [key, database.get(key)]),
  )

async function exported(taskId: string, options: object = {}): Promise<string> {
  const file = fresh()
  await exportTask({ dir: source, taskId, file, ...options })
  return file
}

describe('a settled task', () => {
  test.each(['settled', 'large', 'failed', 'child'] as const)(
    '%s has each of its records in the other store',
    async (name) => {
      const taskId = ids[name]
      const dir = await emptyStore()
      const report = await importTask({ dir, file: await exported(taskId) })
      expect(report).toMatchObject({ taskId, isParked: false, importedFrom: { storeId: await storeIdOf(source) } })
      expect(await verify({ dir })).toMatchObject({ isSound: true, findings: [] })
      const ofParent = (key: string) => key.startsWith('ix/p/') || key.startsWith('task/') || key.startsWith('ix/o')
      const without = (records: Awaited<ReturnType<typeof recordsOf>>) =>
        records.filter(([key]) => name !== 'child' || !ofParent(key as string))
      expect(without(await recordsOf(dir, taskId))).toEqual(without(await recordsOf(source, taskId)))
      const [before, after] = [await open(source), await open(dir)]
      expect({ ...(await after.get(taskId)), parentId: undefined }).toEqual({
        ...(await before.get(taskId)),
        parentId: undefined,
      })
      expect(await after.steps(taskId)).toEqual(await before.steps(taskId))
      const audit = await after.audit({ taskId })
      expect(audit.at(-1)).toMatchObject({ action: 'imported', by: 'admin' })
      const copied = audit.slice(0, -1)
      expect(copied.every(({ importedFrom }) => importedFrom === report.importedFrom.storeId)).toBe(true)
      expect(copied.map(({ action, at }) => [action, at])).toEqual(
        (await before.audit({ taskId })).map(({ action, at }) => [action, at]),
      )
      await Promise.all([before.close(), after.close()])
    },
  )
})

test('an unfinished task runs only after resume, and then under the same keys and without a step twice', async () => {
  const dir = await emptyStore()
  const report = await importTask({ dir, file: await exported(ids.waiting) })
  expect(report).toMatchObject({ isParked: true })
  expect(await verify({ dir })).toMatchObject({ isSound: true })
  const notes = new CallNotes()
  for (let opens = 0; opens < 2; opens++) {
    const holdfast = await open(dir, notes)
    await untilIdle(holdfast)
    expect(await holdfast.get(ids.waiting)).toMatchObject({ parked: { code: 'EXPORTED' } })
    expect(await holdfast.explain(ids.waiting)).toMatchObject({ state: 'parked', code: 'EXPORTED' })
    await holdfast.close()
  }
  const holdfast = await open(dir, notes)
  await untilIdle(holdfast)
  await holdfast.resume(ids.waiting)
  await untilIdle(holdfast)
  const [key] = Object.keys((await holdfast.get(ids.waiting)).inputRequests ?? {})
  await holdfast.respond(ids.waiting, { [key as string]: true })
  expect(await holdfast.result(ids.waiting)).toBe('small')
  expect(await holdfast.listCheckpoints(ids.waiting)).toHaveLength(2)
  expect(notes.keys).toHaveLength(1)
  await holdfast.close()
  expect(await verify({ dir })).toMatchObject({ isSound: true })
})

test('a move leaves the task cancelled as moved, without its undo, and nothing to run before a resume', async () => {
  const [from, to, file] = [fresh(), fresh(), fresh()]
  const [undone, notes] = [[] as string[], new CallNotes()]
  const tasks = storeTasks(notes)
  const wait = defineTask({ name: 'wait', undo: { two: () => void undone.push('two') } }, tasks.wait.body as never)
  const holdfast = await Holdfast.open({ dir: from, tasks: [wait as never], logger: silentLogger })
  const { taskId } = await holdfast.start('wait', 'small', { idempotencyKey: 'k' })
  await untilIdle(holdfast)
  await holdfast.send(taskId, 'news', 1)
  const result = holdfast.result(taskId).catch((error: { code: string; reason: string }) => [error.code, error.reason])
  await exportTask({ holdfast, taskId, file, move: true, actor: 'cli: ann' })
  expect(await result).toEqual(['TASK_PARKED', undefined])
  expect(await holdfast.get(taskId)).toMatchObject({
    status: 'cancelled',
    outcome: { kind: 'cancelled', reason: 'moved' },
  })
  expect((await holdfast.audit({ taskId })).at(-1)).toMatchObject({ action: 'cancelled', by: 'cli: ann', why: 'moved' })
  // A repeated start finds the moved task, and runs nothing.
  expect(await holdfast.start('wait', 'small', { idempotencyKey: 'k' })).toEqual({ taskId, created: false })
  await untilIdle(holdfast)
  await holdfast.close()
  expect(undone).toEqual([])
  expect(await verify({ dir: from })).toMatchObject({ isSound: true })

  const other = await open(to, notes)
  await importTask({ holdfast: other, file })
  await untilIdle(other)
  expect(await other.get(taskId)).toMatchObject({ parked: { code: 'EXPORTED' } })
  await expect(other.start('wait', 'other', { idempotencyKey: 'k' })).rejects.toMatchObject({
    code: 'IDEMPOTENCY_CONFLICT',
  })
  await other.resume(taskId)
  await untilIdle(other)
  const [key] = Object.keys((await other.get(taskId)).inputRequests ?? {})
  await other.respond(taskId, { [key as string]: true })
  await other.result(taskId)
  await other.close()
  expect(notes.keys).toHaveLength(3)
  expect(notes.repeated).toEqual([])
  expect(await verify({ dir: to })).toMatchObject({ isSound: true })
})

test('a running task is moved once its call has ended; one that does not end is not moved', async () => {
  const [from, notes] = [fresh(), new CallNotes()]
  let release = () => {}
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  const slow = defineTask({ name: 'slow' }, async (task) => {
    await task.step('call', async (step) => {
      notes.keys.push(step.idempotencyKey)
      await gate
    })
    await task.sleep('pause', '1h')
    return task.step('after', (step) => void notes.keys.push(step.idempotencyKey))
  })
  const holdfast = await Holdfast.open({ dir: from, tasks: [slow], logger: silentLogger })
  const { taskId } = await holdfast.start(slow, undefined)
  const moving = (grace: number | string, file = fresh()) =>
    exportTask({ holdfast, taskId, file, move: true, grace: grace as number })
  await expect(moving(0)).rejects.toMatchObject({ code: 'TASK_IN_USE' })
  expect(await holdfast.get(taskId)).toMatchObject({ status: 'running', parked: undefined })
  const file = fresh()
  const moved = moving('1m', file)
  release()
  await moved
  await holdfast.close()
  const dir = fresh()
  const other = await Holdfast.open({ dir, tasks: [slow], logger: silentLogger })
  await importTask({ holdfast: other, file })
  expect((await other.steps(taskId)).flatMap(({ steps }) => steps)).toHaveLength(1)
  await other.close()
  expect(notes.keys).toHaveLength(1)
})

test('a queued task is moved, and its slot is not lost', async () => {
  const [from, ran] = [fresh(), [] as string[]]
  const one = defineTask({ name: 'one' }, async (task, name: string) => {
    ran.push(name)
    await task.receive('go')
  })
  const holdfast = await Holdfast.open({
    dir: from,
    tasks: [one],
    logger: silentLogger,
    concurrency: 1,
    recover: 'manual',
  })
  const block = defineTask({ name: 'block' }, (task) => task.step('wait', () => gate))
  let release = () => {}
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  await holdfast.start(block, undefined)
  const { taskId } = await holdfast.start(one, 'moved')
  const next = await holdfast.start(one, 'next')
  await exportTask({ holdfast, taskId, file: fresh(), move: true })
  release()
  await untilIdle(holdfast)
  expect(ran).toEqual(['next'])
  await holdfast.cancel(next.taskId)
  await holdfast.close()
})

test('an acknowledged message that came after the file was written is not lost: the move fails', async () => {
  const [from, file] = [fresh(), fresh()]
  const holdfast = await open(from)
  const { taskId } = await holdfast.start('wait', 'small')
  await untilIdle(holdfast)
  // The export is over once the file is there, and its event loop has not yet seen that.
  const moving = exportTask({ holdfast, taskId, file, move: true })
  holdfast.on('task:parked', () => {
    void (async () => {
      while (!(await readdir(scratch)).includes(`${file.slice(scratch.length + 1)}.partial`))
        await new Promise(setImmediate)
      await holdfast.send(taskId, 'news', 1)
    })()
  })
  await expect(moving).rejects.toMatchObject({ code: 'TASK_IN_USE' })
  expect((await readdir(scratch)).filter((name) => file.endsWith(name))).toEqual([])
  expect(await holdfast.get(taskId)).toMatchObject({ parked: { code: 'EXPORTED' } })
  await exportTask({ holdfast, taskId, file, move: true })
  await holdfast.close()
  const dir = await emptyStore()
  await importTask({ dir, file })
  expect(await alter(dir, async (database) => database.keys('message/task'))).toHaveLength(1)
})

describe('what cannot be moved or imported', () => {
  const family = async (dir: string) => {
    const kid = defineTask({ name: 'kid' }, (task) => task.receive('go'))
    const parent = defineTask({ name: 'family' }, (task) => task.child(kid, undefined))
    const holdfast = await Holdfast.open({ dir, tasks: [kid, parent], logger: silentLogger })
    const { taskId } = await holdfast.start(parent, undefined)
    await untilIdle(holdfast)
    const child = (await holdfast.list({ parent: taskId })).tasks[0]?.taskId as string
    return { holdfast, taskId, child }
  }

  test('a parent that waits for a child, and a child that its parent waits for', async () => {
    const { holdfast, taskId, child } = await family(fresh())
    for (const each of [taskId, child]) {
      await expect(exportTask({ holdfast, taskId: each, file: fresh(), move: true })).rejects.toMatchObject({
        code: 'TASK_NOT_PORTABLE',
      })
      expect(await holdfast.get(each)).toMatchObject({ parked: undefined })
    }
    const [ofParent, ofChild] = [fresh(), fresh()]
    await exportTask({ holdfast, taskId, file: ofParent })
    await exportTask({ holdfast, taskId: child, file: ofChild })
    const dir = await emptyStore()
    await expect(importTask({ dir, file: ofParent })).rejects.toMatchObject({ code: 'TASK_NOT_PORTABLE' })
    // A child becomes a task of its own, so the next recovery does not end it for want of its parent.
    await importTask({ dir, file: ofChild })
    const other = await open(dir)
    await untilIdle(other)
    expect(await other.get(child)).toMatchObject({ status: 'running', parked: { code: 'EXPORTED' } })
    await Promise.all([holdfast.close(), other.close()])
  })

  test('a settled task, and one that does not exist', async () => {
    await expect(exported(ids.settled, { move: true })).rejects.toMatchObject({ code: 'TASK_SETTLED' })
    await expect(exported(ids.settled.replace(/.$/, '!'))).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' })
    await expect(exported(ids.settled.slice(0, -2))).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' })
  })

  test('a task that the store has, and an idempotency key that it has used', async () => {
    await expect(importTask({ dir: source, file: await exported(ids.settled) })).rejects.toMatchObject({
      code: 'TASK_EXISTS',
    })
    const file = await exported(ids.waiting)
    const dir = fresh()
    const holdfast = await open(dir)
    await holdfast.start('wait', 'other', { idempotencyKey: 'waits' })
    await expect(importTask({ holdfast, file })).rejects.toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' })
    await untilIdle(holdfast)
    await holdfast.close()
    expect(await alter(dir, async (database) => database.keys('').filter((key) => key.includes(ids.waiting)))).toEqual(
      [],
    )
    expect(await verify({ dir })).toMatchObject({ isSound: true })
  })

  test('a file that is cut short or changed anywhere, of a newer version, or of another kind', async () => {
    const dir = await emptyStore()
    const before = await alter(dir, async (database) => database.keys(''))
    const holdfast = await open(dir)
    const text = await readFile(await exported(ids.sent), 'utf8')
    const lines = text.trimEnd().split('\n')
    const refused = async (bytes: string | Buffer, reason = /./) => {
      const file = fresh()
      await writeFile(file, bytes)
      await expect(importTask({ holdfast, file })).rejects.toMatchObject({
        code: 'EXPORT_INVALID',
        message: expect.stringMatching(reason),
      })
    }
    for (let count = 0; count < lines.length; count++)
      await refused(
        lines
          .slice(0, count)
          .map((line) => `${line}\n`)
          .join(''),
      )
    for (let at = 5; at < text.length; at += Math.ceil(text.length / 60)) {
      const bytes = Buffer.from(text)
      bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at)
      await refused(bytes)
    }
    for (let line = 1; line < lines.length - 1; line++) await refused(`${lines.toSpliced(line, 1).join('\n')}\n`)
    await refused(`${text}{"more":1}\n`)
    await refused(text.replace('"holdfastTask":1', '"holdfastTask":2'), /version 2/)
    await refused('{"a":1}\n', /not an exported task/)
    await refused('holdfast-backup\n', /not an exported task/)
    await expect(importTask({ holdfast, file: join(dir, 'none') })).rejects.toMatchObject({ code: 'EXPORT_INVALID' })
    await expect(importTask({ holdfast, file: scratch })).rejects.toMatchObject({ code: 'EXPORT_INVALID' })
    const large = fresh()
    await writeFile(large, text)
    await expect(importTask({ holdfast, file: large, bytesMax: 100 })).rejects.toMatchObject({ code: 'EXPORT_INVALID' })
    await holdfast.close()
    // Nothing of the files is left, not even what deletes the records of an interrupted import.
    const own = (key: string) => !/^(chain|meta)\//.test(key)
    expect((await alter(dir, async (database) => database.keys(''))).filter(own)).toEqual(before.filter(own))
  })
})

describe('a redacted file', () => {
  test('has no value, owner or key, cannot be imported, and its header shows that', async () => {
    const SECRET = 'secret-marker'
    const dir = fresh()
    const task = defineTask({ name: 'values', undo: { undoable: () => {} } }, async (task, _input: object) => {
      await task.step('undoable', () => ({ value: SECRET }))
      await task.saveCheckpoint({ state: SECRET }, { label: SECRET })
      await task.step('fails', () => Promise.reject(new Error(SECRET, { cause: new Error(SECRET) }))).catch(() => {})
      task.progress({ done: 1, message: SECRET })
      await task.input('first', { message: SECRET })
      await task.input('second', { message: SECRET })
    })
    const ends = defineTask({ name: 'ends' }, (_task, how: 'result' | 'error') => {
      if (how === 'error') throw new Error(SECRET)
      return { how, SECRET }
    })
    const holdfast = await Holdfast.open({ dir, tasks: [task, ends], logger: silentLogger })
    const { taskId } = await holdfast.start(
      task,
      { of: SECRET, more: SECRET.repeat(100) },
      { owner: SECRET, idempotencyKey: SECRET },
    )
    await untilIdle(holdfast)
    const [key] = Object.keys((await holdfast.get(taskId)).inputRequests ?? {})
    await holdfast.respond(taskId, { [key as string]: { answer: SECRET } })
    await holdfast.send(taskId, 'news', { of: SECRET }, { idempotencyKey: SECRET })
    await holdfast.saveCheckpoint(taskId, { client: SECRET })
    const settled = await Promise.all((['result', 'error'] as const).map((how) => holdfast.start(ends, how)))
    const { taskId: cancelled } = await holdfast.start(task, {}, { owner: SECRET })
    await untilIdle(holdfast)
    await holdfast.cancel(cancelled, { reason: SECRET })
    await untilIdle(holdfast)
    for (const each of [taskId, cancelled, ...settled.map(({ taskId }) => taskId)]) {
      const stream = new PassThrough()
      const [text] = await Promise.all([buffer(stream), exportTask({ holdfast, taskId: each, stream, redact: true })])
      expect(text.toString()).toContain('"redacted":true')
      expect(text.toString()).not.toContain(SECRET)
      await expect(importTask({ holdfast, stream: [text] as never })).rejects.toMatchObject({
        code: 'EXPORT_INVALID',
        message: expect.stringContaining('redacted'),
      })
    }
    await holdfast.close()
  })
})

test('the attempts and the summary of a step are in the other store, and a redacted file has neither messages nor summary', async () => {
  const [from, to, file] = [fresh(), fresh(), fresh()]
  const task = defineTask({ name: 'flaky' }, (task) =>
    task.step(
      'pay',
      ({ attempt }) => {
        if (attempt < 3) throw Object.assign(new Error('secret-marker'), { code: 'EBUSY' })
      },
      { retry: { maximumAttempts: 3, initialInterval: 0 }, summary: 'secret-marker of the author' },
    ),
  )
  const options = { tasks: [task], logger: silentLogger }
  const holdfast = await Holdfast.open({ dir: from, ...options })
  const { taskId } = await holdfast.start(task, undefined)
  await holdfast.result(taskId)
  const steps = await holdfast.steps(taskId)
  expect(steps[0]?.steps[0]?.summary).toBe('secret-marker of the author')
  const lastAttempts = steps[0]?.steps[0]?.lastAttempts
  expect(lastAttempts).toMatchObject([{ errorCode: 'EBUSY' }, { errorCode: 'EBUSY' }, { attempt: 3 }])
  await exportTask({ holdfast, taskId, file })
  const stream = new PassThrough()
  const [text] = await Promise.all([buffer(stream), exportTask({ holdfast, taskId, stream, redact: true })])
  await holdfast.close()
  const times = lastAttempts?.map(({ attempt, startedAt, endedAt, errorCode }) =>
    attempt < 3 ? [attempt, startedAt, endedAt, errorCode] : [attempt, startedAt],
  )
  expect(text.toString()).not.toContain('secret-marker')
  expect(text.toString().replaceAll('\\', '')).toContain(`"lastAttempts":${JSON.stringify(times)}`)

  const other = await Holdfast.open({ dir: to, ...options })
  await importTask({ holdfast: other, file })
  expect(await other.steps(taskId)).toEqual(steps)
  await other.close()
})

test('a failed export leaves no file, and destroys its stream', async () => {
  const file = await exported(ids.settled)
  await expect(exportTask({ dir: source, taskId: ids.settled, file })).rejects.toMatchObject({ code: 'EXPORT_FAILED' })
  await expect(
    exportTask({ dir: source, taskId: ids.settled, file: join(scratch, 'none', 'file') }),
  ).rejects.toMatchObject({ code: 'EXPORT_FAILED' })
  let destroyed: Error | undefined | null
  const full = new Writable({
    write: (_bytes, _encoding, done) => done(new Error('full')),
    destroy: (error, done) => {
      destroyed = error
      done(error)
    },
  })
  await expect(exportTask({ dir: source, taskId: ids.settled, stream: full })).rejects.toMatchObject({
    code: 'EXPORT_FAILED',
  })
  expect(destroyed).toBeDefined()
  expect((await readdir(source)).filter((name) => name.startsWith('db.'))).toEqual([])
})
