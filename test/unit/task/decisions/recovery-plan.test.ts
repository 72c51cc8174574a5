// Goal: what a recovery does with each kind of head, and how a life begins after each kind of end.
// Method: heads and notes made by hand.
import { describe, expect, test } from 'vitest'
import { beginOpening, FRUITLESS_STARTS } from '../../../../src/engine/recovery/begin-opening.js'
import type { LastOpening } from '../../../../src/store/opening-record.js'
import { createTask } from '../../../../src/task/decisions/create.js'
import { inOrderOfTrial, planRecovery } from '../../../../src/task/decisions/recovery-plan.js'
import type { TaskHead } from '../../../../src/task/head.js'

const head = (more: Partial<TaskHead> = {}): TaskHead => ({
  ...createTask(
    {
      taskId: 'task-1',
      seed: 's',
      type: 'job',
      kind: 'body',
      durability: 'synced',
      by: 'admin',
      startNow: true,
      life: 7,
    },
    1_000,
  ).head,
  ...more,
})

/** Marks the code of the definition that is registered. */
const MARK = 'mark'

describe('the plan', () => {
  const since = 1
  const parked = (code: 'POISONED' | 'CODE_CHANGED' | 'EXPORTED') => ({ parked: { code, reason: 'r', since } })
  test.each([
    ['time-out', head({ deadlineAt: 5_000 }), true],
    ['time-out', head({ timeoutAt: 5_000, ...parked('POISONED') }), true],
    ['keep', head({ kind: 'session', deadlineAt: 5_001 }), true],
    ['stay', head(parked('POISONED')), true],
    ['stay', head(parked('POISONED')), false],
    ['stay', head({ ...parked('EXPORTED'), deadlineAt: 5_000, deaths: 5 }), true],
    ['stay', head({ ...parked('EXPORTED'), status: 'cancelled', cleanUp: 'pending' }), true],
    ['park', head({ deaths: 5 }), true],
    ['park', head({ deaths: 5 }), false],
    ['park', head({ deaths: 2 }), false],
    ['wait', head({ wakeAt: 5_001 }), true],
    ['wait', head({ wakeAt: 5_001, deaths: 2 }), true],
    ['resume', head({ wakeAt: 5_000 }), true],
    ['suspect', head({ deaths: 2 }), true],
    ['suspect', head({ deaths: 4, begun: "step 'a'" }), true],
    ['resume', head({ deaths: 1 }), true],
    ['resume', head(parked('CODE_CHANGED')), true],
    ['resume', head({ ...parked('CODE_CHANGED'), triedWith: 'another' }), true],
    ['retry-parked', head({ ...parked('CODE_CHANGED'), triedWith: MARK, wakeAt: 9_000 }), true],
    ['stay', head({ ...parked('CODE_CHANGED'), triedWith: MARK }), false],
  ] as const)('is to %s', (action, planned, isRegistered) => {
    expect(planRecovery(planned, isRegistered ? MARK : undefined, 5, 5_000).action).toBe(action)
  })

  test('says why', () => {
    const suspect = planRecovery(head({ deaths: 4, begun: "step 'a'" }), MARK, 5, 5_000)
    expect(suspect).toMatchObject({
      reason: expect.stringMatching(/^the last 4 processes crashed .* step 'a'/) as string,
    })
    expect(planRecovery(head({ deaths: 5 }), MARK, 5, 5_000)).toMatchObject({ parked: { code: 'POISONED' } })
    expect(planRecovery(head(), undefined, 5, 5_000)).toMatchObject({ parked: { code: 'TASK_TYPE_UNKNOWN' } })
  })

  test('tries suspects by their deaths, then by their age', () => {
    const suspects = [
      head({ taskId: 'a', deaths: 4 }),
      head({ taskId: 'b', deaths: 2 }),
      head({ taskId: 'c', deaths: 2 }),
    ]
    expect(inOrderOfTrial(suspects).map(({ taskId }) => taskId)).toEqual(['b', 'c', 'a'])
    expect(inOrderOfTrial([head(), head()])).toHaveLength(2)
  })
})

describe('a life', () => {
  const last: LastOpening = { life: 7, closed: false, starts: 0, recovering: true, wroteNothing: false }
  const begin = (before: Partial<LastOpening> | undefined, heads = [head()], recover: 'auto' | 'manual' = 'auto') =>
    beginOpening(before && { ...last, ...before }, heads, recover, 5_000)

  test('has a number that none had before, also where the note was lost', () => {
    expect(begin(undefined, []).note).toEqual({ life: 1, closed: false, starts: 0, recovering: true })
    expect(begin(undefined).note.life).toBe(8)
    expect(begin({ life: 20 }).note.life).toBe(21)
    expect(begin({ life: 20 }, [head({ life: undefined })]).note.life).toBe(21)
  })

  test('counts the death of the last one, and nothing after a close or an unknown end', () => {
    expect(begin({}).counted.map(({ head: { deaths } }) => deaths)).toEqual([1])
    expect(begin({ life: 8 }).counted).toEqual([])
    expect(begin({ closed: true }).counted).toEqual([])
    expect(begin(undefined).counted).toEqual([])
    expect(begin({}, [head()], 'manual').counted).toHaveLength(1)
  })

  test('counts the starts that came to nothing, and is held after so many', () => {
    expect(begin({ wroteNothing: true, starts: 2 }).note.starts).toBe(3)
    expect(begin({ starts: 2 }).note.starts).toBe(0)
    expect(begin({ closed: true, wroteNothing: true, starts: 2 }).note.starts).toBe(0)
    expect(begin({ recovering: false, wroteNothing: true, starts: 2 }).note.starts).toBe(2)
    const enough = { wroteNothing: true, starts: FRUITLESS_STARTS - 1 }
    expect(begin(enough)).toMatchObject({ heldReason: expect.any(String) as string, note: { recovering: false } })
    expect(begin(enough, []).heldReason).toBeUndefined()
    expect(begin(enough, [head()], 'manual')).toMatchObject({ heldReason: undefined, note: { recovering: false } })
  })
})
