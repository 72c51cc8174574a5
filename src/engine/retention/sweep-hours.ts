/** Deletes the counters of hours that are older than 30 days. */
import { setImmediate as turn } from 'node:timers/promises'
import { hourKey } from '../../store/disk/layout.js'
import { oldestHourKept } from '../../task/hour-counters.js'
import type { Engine } from '../core/engine.js'

const HOURS_PER_COMMIT = 64

/** One pass over the hours in memory, which are those on disk. It reads nothing. */
export async function sweepHours(engine: Pick<Engine, 'store' | 'clock' | 'closing'>): Promise<void> {
  const { store, clock } = engine
  const oldest = oldestHourKept(clock.now())
  const expired = [...store.totals.hours.keys()].filter((hour) => hour < oldest)
  for (let at = 0; at < expired.length && !engine.closing; at += HOURS_PER_COMMIT) {
    const few = expired.slice(at, at + HOURS_PER_COMMIT)
    store.totals.forget(few)
    await store.put(
      '',
      few.map((hour) => ({ key: hourKey(hour) })),
    )
    await turn()
  }
}
