/**
 * A file that is whole under its own name: it is written under another one (`….partial`), synced, and renamed at the end.
 * After a crash, at most a `.partial` file is left, which the next attempt overwrites.
 */
import { existsSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { HoldfastError } from '../base/errors.js'
import { explain } from '../store/disk/damage.js'
import { fsyncDirectory } from '../store/disk/files.js'

/**
 * Has `write` write the file under its other name, and gives it its own name.
 * @throws HoldfastError `BACKUP_FAILED` if the file exists or cannot be renamed; as `write`. No file is left then.
 */
export async function wholeFile<T>(file: string, write: (partial: string) => Promise<T>): Promise<T> {
  const target = resolve(file)
  if (existsSync(target)) throw backupFailed(`the file ${target} exists; name a new one`)
  const partial = `${target}.partial`
  try {
    const written = await write(partial)
    await finish(partial, target)
    return written
  } catch (error) {
    await rm(partial, { force: true }).catch(() => {})
    throw error
  }
}

async function finish(partial: string, target: string): Promise<void> {
  try {
    const file = await open(partial, 'r+')
    await file.sync().finally(() => file.close())
    await rename(partial, target)
    await fsyncDirectory(dirname(target))
  } catch (error) {
    throw backupFailed(explain(error), error)
  }
}

/** Creates the error of a backup that could not be made. */
export function backupFailed(reason: string, cause?: unknown): HoldfastError {
  return new HoldfastError('BACKUP_FAILED', `The backup could not be made: ${reason}`, { cause, details: { reason } })
}
