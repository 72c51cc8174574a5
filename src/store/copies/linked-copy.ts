/**
 * Makes a copy of the files of a database with hard links, also while the database is open and written to. The copy is a
 * state that the database had at some moment, and at least the commits that were acknowledged before the copy began.
 *
 * linked-copy-1. LevelDB never writes into a table that its MANIFEST names, never appends to an old log at an open, and
 *   deletes a file only after its MANIFEST recorded that. So files that are linked while CURRENT and the size of the MANIFEST
 *   stay the same are a version of the database. The newest log may grow under its link: that is more commits, never fewer.
 * linked-copy-2. After a change of the MANIFEST, the next try keeps the links that were made, so that each try is shorter.
 * linked-copy-3. The file LOCK is neither linked nor read: closing it would drop the kernel lock of this process.
 * linked-copy-4. Without hard links, files are copied. A table that was copied while it was written has another size.
 * - The folder names the process that made it. The next opening removes the folders of processes that have ended.
 */
import { linkSync, readdirSync, statSync } from 'node:fs'
import { copyFile, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises'
import { DATABASE_DIR, DIRECTORY_MODE, FILE_MODE, hasCode, isMissing, readIfPresent } from '../disk/files.js'
import { manifestNameIn } from '../files/manifest.js'
import { cannotLink } from '../lock/lock-claim.mjs'
import { judge, type LockHolder, parseHolder } from '../lock/lock-judge.js'

/** Beginning of the names of folders that the next opening removes, once the process named in them has ended. */
export const FOLDER_PREFIX = 'db.links-'
/** File that names the process of such a folder. */
export const OWNER_FILE = 'owner'
// A link takes about 20 µs of the event loop.
const LINKS_PER_TURN = 64
const TRIES_AT_ONCE = 20
const TRIES_MAX = 200
const PAUSE_MS = 50

/** A copy of a database. */
export interface LinkedCopy {
  /** Folder of the copy. Only `openCopy` may open it (open-copy-1). */
  readonly path: string
  /** False if the files had to be copied, because the file system has no hard links. */
  readonly isLinked: boolean
  /** Removes the copy. */
  remove(): Promise<void>
}

/**
 * Makes a linked copy of the database of a store.
 * @param dir directory of the store, which this process holds
 * @param owner the process, with a new token that names the folder
 * @throws a system error; nothing is left then
 */
export async function linkDatabase(dir: string, owner: LockHolder): Promise<LinkedCopy> {
  const path = join(dir, FOLDER_PREFIX + owner.token)
  const remove = () => rm(path, { recursive: true, force: true })
  await mkdir(path, { mode: DIRECTORY_MODE })
  try {
    await writeFile(join(path, OWNER_FILE), JSON.stringify(owner), { mode: FILE_MODE })
    const from = join(dir, DATABASE_DIR)
    const state = { isLinked: true }
    for (let tries = 1; ; tries++) {
      const result = await tryLink(from, path, state)
      // A MANIFEST that stays missing is damage, which the reader of the copy finds too.
      if (result === 'whole' || (result === 'missing' && tries >= TRIES_AT_ONCE)) break
      if (tries === TRIES_MAX)
        throw new Error(`The files of ${from} changed during each of ${TRIES_MAX} tries to link them`)
      if (tries >= TRIES_AT_ONCE) await pause(PAUSE_MS)
    }
    return { path, isLinked: state.isLinked, remove }
  } catch (error) {
    await remove().catch(() => {})
    throw error
  }
}

/** Removes the copies in `dir` whose process has ended. Never fails. */
export async function removeLeftCopies(dir: string, self: LockHolder): Promise<void> {
  for (const name of await readdir(dir).catch(() => [])) {
    if (!name.startsWith(FOLDER_PREFIX)) continue
    const path = join(dir, name)
    const owner = await readIfPresent(join(path, OWNER_FILE)).catch(() => undefined)
    if (judge(parseHolder(owner), self) === 'held') continue
    await rm(path, { recursive: true, force: true }).catch(() => {})
  }
}

/** @returns `missing` if there is no CURRENT, or no MANIFEST of that name */
async function tryLink(
  from: string,
  to: string,
  state: { isLinked: boolean },
): Promise<'whole' | 'changed' | 'missing'> {
  const before = await versionOf(from)
  try {
    await takeFiles(from, to, state)
    if (!before) return 'missing'
    const { current, manifest, size } = before
    await copyFile(join(from, manifest), join(to, manifest))
    await writeFile(join(to, 'CURRENT'), current, { mode: FILE_MODE })
    const after = await versionOf(from)
    if (after?.current === current && after.size === size) return 'whole'
    await rm(join(to, manifest), { force: true })
    return 'changed'
  } catch (error) {
    if (isMissing(error)) return 'changed'
    throw error
  }
}

/** State of a database that shows a change: the text of CURRENT, and the size of the MANIFEST that it names. */
async function versionOf(from: string): Promise<{ current: string; manifest: string; size: number } | undefined> {
  const current = (await readIfPresent(join(from, 'CURRENT'))) ?? ''
  const manifest = manifestNameIn(current)
  if (manifest === undefined) return undefined
  const found = statSync(join(from, manifest), { throwIfNoEntry: false })
  return found && { current, manifest, size: found.size }
}

async function takeFiles(from: string, to: string, state: { isLinked: boolean }): Promise<void> {
  const names = readdirSync(from).filter((name) => /^\d+\.(ldb|sst|log)$/.test(name))
  for (let at = 0; at < names.length; at += LINKS_PER_TURN) {
    for (const name of names.slice(at, at + LINKS_PER_TURN)) {
      if (state.isLinked && !takeLink(join(from, name), join(to, name))) state.isLinked = false
      if (!state.isLinked) await takeCopy(join(from, name), join(to, name))
    }
    await turn()
  }
}

/** @returns false if the file system has no hard links */
function takeLink(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return true
    if (cannotLink(error)) return false
    throw error
  }
}

async function takeCopy(from: string, to: string): Promise<void> {
  const isTable = !from.endsWith('.log')
  const copied = statSync(to, { throwIfNoEntry: false })
  if (isTable && copied !== undefined && copied.size === (await stat(from)).size) return
  await copyFile(from, to)
}
