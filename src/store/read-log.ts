/**
 * Reads the log of a task, and the records of its segments, as far as they are kept. Skips records that a retry or a
 * save with `prune` dropped and that are not deleted yet.
 */
import type { CheckpointInfo, SavedBy } from '../task/checkpoint.js'
import type { TaskHead } from '../task/head.js'
import { type Dropped, decodeDropped, includes } from '../task/log/dropped-records.js'
import { LogSums, type ReadRecord } from '../task/log/log-sums.js'
import { decodePatches, type PatchAnswers } from '../task/log/patch-answers.js'
import { countedIn, decodeRecord } from '../task/log/records.js'
import { PREFIX } from '../task/log/segment.js'
import * as layout from './disk/layout.js'
import type { Level } from './disk/level.js'
import type { StoredEntry } from './disk/page.js'
import { after, collect, pages } from './disk/pages.js'
import type { RangeStart } from './disk/read-ranges.js'
import { damaged, unseal, unsealJson } from './integrity/envelope.js'

/**
 * Reads the log of a task in the order of its records. Checks it for missing records.
 * @param start the first records, if they were read already
 * @throws HoldfastError `RECORD_DAMAGED` if a record is damaged or missing
 */
export async function readLog(level: Level, head: TaskHead, start?: RangeStart): Promise<ReadRecord[]> {
  const log = new LogReader(head, await readDropped(level, head))
  if (start) log.add(start.entries)
  if (start?.isWhole) return log.end()
  const last = start?.entries.at(-1)?.[0]
  const range = logRange(head)
  for await (const page of pages(level, last === undefined ? range : after(range, last))) log.add(page)
  return log.end()
}

/**
 * Decodes a log from all of its entries. Checks it for missing records.
 * @throws HoldfastError `RECORD_DAMAGED` if a record is damaged or missing
 */
export function decodeLog(head: TaskHead, entries: readonly StoredEntry[]): ReadRecord[] {
  const log = new LogReader(head, undefined)
  log.add(entries)
  return log.end()
}

/** The range of the log of a task. */
export function logRange({ taskId }: Pick<TaskHead, 'taskId'>): layout.KeyRange {
  return layout.under(layout.logPrefix(taskId))
}

/** Decodes the records of one log, and sums them. */
class LogReader {
  readonly #log: ReadRecord[] = []
  readonly #sums = new LogSums()

  constructor(
    private readonly head: TaskHead,
    private readonly dropped: Dropped | undefined,
  ) {}

  add(entries: readonly StoredEntry[]): void {
    for (const [key, text] of entries) {
      // Dropped records that are not deleted yet are skipped.
      if (this.dropped && includes(this.dropped.numbers, layout.recordNumber(key))) continue
      const { body } = unseal(key, text)
      const record = decodeRecord(body)
      const segment = countedIn(record)
      if (segment !== PREFIX && segment < this.head.keptFrom) continue
      const read = { record, text: body }
      this.#log.push(read)
      this.#sums.add(read)
    }
  }

  /** The records. @throws HoldfastError `RECORD_DAMAGED` if one is missing */
  end(): ReadRecord[] {
    const hole = this.#sums.hole(this.head)
    if (hole !== undefined) throw damaged(layout.logPrefix(this.head.taskId), hole)
    return this.#log
  }
}

/** Ranges of records that retries dropped and that are not deleted yet; `undefined` if there are none. */
export async function readDropped(
  level: Level,
  { taskId, hasDropped }: Pick<TaskHead, 'taskId' | 'hasDropped'>,
): Promise<Dropped | undefined> {
  if (!hasDropped) return undefined
  const key = layout.droppedKey(taskId)
  const text = await level.get(key)
  return text === undefined ? undefined : decodeDropped(unseal(key, text).body)
}

/** Answers of `patched` that the body received, by segment. */
export async function readPatches(level: Level, head: TaskHead): Promise<Map<number, PatchAnswers>> {
  const isKept = await keptSegments(level, head)
  const range = layout.under(layout.patchPrefix(head.taskId))
  const read = await collect(
    level,
    range,
    (key, text) => [layout.lastSegment(key), decodePatches(unseal(key, text).body)] as const,
  )
  return new Map(read.filter(([segment]) => segment === PREFIX || isKept(segment)))
}

/** Checkpoints of a task, in the order of their saves. */
export async function readCheckpoints(level: Level, head: TaskHead): Promise<CheckpointInfo[]> {
  const isKept = await keptSegments(level, head)
  const range = layout.under(layout.checkpointPrefix(head.taskId))
  const infos = await collect(level, range, (key, text) => unsealJson<CheckpointInfo>(key, text))
  const { checkpoints } = head
  // Records of older checkpoints may remain without a state. The head holds the number of kept ones.
  const newest = (by: SavedBy) => {
    const saved = infos.filter(({ savedBy, opens }) => savedBy === by && (opens === undefined || isKept(opens)))
    return saved.sort((one, other) => one.seq - other.seq).slice(Math.max(0, saved.length - checkpoints[by]))
  }
  return [...newest('body'), ...newest('client')].sort((one, other) => one.seq - other.seq)
}

/**
 * Makes a filter for the segments after the prefix: true for those that neither a save with `prune` nor a retry
 * dropped. Called before the records to be filtered are read: those that a retry dropped are cleared first, and removed
 * from its list after that.
 */
async function keptSegments(level: Level, head: TaskHead): Promise<(segment: number) => boolean> {
  const { opens = Number.POSITIVE_INFINITY } = (await readDropped(level, head)) ?? {}
  return (segment) => segment >= head.keptFrom && segment < opens
}
