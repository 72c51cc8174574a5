/**
 * Keeps LevelDB's files at mode 0600. It makes them as the umask allows, and makes new ones as it goes, so the folder
 * is watched. That folder is 0700 from the start: nobody gets at a file in the moment before its mode is set.
 */
import { type FSWatcher, watch } from 'node:fs'
import { chmod, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { faultOf } from '../../base/fault.js'
import type { Logger } from '../../base/logger.js'
import { DIRECTORY_MODE, FILE_MODE } from './files.js'

/**
 * Sets the mode of a store's directory to 0700: of a new store's always, of an existing one's if everybody may write to it.
 * A volume that this process may write to and does not own (Kubernetes' `fsGroup`) is used as it is, with a warning.
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

/** Sets the modes of what is there and of what comes. Returns how to stop, once the database is closed. */
export async function keepPrivate(databaseDir: string): Promise<() => Promise<void>> {
  if (process.platform === 'win32') return async () => {}
  // The folder may belong to whoever restored a copy. What the store's own directory permits was looked at before.
  await chmod(databaseDir, DIRECTORY_MODE).catch(() => {})
  // A file may be gone again by the time it is looked at; the folder's own mode protects it meanwhile.
  const restrict = (name: string) => chmod(join(databaseDir, name), FILE_MODE).catch(() => {})
  let watcher: FSWatcher | undefined
  try {
    watcher = watch(databaseDir, { persistent: false }, (event, name) => {
      if (event === 'rename' && name !== null) void restrict(name)
    })
    watcher.on('error', () => watcher?.close())
  } catch {
    // Out of watches: the folder's mode has to do.
  }
  const restrictAll = async () => {
    await Promise.all((await readdir(databaseDir)).map(restrict))
  }
  await restrictAll()
  return async () => {
    watcher?.close()
    // The folder may be gone by now, and no close fails for that.
    await restrictAll().catch(() => {})
  }
}
