/**
 * The files of the holder's operator API: the folder `operator/` in the directory of the store, the socket, and
 * `holder.json`. Owns their names, modes and removal.
 *
 * - The folder has mode 0700 and belongs to this user, so the modes of the socket do not matter.
 * - `holder.json` is written once the socket listens, and removed first. So a client that reads it finds a socket.
 * - A killed process leaves its files. The next holder removes them: it has the lock of the directory, so they are of no
 *   living process.
 */
import { lstatSync, type Stats } from 'node:fs'
import { chmod, lstat, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { DIRECTORY_MODE, isMissing, LOCK_FILE, readIfPresent, writeFileAtomically } from '../../store/disk/files.js'
import { parseHolder } from '../../store/lock/lock-judge.js'
import { HOLDER_FILE, HolderRecord, OPERATOR_DIR, SOCKET_PATH_BYTES_MAX } from '../contract/protocol.js'

const TEMP_PREFIX = 'holdfast-operator-'
const SOCKET = 'socket'

/** Path of `holder.json` in the directory of a store. */
export const holderFileOf = (dir: string) => join(dir, OPERATOR_DIR, HOLDER_FILE)

/** True if Node can listen at `path`: a longer path of a socket is cut without an error by Node 20. */
export function fitsSocket(path: string): boolean {
  return Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX
}

/** True if the folder is one that only this user, or the given one, can enter. */
export function isPrivateFolder(found: Stats, uid: number | undefined): boolean {
  if (process.platform === 'win32') return found.isDirectory()
  return found.isDirectory() && found.uid === uid && (found.mode & 0o077) === 0
}

/**
 * Makes an empty folder `operator/` of mode 0700. Removes what a killed holder left.
 * @throws a system error if the folder cannot be made
 */
export async function makeOperatorFolder(dir: string): Promise<void> {
  const folder = join(dir, OPERATOR_DIR)
  await removeTempFolder(dir)
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { mode: DIRECTORY_MODE })
  await chmod(folder, DIRECTORY_MODE)
}

/** Paths to try, in their order. A path in a folder for temporary files is made when it is needed. */
export function socketPaths(dir: string, random: string): (() => Promise<string | undefined>)[] {
  // Every user can list the names of pipes, and none can guess one of 128 random bits before it exists.
  if (process.platform === 'win32') return [async () => `\\\\.\\pipe\\holdfast-${random}`]
  const own = join(dir, OPERATOR_DIR, SOCKET)
  const temporary = async (parent: string) => {
    // `mkdtemp` adds six characters, and makes the folder with mode 0700.
    if (!fitsSocket(join(parent, `${TEMP_PREFIX}000000`, SOCKET))) return undefined
    return join(await mkdtemp(join(parent, TEMP_PREFIX)), SOCKET)
  }
  const parents = [...new Set([tmpdir(), '/tmp'])]
  return [async () => (fitsSocket(own) ? own : undefined), ...parents.map((parent) => () => temporary(parent))]
}

/** Writes `holder.json`. */
export async function writeHolder(dir: string, record: HolderRecord): Promise<void> {
  await writeFileAtomically(holderFileOf(dir), `${JSON.stringify(record, null, 2)}\n`)
}

/** Content of `holder.json`; `undefined` if it is missing or no such file. */
export async function readHolder(dir: string): Promise<HolderRecord | undefined> {
  const text = await readIfPresent(holderFileOf(dir))
  if (text === undefined) return undefined
  try {
    return HolderRecord.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

/** True if the lock file is the one of this opening. */
export async function isHeldBy(dir: string, lockToken: string): Promise<boolean> {
  return parseHolder(await readIfPresent(join(dir, LOCK_FILE)))?.token === lockToken
}

/** Removes the folder `operator/` and the socket, if this opening still has the lock: else they are of the next holder. */
export async function removeHolderFiles(dir: string, lockToken: string): Promise<void> {
  if (!(await isHeldBy(dir, lockToken))) return
  await rm(join(dir, OPERATOR_DIR), { recursive: true, force: true })
}

/** Removes the folder of a socket outside of the store, if `holder.json` names one that is ours. */
async function removeTempFolder(dir: string): Promise<void> {
  const found = await readHolder(dir).catch(() => undefined)
  if (found) await removeSocketFolder(found.path)
}

/** Removes the folder of a socket if `mkdtemp` made it for this user. */
export async function removeSocketFolder(path: string): Promise<void> {
  const folder = dirname(path)
  if (process.platform === 'win32' || !basename(folder).startsWith(TEMP_PREFIX)) return
  const there = await lstat(folder).catch(() => undefined)
  if (there && isPrivateFolder(there, process.geteuid?.())) await rm(folder, { recursive: true, force: true })
}

/** Numbers that distinguish the files of this holder from later ones of the same names; `undefined` if one is missing. */
export function marksOf(dir: string, socketPath: string): string | undefined {
  const paths = process.platform === 'win32' ? [holderFileOf(dir)] : [holderFileOf(dir), socketPath]
  try {
    return paths.map((path) => lstatSync(path).ino).join(' ')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}
