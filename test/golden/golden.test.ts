// Goal: a store that an earlier release wrote is read by this one, and its unfinished tasks go on.
// Method: every store under data/golden is copied and opened; the copy, since opening writes. The store of format 1 is from
// before the first release, and only proves that it is refused.
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Holdfast, silentLogger } from '../../src/index.js'
import { FORMAT_VERSION } from '../../src/store/disk/layout.js'
import { ManualClock } from '../../src/testing/index.js'
import { goldenTasks, START } from './tasks.js'

const golden = fileURLToPath(new URL('../../data/golden', import.meta.url))
const REFUSED = 'format-1'
const stores = (await readdir(golden)).filter((name) => name !== REFUSED)
let scratch: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'holdfast-golden-'))
})
afterAll(() => rm(scratch, { recursive: true, force: true }))

test('there is a golden store of the current format', () => {
  expect(stores).toContain(`format-${FORMAT_VERSION}`)
})

test('a store of format 1, which no release wrote, is refused with a sentence, and left as it is', async () => {
  const dir = join(scratch, REFUSED)
  await cp(join(golden, REFUSED), dir, { recursive: true })
  const before = await contentOf(dir)
  const refused = Holdfast.open({ dir, logger: silentLogger })
  await expect(refused).rejects.toMatchObject({ code: 'STORE_TOO_OLD', details: { format: 1, formatMin: 2 } })
  await expect(refused).rejects.toThrow(/no release reads it\. Use an empty directory/)
  expect(await contentOf(dir)).toEqual(before)
})

/** Every file below a folder, with its bytes. */
async function contentOf(dir: string): Promise<[string, string][]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return Promise.all(
    files.sort().map(async (file): Promise<[string, string]> => [file, await readFile(file, 'base64')]),
  )
}

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

  // The index of settled tasks is read for each of these. The unfinished task of alice may have completed by now.
  for (const [options, types] of [
    [{ owner: 'alice', type: 'golden_sum', status: 'completed' }, ['golden_sum']],
    [{ type: 'golden_sum' }, ['golden_sum']],
    [{ status: ['failed', 'cancelled'] }, ['golden_fail', 'golden_forever']],
  ] as const) {
    expect((await holdfast.list(options)).tasks.map(({ type }) => type)).toEqual(types)
  }

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
