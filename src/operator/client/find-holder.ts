/**
 * Finds the process that serves the operator API of a store, by `operator/holder.json` (protocol-1).
 *
 * find-holder-1. A record counts only if its lock token is that of the lock file, and its holder is not proved to have ended. So a
 *   record that a killed process left leads nowhere, also if its pid was reused.
 * find-holder-2. The secret is sent only to a socket in a folder that the owner of the store alone can enter. Another user could
 *   have made a socket under a name that a cleaner freed.
 */
import { lstat, realpath, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { HoldfastError } from '../../base/errors.js'
import { hasCode, IDENTITY_FILE } from '../../store/disk/files.js'
import { readLock } from '../../store/lock/lock-file.js'
import { describeSelf, judge, type LockHolder, parseHolder } from '../../store/lock/lock-judge.js'
import { type HolderRecord, OPERATOR_DIR, PROTOCOL_VERSION, versionSentence } from '../contract/protocol.js'
import { isPrivateFolder, readHolder } from '../server/holder-files.js'

const LOOK_EVERY_MS = 50

/**
 * Finds the holder. Waits while a process holds the lock and its record is missing: it may be about to open or to make the
 * socket again.
 * @throws HoldfastError `STORE_NOT_FOUND`, `STORE_OF_ANOTHER_USER`, `STORE_NOT_HELD`, `OPERATOR_UNAVAILABLE`,
 *   `OPERATOR_MISMATCH`
 */
export async function findHolder(dir: string, waitMs: number): Promise<HolderRecord> {
  for (let waitedMs = 0; ; waitedMs += LOOK_EVERY_MS) {
    const found = await lookOnce(dir)
    if ('record' in found) return found.record
    if (waitedMs >= waitMs) throw found.error
    await delay(LOOK_EVERY_MS)
  }
}

/** A record, or the error to throw if waiting does not help. */
type Look = { readonly record: HolderRecord } | { readonly error: HoldfastError }

async function lookOnce(given: string): Promise<Look> {
  const dir = await realpath(given).catch((cause: unknown) => {
    throw hasCode(cause, 'ENOENT', 'ENOTDIR') ? noStore(given, cause) : cause
  })
  try {
    return await lookIn(dir)
  } catch (error) {
    if (!hasCode(error, 'EACCES', 'EPERM')) throw error
    const { uid } = await stat(dir)
    const message = `This process may not read the store ${dir}. Run it as uid ${uid}, the owner of the directory.`
    throw new HoldfastError('STORE_OF_ANOTHER_USER', message, { cause: error, details: { dir, uid } })
  }
}

async function lookIn(dir: string): Promise<Look> {
  const identity = await stat(join(dir, IDENTITY_FILE)).catch((cause: unknown) => {
    throw hasCode(cause, 'ENOENT', 'ENOTDIR') ? noStore(dir, cause) : cause
  })
  const holder = parseHolder(await readLock(dir))
  if (!holder || (await hasEnded(dir, holder))) throw notHeld(dir)
  const record = await readHolder(dir)
  if (record?.lockToken !== holder.token) {
    const why =
      'The process starts or ends just now, was opened with `operator: false`, or could not make a socket: its log has a warning then.'
    return { error: apiUnavailable(dir, `${nameOf(holder)} holds the store and offers no operator API. ${why}`) }
  }
  if (record.protocol !== PROTOCOL_VERSION) {
    const message = versionSentence(PROTOCOL_VERSION, record.protocol, record.release)
    throw new HoldfastError('OPERATOR_MISMATCH', message, {
      details: { client: PROTOCOL_VERSION, server: record.protocol },
    })
  }
  return (await isSafe(dir, record.path, identity.uid))
    ? { record }
    : { error: apiUnavailable(dir, 'Its folder or its socket is missing, or other users could have made it.') }
}

/** True if the socket can only be that of the owner of the store. */
async function isSafe(dir: string, path: string, owner: number): Promise<boolean> {
  if (process.platform === 'win32') return true
  for (const folder of [join(dir, OPERATOR_DIR), dirname(path)]) {
    const found = await lstat(folder).catch(() => undefined)
    if (!found || !isPrivateFolder(found, owner)) return false
  }
  return (await lstat(path).catch(() => undefined))?.isSocket() === true
}

async function hasEnded(dir: string, holder: LockHolder): Promise<boolean> {
  const { dev, ino } = await stat(dir, { bigint: true })
  return judge(holder, describeSelf(`${dev}:${ino}`, '', 0)) === 'gone'
}

function nameOf({ pid, host }: LockHolder): string {
  return `Process ${pid} on host '${host}'`
}

function noStore(dir: string, cause: unknown): HoldfastError {
  const message = `There is no store in ${dir}. Name the directory that the server opens as \`dir\`.`
  return new HoldfastError('STORE_NOT_FOUND', message, { cause, details: { dir } })
}

function notHeld(dir: string): HoldfastError {
  return new HoldfastError('STORE_NOT_HELD', `No process runs the store ${dir}. Start the server.`, {
    details: { dir },
  })
}

/** The error of a store whose API cannot be reached. */
export function apiUnavailable(dir: string, why: string, cause?: unknown, mayBeWritten = false): HoldfastError {
  const message = `The operator API of ${dir} cannot be reached. ${why}`
  return new HoldfastError('OPERATOR_UNAVAILABLE', message, { cause, details: { dir }, mayBeWritten })
}
