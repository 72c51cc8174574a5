/**
 * Lets go of what outlived its use, a little at a time, in the background: idempotency keys, and settled tasks.
 *
 * - The timers on disk say where to look; what lies there says whether. A pass that dies anywhere is done again.
 * - A few things at a time, each by small batches, and a turn of the event loop in between: whoever steps, starts or
 *     reads meanwhile waits for a batch or two and no more.
 * - What can't be swept is left where it is, and doesn't stop the others.
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

const SWEEP_EVERY_MS = 60_000
// Soon, or a process that never lives for a minute would never sweep; not at once, or it would be in recovery's way.
const FIRST_SWEEP_AFTER_MS = 1_000
const PER_READ = 500
// Their batches are committed together, and share the wait for the disk.
const AT_ONCE = 8

/** Sweeps now and then until it is stopped. */
export function startSweeping(engine: Engine): () => void {
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

/** One pass over all that is due. */
export async function sweep(engine: Engine): Promise<void> {
  const { clock, keepSettledMs } = engine
  await eachOf(engine, timersDue(clock.now()), (timer, text) => {
    const { kind, what } = timerParts(timer)
    if (kind === 'forget-key') {
      const scope = unsealJson<IdempotencyScope>(timer, text)
      return engine.keys.run(JSON.stringify(scope), () => forget(engine, timer, scope))
    }
    // A kind of another version's is left to that.
    return kind === 'sweep' || kind === 'sweep-orphan' ? sweepOne(engine, timer, what) : undefined
  })
  if (keepSettledMs === undefined) return
  await eachOf(engine, settledUntil(clock.now() - keepSettledMs), (key) => sweepOne(engine, key, lastPart(key)))
}

/** Does `act` for each entry of a range, a few at once. */
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
    // Nobody sweeps in a store that is down or closed: the pass ends, and the next one goes on.
    if (engine.closing || !engine.store.connection.isUp) throw error
    engine.logger.warn('Something could not be swept; it is tried again', {
      taskId: lastPart(key),
      error: faultOf(error),
    })
  }
}

/** Sweeps the task that a timer, or its entry among the settled ones, leads to, if its time is over. */
async function sweepOne(engine: Engine, marker: string, taskId: string): Promise<void> {
  const { store, sweeps, clock, keepSettledMs, retentionMs } = engine
  if (engine.tasks.has(taskId) || engine.copying.has(taskId)) return
  await sweeps.sweeping(taskId, async () => {
    const head = await store.read((level) => readHead(level, taskId))
    const at = head && sweepAt(head, keepSettledMs)
    const isOrphan = timerParts(marker).kind === 'sweep-orphan'
    // It has come to have a head: what it was made of is nobody's rubbish.
    if (head && isOrphan) return store.put(taskId, [{ key: marker }])
    // Unfinished, wanted for longer in this process than in the last one, or the clock went backwards.
    if (head && (at === undefined || at > clock.now())) return
    if (head?.parentId !== undefined && (await isAwaited(engine, head.parentId, taskId))) return
    const swept = { taskId, head, marker, forgetAt: head && forgetAt(head, retentionMs) }
    const gone = () => sweepTask(store, swept, () => !engine.closing)
    const { owner, type, idempotencyKey: key } = head ?? {}
    const isGone = key === undefined ? await gone() : await engine.keys.run(JSON.stringify({ owner, type, key }), gone)
    if (head && isGone) engine.usage.swept(head)
  })
}

/** True if an unfinished parent has not heard of its child's end yet: with the child gone it would start it again. */
async function isAwaited(
  { tasks, store }: Pick<Engine, 'tasks' | 'store'>,
  parentId: string,
  taskId: string,
): Promise<boolean> {
  if (!tasks.get(parentId)?.head.hasStepStates) return false
  const notes = await store.read((level) => readPendingRecords(level, parentId))
  return [...notes.values()].some(({ child }) => child?.taskId === taskId)
}

/** Deletes an idempotency key that counts no more. */
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
  // The key may have a new task by now, and the retention may be longer in this process than in the last one.
  const isStillIts = entry?.taskId === taskId
  const at = head ? forgetAt(head, retentionMs) : entry?.forgetAt
  if (isStillIts && at !== undefined && at > clock.now()) return store.moveTimer(taskId, timer, at, scope)
  await store.forgetKey(taskId, timer, isStillIts ? scope : undefined)
}
