/** Refusals of a lock, each with the holder of the directory and the action to take. */
import { HoldfastError } from '../../base/errors.js'
import { LOCK_FILE } from '../disk/files.js'
import type { LockHolder } from './lock-judge.js'

/** Creates the refusal of a directory that a process holds. `holder` is `undefined` if the lock file is garbled. */
export function locked(dir: string, holder: LockHolder | undefined, self: LockHolder): HoldfastError {
  const ours = holder?.pid === self.pid && holder.startTicks === self.startTicks && holder.host === self.host
  const advice = ours
    ? 'That is this process (perhaps a worker thread of it): share the open instance, or close it first.'
    : holder?.role === 'cli'
      ? 'That is a command of an operator, which ends by itself. Open the store again then.'
      : 'Close it there, or use another directory.'
  return new HoldfastError('STORE_LOCKED', `${dir} is held by ${nameOf(holder)}. ${advice}`, {
    details: detailsOf(dir, holder),
  })
}

/** Creates the refusal of a directory that a process may hold, if there is no way to find out. */
export function undecided(dir: string, holder: LockHolder | undefined, reason: string): HoldfastError {
  return new HoldfastError(
    'STORE_LOCKED',
    `${dir} has a lock file of ${nameOf(holder)}, and this process cannot find out whether that process still runs: ${reason}. Make sure that it does not, then remove the file \`${LOCK_FILE}\` from the directory by hand.`,
    { details: { ...detailsOf(dir, holder), reason } },
  )
}

/** Creates the error of an open store whose lock file was deleted or replaced. */
export function lost(dir: string): HoldfastError {
  return new HoldfastError(
    'STORE_LOST',
    `The store ${dir} is no longer this process's own: its file \`${LOCK_FILE}\` was deleted or replaced, so another process may have opened the store. Nothing is read or written any more. Start the server again, and keep cleaners of old files away from the directory.`,
    { details: { dir } },
  )
}

/** Creates the refusal of a directory whose lock file is a directory: a mount, or a failed copy. */
export function isDirectory(dir: string, cause: unknown): HoldfastError {
  return new HoldfastError(
    'STORE_UNUSABLE',
    `${dir} cannot be locked: \`${LOCK_FILE}\` in it is a directory, and has to be a file or missing. Make sure that no process uses the store, then remove that directory.`,
    { cause, details: { dir } },
  )
}

/** Creates the error of a new lock file that was deleted before it was in place. */
export function cleanedAway(dir: string, temp: string, cause: unknown): HoldfastError {
  return new HoldfastError(
    'STORE_UNUSABLE',
    `${dir} cannot be locked: the file ${temp}, made a moment ago, was deleted by another program, or its directory was. Keep programs that clean up folders away from the store, then open it again.`,
    { cause, details: { dir } },
  )
}

/** Creates the refusal after an error of the file system. */
export function unusableLock(dir: string, error: unknown): HoldfastError {
  const said = error instanceof Error ? error.message : String(error)
  return new HoldfastError('STORE_UNUSABLE', `${dir} cannot be locked: ${said}`, { cause: error, details: { dir } })
}

function nameOf(holder: LockHolder | undefined): string {
  if (!holder) return 'a process that its lock file does not name'
  return `process ${holder.pid} on host '${holder.host}' since ${new Date(holder.since).toISOString()}`
}

function detailsOf(dir: string, holder: LockHolder | undefined): Record<string, unknown> {
  if (!holder) return { dir }
  const { pid, host, role } = holder
  return { dir, pid, host, since: new Date(holder.since).toISOString(), ...(role && { role }) }
}
