/**
 * How long the event loop of this process is held. Between two ticks there is
 *
 * - the hold: the time that the main thread had a processor, without collections of the whole heap. On a machine that does
 *   other work too, the clock has the work of others in it.
 * - the time on the clock, and that of collections of the whole heap. Their threads have to share the processors.
 */
import { existsSync, openSync, readSync } from 'node:fs'
import { constants, PerformanceObserver } from 'node:perf_hooks'

const TICK_MS = 1

/** Watches the event loop. Returns a function that returns the longest hold since its last call. */
export function watchLoop() {
  const readRan = ranReader()
  /** @type {{ from: number, to: number, ranMs: number }[]} */
  let ticks = []
  /** @type {{ from: number, to: number }[]} */
  let collections = []
  const observer = new PerformanceObserver((list) => note(list.getEntries()))
  const note = (/** @type {import('node:perf_hooks').PerformanceEntry[]} */ entries) => {
    for (const entry of entries) {
      const { startTime: from, duration } = entry
      const { kind } = /** @type {{ detail: { kind: number } }} */ (/** @type {unknown} */ (entry)).detail
      if (kind !== constants.NODE_PERFORMANCE_GC_MINOR) collections.push({ from, to: from + duration })
    }
  }
  observer.observe({ entryTypes: ['gc'] })
  let before = { now: performance.now(), ran: readRan() }
  const tick = () => {
    const at = { now: performance.now(), ran: readRan() }
    ticks.push({ from: before.now, to: at.now, ranMs: at.ran - before.ran })
    before = at
    setTimeout(tick, TICK_MS)
  }
  tick()
  return () => {
    note(observer.takeRecords())
    const gcIn = (/** @type {{ from: number, to: number }} */ { from, to }) =>
      collections.reduce((sum, gc) => sum + Math.max(0, Math.min(to, gc.to) - Math.max(from, gc.from)), 0)
    const found = ticks.map((one) => {
      const gcMs = gcIn(one)
      return { holdMs: Math.max(0, one.ranMs - gcMs), wallMs: one.to - one.from - TICK_MS, gcMs }
    })
    ticks = []
    collections = []
    const longest = (/** @type {'holdMs' | 'wallMs' | 'gcMs'} */ name) => Math.max(0, ...found.map((one) => one[name]))
    return { holdMs: longest('holdMs'), wallMs: longest('wallMs'), gcMs: longest('gcMs') }
  }
}

/**
 * Returns a function that reads for how many milliseconds the main thread has had a processor. Where the system does not
 * tell that, it reads the clock.
 */
function ranReader() {
  const path = `/proc/self/task/${process.pid}/schedstat`
  if (!existsSync(path)) return () => performance.now()
  const file = openSync(path, 'r')
  const buffer = Buffer.alloc(100)
  return () => {
    const length = readSync(file, buffer, 0, buffer.length, 0)
    return Number(buffer.toString('latin1', 0, length).split(' ')[0]) / 1e6
  }
}
