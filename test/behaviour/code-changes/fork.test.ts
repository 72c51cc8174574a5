// Goal: a fork goes on from a past point of another task with exactly the answers up to there; what it comes from never
// changes; a fork that died half way is no task, and what it left is on a timer.
// Method: by hand for each kind of point; made-up bodies forked at every record they have; killed at every write.
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { ForkPoint, Holdfast } from '../../../src/index.js'
import { defineTask } from '../../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { everyCrash } from '../../helpers/every-crash.js'
import { type Call, frozen, imports, settledImport } from '../../helpers/forks.js'

/** What the disk has under an ID, or of it. */
function traces(disk: MemoryDisk, taskId: string): string[] {
  return [...disk.content.keys()].filter((key) => key.includes(taskId))
}

const names = (calls: readonly Call[]) => calls.map(({ name }) => name)

describe('a fork', () => {
  test.each([
    ['a step', { afterStep: 'plan' }, ['load', 'load', 'left', 'right', 'end']],
    ['the last step of a name', { afterStep: 'load' }, ['left', 'right', 'end']],
    ['one of several', { afterStep: { name: 'load', number: 1 } }, ['load', 'left', 'right', 'end']],
    ['one of a segment', { afterStep: { name: 'plan', segment: 'prefix' } }, ['load', 'load', 'left', 'right', 'end']],
    ['one of two side by side', { afterStep: { name: 'left', segment: 1 } }, ['right', 'end']],
    ['the last step', { afterStep: 'end' }, []],
  ] as [string, ForkPoint, string[]][])(
    'after %s runs what comes after it, and nothing else',
    async (_, point, runs) => {
      const { disk, calls, holdfast, taskId, output } = await settledImport()
      const before = frozen(disk, taskId)
      const first = calls.splice(0)
      const { taskId: forkId, created } = await holdfast.fork(taskId, point)
      expect(created).toBe(true)
      const again = await holdfast.result(forkId)
      expect(names(calls)).toEqual(runs)
      expect(again).toEqual({ ...output, checkpointId: again.checkpointId, at: again.at })
      for (const { key } of calls) expect(first.map((call) => call.key)).not.toContain(key)
      for (const { key } of calls) expect(key).toContain(forkId)
      expect(frozen(disk, taskId)).toEqual(before)
      expect(traces(disk, forkId).filter((key) => key.startsWith('timer/'))).toEqual([])
    },
  )

  test('after a checkpoint has it, its state, and the time it was saved', async () => {
    const { calls, holdfast, taskId, output, checkpointId } = await settledImport()
    calls.length = 0
    const { taskId: forkId } = await holdfast.fork(taskId, { checkpointId })
    expect(await holdfast.result(forkId)).toEqual(output)
    expect(names(calls)).toEqual(['left', 'right', 'end'])
    const [copied] = await holdfast.listCheckpoints(forkId)
    expect(copied).toMatchObject({ checkpointId, taskId: forkId, label: 'half', completedSteps: 3 })
    expect(await holdfast.restoreCheckpoint(forkId)).toMatchObject({ checkpointId, state: { rows: 2 } })
    expect(await holdfast.get(forkId)).toMatchObject({ completedSteps: 6, attempt: 1, status: 'completed' })
  })

  test('says where it comes from, and so do both audits', async () => {
    const { clock, holdfast, taskId } = await settledImport()
    const { taskId: forkId } = await holdfast.fork(taskId, { afterStep: 'load' }, { ttl: '1h', priority: 7 })
    await holdfast.result(forkId)
    const view = await holdfast.get(forkId)
    const forkedFrom = { taskId, at: 2 }
    expect(view).toMatchObject({ forkedFrom, owner: 'alice', version: '1', ttl: 3_600_000, priority: 7 })
    expect(view.createdAt).toBe(clock.now())
    expect((await holdfast.get(taskId)).forkedFrom).toBeUndefined()
    const forked = async (id: string) =>
      (await holdfast.audit({ taskId: id })).filter(({ action }) => action === 'forked')
    const after = "after step 'load' (number 2) of the prefix"
    expect(await forked(forkId)).toMatchObject([
      { taskId: forkId, type: 'import', by: 'admin', why: `from ${taskId}, ${after}` },
    ])
    expect(await forked(taskId)).toMatchObject([{ taskId, type: 'import', by: 'admin', why: `${forkId}, ${after}` }])
    const { taskId: grandchild } = await holdfast.fork(forkId, { afterStep: 'plan' })
    expect(await holdfast.get(grandchild)).toMatchObject({ forkedFrom: { taskId: forkId, at: 0 } })
    expect(await holdfast.result(grandchild)).toMatchObject({ file: 'a.csv', bornAt: clock.now() - 5_000 })
  })

  test('has the priority that it is given, and else that of any task', async () => {
    const { holdfast, taskId } = await settledImport()
    for (const [given, priority] of [
      [{ priority: 7 }, 7],
      [{}, 0],
    ] as const) {
      const fork = await holdfast.fork(taskId, { afterStep: 'plan' }, given)
      expect(await holdfast.get(fork.taskId)).toMatchObject({ priority })
    }
  })

  test('of a task that runs still leaves both to go on, and takes along nothing unfinished', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    const calls: string[] = []
    const job = defineTask({ name: 'job' }, async (task) => {
      const step = (name: string) => task.step(name, () => calls.push(name))
      await step('a')
      await Promise.all([task.sleep('nap', '30s'), step('b')])
      return step('c')
    })
    const holdfast = await openInMemory({ disk, clock, tasks: [job] })
    const { taskId } = await holdfast.start(job, null)
    await holdfast.saveCheckpoint(taskId, 'a client’s')
    await untilIdle(holdfast)
    await clock.advance(10_000)
    const { taskId: forkId } = await holdfast.fork(taskId, { afterStep: 'a' })
    await clock.advance(1_000)
    expect(calls).toEqual(['a', 'b', 'b'])
    expect((await holdfast.listCheckpoints(forkId)).length).toBe(0)
    await clock.advance(25_000)
    expect([(await holdfast.get(taskId)).status, (await holdfast.get(forkId)).status]).toEqual(['completed', 'running'])
    await clock.advance(10_000)
    expect((await holdfast.get(forkId)).status).toBe('completed')
    expect(calls).toEqual(['a', 'b', 'b', 'c', 'c'])
  })

  test('of a task that failed, or does not fit its code, gets past it', async () => {
    const disk = new MemoryDisk()
    const code = (name: string, fails: boolean) =>
      defineTask({ name: 'job' }, async (task) => {
        await task.step('a', () => 1)
        return task.step(name, () => {
          if (fails) throw new Error('no')
          return name
        })
      })
    const first = await openInMemory({ disk, tasks: [code('b', true)] })
    const { taskId } = await first.start('job', null)
    await expect(first.result(taskId)).rejects.toMatchObject({ code: 'TASK_FAILED' })
    await first.close()
    const second = await openInMemory({ disk, tasks: [code('renamed', false)] })
    const { taskId: forkId } = await second.fork(taskId, { afterStep: 'a' })
    expect(await second.result(forkId)).toBe('renamed')
    const { taskId: misfit } = await second.fork(taskId, { afterStep: 'b' })
    await expect(second.result(misfit)).rejects.toMatchObject({ code: 'TASK_PARKED' })
    expect(await second.get(misfit)).toMatchObject({ parked: { code: 'CODE_CHANGED' } })
  })

  test('takes what `patched` said before its point, and asks anew after it', async () => {
    const job = defineTask({ name: 'job' }, async (task) => {
      const said = [await task.patched('x')]
      await task.step('a', () => 1)
      said.push(await task.patched('y'))
      await task.step('b', () => 2)
      return said
    })
    const disk = new MemoryDisk()
    const holdfast = await openInMemory({ disk, tasks: [job] })
    const { taskId } = await holdfast.start(job, null)
    await holdfast.result(taskId)
    for (const [afterStep, kept] of [
      ['a', ['x']],
      ['b', ['x', 'y']],
    ] as const) {
      const { taskId: forkId } = await holdfast.fork(taskId, { afterStep })
      const text = disk.content.get(`patch/${forkId}/00000000`) ?? ''
      for (const id of ['x', 'y']) expect(text.includes(`"${id}"`)).toBe(kept.some((one) => one === id))
      expect(await holdfast.result(forkId)).toEqual([true, true])
    }
  })

  test('of a task that prunes has what is kept, and is told what is not', async () => {
    const disk = new MemoryDisk()
    const job = defineTask({ name: 'job' }, async (task) => {
      await task.step('first', () => 0)
      let at = (await task.restoreCheckpoint<number>())?.state ?? 0
      for (; at < 4; at++) {
        await task.step('load', () => at)
        await task.saveCheckpoint(at + 1, { prune: true })
      }
      return task.step('end', () => at)
    })
    const saved: string[] = []
    const clock = new ManualClock()
    const holdfast = await openInMemory({ disk, clock, tasks: [job] })
    holdfast.on('checkpoint:saved', ({ checkpointId }) => {
      saved.push(checkpointId)
      void clock.advance(10)
    })
    const { taskId } = await holdfast.start(job, null)
    await holdfast.result(taskId)
    const codeOf = (point: ForkPoint) => holdfast.fork(taskId, point).catch((error: { code: string }) => error.code)
    expect(await codeOf({ checkpointId: saved[0] as string })).toBe('CHECKPOINT_PRUNED')
    expect(await codeOf({ afterStep: { name: 'load', segment: 2 } })).toBe('CHECKPOINT_PRUNED')
    expect(await codeOf({ afterStep: 'load' })).toBe('STEP_NOT_FOUND')
    for (const point of [{ checkpointId: saved[3] as string }, { afterStep: 'end' }, { afterStep: 'first' }]) {
      const { taskId: forkId } = await holdfast.fork(taskId, point)
      expect(await holdfast.result(forkId), JSON.stringify(point)).toBe(4)
      expect((await holdfast.get(forkId)).completedSteps).toBe(6)
    }
    const { taskId: late } = await holdfast.fork(taskId, { checkpointId: saved[3] as string })
    await holdfast.result(late)
    // Its own first checkpoint is older than the fork itself.
    await expect(holdfast.fork(late, { checkpointId: saved[2] as string })).rejects.toMatchObject({
      code: 'CHECKPOINT_PRUNED',
    })
  })
})

describe('a fork whose process dies', () => {
  test('is a whole task or none, at every write, and comes to the same end', async () => {
    const drive = async (holdfast: Holdfast) => {
      const { taskId } = await holdfast.start('import', { file: 'a.csv' }, { idempotencyKey: 'first' })
      await holdfast.result(taskId)
      return (await holdfast.fork(taskId, { afterStep: { name: 'left' } }, { idempotencyKey: 'fork' })).taskId
    }
    const { calm, crashed } = await everyCrash({
      effects: () => [] as Call[],
      tasks: (calls) => [imports(calls)],
      drive,
    })
    expect(calm.outcome).toMatchObject({ status: 'completed', value: { file: 'a.csv' } })
    // Two tasks, of eight records: starts, steps, ends; and the timer, the copies, the head of the fork.
    expect(calm.writes).toBeGreaterThan(14)
    const comparable = (outcome: unknown) => {
      const { value, ...rest } = outcome as { value: Record<string, unknown> }
      return { ...rest, value: { ...value, id: undefined, at: undefined, bornAt: undefined, checkpointId: undefined } }
    }
    for (const { where, outcome } of crashed) expect(comparable(outcome), where).toEqual(comparable(calm.outcome))
  })

  test('leaves nothing that is not a task and not on a timer', async () => {
    const long = (calls: string[]) =>
      defineTask({ name: 'long' }, async (task) => {
        for (let at = 0; at < 200; at++) await task.step('load', () => at)
        await task.saveCheckpoint('state')
        return task.step('end', () => calls.push('end'))
      })
    const prepare = async () => {
      const disk = new MemoryDisk()
      const clock = new ManualClock()
      const calls: string[] = []
      const holdfast = await openInMemory({ disk, clock, tasks: [long(calls)] })
      const { taskId } = await holdfast.start('long', null)
      await holdfast.result(taskId)
      return { disk, clock, calls, holdfast, taskId }
    }
    const calm = await prepare()
    const writes = calm.disk.writes
    const { taskId: calmFork } = await calm.holdfast.fork(calm.taskId, { afterStep: 'end' })
    const forkWrites = calm.disk.writes - writes
    // The timer; 202 records, 90 a commit; a checkpoint; the head.
    expect(forkWrites).toBe(1 + 3 + 1 + 1)
    await calm.holdfast.result(calmFork)
    expect(calm.calls).toEqual(['end'])
    for (let atWrite = 1; atWrite <= forkWrites; atWrite++) {
      for (const applied of [false, true]) {
        const where = `write ${atWrite}, ${applied ? 'after' : 'before'}`
        const { disk, clock, calls, holdfast, taskId } = await prepare()
        const before = frozen(disk, taskId)
        let dead = false
        disk.onDeath(() => {
          dead = true
        })
        disk.dieAt({ atWrite, applied })
        void holdfast.fork(taskId, { afterStep: 'end' }, { idempotencyKey: 'k' })
        while (!dead) await turn()
        const left = new Set([...disk.content.keys()].flatMap((key) => /task-\w+/.exec(key)?.[0] ?? []))
        left.delete(taskId)
        expect(left.size, where).toBeLessThanOrEqual(1)
        for (const id of left) {
          const isTask = disk.content.has(`live/${id}`)
          const isTimed = traces(disk, id).some((key) => key.startsWith('timer/') && key.includes('/sweep-orphan/'))
          expect(isTask, where).toBe(atWrite === forkWrites && applied)
          expect(isTimed, where).toBe(!isTask)
        }
        const second = await openInMemory({ disk, clock, tasks: [long(calls)] })
        const listed = await second.list()
        expect(listed.tasks.length, where).toBe(1 + (atWrite === forkWrites && applied ? 1 : 0))
        for (const id of left) {
          if (!listed.tasks.some((task) => task.taskId === id)) {
            await expect(second.get(id)).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' })
          }
        }
        const { taskId: forkId, created } = await second.fork(taskId, { afterStep: 'end' }, { idempotencyKey: 'k' })
        expect(created, where).toBe(listed.tasks.length === 1)
        expect(await second.result(forkId), where).toBe(1)
        expect(calls, where).toEqual(['end'])
        expect(frozen(disk, taskId), where).toEqual(before)
        await second.close({ grace: 0 })
      }
    }
  })

  test('or whose disk fails is refused, and what was copied goes at once', async () => {
    for (let atWrite = 1; atWrite <= 4; atWrite++) {
      for (const applied of [false, true]) {
        const { disk, calls, holdfast, taskId } = await settledImport()
        calls.length = 0
        disk.failAt({ atWrite, applied })
        const where = `write ${atWrite}, ${applied ? 'applied' : 'not applied'}`
        const error = await holdfast.fork(taskId, { afterStep: 'end' }).then(
          () => undefined,
          (refused: { code: string; details: { taskId?: string } }) => refused,
        )
        expect(error?.code, where).toBe(atWrite === 4 ? 'START_UNKNOWN' : 'STORE_UNAVAILABLE')
        await new Promise((resolve) => setTimeout(resolve, 150))
        const { tasks } = await holdfast.list()
        if (atWrite === 4 && applied) {
          expect(await holdfast.result(error?.details.taskId ?? '')).toMatchObject({ file: 'a.csv' })
        } else expect(tasks, where).toHaveLength(1)
        const orphans = [...disk.content.keys()].filter((key) => key.startsWith('log/') && !key.includes(taskId))
        if (atWrite < 4) expect(orphans, where).toEqual([])
        expect(calls).toEqual([])
      }
    }
  })
})

describe('the same fork asked for twice', () => {
  test('is one task under an idempotency key, and another point is a conflict', async () => {
    const { holdfast, taskId } = await settledImport()
    const idempotencyKey = 'k'
    const both = await Promise.all([
      holdfast.fork(taskId, { afterStep: 'load' }, { idempotencyKey }),
      holdfast.fork(taskId, { afterStep: 'load' }, { idempotencyKey }),
    ])
    expect(both.map(({ created }) => created).sort()).toEqual([false, true])
    expect(both[0].taskId).toBe(both[1].taskId)
    await expect(holdfast.fork(taskId, { afterStep: 'plan' }, { idempotencyKey })).rejects.toMatchObject({
      code: 'IDEMPOTENCY_CONFLICT',
    })
    await expect(holdfast.start('import', { file: 'b' }, { idempotencyKey, owner: 'alice' })).rejects.toMatchObject({
      code: 'IDEMPOTENCY_CONFLICT',
    })
    const other = await holdfast.fork(taskId, { afterStep: 'load' })
    expect(other.taskId).not.toBe(both[0].taskId)
  })
})

describe('a fork is refused', () => {
  test('to anybody but the owner and an administrator', async () => {
    const { holdfast, taskId } = await settledImport()
    const point = { afterStep: 'plan' }
    await expect(holdfast.fork(taskId, point, { owner: 'bob' })).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' })
    await expect(holdfast.forOwner('bob').fork(taskId, point)).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' })
    const { taskId: forkId } = await holdfast.forOwner('alice').fork(taskId, point)
    expect((await holdfast.forOwner('alice').get(forkId)).owner).toBe('alice')
  })

  test('at a point that is not there', async () => {
    const { holdfast, taskId, checkpointId } = await settledImport()
    const codeOf = (point: ForkPoint) => holdfast.fork(taskId, point).catch((error: { code: string }) => error.code)
    expect(await codeOf({ afterStep: 'nothing' })).toBe('STEP_NOT_FOUND')
    expect(await codeOf({ afterStep: '' })).toBe('STEP_NOT_FOUND')
    expect(await codeOf({ afterStep: { name: 'load', number: 3 } })).toBe('STEP_NOT_FOUND')
    expect(await codeOf({ afterStep: { name: 'load', segment: 7 } })).toBe('STEP_NOT_FOUND')
    expect(await codeOf({ afterStep: checkpointId })).toBe('STEP_NOT_FOUND')
    expect(await codeOf({ checkpointId: 'cp-nothing' })).toBe('CHECKPOINT_NOT_FOUND')
    await expect(holdfast.fork('task-none', { afterStep: 'a' })).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' })
  })

  test('at a client’s checkpoint, and of a session task', async () => {
    const holdfast = await openInMemory({ tasks: [defineTask({ name: 'wait' }, (task) => task.sleep('long', '1h'))] })
    const { taskId } = await holdfast.start('wait', null)
    const { checkpointId } = await holdfast.saveCheckpoint(taskId, 1)
    await expect(holdfast.fork(taskId, { checkpointId })).rejects.toMatchObject({
      code: 'CHECKPOINT_NOT_FOUND',
      message: expect.stringContaining('saved by a client'),
    })
    const session = await holdfast.createSessionTask({ type: 'talk' })
    await expect(holdfast.fork(session.taskId, { afterStep: 'a' })).rejects.toMatchObject({
      code: 'STEP_NOT_FOUND',
      message: expect.stringContaining('is a session task'),
    })
    await holdfast.close({ grace: 0 })
    await expect(holdfast.fork(taskId, { afterStep: 'a' })).rejects.toMatchObject({ code: 'CLOSED' })
  })

  test('where nobody knows the type, past a limit, and of a damaged log; nothing is left of it', async () => {
    const { disk, holdfast, taskId } = await settledImport()
    await holdfast.close()
    const keys = [...disk.content.keys()].length
    const unknown = await openInMemory({ disk })
    await expect(unknown.fork(taskId, { afterStep: 'plan' })).rejects.toMatchObject({ code: 'TASK_TYPE_UNKNOWN' })
    await unknown.close()
    const wait = defineTask({ name: 'wait' }, (task) => task.sleep('long', '1h'))
    const full = await openInMemory({ disk, tasks: [imports([]), wait], limits: { liveTasksMax: 1 } })
    await full.start('wait', null)
    await expect(full.fork(taskId, { afterStep: 'plan' })).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' })
    await untilIdle(full)
    const copied = [...disk.content.keys()].filter((key) => /^(log|timer|checkpoint|state)\//.test(key))
    expect(copied.filter((key) => !key.includes(taskId))).toEqual([])
    expect(keys).toBeGreaterThan(0)
    disk.damage([...disk.content.keys()].find((key) => key.startsWith(`log/${taskId}`)) as string, undefined)
    await expect(full.fork(taskId, { afterStep: 'end' })).rejects.toMatchObject({ code: 'RECORD_DAMAGED' })
  })

  test.each([
    [undefined, {}, /\{ checkpointId \}, \{ afterStep \} or \{ from: 'start' \}/],
    [{}, {}, /\{ checkpointId \}, \{ afterStep \} or \{ from: 'start' \}/],
    [{ afterStep: 'a', checkpointId: 'b' }, {}, /\{ checkpointId \}, \{ afterStep \} or \{ from: 'start' \}/],
    [{ afterStep: 5 }, {}, /`afterStep`/],
    [{ afterStep: { name: 'a', number: Number.NaN } }, {}, /`afterStep.number`/],
    [{ afterStep: { name: 'a', segment: 0.5 } }, {}, /`afterStep.segment`/],
    [{ checkpointId: null }, {}, /`checkpointId`/],
    [{ afterStep: 'a' }, { owner: 5 }, /`owner`/],
    [{ afterStep: 'a' }, { idempotencyKey: '' }, /`idempotencyKey`/],
    [{ afterStep: 'a' }, { ttl: -1 }, /`ttl`/],
    [{ afterStep: 'a' }, { ttl: '5 parsecs' }, /`ttl`/],
    [{ afterStep: 'a' }, { ttl: Number.POSITIVE_INFINITY }, /`ttl`/],
    [{ afterStep: 'a' }, { deadline: 'soon' }, /`deadline`/],
  ])('for %j with %j', async (point, options, message) => {
    const holdfast = await openInMemory()
    const refused = holdfast.fork('task-none', point as never, options as never)
    await expect(refused).rejects.toThrow(TypeError)
    await expect(refused).rejects.toThrow(message)
  })
})
