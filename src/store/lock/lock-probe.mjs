/**
 * A separate process that finds out whether the holder of a store has ended. If so, it replaces the lock file for the
 * process that started it. Host names and pids prove nothing between containers, but LevelDB's kernel lock does.
 *
 * - It opens a scratch folder with a hard link of LevelDB's `LOCK`, never the store. The kernel locks the file, not its
 *   name, and the store's own files are not touched.
 * - The process that wants the lock must not do this itself. It may be the holder (another thread, another copy of the
 *   package), and a process that closes any descriptor of `LOCK` loses its lock on it.
 * - The lock file is replaced while the kernel lock is held. A holder that was about to open LevelDB does so after
 *   that, and finds that the lock file names another process.
 * - Two cases are not covered by the kernel lock: a store that is being created has no `LOCK` yet, and a claimant may
 *   be about to replace the lock file. Both take milliseconds. So a fresh file is given time, measured by the clock of
 *   the file system.
 */
import { writeSync } from 'node:fs'
import { link, mkdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { cannotLink, codeOf, markOf, takeOver } from './lock-claim.mjs'

/**
 * @typedef {object} ProbeRequest
 * @property {string} lock
 * @property {string} stale
 * @property {string} claim
 * @property {string} temp
 * @property {string} scratch a folder to be made and removed
 * @property {string} databaseLock LevelDB's `LOCK`
 * @property {string | null} lastClaim the chain's last claim, if it has one
 */

/** @typedef {'taken' | 'moved' | 'held' | 'no-links'} ProbeAnswer */

const GRACE_MS = 2_000
const LOOK_EVERY_MS = 50

/**
 * @param {ProbeRequest} request
 * @returns {Promise<ProbeAnswer>}
 */
async function probe(request) {
  await mkdir(request.scratch, { mode: 0o700 })
  try {
    const { lastClaim } = request
    if (lastClaim !== null && !(await outlastsGrace(lastClaim, request.scratch))) return 'moved'
    if (await linkLock(request)) return await probeKernelLock(request)
    // There is no file to lock: the holder creates the store at this moment, or was killed while it did.
    const came = await outlastsGrace(request.lock, request.scratch, () => linkLock(request))
    if (came === 'interrupted') return await probeKernelLock(request)
    return came && (await takeOver(request)) ? 'taken' : 'moved'
  } catch (error) {
    if (cannotLink(error)) return 'no-links'
    throw error
  } finally {
    await rm(request.scratch, { recursive: true, force: true })
  }
}

/** @param {ProbeRequest} request */
async function linkLock({ databaseLock, scratch }) {
  try {
    await link(databaseLock, join(scratch, 'LOCK'))
    return true
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}

/**
 * @param {ProbeRequest} request
 * @returns {Promise<ProbeAnswer>}
 */
async function probeKernelLock(request) {
  // A faster process is about to open LevelDB itself, and must not meet this probe there.
  if (markOf(await readFile(request.lock, 'utf8').catch(() => '')) !== request.stale) return 'moved'
  const scratch = new ClassicLevel(request.scratch)
  try {
    await scratch.open()
  } catch (error) {
    if (error instanceof Error && codeOf(error.cause) === 'LEVEL_LOCKED') return 'held'
    throw error
  }
  try {
    return (await takeOver(request)) ? 'taken' : 'moved'
  } finally {
    await scratch.close()
  }
}

/**
 * Waits until the file was unchanged for the grace period. Resolves with `false` if the file is gone.
 * @param {string} path
 * @param {string} scratch a folder that was just created; its time is that of the file system
 * @param {() => Promise<boolean>} [interrupt] ends the wait early if it resolves with `true`
 * @returns {Promise<boolean | 'interrupted'>}
 */
async function outlastsGrace(path, scratch, interrupt) {
  const startedAt = (await stat(scratch)).ctimeMs
  for (let waited = 0; ; waited += LOOK_EVERY_MS) {
    const found = await stat(path).catch(() => undefined)
    if (!found) return false
    if (await interrupt?.()) return 'interrupted'
    if (waited >= GRACE_MS || startedAt + waited - found.ctimeMs >= GRACE_MS) return true
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
}

/** @type {ProbeRequest} */
const request = JSON.parse(process.argv[2] ?? '{}')
// The answer has a pipe of its own, because a module that is preloaded through NODE_OPTIONS may write to standard
// output.
writeSync(3, await probe(request))
