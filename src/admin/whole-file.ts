/**
 * A file that is whole under its own name: it is written under another one (`….partial`), synced, and renamed at the end.
 * After a crash, at most a `.partial` file is left, which the next attempt overwrites.
 */
import { existsSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { type ErrorCode, HoldfastError } from '../base/errors.js'
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
  return fileFailed('BACKUP_FAILED', 'The backup could not be made', reason, cause)
}

/** Creates the error of an export that could not be made. */
export function exportFailed(reason: string, cause?: unknown): HoldfastError {
  return fileFailed('EXPORT_FAILED', 'The task could not be exported', reason, cause)
}

/** Creates the error of an audit that could not be exported. */
export function auditExportFailed(reason: string, cause?: unknown): HoldfastError {
  return fileFailed('AUDIT_EXPORT_FAILED', 'The audit could not be exported', reason, cause)
}

/** Advice by the errors of the system that a reason names. */
const ADVICE: readonly (readonly [codes: RegExp, advice: string])[] = [
  [/\b(?:ENOSPC|EDQUOT)\b/, 'Free space there, or name a file on another disk.'],
  [/\b(?:EACCES|EPERM|EROFS)\b/, 'Name a file in a folder in which this user may write.'],
  [/\b(?:ENOENT|ENOTDIR)\b/, 'Name a file in a folder that exists.'],
]

function fileFailed(code: ErrorCode, what: string, reason: string, cause: unknown): HoldfastError {
  const sentence = /[.!?]$/.test(reason) ? reason : `${reason}.`
  const advice = ADVICE.find(([codes]) => codes.test(reason))?.[1]
  const message = [`${what}: ${sentence}`, advice].filter(Boolean).join(' ')
  return new HoldfastError(code, message, { cause, details: { reason } })
}
