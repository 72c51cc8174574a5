/**
 * Goal: a process whose lock files were deleted under it acknowledges nothing that another process may overwrite, stops,
 * and says so in every call (lock-7, commit-9).
 * Method: real stores, whose lock files go as a cleaner of old files removes them; another process opens the store then.
 */
import { readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defineTask, Holdfast, type HoldfastError, type Logger, silentLogger } from 'holdfast'
import { ManualClock, MemoryDisk } from 'holdfast/testing'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createIds } from '../../../src/base/ids.js'
import { NO_AUDIT } from '../../../src/store/audit.js'
import { type Level, openClassicLevel } from '../../../src/store/disk/level.js'
import { NO_ANCHOR } from '../../../src/store/integrity/anchor.js'
import { openStore } from '../../../src/store/open.js'
import { Store } from '../../../src/store/store.js'
import { NO_COUNTERS } from '../../../src/store/totals.js'
import { killAll, startProcess } from '../../helpers/lock-actors.js'

let folder: string
let dir: string
let holdfast: Holdfast
let logged: string[]
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-lost-'))
  dir = join(folder, 'store')
  logged = []
})
afterEach(async () => {
  await holdfast?.close({ grace: 0 })
  await rm(folder, { recursive: true })
})
afterAll(killAll)

const logger: Logger = { ...silentLogger, error: (message) => void logged.push(message) }

/** A step that says when it has begun, and ends when it is aborted. */
function waiting() {
  let began = (_signal: AbortSignal) => {}
  const begun = new Promise<AbortSignal>((resolve) => {
    began = resolve
  })
  const definition = defineTask({ name: 'wait' }, async (task) => {
    await task.step('wait', ({ signal }) => {
      began(signal)
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    })
    return 'the body went on'
  })
  return { definition, begun }
}

function deleteLocks(): void {
  rmSync(join(dir, 'lock'))
  rmSync(join(dir, 'db', 'LOCK'))
}

/** A file system may give the same inode number again. */
function renew(path: string, text: string): void {
  rmSync(path)
  writeFileSync(path, text)
}

const lost = expect.objectContaining({
  code: 'STORE_LOST',
  message: expect.stringMatching(/Start the server again/),
})

describe('the lock files deleted under a live holder', () => {
  test('nothing is acknowledged after another process opened the store, and nothing acknowledged is lost', async () => {
    holdfast = await Holdfast.open({ dir, logger })
    const { taskId } = await holdfast.createSessionTask({ type: 'talk' })
    const saved: string[] = []
    for (let i = 0; i < 20; i++) saved.push((await holdfast.saveCheckpoint(taskId, { i })).checkpointId)
    deleteLocks()
    const other = startProcess()
    expect(await other.ask('open', dir)).toMatchObject({ ok: true })
    const saves = Array.from({ length: 20 }, (_, i) => holdfast.saveCheckpoint(taskId, { late: i }))
    for (const { status } of await Promise.allSettled(saves)) expect(status).toBe('rejected')
    // What the other process holds is left alone.
    const lock = readFileSync(join(dir, 'lock'), 'utf8')
    await holdfast.close()
    expect(readFileSync(join(dir, 'lock'), 'utf8')).toBe(lock)
    expect(await other.ask('write', dir)).toMatchObject({ ok: true })
    await other.ask('close', dir)

    holdfast = await Holdfast.open({ dir, logger })
    expect(holdfast.recovery.storeDamage).toBeUndefined()
    for (const checkpointId of saved) await holdfast.restoreCheckpoint(taskId, { checkpointId })
  })

  test('the store stops: steps are aborted, bodies get no answer, waits end, and every call says STORE_LOST', async () => {
    const { definition, begun } = waiting()
    holdfast = await Holdfast.open({ dir, tasks: [definition], logger })
    const { taskId } = await holdfast.start(definition, undefined)
    const { taskId: session } = await holdfast.createSessionTask({ type: 'talk' })
    const { checkpointId } = await holdfast.saveCheckpoint(session, 1)
    const signal = await begun
    const waits = expect(holdfast.result(taskId)).rejects.toEqual(lost)
    rmSync(join(dir, 'lock'))
    // Until then nothing was written, so nothing can be wrong.
    expect(await holdfast.get(taskId)).toMatchObject({ status: 'running' })
    await expect(holdfast.saveCheckpoint(session, 2)).rejects.toEqual(lost)
    await waits
    expect(signal.aborted).toBe(true)

    const calls: Record<string, () => unknown> = {
      register: () => holdfast.register(defineTask({ name: 'another' }, async () => {})),
      recover: () => holdfast.recover(),
      start: () => holdfast.start(definition, undefined),
      get: () => holdfast.get(taskId),
      list: () => holdfast.list(),
      'list of settled tasks': () => holdfast.list({ status: 'completed' }),
      result: () => holdfast.result(taskId),
      cancel: () => holdfast.cancel(taskId),
      respond: () => holdfast.respond(taskId, { a: 1 }),
      send: () => holdfast.send(taskId, 'message', 1),
      resume: () => holdfast.resume(taskId),
      saveCheckpoint: () => holdfast.saveCheckpoint(session, 3),
      restoreCheckpoint: () => holdfast.restoreCheckpoint(session, { checkpointId }),
      listCheckpoints: () => holdfast.listCheckpoints(session),
      fork: () => holdfast.fork(taskId, { afterStep: 'wait' }),
      steps: () => holdfast.steps(taskId),
      createSessionTask: () => holdfast.createSessionTask({ type: 'talk' }),
      completeSessionTask: () => holdfast.completeSessionTask(session, { kind: 'result', result: 1 }),
      audit: () => holdfast.audit(),
      stats: () => holdfast.stats(),
    }
    for (const [name, call] of Object.entries(calls)) {
      const said = await Promise.resolve()
        .then(call)
        .catch((error: HoldfastError) => error)
      expect(said, name).toEqual(lost)
    }
    expect(logged).toEqual([expect.stringMatching(/^The store is lost: its lock file was deleted or replaced/)])

    await holdfast.close()
    await expect(holdfast.get(taskId)).rejects.toMatchObject({ code: 'CLOSED' })
    const again = waiting()
    holdfast = await Holdfast.open({ dir, tasks: [again.definition], logger })
    await again.begun // its body was told nothing, so it runs again
    expect((await holdfast.get(taskId)).status).toBe('running')
  })

  test('a start whose commit was under way says STORE_LOST, which task it was, and that its fate is unknown', async () => {
    holdfast = await Holdfast.open({ dir, logger })
    rmSync(join(dir, 'lock'))
    const error = await holdfast.createSessionTask({ type: 'talk' }).catch((error: HoldfastError) => error)
    expect(error).toMatchObject({ code: 'STORE_LOST', details: { taskId: expect.stringMatching(/^task-/) } })
    expect((error as HoldfastError).message).toMatch(
      /Start the server again.* Whether task task-\w+ was created is unknown/,
    )
  })

  test.each([
    ['a file of the same name and text', renew],
    ['a file with another time of change', (path: string) => utimesSync(path, new Date(), new Date(0))],
  ])('%s is not the lock file', async (_, replace) => {
    holdfast = await Holdfast.open({ dir, logger })
    await holdfast.createSessionTask({ type: 'talk' })
    const path = join(dir, 'lock')
    const { mtimeMs } = statSync(path)
    replace(path, readFileSync(path, 'utf8'))
    expect(statSync(path).mtimeMs).not.toBe(mtimeMs)
    await expect(holdfast.createSessionTask({ type: 'talk' })).rejects.toEqual(lost)
  })

  test('what protocol bindings write is refused too, instead of waiting for ever', async () => {
    const store = await openStoreHere()
    rmSync(join(dir, 'lock'))
    const records = [{ key: 'binding/t/a', text: '1' }]
    const writes = [true, false].map((patient) => store.commitBinding(records, { patient }))
    const refused = { status: 'rejected', reason: lost }
    expect(await Promise.allSettled(writes)).toEqual([refused, refused])
    await expect(store.commitBinding(records, { patient: true })).rejects.toEqual(lost)
    await store.close()
  })

  test('a store that is down when its lock file goes is not opened again', async () => {
    let opened = 0
    let fails = false
    const store = await openStoreHere(async (path, options) => {
      opened++
      const level = await openClassicLevel(path, options)
      const batch = () => {
        const real = level.batch()
        if (fails) real.write = () => Promise.reject(new Error('IO error: No space left on device'))
        return real
      }
      return new Proxy(level, {
        get: (target, name) => {
          const value = name === 'batch' ? batch : Reflect.get(target, name)
          return typeof value === 'function' ? value.bind(target) : value
        },
      })
    })
    const before = opened
    fails = true
    rmSync(join(dir, 'lock'))
    await expect(store.commitBinding([{ key: 'binding/t/a', text: '1' }], { patient: true })).rejects.toEqual(lost)
    expect(opened).toBe(before)
    await store.close()
  })
})

test('a lock file that cannot be looked at is an outage: the commit is told once that is over', async () => {
  const disk = new MemoryDisk()
  let looks = 0
  const store = storeOn(await disk.open(), () => disk.open(), {
    assertHeld() {
      if (++looks === 1) throw new Error('EIO: i/o error, stat')
    },
  })
  await store.commitBinding([{ key: 'binding/t/a', text: '1' }], { patient: true })
  expect(looks).toBe(1)
  expect(store.connection.isUp).toBe(true)
  expect([...disk.content.keys()]).toContain('binding/t/a')
  await expect(store.read((level) => level.get('binding/t/a'))).resolves.toBeDefined()
})

test('each commit looks at the lock file once', async () => {
  const disk = new MemoryDisk()
  let looks = 0
  const store = storeOn(await disk.open(), () => disk.open(), { assertHeld: () => void looks++ })
  for (let i = 0; i < 5; i++) await store.commitBinding([{ key: 'binding/t/a', text: String(i) }], { patient: true })
  const many = Array.from({ length: 10 }, (_, i) => [{ key: `binding/t/${i}`, text: '1' }])
  await Promise.all(many.map((records) => store.commitBinding(records, { patient: true })))
  expect(looks).toBe(6)
})

function openStoreHere(openLevel = openClassicLevel): Promise<Store> {
  return openStore({
    dir,
    durability: 'synced',
    anchor: 'behind',
    acceptDamage: false,
    clock: new ManualClock(),
    ids: createIds(),
    logger,
    openLevel,
  })
}

function storeOn(level: Level, reopen: () => Promise<Level>, { assertHeld }: { assertHeld: () => void }): Store {
  return new Store({
    level,
    reopen,
    assertHeld,
    anchor: NO_ANCHOR,
    anchorEach: false,
    newest: 0,
    counters: NO_COUNTERS,
    auditEnd: NO_AUDIT,
    damage: undefined,
    durability: 'synced',
    clock: new ManualClock(),
    logger,
    release: async () => {},
  })
}
