/**
 * The directory's lock (lock-1 to lock-7 in src/store/lock/lock.ts): who is refused, who gets in, and that a refusal never harms the
 * holder. A holder is realistic: it has our lock and LevelDB's. The rules are cited in brackets.
 */

import { execFileSync, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { acquireLock, type DirectoryLock, type LockHolder } from '../../../src/store/lock/lock.js'
import { type Actor, CONTAINER, killAll, startProcess, startThread } from '../../helpers/lock-actors.js'
import { databaseIn, inodeOf, namesIn, readLock, refusal, writeLock } from './lock-files.js'

const ids = { seed: () => randomUUID() }
const OTHER_DEVICE = '/dev/shm'
const hasOtherDevice = existsSync(OTHER_DEVICE) && statSync(OTHER_DEVICE).dev !== statSync(tmpdir()).dev
const hasContainers = spawnSync(CONTAINER[0] ?? '', [...CONTAINER.slice(1), 'true']).status === 0
const hasProc = existsSync('/proc/self/stat')
if (!hasOtherDevice) process.stderr.write('lock.test.ts: skipped what needs a second device\n')
if (!hasContainers) process.stderr.write('lock.test.ts: skipped what needs `unshare` as root\n')

/** Another process, at hand to be refused. */
let rival: Actor
let folders: string[] = []
let holders: { lock: DirectoryLock; db: ClassicLevel }[] = []

beforeAll(() => {
  rival = startProcess()
})
afterEach(async () => {
  for (const { lock, db } of holders) {
    await db.close()
    await lock.release()
  }
  holders = []
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
  folders = []
})
afterAll(killAll)

function folder(parent = tmpdir()): string {
  const path = realpathSync(mkdtempSync(join(parent, 'holdfast-lock-')))
  folders.push(path)
  return path
}

function lockOf(dir: string): Promise<DirectoryLock> {
  return acquireLock(dir, ids, Date.now())
}

async function openHere(dir: string) {
  const lock = await lockOf(dir)
  const db = new ClassicLevel(join(dir, 'db'))
  await db.open()
  await lock.confirm()
  const holder = { lock, db }
  holders.push(holder)
  return holder
}

/** The lock file of a process that was killed, as it would look in `dir`. */
async function staleHolder(dir: string): Promise<LockHolder> {
  const elsewhere = folder()
  const dead = startProcess()
  expect(await dead.ask('lock', elsewhere)).toMatchObject({ ok: true })
  await dead.kill()
  return { ...readLock(elsewhere), directory: inodeOf(dir) }
}

/** The holder of `dir` can write, and neither our lock nor LevelDB's lets another process in. */
async function expectUnharmed(dir: string, write: () => Promise<unknown>): Promise<void> {
  await write()
  expect(await rival.ask('open', dir)).toMatchObject({ ok: false, code: 'STORE_LOCKED' })
  expect(await rival.ask('openRaw', dir)).toMatchObject({ ok: false, cause: 'LEVEL_LOCKED' })
  await write()
  expect(namesIn(dir)).toEqual(['db', 'lock'])
}

describe('an open and a close', () => {
  it('leaves one private file that says who holds the directory, and removes it at release', async () => {
    const dir = folder()
    const lock = await acquireLock(dir, ids, 1_700_000_000_000)
    expect(namesIn(dir)).toEqual(['lock'])
    expect(statSync(join(dir, 'lock')).mode & 0o777).toBe(0o600)
    expect(readLock(dir)).toEqual(lock.holder)
    expect(lock.holder).toMatchObject({ pid: process.pid, since: 1_700_000_000_000, directory: inodeOf(dir) })
    await Promise.all([lock.release(), lock.release()])
    expect(namesIn(dir)).toEqual([])
    await (await lockOf(dir)).release()
  })

  it('leaves a lock file alone that names somebody else by now (lock-5)', async () => {
    const dir = folder()
    const lock = await lockOf(dir)
    writeLock(dir, { ...lock.holder, token: 'somebody-else' })
    await expect(lock.confirm()).rejects.toMatchObject({ code: 'STORE_LOCKED' })
    await lock.release()
    expect(readLock(dir).token).toBe('somebody-else')
  })

  it('leaves no entry and no file behind when it fails (lock-5)', async () => {
    const dir = folder()
    const path = join(dir, 'store')
    writeFileSync(path, 'a file')
    await expect(lockOf(path)).rejects.toMatchObject({ code: 'STORE_UNUSABLE' })
    rmSync(path)
    await expect(lockOf(path)).rejects.toMatchObject({ code: 'STORE_UNUSABLE' })
    mkdirSync(path)
    mkdirSync(join(path, 'lock')) // no lock file can be made, and none can be read
    await expect(lockOf(path)).rejects.toMatchObject({ code: 'STORE_UNUSABLE' })
    expect(namesIn(path)).toEqual(['lock'])
    rmSync(join(path, 'lock'), { recursive: true })
    await (await lockOf(path)).release()
    expect(namesIn(path)).toEqual([])
  })
})

describe('a second open in the same process (lock-1)', () => {
  it.each([
    ['the same path', (dir: string) => dir],
    ['a trailing slash', (dir: string) => `${dir}/`],
    ['a detour through `..`', (dir: string) => `${dir}/db/..`],
    ['a symbolic link', (dir: string) => symlinked(dir)],
  ])('is refused under %s, without touching a file', async (_title, alias) => {
    const dir = folder()
    const { db, lock } = await openHere(dir)
    const before = readFileSync(join(dir, 'lock'), 'utf8')
    const changedAt = statSync(dir).ctimeMs
    const error = await refusal(lockOf(alias(dir)))
    expect(error.message).toContain('this process')
    expect(error.details).toMatchObject({ pid: process.pid, since: new Date(lock.holder.since).toISOString() })
    expect(readFileSync(join(dir, 'lock'), 'utf8')).toBe(before)
    expect(statSync(dir).ctimeMs).toBe(changedAt)
    await expectUnharmed(dir, () => db.put('a', 'b', { sync: true }))
  })

  it.skipIf(!hasContainers)('is refused through a bind mount', async ({ skip }) => {
    const dir = folder()
    const other = folder()
    const { db } = await openHere(dir)
    if (spawnSync('mount', ['--bind', dir, other]).status !== 0) skip('no bind mounts here')
    const changedAt = statSync(dir).ctimeMs
    try {
      await refusal(lockOf(other))
      expect(statSync(dir).ctimeMs).toBe(changedAt)
    } finally {
      execFileSync('umount', [other])
    }
    await expectUnharmed(dir, () => db.put('a', 'b', { sync: true }))
  })

  it('is refused after the directory was renamed', async () => {
    const dir = folder()
    const renamed = join(folder(), 'renamed')
    const { db } = await openHere(dir)
    renameSync(dir, renamed)
    await refusal(lockOf(renamed))
    expect(namesIn(renamed)).toEqual(['db', 'lock'])
    renameSync(renamed, dir)
    await expectUnharmed(dir, () => db.put('a', 'b', { sync: true }))
  })

  it('is not refused because a directory that was deleted while it was open had the same inode', async () => {
    const deleted = join(folder(), 'deleted')
    mkdirSync(deleted)
    const forgotten = await lockOf(deleted)
    rmSync(deleted, { recursive: true })
    const heir = folder()
    // File systems give an inode away again sooner or later; here it has happened.
    const registry = (globalThis as unknown as Record<symbol, Map<string, { path: string; inode: string }>>)[
      Symbol.for('holdfast.locks')
    ]
    const entry = [...(registry?.values() ?? [])].find(({ path }) => path === deleted)
    if (entry) registry?.set(`inode ${inodeOf(heir)}`, { ...entry, inode: inodeOf(heir) })
    const lock = await lockOf(heir)
    expect(entry).toBeDefined()
    await forgotten.release()
    await refusal(lockOf(heir))
    await lock.release()
  })

  it('is refused in the same tick, by the registry alone', async () => {
    const dir = folder()
    const opened = await Promise.allSettled([lockOf(dir), lockOf(dir), lockOf(`${dir}/.`)])
    expect(opened.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected'])
    // An entry that was made after an `await` would have been overwritten by the other one's.
    await refusal(lockOf(dir))
    expect(readLock(dir).token).toBe(opened[0]?.status === 'fulfilled' && opened[0].value.holder.token)
    for (const one of opened) if (one.status === 'fulfilled') await one.value.release()
  })

  it('is refused to a second copy of the package', async () => {
    const dir = folder()
    const { db } = await openHere(dir)
    const specifier = '../../../src/store/lock/lock.js?copy'
    const copy = (await import(specifier)) as { acquireLock: typeof acquireLock }
    expect(copy.acquireLock).not.toBe(acquireLock)
    const changedAt = statSync(dir).ctimeMs
    await expect(copy.acquireLock(dir, ids, 0)).rejects.toThrow(/is held by process/)
    expect(statSync(dir).ctimeMs).toBe(changedAt)
    await expectUnharmed(dir, () => db.put('a', 'b', { sync: true }))
  })

  it('is refused to a worker thread, which has a registry of its own', async () => {
    const dir = folder()
    const { db } = await openHere(dir)
    const thread = startThread()
    const answer = await thread.ask('open', dir)
    expect(answer).toMatchObject({ ok: false, code: 'STORE_LOCKED', details: { pid: process.pid } })
    expect(answer.message).toContain('worker thread')
    await expectUnharmed(dir, () => db.put('a', 'b', { sync: true }))
    await thread.kill()
  })
})

function symlinked(dir: string): string {
  const path = join(folder(), 'link')
  symlinkSync(dir, path)
  return path
}

describe('another process', () => {
  it('is refused while the holder lives, and told who holds it, where, since when and what to do', async () => {
    const dir = folder()
    const holder = startProcess()
    const { pid } = await holder.ask('open', dir)
    const error = await refusal(lockOf(dir))
    const { host, since } = readLock(dir)
    const instant = new Date(since).toISOString()
    expect(error.details).toEqual({ dir, pid, host, since: instant })
    for (const part of [`${pid}`, host, instant, 'Close it']) expect(error.message).toContain(part)
    await expectUnharmed(dir, async () => expect(await holder.ask('write', dir)).toMatchObject({ ok: true }))
    await holder.kill()
  })

  it('gets in at once after kill -9 of the holder, and no litter stays', async () => {
    const dir = folder()
    const holder = startProcess()
    await holder.ask('open', dir)
    await holder.kill()
    const answer = await rival.ask('open', dir)
    expect(answer).toMatchObject({ ok: true })
    expect(namesIn(dir)).toEqual(['db', 'lock'])
    await rival.ask('close', dir)
    expect(namesIn(dir)).toEqual(['db'])
  })

  it.skipIf(!hasProc)('is not taken for the holder because it was given the dead one’s pid', async () => {
    const dir = folder()
    await rival.ask('lock', dir)
    const alive = readLock(dir)
    await rival.ask('close', dir)
    writeLock(dir, alive)
    expect((await refusal(lockOf(dir))).details).toMatchObject({ pid: alive.pid })
    writeLock(dir, { ...alive, startTicks: (alive.startTicks ?? 0) - 1 })
    await openHere(dir)
  })

  it('gets in where the holder was killed while it created the store', async () => {
    const dir = folder()
    const holder = startProcess()
    await holder.ask('lock', dir)
    await holder.kill()
    expect(namesIn(dir)).toEqual(['lock'])
    await openHere(dir)
    expect(namesIn(dir)).toEqual(['db', 'lock'])
  })
})

describe('a directory that was copied while it was open', () => {
  it.each([
    ['beside the original', tmpdir(), true],
    ['to another device', OTHER_DEVICE, hasOtherDevice],
  ])('%s opens, and the original is unharmed', async (_title, parent, possible) => {
    if (!possible) return
    const dir = folder()
    const { db } = await openHere(dir)
    const copy = join(folder(parent), 'copy')
    execFileSync('cp', ['-rp', dir, copy])
    const held = await openHere(copy)
    expect(await held.db.put('a', 'c')).toBeUndefined()
    await expectUnharmed(dir, () => db.put('a', 'b', { sync: true }))
    await expectUnharmed(copy, () => held.db.put('a', 'c', { sync: true }))
  })
})

describe('a lock file that proves nothing (lock-3)', () => {
  it.each([
    ['is empty', ''],
    ['is cut short', '{"token":"4f'],
    ['is null', 'null'],
    ['names a path as its token', '{"token":"../../etc/passwd","pid":1,"since":0,"host":"x","directory":"1:1"}'],
    ['names a process group', '{"token":"abc","pid":-1,"since":0,"host":"x","directory":"1:1"}'],
    ['has a date that is none', '{"token":"abc","pid":1,"since":9e99,"host":"x","directory":"1:1"}'],
  ])('and %s is taken over if nobody is there, and else refuses', async (_title, text) => {
    const dir = folder()
    await databaseIn(dir)
    writeFileSync(join(dir, 'lock'), text)
    const { db } = await openHere(dir)
    expect(namesIn(dir)).toEqual(['db', 'lock'])
    writeFileSync(join(dir, 'lock'), text)
    const answer = await rival.ask('open', dir)
    expect(answer).toMatchObject({ ok: false, code: 'STORE_LOCKED', details: { dir } })
    expect(answer.message).toContain('does not name')
    expect(readFileSync(join(dir, 'lock'), 'utf8')).toBe(text)
    await expectUnharmed(dir, () => db.put('a', 'b', { sync: true }))
  })

  it.each([
    ['another boot', { bootId: '00000000-0000-0000-0000-000000000000' }],
    ['a machine without /proc', { bootId: null, pidNamespace: null, startTicks: null }],
    ['a container', { pidNamespace: 'pid:[1]', pid: 1, host: 'web-1' }],
  ])('of %s is taken over if nobody is there, and else refuses', async (_title, difference) => {
    const dir = folder()
    const { db, lock } = await openHere(dir)
    writeLock(dir, { ...lock.holder, ...difference })
    await expectUnharmed(dir, () => db.put('a', 'b', { sync: true }))
    await db.close()
    expect(await rival.ask('open', dir)).toMatchObject({ ok: true })
    await rival.ask('close', dir)
  })

  it('is judged by a process of its own, so that a thread beside the holder does not cost it the kernel lock', async () => {
    const dir = folder()
    const { db, lock } = await openHere(dir)
    writeLock(dir, { ...lock.holder, bootId: 'another' })
    const thread = startThread()
    expect(await thread.ask('open', dir)).toMatchObject({ ok: false, code: 'STORE_LOCKED' })
    await expectUnharmed(dir, () => db.put('a', 'b', { sync: true }))
    await thread.kill()
  })

  it('refuses, with what to do, where the kernel lock cannot be asked', async ({ skip }) => {
    if (!hasOtherDevice) return skip('there is no second device')
    const dir = folder()
    const elsewhere = folder(OTHER_DEVICE) // a hard link to another device is impossible
    await databaseIn(elsewhere)
    symlinkSync(join(elsewhere, 'db'), join(dir, 'db'))
    writeLock(dir, { ...(await staleHolder(dir)), bootId: 'another', host: 'web-1' })
    const error = await refusal(lockOf(dir))
    for (const part of ['web-1', 'hard links', 'remove the file `lock`']) expect(error.message).toContain(part)
    expect(namesIn(dir)).toEqual(['db', 'lock'])
    rmSync(join(dir, 'lock'))
    await openHere(dir)
  })

  it('refuses, with the reason, where the probe fails', async () => {
    const dir = folder()
    writeFileSync(join(dir, 'db'), 'a file')
    writeLock(dir, { ...(await staleHolder(dir)), bootId: 'another' })
    const error = await refusal(lockOf(dir))
    expect(error.message).toMatch(/failed: Error: ENOTDIR.*remove the file `lock`/)
    expect(namesIn(dir)).toEqual(['db', 'lock'])
  })

  it('gives a store time that another container is creating, and takes it over after that', async () => {
    const [dead, creating] = [folder(), folder()]
    const foreign = { ...(await staleHolder(dead)), bootId: 'another' }
    writeLock(dead, foreign)
    writeLock(creating, { ...foreign, directory: inodeOf(creating) })
    const [takeover, refused] = [rival.ask('open', dead), rival.ask('open', creating)]
    await new Promise((resolve) => setTimeout(resolve, 700))
    const db = new ClassicLevel(join(creating, 'db'))
    await db.open()
    expect(await refused).toMatchObject({ ok: false, code: 'STORE_LOCKED' })
    expect(await takeover).toMatchObject({ ok: true })
    await db.close()
    await rival.ask('close', dead)
  })
})

describe.skipIf(!hasContainers)('containers, where every server is pid 1', () => {
  it('let a server in whose predecessor was killed in another container', async () => {
    const dir = folder()
    const first = startProcess('web-1')
    expect(await first.ask('open', dir)).toMatchObject({ ok: true, pid: 1 })
    await first.kill()
    const second = startProcess('web-2')
    expect(await second.ask('open', dir)).toMatchObject({ ok: true, pid: 1 })
    await second.ask('close', dir)
    expect(namesIn(dir)).toEqual(['db'])
    await second.kill()
  })

  it('refuse a second server, name the first one’s host, and leave it unharmed', async () => {
    const dir = folder()
    const [first, second] = [startProcess('web-1'), startProcess('web-2')]
    await first.ask('open', dir)
    const answer = await second.ask('open', dir)
    expect(answer).toMatchObject({ ok: false, code: 'STORE_LOCKED', details: { pid: 1, host: 'web-1' } })
    await expectUnharmed(dir, async () => expect(await first.ask('write', dir)).toMatchObject({ ok: true }))
    await Promise.all([first.kill(), second.kill()])
  })

  it('leave one holder where the lock was taken over before LevelDB was open (lock-6)', async () => {
    const dir = folder()
    await databaseIn(dir)
    const [slow, fast] = [startProcess('web-1'), startProcess('web-2')]
    await slow.ask('lock', dir)
    expect(await fast.ask('lock', dir)).toMatchObject({ ok: true }) // no kernel lock yet: nobody to be seen
    expect(await slow.ask('database', dir)).toMatchObject({
      ok: false,
      code: 'STORE_LOCKED',
      details: { host: 'web-2' },
    })
    expect(await fast.ask('database', dir)).toMatchObject({ ok: true })
    await expectUnharmed(dir, async () => expect(await fast.ask('write', dir)).toMatchObject({ ok: true }))
    await Promise.all([slow.kill(), fast.kill()])
  })
})

describe('a take-over (lock-4)', () => {
  it('goes on where another one died, and removes its litter', async () => {
    const dir = folder()
    await databaseIn(dir)
    const holder = await staleHolder(dir)
    const claimant = { ...holder, token: 'claimant' }
    const second = { ...holder, token: 'second' }
    writeLock(dir, holder)
    writeLock(dir, claimant, `lock.taken-${holder.token}`)
    writeLock(dir, claimant, 'lock.new-claimant')
    writeLock(dir, second, 'lock.taken-claimant')
    for (const name of ['probe-claimant', 'probe-second']) {
      mkdirSync(join(dir, name))
      appendFileSync(join(dir, name, 'LOG'), 'litter')
    }
    await openHere(dir)
    expect(namesIn(dir)).toEqual(['db', 'lock'])
  })

  it('is refused while another one is under way, and leaves its files alone', async () => {
    const dir = folder()
    const stale = await staleHolder(dir)
    await rival.ask('lock', dir)
    const alive = readLock(dir)
    await rival.ask('close', dir)
    writeLock(dir, stale)
    writeLock(dir, alive, `lock.taken-${stale.token}`)
    writeLock(dir, alive, `lock.new-${alive.token}`)
    const before = namesIn(dir)
    expect((await refusal(lockOf(dir))).details).toMatchObject({ pid: alive.pid })
    expect(namesIn(dir)).toEqual(before)
  })

  it('waits for a claim of another container, and goes on if nothing comes of it', async () => {
    const dir = folder()
    await databaseIn(dir)
    const stale = await staleHolder(dir)
    writeLock(dir, stale)
    writeLock(dir, { ...stale, token: 'foreign', bootId: 'another' }, `lock.taken-${stale.token}`)
    const startedAt = performance.now()
    await openHere(dir)
    expect(performance.now() - startedAt).toBeGreaterThan(1_500)
    expect(namesIn(dir)).toEqual(['db', 'lock'])
  })

  it('has exactly one winner among 8 processes and 4 threads that start together', async () => {
    const contenders = [...Array.from({ length: 8 }, () => startProcess()), ...Array.from({ length: 4 }, startThread)]
    const stale = await staleHolder(folder())
    const rounds = [
      ...Array.from({ length: 10 }, () => ({ provable: true, found: true })),
      ...Array.from({ length: 5 }, () => ({ provable: true, found: false })),
      ...Array.from({ length: 2 }, () => ({ provable: false, found: true })),
    ]
    for (const { provable, found } of rounds) {
      const dir = folder()
      await databaseIn(dir)
      const holder = { ...stale, directory: inodeOf(dir), ...(provable ? {} : { bootId: 'another' }) }
      if (found) writeLock(dir, holder)
      const at = Date.now() + 30
      const answers = await Promise.all(contenders.map((one) => one.ask('open', dir, at)))
      const winners = contenders.filter((_one, index) => answers[index]?.ok)
      const losers = answers.filter((answer) => !answer.ok)
      expect(winners).toHaveLength(1)
      expect(losers.map(({ code }) => code)).toEqual(losers.map(() => 'STORE_LOCKED'))
      const [winner] = winners
      await expectUnharmed(dir, async () => expect(await winner?.ask('write', dir)).toMatchObject({ ok: true }))
      await winner?.ask('close', dir)
      expect(namesIn(dir)).toEqual(['db'])
    }
    await Promise.all(contenders.map((one) => one.kill()))
  })
})
