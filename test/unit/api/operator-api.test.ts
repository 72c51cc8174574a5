// Goal: a store works without the operator API, and with it at the same cost.
import { createHook } from 'node:async_hooks'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { operatorTarget } from '../../../src/api/operator-target.js'
import { createIds } from '../../../src/base/ids.js'
import { silentLogger } from '../../../src/base/logger.js'
import { defineTask } from '../../../src/index.js'
import { startHolder } from '../../../src/operator/server/holder.js'
import { ManualClock, openInMemory, untilIdle } from '../../../src/testing/index.js'

const dirs: string[] = []
const scratch = () => {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-api-'))
  dirs.push(dir)
  return dir
}
afterEach(() => {
  vi.doUnmock('../../../src/operator/server/holder.js')
  vi.resetModules()
  for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true, force: true })
})

const steps = defineTask({ name: 'steps' }, async (task) => {
  for (let i = 0; i < 20; i++) await task.step('step', () => i)
})

/** Number of promises, timers and immediates of a task of 20 steps: the median of several. */
async function countOf(isServed: boolean): Promise<Record<string, number>> {
  const holdfast = await openInMemory({ clock: new ManualClock(), tasks: [steps] })
  const about = { lockToken: 'token', logger: silentLogger, ids: createIds(), inputBytesMax: 1_000 }
  const holder = isServed ? startHolder({ ...about, dir: scratch(), target: operatorTarget(holdfast) }) : undefined
  await holder?.ready
  const runs: Record<string, number>[] = []
  for (let run = 0; run < 9; run++) {
    await untilIdle(holdfast)
    const counts: Record<string, number> = { PROMISE: 0, Timeout: 0, Immediate: 0 }
    const hook = createHook({
      init(_, type) {
        if (type in counts) counts[type] = (counts[type] ?? 0) + 1
      },
    }).enable()
    await holdfast.result((await holdfast.start(steps)).taskId)
    hook.disable()
    runs.push(counts)
  }
  await holder?.close()
  await holdfast.close()
  const median = (name: string) => runs.map((counts) => counts[name] ?? 0).sort((one, other) => one - other)[4] ?? 0
  return { PROMISE: median('PROMISE'), Timeout: median('Timeout'), Immediate: median('Immediate') }
}

test('a task costs the same promises, timers and immediates with the operator API and without', async () => {
  expect(await countOf(true)).toEqual(await countOf(false))
})

test('code that cannot be loaded is one warning, and the store works', async () => {
  vi.doMock('../../../src/operator/server/holder.js', () => {
    throw new Error('no such file')
  })
  vi.resetModules()
  const fresh = await import('../../../src/index.js')
  const warned = new Promise<string>((resolve) => {
    const logger = { ...silentLogger, warn: resolve }
    void fresh.Holdfast.open({ dir: scratch(), logger }).then(async (holdfast) => {
      expect((await holdfast.list()).tasks).toEqual([])
      await warned
      await holdfast.close()
    })
  })
  expect(await warned).toContain('The code of the operator API could not be loaded')
})
