/**
 * The process that has the store open while `npm run bench:operator` measures, with the holds of its event loop
 * (watch-loop.mjs).
 */
import { setTimeout as delay } from 'node:timers/promises'
import { fill, openToMeasure, queuedOf } from './store.mjs'
import { watchLoop } from './watch-loop.mjs'

const [role, dir = '', tasks = ''] = process.argv.slice(2)

if (role === 'fill') {
  process.send?.(await fill(dir, Number(tasks)))
  process.disconnect()
} else {
  const startedAt = performance.now()
  const holdfast = await openToMeasure(dir, Number(tasks))
  // The queued tasks wait for slots that are never free, so the recovery never ends.
  while ((await holdfast.health()).recovery.left > queuedOf(Number(tasks))) await delay(100)
  const recoveredMs = performance.now() - startedAt
  const longest = watchLoop()
  process.on('message', () => process.send?.(longest()))
  process.once('disconnect', () => process.exit())
  process.send?.({ recoveredMs, ...(await holdfast.stats()).tasks, parked: (await holdfast.stats()).parked })
}
