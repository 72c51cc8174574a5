/**
 * Goal: a kill during a move or an import never loses a task, never runs it in two stores, and leaves no half of it.
 * Method: an import that dies at each of its writes, on a disk in memory; a real process that is killed during a move.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { defineTask, Holdfast, silentLogger } from 'holdfast'
import { exportTask, importTask, verify } from 'holdfast/admin'
import { ManualClock, MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { brokenFormatLaws } from '../../helpers/format-laws.js'

let scratch: string
let names = 0
const fresh = () => join(scratch, `place-${++names}`)
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'holdfast-portable-'))
})
afterAll(() => rm(scratch, { recursive: true, force: true }))

const calls: string[] = []
const long = defineTask({ name: 'long' }, async (task) => {
  for (let step = 0; step < 150; step++) await task.step('add', ({ idempotencyKey }) => void calls.push(idempotencyKey))
  await task.saveCheckpoint({ at: 'the end' })
  return task.input('ok')
})

/** A store with a task that waits, after a long log. */
async function storeWithTask(): Promise<{ dir: string; taskId: string }> {
  const dir = fresh()
  const holdfast = await Holdfast.open({ dir, tasks: [long], logger: silentLogger })
  const { taskId } = await holdfast.start(long, undefined, { owner: 'ann', idempotencyKey: 'once' })
  await untilIdle(holdfast)
  await holdfast.send(taskId, 'news', 'x'.repeat(2_000))
  await holdfast.close()
  return { dir, taskId }
}

test('an import that dies at any of its writes leaves the whole task or nothing, and can be repeated', async () => {
  const { dir, taskId } = await storeWithTask()
  const file = fresh()
  await exportTask({ dir, taskId, file })
  const bytes = await readFile(file)
  const chunks = async function* () {
    yield bytes
  }
  const open = async (disk: MemoryDisk, clock: ManualClock) => {
    const holdfast = await openInMemory({ disk, clock, tasks: [long] })
    await untilIdle(holdfast)
    return holdfast
  }
  const calm = new MemoryDisk()
  const first = await open(calm, new ManualClock(Date.now()))
  const before = calm.writes
  const parked: [string, boolean][] = []
  first.on('task:parked', (event) => void parked.push([event.taskId, calm.content.has(`live/${event.taskId}`)]))
  await importTask({ holdfast: first, stream: chunks() })
  // Only what is on disk is notified.
  expect(parked).toEqual([[taskId, true]])
  const writes = calm.writes - before
  await first.close()
  expect(writes).toBeGreaterThan(4)
  let found = 0
  for (let atWrite = 1; atWrite <= writes; atWrite++) {
    for (const applied of [false, true]) {
      const disk = new MemoryDisk()
      const clock = new ManualClock(Date.now())
      const dying = await open(disk, clock)
      disk.dieAt({ atWrite, applied })
      const died = new Promise<void>((resolve) => disk.onDeath(resolve))
      const over = importTask({ holdfast: dying, stream: chunks() }).catch(() => {})
      await Promise.race([died, over])
      expect(brokenFormatLaws(disk.content)).toEqual([])
      const holdfast = await open(disk, clock)
      const isThere = await holdfast.get(taskId).then(
        (view) => view.parked?.code === 'EXPORTED' && view.completedSteps === 150,
        (error: { code: string }) => (error.code === 'TASK_NOT_FOUND' ? false : Promise.reject(error)),
      )
      expect(isThere).toBe(applied && atWrite === writes)
      if (isThere) found++
      else if (applied) {
        await importTask({ holdfast, stream: chunks() })
        expect(await holdfast.get(taskId)).toMatchObject({ parked: { code: 'EXPORTED' }, completedSteps: 150 })
      } else {
        // An hour later, the sweep deletes what is left.
        await clock.advance(7_200_000)
        await untilIdle(holdfast)
        expect([...disk.content.keys()].filter((key) => key.includes(taskId) && !key.startsWith('trail/'))).toEqual([])
      }
      expect(brokenFormatLaws(disk.content)).toEqual([])
      await holdfast.close()
    }
  }
  expect(found).toBe(1)
})

test('a move that is killed leaves the task parked or moved, and it continues in one store only', {
  timeout: 120_000,
}, async () => {
  const child = fileURLToPath(new URL('./export-child.mjs', import.meta.url))
  const module = pathToFileURL(fileURLToPath(new URL('../../../src/admin/index.ts', import.meta.url))).href
  for (const line of ['partial', 'file', 'end']) {
    const { dir, taskId } = await storeWithTask()
    const file = fresh()
    const killed = spawn(process.execPath, ['--import', 'tsx', child, module, dir, taskId, file], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = once(killed, 'exit')
    for await (const printed of createInterface({ input: killed.stdout })) {
      if (printed !== line) continue
      killed.kill('SIGKILL')
      break
    }
    await ended
    calls.length = 0
    const source = await Holdfast.open({ dir, tasks: [long], logger: silentLogger })
    await untilIdle(source)
    const view = await source.get(taskId)
    const isMoved = view.status === 'cancelled'
    if (!isMoved) expect(view).toMatchObject({ status: 'input_required', parked: { code: 'EXPORTED' } })
    if (isMoved) expect(view).toMatchObject({ outcome: { reason: 'moved' } })
    if (isMoved) expect(existsSync(file)).toBe(true)
    const target = isMoved ? await Holdfast.open({ dir: fresh(), tasks: [long], logger: silentLogger }) : source
    if (isMoved) await importTask({ holdfast: target, file })
    await target.resume(taskId)
    await untilIdle(target)
    const [key] = Object.keys((await target.get(taskId)).inputRequests ?? {})
    await target.respond(taskId, { [key as string]: 'yes' })
    expect(await target.result(taskId)).toBe('yes')
    expect(calls).toEqual([])
    await source.close()
    if (isMoved) await target.close()
    expect(await verify({ dir })).toMatchObject({ isSound: true })
  }
})
