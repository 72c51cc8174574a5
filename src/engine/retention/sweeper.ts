/**
 * Deletes expired idempotency keys, settled tasks, audit entries and counters of hours, in small steps in the background.
 *
 * - Timer records on disk name the tasks and keys to check. The task or key itself shows if it is due. After a crash,
 *     the next pass repeats the rest.
 * - A few items are deleted at a time, in small batches, with a turn of the event loop in between. So other commits
 *     wait for one or two batches at most.
 * - An item that cannot be deleted stays, and does not stop the others.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { faultOf } from '../../base/fault.js'
import { sweepTask, writeGuards } from '../../store/delete-task.js'
import { type KeyRange, lastPart, settledUntil, timerParts, timersDue } from '../../store/disk/layout.js'
import { unsealJson } from '../../store/integrity/envelope.js'
import { readEntries, readHead, readIdempotency, readPendingRecords } from '../../store/reads.js'
import type { IdempotencyScope } from '../../task/changes.js'
import { forgetAt, sweepAt } from '../../task/decisions/expiry.js'
import type { Engine } from '../core/engine.js'
import { sweepAudit } from './sweep-audit.js'
import { sweepHours } from './sweep-hours.js'

const SWEEP_EVERY_MS = 60_000
// Delay of the first sweep. Short, so that a process that runs for seconds sweeps too. Not zero, to let the recovery
// begin first.
const FIRST_SWEEP_AFTER_MS = 1_000
const PER_READ = 500
// Number of items deleted at once. Their batches are committed together.
const AT_ONCE = 8

/** Sweeps at intervals, unless the store is open for a command. Returns a function that stops the sweeps. */
export function startSweeping(engine: Engine): () => void {
  if (engine.options.purpose === 'operate') return () => {}
  let stopped = false
  let disarm = () => {}
  const arm = (afterMs: number) => {
    const options = { background: true, elapsed: true }
    if (!stopped) disarm = engine.clock.setTimer(engine.clock.now() + afterMs, run, options)
  }
  const run = () => {
    sweep(engine)
      .catch((error: unknown) => {
        if (!engine.closing) engine.logger.debug('A sweep failed. The next sweep continues.', { error: faultOf(error) })
      })
      .finally(() => arm(SWEEP_EVERY_MS))
  }
  arm(FIRST_SWEEP_AFTER_MS)
  return () => {
    stopped = true
    disarm()
  }
}

/** Makes one pass over all due timers and settled tasks. */
export async function sweep(engine: Engine): Promise<void> {
  const { clock, keepSettledMs } = engine
  await eachOf(engine, timersDue(clock.now()), (timer, text) => {
    const { kind, what } = timerParts(timer)
    if (kind === 'forget-key') {
      const scope = unsealJson<IdempotencyScope>(timer, text)
      return engine.keys.run(JSON.stringify(scope), () => forget(engine, timer, scope))
    }
    // Timers of other kinds belong to other versions and stay.
    return kind === 'sweep' || kind === 'sweep-orphan' ? sweepOne(engine, timer, what) : undefined
  })
  await sweepAudit(engine)
  await sweepHours(engine)
  if (keepSettledMs === undefined) return
  await eachOf(engine, settledUntil(clock.now() - keepSettledMs), (key) => sweepOne(engine, key, lastPart(key)))
}

/** Runs `act` for each entry of a range, a few at once. */
async function eachOf(
  engine: Pick<Engine, 'store' | 'sweeps' | 'closing' | 'logger'>,
  range: KeyRange,
  act: (key: string, text: string) => Promise<void> | undefined,
): Promise<void> {
  for (let after = ''; ; ) {
    const entries = await engine.store.read((level) => readEntries(level, range, { after, limit: PER_READ }))
    if (entries.length > 0) await engine.sweeps.once(() => writeGuards(engine.store))
    for (let at = 0; at < entries.length; at += AT_ONCE) {
      if (engine.closing) return
      const few = entries.slice(at, at + AT_ONCE)
      await Promise.all(few.map(({ key, text }) => attempt(engine, key, async () => act(key, text))))
      await turn()
    }
    if (entries.length < PER_READ) return
    after = entries.at(-1)?.key ?? ''
  }
}

async function attempt(
  engine: Pick<Engine, 'closing' | 'store' | 'logger'>,
  key: string,
  act: () => Promise<void>,
): Promise<void> {
  try {
    await act()
  } catch (error) {
    // The pass ends if the store is down or closed. The next pass continues.
    if (engine.closing || !engine.store.connection.isUp) throw error
    engine.logger.warn('A task or key could not be deleted. The next sweep tries again.', {
      taskId: lastPart(key),
      error: faultOf(error),
    })
  }
}

/** Sweeps a task, if it is due. `marker` is its timer record, or its entry in the index of settled tasks. */
async function sweepOne(engine: Engine, marker: string, taskId: string): Promise<void> {
  const { store, sweeps, clock, keepSettledMs, retentionMs } = engine
  if (engine.tasks.has(taskId) || engine.copying.has(taskId)) return
  await sweeps.sweeping(taskId, async () => {
    const head = await store.read((level) => readHead(level, taskId))
    const at = head && sweepAt(head, keepSettledMs)
    const isOrphan = timerParts(marker).kind === 'sweep-orphan'
    // The head of the fork was committed, so its records are not orphans.
    if (head && isOrphan) return store.put(taskId, [{ key: marker }])
    // Not due: unfinished, a longer `retention` than before, or the clock was set back.
    // A task whose deletion has begun is hidden already, so the rest is deleted.
    if (head && !head.sweeping && (at === undefined || at > clock.now())) return
    if (head?.parentId !== undefined && (await isAwaited(engine, head.parentId, taskId))) return
    const swept = { taskId, head, marker, forgetAt: head && forgetAt(head, retentionMs) }
    const gone = () => sweepTask(store, swept, () => !engine.closing)
    const { owner, type, idempotencyKey: key } = head ?? {}
    const isGone = key === undefined ? await gone() : await engine.keys.run(JSON.stringify({ owner, type, key }), gone)
    if (head && isGone) engine.usage.swept(head)
  })
}

/**
 * True if an unfinished parent has not recorded the end of the child. Without the child, the parent would start it
 * again.
 */
export async function isAwaited(
  { tasks, store }: Pick<Engine, 'tasks' | 'store'>,
  parentId: string,
  taskId: string,
): Promise<boolean> {
  if (!tasks.get(parentId)?.head.hasStepStates) return false
  const notes = await store.read((level) => readPendingRecords(level, parentId))
  return [...notes.values()].some(({ child }) => child?.taskId === taskId)
}

/** Deletes an expired idempotency key. */
async function forget(
  engine: Pick<Engine, 'store' | 'retentionMs' | 'clock'>,
  timer: string,
  scope: IdempotencyScope,
): Promise<void> {
  const { store, retentionMs, clock } = engine
  const taskId = lastPart(timer)
  const [entry, head] = await store.read(
    async (level) => [await readIdempotency(level, scope), await readHead(level, taskId)] as const,
  )
  // The key may belong to a new task by now, and the retention may be longer than before.
  const isStillIts = entry?.taskId === taskId
  const at = head ? forgetAt(head, retentionMs) : entry?.forgetAt
  if (isStillIts && at !== undefined && at > clock.now()) return store.moveTimer(taskId, timer, at, scope)
  await store.forgetKey(taskId, timer, isStillIts ? scope : undefined)
}
