// Goal: a store that an earlier version wrote is read by this one, and its unfinished tasks go on.
// Method: every store under data/golden is copied and opened; the copy, since opening writes.
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Holdfast, silentLogger } from '../../src/index.js'
import { FORMAT_VERSION } from '../../src/store/disk/layout.js'
import { ManualClock } from '../../src/testing/index.js'
import { goldenTasks, START } from './tasks.js'

const golden = fileURLToPath(new URL('../../data/golden', import.meta.url))
const stores = await readdir(golden)
let scratch: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'holdfast-golden-'))
})
afterAll(() => rm(scratch, { recursive: true, force: true }))

test('there is a golden store of the current format', () => {
  expect(stores).toContain(`format-${FORMAT_VERSION}`)
})

test.each(stores)('the store of %s is read, and its unfinished task goes on', async (name) => {
  const dir = join(scratch, name)
  await cp(join(golden, name), dir, { recursive: true })
  const tasks = goldenTasks()
  const clock = new ManualClock(START + 60_000)
  const holdfast = await Holdfast.open({ dir, tasks: Object.values(tasks), clock, logger: silentLogger })
  await holdfast.recovery.done

  const all = (await holdfast.list()).tasks
  const find = (type: string) => all.find((task) => task.type === type)?.taskId as string
  expect(await holdfast.get(find('golden_sum'))).toMatchObject({
    status: 'completed',
    owner: 'alice',
    version: '1',
    outcome: { kind: 'result', result: 6 },
  })
  expect(await holdfast.get(find('golden_fail'))).toMatchObject({ status: 'failed', error: { code: 'TASK_FAILED' } })
  await expect(holdfast.result(find('golden_fail'))).rejects.toMatchObject({ cause: { cause: { name: 'RangeError' } } })
  await expect(holdfast.result(find('golden_forever'))).rejects.toMatchObject({
    code: 'TASK_CANCELLED',
    reason: 'golden',
  })

  const alice = holdfast.forOwner('alice')
  expect(await alice.restoreCheckpoint(find('support'))).toMatchObject({ state: { topic: 'refund' } })
  const repeat = { idempotencyKey: 'once' }
  expect(await alice.start(tasks.sum, { numbers: [1, 2, 3] }, repeat)).toMatchObject({
    taskId: find('golden_sum'),
    created: false,
  })

  const load = holdfast.recovery.tasks.find(({ type }) => type === 'golden_load')
  expect(load).toMatchObject({ action: 'resumed', replayed: 2, resumedAt: "step 'load' (number 2)" })
  const output = await holdfast.result(find('golden_load'))
  expect(output).toMatchObject({ row: 5, plan: { rows: 5, at: '2026-11-21T00:00:00.000Z' } })
  expect((await holdfast.audit({ taskId: find('golden_load') })).map(({ action }) => action)).toEqual([
    'created',
    'checkpoint-saved',
    'recovered',
    'checkpoint-restored',
    'checkpoint-saved',
    'completed',
  ])
  await holdfast.close()
})
