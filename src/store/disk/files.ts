/**
 * The files of a store's directory: what they are called, and the few ways in which they are written and read.
 * LevelDB's own files under `db/` are nobody's business but LevelDB's.
 *
 *   holdfast.json   who the store is: format, ID, when it was made
 *   lock            who has it open (lock.ts)
 *   anchor          how far it has come (anchor.ts)
 *   db/             LevelDB
 */
import { open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

export const IDENTITY_FILE = 'holdfast.json'
export const LOCK_FILE = 'lock'
export const ANCHOR_FILE = 'anchor'
export const DATABASE_DIR = 'db'

// Inputs and results may be private: nobody but the server's own user gets to read them.
export const DIRECTORY_MODE = 0o700
export const FILE_MODE = 0o600

/** True if `error` is a system error with one of these codes. */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined
  return code !== undefined && codes.includes(code)
}

/** True if `error` says that there is no such file or folder. */
export function isMissing(error: unknown): boolean {
  return hasCode(error, 'ENOENT')
}

/** Makes new, renamed and removed names in the folder survive a power cut: `fsync` of a file does not. */
export async function fsyncDirectory(path: string): Promise<void> {
  // Windows opens no folders, and journals names by itself.
  if (process.platform === 'win32') return
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } catch (error) {
    // Some file systems (9p, FUSE) cannot sync a folder; there is nothing better to be had there.
    if (!hasCode(error, 'EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS')) throw error
  } finally {
    await folder.close()
  }
}

/**
 * Replaces the file: after a crash its old text is there or the new one, never a mixture. The temporary name is fixed,
 * so one writer at a time; whoever writes here holds the directory's lock.
 */
export async function writeFileAtomically(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`
  try {
    await rm(temporary, { force: true }) // of a writer that was killed, perhaps with another mode
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

/** The file's text, or `undefined` if there is no such file. */
export async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}
