/**
 * Keeps LevelDB's files at mode 0600. It makes them as the umask allows, and makes new ones as it goes, so the folder
 * is watched. That folder is 0700 from the start: nobody gets at a file in the moment before its mode is set.
 */
import { type FSWatcher, watch } from 'node:fs'
import { chmod, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { DIRECTORY_MODE, FILE_MODE } from './files.js'

/** Sets the modes of what is there and of what comes. Returns how to stop, once the database is closed. */
export async function keepPrivate(databaseDir: string): Promise<() => Promise<void>> {
  if (process.platform === 'win32') return async () => {}
  await chmod(databaseDir, DIRECTORY_MODE)
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
    await restrictAll()
  }
}
