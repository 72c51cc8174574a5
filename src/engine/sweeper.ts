/** Lets go of what outlived its use, in small batches, in the background: idempotency keys, in this version. */

import { lastPart } from '../store/layout.js'
import { readHead, readIdempotency, readKeysToForget } from '../store/reads.js'
import type { IdempotencyScope } from '../task/changes.js'
import { forgetAt } from '../task/expiry.js'
import type { Engine } from './engine.js'

const SWEEP_EVERY_MS = 60_000
const KEYS_PER_SWEEP = 500

/** Sweeps now and then until it is stopped. */
export function startSweeping(engine: Engine): () => void {
  let stopped = false
  let disarm = () => {}
  const arm = () => {
    if (!stopped) disarm = engine.clock.setTimer(engine.clock.now() + SWEEP_EVERY_MS, run, { background: true })
  }
  const run = () => {
    sweepKeys(engine)
      .catch((error: unknown) => {
        if (!engine.closing) engine.logger.warn('A sweep failed; the next one goes on', { error: String(error) })
      })
      .finally(arm)
  }
  arm()
  return () => {
    stopped = true
    disarm()
  }
}

/** Deletes the idempotency keys that count no more. Their timers say when to look; the task says whether. */
export async function sweepKeys(engine: Engine): Promise<void> {
  const { store, clock } = engine
  let failed = 0
  for (;;) {
    const due = await store.read((level) => readKeysToForget(level, clock.now(), KEYS_PER_SWEEP))
    for (const { timer, scope } of due) {
      if (engine.closing) return
      // One that can't be read must not stop the others; it is tried again by the next sweep.
      await engine.keys
        .run(JSON.stringify(scope), () => forget(engine, timer, scope))
        .catch((error: unknown) => {
          failed++
          engine.logger.warn('An idempotency key could not be swept', { error: String(error) })
        })
    }
    if (failed > 0) return
    if (due.length < KEYS_PER_SWEEP) return
  }
}

async function forget(engine: Engine, timer: string, scope: IdempotencyScope): Promise<void> {
  const { store, retentionMs, clock } = engine
  const taskId = lastPart(timer)
  const [entry, head] = await store.read(
    async (level) => [await readIdempotency(level, scope), await readHead(level, taskId)] as const,
  )
  // The key may have a new task by now, and the retention may be longer in this process than in the last one.
  const isStillIts = entry?.taskId === taskId
  const at = head && forgetAt(head, retentionMs)
  if (isStillIts && at !== undefined && at > clock.now()) return store.moveTimer(taskId, timer, at, scope)
  await store.forgetKey(taskId, timer, isStillIts ? scope : undefined)
}
