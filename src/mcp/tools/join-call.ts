/**
 * Inline calls that a repeat may join. If an equal call is repeated while its client is connected, it is a call of its own.
 * If the client of the first call is gone without the answer, the repeat joins its task.
 *
 * Both kinds of calls are in memory, so that a call reads nothing (mcp-core-5): those that wait for their result, and those
 * whose answer was not handed to their client.
 *
 * - The keys of undelivered calls (tool-records.ts) are read once, after the open. Searches wait for that.
 * - At most `UNDELIVERED_MAX` of them are kept. If there are more, searches read the disk as well, until the next open.
 * - An undelivered call whose task settled more than `REJOIN_SETTLED_MS` ago is forgotten, because no repeat joins it any
 *   more. Its record is deleted with its task.
 */
import type { TaskView } from '../../api/task-view.js'
import { Queue } from '../../base/collections.js'
import { faultOf } from '../../base/fault.js'
import type { Logger } from '../../base/logger.js'
import type { BindingRecords } from '../../store/binding-records.js'

/** Time for which the undelivered result of a settled task answers a repeated call. A later repeat is a new call. */
export const REJOIN_SETTLED_MS = 60 * 60_000
/** Number of undelivered calls that are kept in memory. Each takes about 300 bytes. */
export const UNDELIVERED_MAX = 10_000

/** True if the client of a call is connected. Each call has its own function, which identifies it. */
export type IsHeard = () => boolean

interface Waiting {
  readonly calls: Set<IsHeard>
  /** View of the task once it has settled. */
  settled: TaskView | undefined
}

export class OpenCalls {
  readonly #waiting = new Map<string, Waiting>()

  add(taskId: string, isHeard: IsHeard): void {
    const waiting = this.#waiting.get(taskId) ?? { calls: new Set(), settled: undefined }
    waiting.calls.add(isHeard)
    this.#waiting.set(taskId, waiting)
  }

  remove(taskId: string, isHeard: IsHeard): void {
    const waiting = this.#waiting.get(taskId)
    if (waiting?.calls.delete(isHeard) && waiting.calls.size === 0) this.#waiting.delete(taskId)
  }

  /** True if any call waits for the task's result, even if its client is gone. */
  has(taskId: string): boolean {
    return this.#waiting.has(taskId)
  }

  /** True if a connected client waits for the task's result. */
  isHeard(taskId: string): boolean {
    for (const isHeard of this.#waiting.get(taskId)?.calls ?? []) if (isHeard()) return true
    return false
  }

  /** Keeps the view of a settled task for the calls that wait for it, so that they read nothing (mcp-core-5). */
  keep(view: TaskView): void {
    const waiting = this.#waiting.get(view.taskId)
    if (waiting) waiting.settled = view
  }

  /** View of a task that settled while a call waited for it; `undefined` for any other task. */
  settledView(taskId: string): TaskView | undefined {
    return this.#waiting.get(taskId)?.settled
  }
}

/** Facts about tasks and the time. */
export interface UndeliveredHost {
  readonly records: Pick<BindingRecords, 'own' | 'write' | 'keys'>
  readonly logger: Logger
  now(): number
  isUnfinished(taskId: string): boolean
}

export class UndeliveredCalls {
  readonly #tasks = new Map<string, Set<string>>()
  /** Prefix of each task's key, in the order of the tasks. */
  readonly #prefixes = new Map<string, string>()
  readonly #settled = new Queue<{ readonly taskId: string; readonly at: number }>()
  /** Keys whose deletion is being written, or that were deleted before the keys were read. */
  readonly #deleted = new Set<string>()
  readonly #held = new Set<string>()
  /** False if the disk may have keys that are not in memory. */
  #isWhole = true
  #loading: Promise<void> | undefined

  constructor(
    private readonly host: UndeliveredHost,
    private readonly max = UNDELIVERED_MAX,
  ) {
    this.#loading = this.#load()
  }

  /**
   * Tasks of undelivered calls with this prefix.
   * @throws HoldfastError `STORE_UNAVAILABLE` if the disk has to be read
   */
  async find(prefix: string): Promise<readonly string[]> {
    if (this.#loading) await this.#loading
    this.#expire()
    const taskIds = this.#isWhole
      ? [...(this.#tasks.get(prefix) ?? [])]
      : (await this.host.records.keys(prefix)).map((key) => key.slice(prefix.length))
    return taskIds.filter((taskId) => {
      const key = `${prefix}${taskId}`
      return !this.#deleted.has(key) && !this.#held.has(key)
    })
  }

  /** Hides a call while its answer is on its way to a connected client: an equal call is one of its own. */
  hold(key: string): void {
    this.#held.add(key)
  }

  /** The client was gone before it had the answer. */
  release(key: string): void {
    this.#held.delete(key)
  }

  /** Adds a call whose record is on disk. */
  add(key: string): void {
    const { prefix, taskId } = partsOf(key)
    const tasks = this.#tasks.get(prefix) ?? new Set()
    this.#tasks.set(prefix, tasks.add(taskId))
    this.#prefixes.set(taskId, prefix)
    if (!this.host.isUnfinished(taskId)) this.noteSettled(taskId)
    this.#expire()
    const [oldest] = this.#prefixes.size > this.max ? this.#prefixes.keys() : []
    if (oldest === undefined) return
    this.#forget(oldest)
    this.#isWhole = false
  }

  /** Notes that a task has settled. */
  noteSettled(taskId: string): void {
    if (this.#prefixes.has(taskId)) this.#settled.push({ taskId, at: this.host.now() })
  }

  /**
   * Forgets a call whose answer its client has, or which can no longer be joined.
   * @param deletion the write that deletes the record of the call
   */
  remove(key: string, deletion: Promise<unknown>): void {
    this.#forget(partsOf(key).taskId)
    this.#held.delete(key)
    this.#deleted.add(key)
    const over = () => {
      if (!this.#loading) this.#deleted.delete(key)
    }
    deletion.then(over, over)
  }

  /** Forgets a call and deletes its record. Not awaited: the answer is worth more than the record. */
  delete(key: string): void {
    const { records, logger } = this.host
    const deletion = records.write([records.own(key, undefined)])
    deletion.catch((error: unknown) => logger.debug('A note could not be deleted', { error: faultOf(error) }))
    this.remove(key, deletion)
  }

  async #load(): Promise<void> {
    const { records, logger } = this.host
    try {
      const keys = await records.keys('rejoin/', this.max + 1)
      for (const key of keys) if (!this.#deleted.has(key)) this.add(key)
    } catch (error) {
      this.#isWhole = false
      logger.debug('The undelivered calls could not be read', { error: faultOf(error) })
    }
    this.#deleted.clear()
    this.#loading = undefined
  }

  #expire(): void {
    const before = this.host.now() - REJOIN_SETTLED_MS
    for (let first = this.#settled.first; first && first.at < before; first = this.#settled.first) {
      this.#settled.shift()
      this.#forget(first.taskId)
    }
  }

  #forget(taskId: string): void {
    const prefix = this.#prefixes.get(taskId)
    if (prefix === undefined) return
    this.#prefixes.delete(taskId)
    const tasks = this.#tasks.get(prefix)
    tasks?.delete(taskId)
    if (tasks?.size === 0) this.#tasks.delete(prefix)
  }
}

function partsOf(key: string): { prefix: string; taskId: string } {
  const at = key.lastIndexOf('/') + 1
  return { prefix: key.slice(0, at), taskId: key.slice(at) }
}
