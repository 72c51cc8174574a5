/**
 * Keeps LevelDB's files at mode 0600. LevelDB creates files with the mode of the umask at any time, so the folder is
 * watched. The folder has mode 0700 from the start, so no other user can open a file before its mode is set.
 */
import { type FSWatcher, watch } from 'node:fs'
import { chmod, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { faultOf } from '../../base/fault.js'
import type { Logger } from '../../base/logger.js'
import { DIRECTORY_MODE, FILE_MODE } from './files.js'

/**
 * Sets the mode of a store's directory to 0700. For an existing store, only if every user may write to it. A volume
 * that this process may write to and does not own (Kubernetes' `fsGroup`) is used unchanged, with a warning.
 */
export async function protectDirectory(dir: string, isNew: boolean, logger: Logger): Promise<void> {
  if (process.platform === 'win32') return
  const mode = (await stat(dir)).mode & 0o777
  const isOpen = (mode & OTHERS_WRITE) !== 0
  if (mode === DIRECTORY_MODE || (!isNew && !isOpen)) return
  try {
    await chmod(dir, DIRECTORY_MODE)
    if (isOpen && !isNew) {
      logger.warn('Every user could write to the directory of the store. Its mode was set to 0700.', { dir })
    }
  } catch (error) {
    logger.warn(
      'The directory of the store belongs to another user, so its mode could not be set to 0700. Other users may have access. Make this process the owner, or restrict the directory above it.',
      { dir, mode: `0${mode.toString(8)}`, error: faultOf(error) },
    )
  }
}

const OTHERS_WRITE = 0o002

/**
 * Sets the modes of existing and of new files. Returns a function that stops this, to be called once the database is
 * closed.
 */
export async function keepPrivate(databaseDir: string): Promise<() => Promise<void>> {
  if (process.platform === 'win32') return async () => {}
  // The folder may belong to the user who restored a copy. The mode of the store's own directory was checked before.
  await chmod(databaseDir, DIRECTORY_MODE).catch(() => {})
  // The file may have been deleted meanwhile. The mode of the folder protects the file until its own is set.
  const restrict = (name: string) => chmod(join(databaseDir, name), FILE_MODE).catch(() => {})
  let watcher: FSWatcher | undefined
  try {
    watcher = watch(databaseDir, { persistent: false }, (event, name) => {
      if (event === 'rename' && name !== null) void restrict(name)
    })
    watcher.on('error', () => watcher?.close())
  } catch {
    // The system has no file watches left. The mode of the folder protects the files.
  }
  const restrictAll = async () => {
    await Promise.all((await readdir(databaseDir)).map(restrict))
  }
  await restrictAll()
  return async () => {
    watcher?.close()
    // The folder may have been deleted. That is no reason to fail the close.
    await restrictAll().catch(() => {})
  }
}
