// Goal: made-up bodies continue from every record of theirs with the same answers, and a fork that died half-way is no task.
// Method: every point of made-up bodies is forked; forks are killed at every write; states vanish while they are copied.
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ForkPoint, SegmentInfo } from '../../../src/index.js'
import { defineTask } from '../../../src/index.js'
import { unseal } from '../../../src/store/integrity/envelope.js'
import { decodeRecord } from '../../../src/task/log/records.js'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from '../../../src/testing/index.js'
import { type BodyShape, bodyShape, makeBody } from '../../helpers/bodies.js'
import { frozen, settledImport } from '../../helpers/forks.js'

/** Who was answered, and what `now()` and `uuid()` said, in the order in which it happened. */
interface Seen {
  readonly effects: string[]
  readonly answers: string[]
  readonly said: Map<string, unknown>
}

const shapes = bodyShape.map((shape): BodyShape => ({ ...shape, asksTime: true }))

describe('made-up bodies', () => {
  test('forked at every record have the answers of the original up to there', { timeout: 120_000 }, async () => {
    let forks = 0
    await fc.assert(
      fc.asyncProperty(shapes, fc.integer({ min: 1, max: 2 ** 30 }), async (shape, seed) => {
        const seen: Seen = { effects: [], answers: [], said: new Map() }
        let random = seed
        const witness = {
          begins: () => {},
          effect: (who: string) => void seen.effects.push(who),
          answered: (who: string) => void seen.answers.push(who),
          same: (what: string, value: unknown) => void seen.said.set(what, value),
          strange: (what: string) => {
            throw new Error(what)
          },
          pause: async () => {
            random = (random * 1_103_515_245 + 12_345) & 0x7fffffff
            for (let turns = random % 4; turns > 0; turns--) await turn()
          },
        }
        let now = Date.UTC(2026, 0, 1)
        const clock = { now: () => ++now, setTimer: () => () => {} }
        const task = defineTask({ name: 'made_up' }, makeBody(shape, witness))
        const disk = new MemoryDisk()
        const holdfast = await openInMemory({ disk, clock, tasks: [task] })
        const { taskId } = await holdfast.start(task, 'it')
        const output = await holdfast.result(taskId)
        const original = { answers: [...seen.answers], said: new Map(seen.said) }
        const before = frozen(disk, taskId)
        const who = whoIn(disk, taskId)
        for (const { point, done } of pointsOf(await holdfast.steps(taskId))) {
          forks++
          for (const list of [seen.effects, seen.answers]) list.length = 0
          seen.said.clear()
          const { taskId: forkId } = await holdfast.fork(taskId, point)
          expect(withoutUuids(await holdfast.result(forkId))).toEqual(withoutUuids(output))
          const copied = new Set(who.slice(0, done))
          // What is copied is never done again; what is not, is, but for the loser of a race that is decided already.
          expect(seen.effects.filter((one) => copied.has(one))).toEqual([])
          const left = who.slice(done).filter((one) => one !== undefined && !one.includes('.end.'))
          expect(seen.effects).toEqual(expect.arrayContaining(left))
          // It is answered first, in the order of the original, with the same times and IDs.
          const answered = seen.answers.filter((one) => copied.has(one))
          expect(seen.answers.slice(0, answered.length)).toEqual(answered)
          expect(answered).toEqual(original.answers.filter((one) => answered.includes(one)))
          for (const one of answered) {
            for (const what of [`${one}: now`, `${one}: uuid`])
              expect(seen.said.get(what)).toBe(original.said.get(what))
          }
          const again = (await holdfast.steps(forkId)).flatMap(({ steps }) => steps)
          const first = (await holdfast.steps(taskId)).flatMap(({ steps }) => steps)
          const end = again.findIndex((info, index) => JSON.stringify(info) !== JSON.stringify(first[index]))
          expect(end < 0 ? first.length : end).toBeGreaterThanOrEqual(Math.min(done, first.length))
        }
        expect(frozen(disk, taskId)).toEqual(before)
        await holdfast.close({ grace: 0 })
      }),
      { numRuns: 25 },
    )
    process.stdout.write(`fork: ${forks} forks of 25 bodies\n`)
  })
})

/** Who each record of a log is of; a checkpoint is nobody's. */
function whoIn(disk: MemoryDisk, taskId: string): (string | undefined)[] {
  const log = [...disk.content].filter(([key]) => key.startsWith(`log/${taskId}/`)).sort(([a], [b]) => (a < b ? -1 : 1))
  return log.map(([key, text]) => {
    const record = decodeRecord(unseal(key, text).body)
    return record.kind === 'step' ? (record.failed?.message ?? String(JSON.parse(record.value ?? '""'))) : undefined
  })
}

const withoutUuids = (answers: readonly string[]) => answers.filter((answer) => !/^[0-9a-f-]{36}$/.test(answer))

/** Every record of a log as a point, and how many records are copied with it. */
function pointsOf(segments: readonly SegmentInfo[]): { point: ForkPoint; done: number }[] {
  let done = 0
  return segments.flatMap(({ segment, steps }) =>
    steps.flatMap(({ kind, name, number, state }) => {
      if (state === 'running') return []
      done++
      const point: ForkPoint = kind === 'checkpoint' ? { checkpointId: name } : { afterStep: { name, number, segment } }
      return [{ point, done }]
    }),
  )
}

describe('a state that is not there while it is copied', () => {
  const stateOf = (disk: MemoryDisk, taskId: string) =>
    [...disk.content.keys()].find((key) => key.startsWith(`state/${taskId}`)) as string

  test('is damage of a task that stands still', async () => {
    const { disk, holdfast, taskId } = await settledImport()
    disk.damage(stateOf(disk, taskId), undefined)
    await expect(holdfast.fork(taskId, { afterStep: 'end' })).rejects.toMatchObject({ code: 'RECORD_DAMAGED' })
    await untilIdle(holdfast)
    expect([...disk.content.keys()].filter((key) => key.startsWith('log/') && !key.includes(taskId))).toEqual([])
  })

  test('was pruned where the task goes on', async () => {
    const disk = new MemoryDisk()
    const job = defineTask({ name: 'job' }, async (task) => {
      for (let at = 0; at < 100; at++) await task.step('load', () => at)
      await task.saveCheckpoint('state')
      return task.sleep('nap', '1h')
    })
    const holdfast = await openInMemory({ disk, clock: new ManualClock(), tasks: [job] })
    const { taskId } = await holdfast.start(job, null)
    const saved = new Promise<string>((resolve) => {
      holdfast.on('checkpoint:saved', ({ checkpointId }) => resolve(checkpointId))
    })
    const checkpointId = await saved
    const forking = holdfast.fork(taskId, { checkpointId })
    for (let writes = disk.writes; disk.writes < writes + 2; ) await turn()
    disk.damage(stateOf(disk, taskId), undefined)
    await holdfast.saveCheckpoint(taskId, 'a client’s: the task has moved on')
    await expect(forking).rejects.toMatchObject({ code: 'CHECKPOINT_PRUNED' })
    await holdfast.close({ grace: 0 })
  })
})
