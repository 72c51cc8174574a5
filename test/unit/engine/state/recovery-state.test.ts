// Goal: a task that waits for `recover` runs no body, and a parked task that is retried is counted anew at each change.
// Method: each transition, legal or not, with the number of recounts.
import { describe, expect, test } from 'vitest'
import { RecoveryState } from '../../../../src/engine/state/recovery-state.js'

function made(wasFound: boolean) {
  const counted = { times: 0 }
  return { recovery: new RecoveryState({ recount: () => counted.times++ }, wasFound), counted }
}

describe('the recovery of a task in memory', () => {
  test('is awaited by a task that was found at open, until it is resumed', () => {
    const { recovery } = made(true)
    expect(recovery).toMatchObject({ wasFound: true, isAwaited: true, isRetrying: false })
    recovery.resume()
    expect(recovery).toMatchObject({ wasFound: true, isAwaited: false, isRetrying: false })
  })

  test('is not awaited by a new task', () => {
    expect(made(false).recovery).toMatchObject({ wasFound: false, isAwaited: false, isRetrying: false })
  })

  test('lets no body run while it is awaited', () => {
    const { recovery } = made(true)
    expect(() => recovery.queueRun()).toThrow("'queue a run' from 'awaits-recovery'")
    expect(() => recovery.endRetry()).toThrow("'end a retry' from 'awaits-recovery'")
    expect(recovery.isAwaited).toBe(true)
  })

  test('lets the clean-up of a task begin that was cancelled before `recover`', () => {
    const { recovery } = made(true)
    recovery.beginCleanUp()
    expect(recovery).toMatchObject({ isAwaited: false, isRetrying: true })
    recovery.resume()
    expect(recovery.isRetrying).toBe(true)
  })

  test('counts the task again when a retry begins and when it ends, and only then', () => {
    const { recovery, counted } = made(false)
    recovery.queueRun()
    recovery.queueRun()
    expect(recovery.isRetrying).toBe(true)
    expect(counted.times).toBe(1)
    recovery.endRetry()
    recovery.endRetry()
    expect(recovery.isRetrying).toBe(false)
    expect(counted.times).toBe(2)
  })
})
