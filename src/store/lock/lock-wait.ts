/** Waits for a directory that another process holds (`lockWait`), and opens the store once it is free. */
import type { Clock } from '../../base/clock.js'
import { HoldfastError } from '../../base/errors.js'
import type { Logger } from '../../base/logger.js'

// A restart hands the directory over within a second; a process that waits for minutes may take a second to notice. Where the
// holder is in another container, each look starts a process, which takes some 50 ms of a processor.
const LOOK_MS_MIN = 50
const LOOK_MS_MAX = 1_000

/** How long to wait, and by which clock. */
export interface LockWait {
  /** Default 0. */
  readonly lockWaitMs?: number | undefined
  readonly clock: Clock
  readonly logger: Logger
  /** Ends the wait early, with the refusal of the last look. */
  readonly ended?: Promise<unknown> | undefined
}

/**
 * Calls `open` until it resolves, as long as it rejects with `STORE_LOCKED` and the time is not over. Where the holder is
 * proved gone, `open` itself takes the directory over.
 * @throws HoldfastError `STORE_LOCKED` once the time is over; whatever else `open` rejects with, at once
 */
export async function openWhenUnlocked<T>(
  open: () => Promise<T>,
  { lockWaitMs = 0, clock, logger, ended }: LockWait,
): Promise<T> {
  if (lockWaitMs === 0) return open()
  let isOver = false
  void ended?.then(() => (isOver = true))
  const disarm = clock.setTimer(clock.now() + lockWaitMs, () => (isOver = true), { elapsed: true })
  try {
    for (let lookMs = LOOK_MS_MIN; ; lookMs = Math.min(LOOK_MS_MAX, lookMs * 1.5)) {
      try {
        return await open()
      } catch (error) {
        if (!isLocked(error) || isOver) throw error
        if (lookMs === LOOK_MS_MIN) {
          logger.warn('Another process holds the store. This process waits until the store is free.', {
            ...error.details,
            lockWaitMs,
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
    disarm()
  }
}

/** True for the refusal of a directory that another process holds. */
export function isLocked(error: unknown): error is HoldfastError {
  return error instanceof HoldfastError && error.code === 'STORE_LOCKED'
}
