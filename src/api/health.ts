/** The answer of `health`: whether this process lives, and whether it does its work. Never rejects, so that a probe gets an answer. */
import { statfs } from 'node:fs/promises'
import type { Engine } from '../engine/core/engine.js'

/** Result of `holdfast.health()`. */
export interface Health {
  /** False once the store is lost or closed: start the process again. A store that is down keeps a process live. */
  readonly live: boolean
  /** True if tasks are started and run: recovered, not held, the store writable, with disk space. */
  readonly ready: boolean
  /** Reasons for which something is wrong, or may become so. Empty for a healthy instance. */
  readonly reasons: readonly HealthReason[]
  readonly recovery: {
    /**
     * `held`: every start crashed, and it waits for `recover()` · `waiting`: the instance was opened with
     * `recover: 'manual'` · `running` · `done`.
     */
    readonly state: 'held' | 'waiting' | 'running' | 'done'
    /** Unfinished tasks that were found at the open; 0 until the recovery begins. */
    readonly found: number
    /** Found tasks without a result yet. */
    readonly left: number
  }
  readonly store: {
    /** `up`: the last write worked · `down`: a write failed, and it is tried again · `lost` · `closed`. */
    readonly state: 'up' | 'down' | 'lost' | 'closed'
    /** System error code of the last failure, such as `ENOSPC`, while the store is down. */
    readonly error: string | undefined
  }
  /** Space of the file system of the store; `undefined` for a store in memory, or if it cannot be read. */
  readonly disk: { readonly freeBytes: number; readonly totalBytes: number } | undefined
  /** Damage that was accepted at the open, and the number of tasks whose head cannot be read. */
  readonly damage: { readonly store: string | undefined; readonly tasks: number }
}

/** One reason of `health()`. */
export interface HealthReason {
  readonly code:
    | 'RECOVERY_HELD'
    | 'RECOVERY_WAITING'
    | 'RECOVERY_RUNNING'
    | 'STORE_DOWN'
    | 'STORE_LOST'
    | 'CLOSED'
    | 'DISK_SPACE_LOW'
    | 'STORE_DAMAGED'
    | 'TASKS_DAMAGED'
  /** A sentence with what to do. Its words may change. */
  readonly message: string
  /** True if the instance is not ready for this reason. */
  readonly isBlocking: boolean
}

const MIB = 1_048_576
/** Free bytes below which writes may fail at any moment: LevelDB needs room for a log and for the files that it merges. */
const FREE_BYTES_MIN = 32 * MIB
/** Free bytes below which a reason is given. */
const FREE_BYTES_LOW = 512 * MIB

/** Free and total bytes of the file system of a directory, as `fs.statfs` returns them. */
export type ReadSpace = (dir: string) => Promise<{ bavail: number; blocks: number; bsize: number }>

/** Reads the health of an instance, open or closed. */
export async function readHealth(engine: Engine, readSpace: ReadSpace = statfs): Promise<Health> {
  const { report, options } = engine
  const space = await readSpace(options.dir).catch(() => undefined)
  const disk = space && { freeBytes: space.bavail * space.bsize, totalBytes: space.blocks * space.bsize }
  const state = recoveryState(engine)
  const found = report.found
  const left = state === 'running' ? report.left : 0
  const store = storeState(engine)
  const damaged = report.count('damaged')
  const damage = { store: report.storeDamage, tasks: damaged }
  const recovery = { state, found, left }
  const reasons = reasonsOf(engine, { recovery, store, disk, damage })
  const live = store.state !== 'lost' && store.state !== 'closed'
  return { live, ready: live && !reasons.some(({ isBlocking }) => isBlocking), reasons, recovery, store, disk, damage }
}

function recoveryState({ report }: Engine): Health['recovery']['state'] {
  if (report.finishedAt !== undefined) return 'done'
  if (report.startedAt !== undefined) return 'running'
  return report.heldReason === undefined ? 'waiting' : 'held'
}

function storeState({ store: { connection }, lost, closing }: Engine): Health['store'] {
  if (lost) return { state: 'lost', error: undefined }
  if (closing) return { state: 'closed', error: undefined }
  if (connection.isUp) return { state: 'up', error: undefined }
  return { state: 'down', error: connection.causeCode }
}

function reasonsOf(
  { report, options }: Engine,
  { recovery, store, disk, damage }: Pick<Health, 'recovery' | 'store' | 'disk' | 'damage'>,
): HealthReason[] {
  const reasons: HealthReason[] = []
  const add = (code: HealthReason['code'], isBlocking: boolean, message: string) =>
    reasons.push({ code, message, isBlocking })
  if (store.state === 'closed') add('CLOSED', true, 'The instance is closed, or closing.')
  if (store.state === 'lost') {
    add('STORE_LOST', true, 'The lock file of the store was deleted or replaced. Start the server again.')
  }
  if (store.state === 'down') {
    const why = store.error === undefined ? '' : ` (${store.error})`
    const next = store.error === 'ENOSPC' ? 'Free some space.' : 'See the log.'
    add('STORE_DOWN', true, `The disk refuses writes${why}. Tasks wait, and continue by themselves. ${next}`)
  }
  if (recovery.state === 'held') {
    const advice = 'Fix the cause, then call `recover()`.'
    add('RECOVERY_HELD', true, `The recovery is held: ${report.heldReason}. ${advice}`)
  }
  if (recovery.state === 'waiting') {
    const isServer = options.purpose === 'serve'
    const message = isServer ? 'The recovery waits for `recover()`.' : 'No process runs the tasks. Start the server.'
    add('RECOVERY_WAITING', true, message)
  }
  if (recovery.state === 'running') {
    add('RECOVERY_RUNNING', true, `${recovery.left} of ${recovery.found} unfinished tasks are not resumed yet.`)
  }
  if (disk && disk.freeBytes < FREE_BYTES_LOW) {
    const free = `${Math.floor(disk.freeBytes / MIB)} MiB are free in the file system of the store.`
    add('DISK_SPACE_LOW', disk.freeBytes < FREE_BYTES_MIN, `${free} Free some space, or set \`retention\`.`)
  }
  if (damage.store !== undefined) add('STORE_DAMAGED', false, damage.store)
  if (damage.tasks > 0) {
    const message = `The heads of ${damage.tasks} tasks cannot be read; see \`recovery.tasks\`. Restore a copy of the store.`
    add('TASKS_DAMAGED', false, message)
  }
  return reasons
}
