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

/** Creates the error of a file that could not be written. */
export type Failed = (reason: string, cause?: unknown) => HoldfastError

/**
 * Has `write` write the file under its other name, and gives it its own name.
 * @param failed creates the error if the file exists or cannot be renamed
 * @throws HoldfastError `BACKUP_FAILED`, or the one of `failed`; as `write`. No file is left then.
 */
export async function wholeFile<T>(
  file: string,
  write: (partial: string) => Promise<T>,
  failed: Failed = backupFailed,
): Promise<T> {
  const target = assertFreeName(file, failed)
  const partial = `${target}.partial`
  try {
    const written = await write(partial)
    await finish(partial, target, failed)
    return written
  } catch (error) {
    await rm(partial, { force: true }).catch(() => {})
    throw error
  }
}

/** Checks that no file has the name. @returns its absolute path */
export function assertFreeName(file: string, failed: Failed = backupFailed): string {
  const target = resolve(file)
  if (existsSync(target)) throw failed(`the file ${target} exists; name a new one`)
  return target
}

async function finish(partial: string, target: string, failed: Failed): Promise<void> {
  try {
    const file = await open(partial, 'r+')
    await file.sync().finally(() => file.close())
    await rename(partial, target)
    await fsyncDirectory(dirname(target))
  } catch (error) {
    throw failed(explain(error), error)
  }
}

/** Creates the error of a backup that could not be made. */
export function backupFailed(reason: string, cause?: unknown): HoldfastError {
  return new HoldfastError('BACKUP_FAILED', `The backup could not be made: ${reason}`, { cause, details: { reason } })
}

/** Creates the error of an export that could not be made. */
export function exportFailed(reason: string, cause?: unknown): HoldfastError {
  return new HoldfastError('EXPORT_FAILED', `The task could not be exported: ${reason}`, { cause, details: { reason } })
}

/** Creates the error of an audit that could not be exported. */
export function auditExportFailed(reason: string, cause?: unknown): HoldfastError {
  const message = `The audit could not be exported: ${reason}`
  return new HoldfastError('AUDIT_EXPORT_FAILED', message, { cause, details: { reason } })
}
