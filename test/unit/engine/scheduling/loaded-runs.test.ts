// Goal: the scheduler and the runs in memory agree on who is loaded, who waits and who may go.
// Method: both by hand, without an engine.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type IdleRun, LoadedRuns } from '../../../../src/engine/scheduling/loaded-runs.js'
import { type QueuedRun, Scheduler } from '../../../../src/engine/scheduling/scheduler.js'

describe('the scheduler and the runs in memory', () => {
  test('keep to the rules whatever begins, waits, wakes and ends, in any order', () => {
    type Model = Omit<QueuedRun, 'since'> & {
      since: number
      state: 'queued' | 'runs' | 'waits' | 'wakes' | 'leaving'
      endsAt: number
    }
    const action = fc.record({
      act: fc.constantFrom('try', 'start', 'start', 'wait', 'wait', 'wake', 'wake', 'end', 'unloaded', 'cancel'),
      owner: fc.constantFrom(undefined, 'a', 'b'),
      type: fc.constantFrom('x', 'y'),
      pick: fc.nat(),
    })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }), fc.nat({ max: 3 }), fc.array(action), (slots, more, acts) => {
        const max = slots + more
        const runs: Model[] = []
        const idle = new Map<Model, IdleRun>()
        const loaded = new LoadedRuns(max)
        const options = { concurrency: slots, concurrencyPerOwner: 2, ageingMs: 1_000 }
        const scheduler = new Scheduler({ ...options, concurrencyOf: (type) => (type === 'x' ? 1 : undefined), loaded })
        const are = (...states: Model['state'][]) => runs.filter(({ state }) => states.includes(state))
        const fits = (one: Model) =>
          are('runs').length < slots &&
          (one.type !== 'x' || !are('runs').some(({ type }) => type === 'x')) &&
          (one.owner === undefined || are('runs').filter(({ owner }) => owner === one.owner).length < 2)
        const inMemory = () => are('runs', 'waits', 'wakes', 'leaving').length
        const isFull = () => are('runs', 'waits', 'wakes').length >= max
        const setIdle = (run: Model, endsAt: number) => {
          clearIdle(run)
          run.endsAt = endsAt
          const entry = { endsAt, unload: () => unload(run) }
          idle.set(run, entry)
          loaded.addIdle(entry)
        }
        const clearIdle = (run: Model) => {
          const entry = idle.get(run)
          if (entry) loaded.removeIdle(entry)
          idle.delete(run)
        }
        const unload = (run: Model) => {
          // Only where it is one too many, and never before one whose wait ends later.
          expect(isFull()).toBe(true)
          for (const other of are('waits', 'wakes')) expect(run.endsAt).toBeGreaterThanOrEqual(other.endsAt)
          leaveMemory(run)
        }
        const leaveMemory = (run: Model) => {
          idle.delete(run)
          scheduler.remove(run.taskId)
          run.state = 'leaving'
          loaded.beginLeaving()
        }
        const begin = (run: Model, wasLoaded: boolean) => () => {
          expect(fits({ ...run, state: 'queued' })).toBe(true)
          // At the limit one in memory goes first, if it may.
          if (!wasLoaded && inMemory() >= max) expect(are('wakes').filter(fits)).toEqual([])
          clearIdle(run)
          run.state = 'runs'
        }
        const queue = (run: Model) => {
          run.state = 'queued'
          scheduler.enqueue(run, begin(run, false))
        }
        const remove = (run: Model) => runs.splice(runs.indexOf(run), 1)
        let now = 0
        for (const { act, owner, type, pick } of acts) {
          now += 100
          const one = <T>(from: T[]) => from[pick % from.length]
          const fresh: Model = { taskId: `t${now}`, owner, type, since: now, state: 'queued', endsAt: 0 }
          if (act === 'try') {
            const may = fits(fresh)
            expect(scheduler.tryTake(fresh)).toBe(may)
            if (may) runs.push({ ...fresh, state: 'runs' })
          } else if (act === 'start') {
            runs.push(fresh)
            queue(fresh)
          } else if (act === 'wait') {
            const run = one(are('runs'))
            if (run && loaded.isFull) {
              expect(isFull()).toBe(true)
              leaveMemory(run)
              scheduler.rest(run)
            } else if (run) {
              run.state = 'waits'
              setIdle(run, now + 1 + (pick % 1_000))
              scheduler.rest(run)
            }
          } else if (act === 'wake') {
            const run = one(are('waits'))
            if (run) {
              run.state = 'wakes'
              setIdle(run, now)
              scheduler.enqueue({ ...run, since: now, isLoaded: true }, begin(run, true))
            }
          } else if (act === 'end') {
            const run = one(are('runs'))
            if (run) {
              remove(run)
              scheduler.release(run)
            }
          } else if (act === 'unloaded') {
            const run = one(are('leaving'))
            if (run) {
              loaded.leave('leaving')
              run.since = now
              queue(run)
            }
          } else {
            const run = one(are('queued', 'waits', 'wakes'))
            if (run) {
              remove(run)
              scheduler.remove(run.taskId)
              clearIdle(run)
              if (run.state !== 'queued') loaded.leave('loaded')
            }
          }
          expect(scheduler.free).toBe(slots - are('runs').length)
          expect(loaded.count).toBe(inMemory())
          expect(are('runs', 'waits', 'wakes').length).toBeLessThanOrEqual(max)
          // Nobody waits who could run: neither one in memory, nor because of the limit.
          expect(are('queued', 'wakes').filter(fits)).toEqual([])
        }
      }),
      { numRuns: 1_000 },
    )
  })

  test('load one more where nothing can be unloaded, so that no slot stays free', () => {
    const loaded = new LoadedRuns(1)
    const scheduler = new Scheduler({ concurrency: 2, ageingMs: 1_000, concurrencyOf: () => undefined, loaded })
    expect([scheduler.tryTake({ type: 'x' }), scheduler.tryTake({ type: 'x' })]).toEqual([true, true])
    const stuck = { endsAt: 5, unload: () => {} }
    loaded.addIdle(stuck)
    scheduler.rest({ type: 'x' })
    let begun = false
    scheduler.enqueue({ taskId: 'a', type: 'x', since: 0 }, () => {
      begun = true
    })
    expect([begun, loaded.count]).toEqual([true, 3])
  })
})
