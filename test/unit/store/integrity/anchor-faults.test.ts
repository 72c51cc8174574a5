// Goal: an anchor file that cannot be written is never silent, and an outage where it has to be exact.
// Method: real stores, in which the sync of the anchor's file fails. LevelDB syncs its files itself, so nothing else fails.
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defineTask, Holdfast, silentLogger } from 'holdfast'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { readAnchor } from '../../../../src/store/integrity/anchor.js'

let dir: string
/** The methods of every file handle. */
let handles: { datasync: () => Promise<void> }
const errors: string[] = []
const logger = { ...silentLogger, error: (message: string) => void errors.push(message) }

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'holdfast-anchor-faults-'))
  errors.length = 0
  const probe = await open(join(dir, 'probe'), 'w')
  handles = Object.getPrototypeOf(probe)
  await probe.close()
})
afterEach(async () => {
  vi.restoreAllMocks()
  await rm(dir, { recursive: true })
})

const anchored = async () => {
  const found = await readAnchor(join(dir, 'store', 'anchor'))
  return found.kind === 'sound' ? found.seq : 0
}

test("with `anchor: 'each'` no commit is acknowledged while the anchor cannot be written", async () => {
  let finish = () => {}
  const finished = new Promise<string>((resolve) => {
    finish = () => resolve('done')
  })
  const work = defineTask({ name: 'work' }, (task) => task.step('slow', () => finished))
  const holdfast = await Holdfast.open({ dir: join(dir, 'store'), tasks: [work], anchor: 'each', logger })
  const { taskId } = await holdfast.start(work, null)
  const before = await anchored()

  vi.spyOn(handles, 'datasync').mockRejectedValue(new Error('EIO'))
  const refused = holdfast.createSessionTask({ type: 'talk' })
  await expect(refused).rejects.toMatchObject({ code: 'START_UNKNOWN' })
  await expect(holdfast.createSessionTask({ type: 'talk' })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  expect(errors).toContainEqual(expect.stringMatching(/^The anchor file cannot be written/))
  const result = vi.fn()
  const awaited = holdfast.result(taskId).then(result)
  finish()
  // Each attempt to open the database again ends with a write of the anchor.
  const sync = vi.mocked(handles.datasync)
  await expect.poll(() => sync.mock.calls.length).toBeGreaterThan(2)
  expect(result).not.toHaveBeenCalled()

  vi.restoreAllMocks()
  await awaited
  expect(result).toHaveBeenCalledWith('done')
  expect(await anchored()).toBeGreaterThan(before)
  expect((await holdfast.stats()).anchor.failedWrites).toBeGreaterThan(2)
  await holdfast.close()
})

test("with `anchor: 'behind'` a failing anchor refuses nothing; it is logged, and counted in the figures", async () => {
  const holdfast = await Holdfast.open({ dir: join(dir, 'store'), logger })
  vi.spyOn(handles, 'datasync').mockRejectedValue(new Error('EIO'))
  await holdfast.createSessionTask({ type: 'talk' })
  await expect.poll(async () => (await holdfast.stats()).anchor.failedWrites).toBe(1)
  expect(errors).toEqual([expect.stringMatching(/^The anchor file cannot be written/)])
  vi.restoreAllMocks()
  await holdfast.close()
})
