/**
 * A process of its own that finds out whether the holder of a store is gone, and if so takes the lock file over for
 * the process that started it. Host names and pids prove nothing between containers; LevelDB's kernel lock does.
 *
 * - It opens a scratch folder that holds a hard link of LevelDB's `LOCK`, never the store: the kernel locks the file,
 *     not its name, and the store's own files are not touched.
 * - Never to be done in the process that asks: it may be the holder (another thread, another copy of the package),
 *     and a process that closes any descriptor of `LOCK` loses its lock on it.
 * - The lock file changes hands while the kernel lock is held. A holder that was about to open LevelDB comes after
 *     that, and finds that the lock file names somebody else.
 * - Two things are not under the kernel lock: a store being created has no `LOCK` yet, and a claimant may be about to
 *     replace the lock file. Both take milliseconds, so a fresh one is given time; the file system's clock measures it.
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
    // Nothing to be locked: the holder was killed, or is at work, while it created the store.
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
  // Whoever was faster is about to open LevelDB itself, and must not meet this probe there.
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
 * Waits until the file was left alone for the grace period. `false`: it is gone.
 * @param {string} path
 * @param {string} scratch just made, so it knows the file system's hour
 * @param {() => Promise<boolean>} [interrupt]
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
// A pipe of its own: something preloaded through NODE_OPTIONS may write to standard output.
writeSync(3, await probe(request))
