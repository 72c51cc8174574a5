/**
 * Reads the inputs and the logs of runs. The reads that wait at the same time are done together, with one iterator and
 * one `getMany`: after a restart a thousand runs are loaded at once.
 *
 * - One group is read at a time. Runs that are loaded meanwhile form the next group.
 * - A log that is too long for a group is read alone, page by page, and no other read waits for that.
 */
import type { TaskHead } from '../task/head.js'
import type { ReadRecord } from '../task/log/log-sums.js'
import { taskKey } from './disk/layout.js'
import { ENTRIES_PER_ITERATOR, type Level } from './disk/level.js'
import type { RangeStart } from './disk/read-ranges.js'
import { decodeLog, logRange, readLog } from './read-log.js'
import { inlineValue, readInput } from './reads.js'
import type { Store } from './store.js'

/** Records of a log from which on the log is read alone. */
export const LONG_LOG_RECORDS = 500

/** Input and log of a run. */
export interface RunRead {
  /** Parsed input as JSON text; `undefined` for `undefined`. */
  readonly input: string | undefined
  readonly log: readonly ReadRecord[]
}

interface Wanted {
  readonly task: { readonly head: TaskHead }
  readonly hasLog: boolean
  readonly resolve: (read: RunRead | Promise<RunRead>) => void
  readonly reject: (error: unknown) => void
}

const NO_LOG: RangeStart = { entries: [], isWhole: true }

// A shared promise. `await null` would create another promise each time.
const RESOLVED = Promise.resolve()

export class RunReads {
  #queue: Wanted[] = []
  #isReading = false

  constructor(private readonly store: Pick<Store, 'readPatiently'>) {}

  /**
   * Reads the input of a task and, if it `hasLog`, its log. Waits while the store is down.
   * @throws HoldfastError `RECORD_DAMAGED`
   */
  read(task: Wanted['task'], { hasLog }: { hasLog: boolean }): Promise<RunRead> {
    const { records, hasDropped } = task.head
    if (hasLog && (hasDropped || records >= LONG_LOG_RECORDS)) return this.#readAlone(task)
    return new Promise((resolve, reject) => {
      this.#queue.push({ task, hasLog, resolve, reject })
      if (this.#isReading) return
      this.#isReading = true
      // Every run whose load begins in this turn of the event loop joins the first group.
      void RESOLVED.then(() => this.#readQueued())
    })
  }

  async #readQueued(): Promise<void> {
    while (this.#queue.length > 0) {
      const group = this.#nextGroup()
      try {
        this.#queue.unshift(...(await this.store.readPatiently((level) => this.#readGroup(level, group))))
      } catch (error) {
        for (const { reject } of group) reject(error)
      }
    }
    this.#isReading = false
  }

  /** Takes the runs whose logs one iterator can read. */
  #nextGroup(): Wanted[] {
    let size = 0
    let entries = 0
    for (const { task, hasLog } of this.#queue) {
      entries += hasLog ? task.head.records + 1 : 1
      if (size > 0 && entries > ENTRIES_PER_ITERATOR) break
      size++
    }
    return this.#queue.splice(0, size)
  }

  /** Reads a group. Returns the runs of it whose logs the iterator did not reach. */
  async #readGroup(level: Level, group: readonly Wanted[]): Promise<Wanted[]> {
    const heads = group.map(({ task }) => task.head)
    const logs = group.map(({ hasLog }, at) => (hasLog ? (heads[at] as TaskHead) : undefined))
    const [parts, starts] = await Promise.all([readParts(level, heads), readLogStarts(level, logs)])
    return group.filter((wanted, at) => {
      const start = wanted.hasLog ? starts[at] : NO_LOG
      if (start) this.#end(wanted, heads[at] as TaskHead, parts[at], start)
      return start === undefined
    })
  }

  #end({ task, resolve, reject }: Wanted, head: TaskHead, part: string | undefined, start: RangeStart): void {
    try {
      const input = inlineValue(taskKey(head.taskId), part)
      const isRead = start.isWhole && !head.hasDropped && (input !== undefined || !head.hasInput)
      resolve(isRead ? { input, log: decodeLog(head, start.entries) } : this.#readAlone(task, start))
    } catch (error) {
      reject(error)
    }
  }

  /** Reads a run apart from the others. */
  #readAlone(task: Wanted['task'], start?: RangeStart): Promise<RunRead> {
    let first = start
    return this.store.readPatiently(async (level) => {
      const { head } = task
      // The list of dropped records has to be read before the records. After an outage, everything is read again.
      const begun = head.hasDropped ? undefined : first
      first = undefined
      return { input: await readInput(level, head), log: await readLog(level, head, begun) }
    })
  }
}

/** Reads the parts of the heads that may have the inputs. `undefined` for a task without an input. */
async function readParts(level: Level, heads: readonly TaskHead[]): Promise<(string | undefined)[]> {
  const keys = heads.filter(({ hasInput }) => hasInput).map(({ taskId }) => taskKey(taskId))
  const parts = keys.length > 0 ? await level.getMany(keys) : []
  let next = 0
  return heads.map(({ hasInput }) => (hasInput ? parts[next++] : undefined))
}

/** Reads the beginnings of logs. `undefined` for a log that the iterator did not reach. */
async function readLogStarts(
  level: Level,
  heads: readonly (TaskHead | undefined)[],
): Promise<(RangeStart | undefined)[]> {
  const ranges = heads.flatMap((head, at) => (head ? [{ ...logRange(head), expected: head.records, at }] : []))
  ranges.sort((one, other) => (one.gte < other.gte ? -1 : 1))
  const starts = ranges.length > 0 ? await level.readStarts(ranges) : []
  const found: (RangeStart | undefined)[] = heads.map(() => undefined)
  for (const [index, start] of starts.entries()) found[(ranges[index] as { at: number }).at] = start
  return found
}
