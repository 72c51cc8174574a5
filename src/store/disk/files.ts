/**
 * The files of a store's directory: their names, and functions that write and read them. The files under `db/` are
 * LevelDB's own.
 *
 *   holdfast.json   identity of the store: format, ID, time of creation
 *   lock            the process that has the store open (lock.ts)
 *   anchor          number of the newest commit (anchor.ts)
 *   opening         count of openings that ended early (short-openings.ts)
 *   db/             LevelDB
 *   db.links-…/     a copy of `db` by hard links, while a backup or a verification reads it (linked-copy.ts)
 */
import { open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

export const IDENTITY_FILE = 'holdfast.json'
export const LOCK_FILE = 'lock'
export const ANCHOR_FILE = 'anchor'
export const OPENING_FILE = 'opening'
export const DATABASE_DIR = 'db'

// Inputs and results may be private. So only the user that runs the server may read them.
export const DIRECTORY_MODE = 0o700
export const FILE_MODE = 0o600

/** True if `error` is a system error with one of these codes. */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined
  return code !== undefined && codes.includes(code)
}

/** True if `error` means that a file or folder does not exist. */
export function isMissing(error: unknown): boolean {
  return hasCode(error, 'ENOENT')
}

/** Makes new, renamed and removed names of a folder survive a power cut. `fsync` of a file does not. */
export async function fsyncDirectory(path: string): Promise<void> {
  // Windows cannot open a folder, and its file system makes names durable by itself.
  if (process.platform === 'win32') return
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } catch (error) {
    // Some file systems (9p, FUSE) cannot sync a folder. There is no substitute.
    if (!hasCode(error, 'EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS')) throw error
  } finally {
    await folder.close()
  }
}

/**
 * Replaces the file. After a crash, it holds its old text or the new one, never a mixture. The temporary name is fixed,
 * so there must be one writer at a time: the holder of the directory's lock.
 */
export async function writeFileAtomically(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`
  try {
    // A writer that was killed may have left the temporary file, perhaps with another mode.
    await rm(temporary, { force: true })
    const file = await open(temporary, 'wx', FILE_MODE)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {})
    throw error
  }
  await fsyncDirectory(dirname(path))
}

/** Text of the file, or `undefined` if it does not exist. */
export async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}
