/**
 * Reads the log of a task, and what lies by its segments: what is kept of both. What a save with `prune` or a retry dropped
 * may not be deleted yet; it is passed over.
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
import { collect, pages } from './disk/pages.js'
import { damaged, unseal, unsealJson } from './integrity/envelope.js'

/**
 * The log of a task in the order of its records, checked for holes: one range scan.
 * @throws HoldfastError `RECORD_DAMAGED` when a record is damaged or missing
 */
export async function readLog(level: Level, head: TaskHead): Promise<ReadRecord[]> {
  const prefix = layout.logPrefix(head.taskId)
  const dropped = await readDropped(level, head)
  const log: ReadRecord[] = []
  const sums = new LogSums()
  for await (const page of pages(level, layout.under(prefix))) {
    for (const [key, text] of page) {
      // What a retry dropped, or a save with `prune`, and is not deleted yet, is passed over.
      if (dropped && includes(dropped.numbers, layout.recordNumber(key))) continue
      const { body } = unseal(key, text)
      const record = decodeRecord(body)
      const segment = countedIn(record)
      if (segment !== PREFIX && segment < head.keptFrom) continue
      const read = { record, text: body }
      log.push(read)
      sums.add(read)
    }
  }
  const hole = sums.hole(head)
  if (hole !== undefined) throw damaged(prefix, hole)
  return log
}

/** What retries dropped from the log and is not deleted yet; `undefined` for nothing. */
export async function readDropped(
  level: Level,
  { taskId, hasDropped }: Pick<TaskHead, 'taskId' | 'hasDropped'>,
): Promise<Dropped | undefined> {
  if (!hasDropped) return undefined
  const key = layout.droppedKey(taskId)
  const text = await level.get(key)
  return text === undefined ? undefined : decodeDropped(unseal(key, text).body)
}

/** What a body was answered on `patched`, by segment. */
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

/** The checkpoints of a task, in the order they were saved. */
export async function readCheckpoints(level: Level, head: TaskHead): Promise<CheckpointInfo[]> {
  const isKept = await keptSegments(level, head)
  const range = layout.under(layout.checkpointPrefix(head.taskId))
  const infos = await collect(level, range, (key, text) => unsealJson<CheckpointInfo>(key, text))
  const { checkpoints } = head
  // Of older ones there may be a trace still, and no state: the head says how many are kept.
  const newest = (by: SavedBy) => {
    const saved = infos.filter(({ savedBy, opens }) => savedBy === by && (opens === undefined || isKept(opens)))
    return saved.sort((one, other) => one.seq - other.seq).slice(Math.max(0, saved.length - checkpoints[by]))
  }
  return [...newest('body'), ...newest('client')].sort((one, other) => one.seq - other.seq)
}

/**
 * Tells the segments after the prefix that are kept from those that a save with `prune`, or a retry, dropped. To be asked
 * for before what is distinguished is read: what a retry dropped is cleared first and taken from its list then.
 */
async function keptSegments(level: Level, head: TaskHead): Promise<(segment: number) => boolean> {
  const { opens = Number.POSITIVE_INFINITY } = (await readDropped(level, head)) ?? {}
  return (segment) => segment >= head.keptFrom && segment < opens
}
