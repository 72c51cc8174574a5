/**
 * Reads the holder that a lock file names, and decides if that holder is proved to run or to have ended. Reads `/proc`
 * and sends signal 0. Changes nothing.
 *
 * - Within one boot and one pid namespace, a process is identified by its pid and its start time: the pid alone may
 *   have been reused.
 * - Another directory's inode on the same device, in the same boot: the file was copied along with its directory.
 *   Between devices it proves nothing, since two hosts see one network directory under two device numbers.
 * - Everything else proves nothing: `unknown`. In containers every server is pid 1 and the host name changes.
 */
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import type { Purpose } from '../../base/purpose.js'
import { hasCode } from '../disk/files.js'
import { markOf } from './lock-claim.mjs'

/** Holder of a directory: the content of the lock file. */
export interface LockHolder {
  /** Random text, new for every open. */
  readonly token: string
  readonly pid: number
  /** Start of the process in clock ticks since boot; `null` without a `/proc`. */
  readonly startTicks: number | null
  readonly bootId: string | null
  readonly pidNamespace: string | null
  readonly host: string
  /** Instant of the request for the lock, by the holder's clock. */
  readonly since: number
  /** `device:inode` of the directory. */
  readonly directory: string
  /** `cli` for a command of an operator, which holds the directory for seconds. */
  readonly role?: 'cli' | undefined
}

export type Verdict = 'held' | 'gone' | 'unknown'

const INSTANT_MS_MAX = 8.64e15 // The last instant that a `Date` can represent.
const PID_MAX = 2 ** 31 - 1

/** Holder that this process writes into its lock file. */
export function describeSelf(directory: string, token: string, now: number, purpose: Purpose = 'serve'): LockHolder {
  // If `/proc` belongs to another pid namespace, its pids are those of other processes.
  const procIsOurs = attempt(() => readlinkSync('/proc/self')) === String(process.pid)
  return {
    token,
    pid: process.pid,
    startTicks: (procIsOurs ? readStat(process.pid)?.startTicks : undefined) ?? null,
    bootId: attempt(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()) ?? null,
    pidNamespace: (procIsOurs ? attempt(() => readlinkSync('/proc/self/ns/pid')) : undefined) ?? null,
    host: hostname(),
    since: now,
    directory,
    role: purpose === 'operate' ? 'cli' : undefined,
  }
}

/** Holder that a lock file names; `undefined` if the file is garbled. */
export function parseHolder(text: string | undefined): LockHolder | undefined {
  if (text === undefined) return undefined
  const value = attempt(() => JSON.parse(text) as Partial<Record<keyof LockHolder, unknown>> | null)
  if (typeof value !== 'object' || value === null) return undefined
  const { token, pid, startTicks, bootId, pidNamespace, host, since, directory, role } = value
  if (typeof token !== 'string' || token !== markOf(text)) return undefined
  // Zero and negative numbers would address process groups.
  if (typeof pid !== 'number' || !Number.isInteger(pid) || pid <= 0 || pid > PID_MAX) return undefined
  if (typeof since !== 'number' || !(Math.abs(since) <= INSTANT_MS_MAX)) return undefined
  if (typeof host !== 'string' || typeof directory !== 'string') return undefined
  return {
    token,
    pid,
    startTicks: typeof startTicks === 'number' ? startTicks : null,
    bootId: typeof bootId === 'string' ? bootId : null,
    pidNamespace: typeof pidNamespace === 'string' ? pidNamespace : null,
    host,
    since,
    directory,
    role: role === 'cli' ? role : undefined,
  }
}

/** Judges a holder by facts that `self`, the current process, can prove. */
export function judge(holder: LockHolder | undefined, self: LockHolder): Verdict {
  if (!holder || holder.bootId === null || holder.bootId !== self.bootId) return 'unknown'
  if (holder.directory !== self.directory) {
    return deviceOf(holder.directory) === deviceOf(self.directory) ? 'gone' : 'unknown'
  }
  if (holder.pidNamespace === null || holder.pidNamespace !== self.pidNamespace) return 'unknown'
  if (!exists(holder.pid)) return 'gone'
  const stat = readStat(holder.pid)
  // The file is not readable: the process ended just now, or `/proc` hides the processes of other users.
  if (!stat || holder.startTicks === null) return 'unknown'
  if (stat.startTicks !== holder.startTicks) return 'gone'
  // The process ended, and its parent has not waited for it. Its last threads may still run and hold locks.
  return stat.state === 'Z' || stat.state === 'X' ? 'unknown' : 'held'
}

function deviceOf(directory: string): string | undefined {
  return directory.split(':')[0]
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM means that the process exists and belongs to another user.
    return !hasCode(error, 'ESRCH')
  }
}

function readStat(pid: number): { state: string; startTicks: number } | undefined {
  const text = attempt(() => readFileSync(`/proc/${pid}/stat`, 'utf8'))
  // The second field is the name of the program in brackets. The name may contain blanks and brackets.
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ')
  const startTicks = Number(fields?.[22 - 3])
  return fields?.[0] && Number.isSafeInteger(startTicks) ? { state: fields[0], startTicks } : undefined
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
