/**
 * Waits for a directory that another process holds, and opens the store once it is free. Waits as long as `lockWait`
 * says, and for a command of an operator at least 10 seconds.
 */
import type { Clock } from '../../base/clock.js'
import { HoldfastError } from '../../base/errors.js'
import type { Logger } from '../../base/logger.js'

// A restart hands the directory over within a second, and a process that waits for minutes may take a second to notice.
// If the holder is in another container, each attempt starts a process, which takes about 50 ms of processor time.
const LOOK_MS_MIN = 50
const LOOK_MS_MAX = 1_000
// A command holds the directory for a second or so.
const COMMAND_MS_MAX = 10_000

/** Duration of the wait, and its clock. */
export interface LockWait {
  /** Longest wait, in milliseconds. Default 0. */
  readonly lockWaitMs?: number | undefined
  readonly clock: Clock
  readonly logger: Logger
  /** Ends the wait early when it settles. The error is then that of the last attempt. */
  readonly ended?: Promise<unknown> | undefined
}

/**
 * Calls `open` until it resolves, as long as it rejects with `STORE_LOCKED` and the time is not over. If the holder is
 * proved to have ended, `open` itself takes the directory.
 * @throws HoldfastError `STORE_LOCKED` once the time is over; any other error of `open` at once
 */
export async function openWhenUnlocked<T>(
  open: () => Promise<T>,
  { lockWaitMs = 0, clock, logger, ended }: LockWait,
): Promise<T> {
  let isOver = lockWaitMs === 0
  let isCommandOver = false
  const timers: (() => void)[] = []
  const after = (ms: number, then: () => void) => {
    timers.push(clock.setTimer(clock.now() + ms, then, { elapsed: true }))
  }
  let isEnded = false
  void ended?.then(() => (isEnded = true))
  if (!isOver) after(lockWaitMs, () => (isOver = true))
  try {
    for (let lookMs = LOOK_MS_MIN; ; lookMs = Math.min(LOOK_MS_MAX, lookMs * 1.5)) {
      try {
        return await open()
      } catch (error) {
        const isCommand = isLocked(error) && error.details['role'] === 'cli'
        if (!isLocked(error) || isEnded || (isOver && (!isCommand || isCommandOver))) throw error
        if (lookMs === LOOK_MS_MIN) {
          after(COMMAND_MS_MAX, () => (isCommandOver = true))
          logger.warn('Another process holds the store. This process waits until the store is free.', {
            ...error.details,
            lockWaitMs: Math.max(lockWaitMs, isCommand ? COMMAND_MS_MAX : 0),
          })
        }
      }
      let disarmLook = () => {}
      const look = new Promise<void>((resolve) => {
        disarmLook = clock.setTimer(clock.now() + lookMs, resolve, { elapsed: true })
      })
      await (ended ? Promise.race([look, ended]) : look)
      disarmLook()
    }
  } finally {
    for (const disarm of timers) disarm()
  }
}

/** True if `error` refuses a directory that another process holds. */
export function isLocked(error: unknown): error is HoldfastError {
  return error instanceof HoldfastError && error.code === 'STORE_LOCKED'
}
