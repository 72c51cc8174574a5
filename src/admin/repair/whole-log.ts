/** Finds the beginning of a damaged log that is whole. Pure. */
import { addChecksum } from '../../base/checksum.js'
import type { TaskHead } from '../../task/head.js'
import { LogSums, type ReadRecord } from '../../task/log/log-sums.js'
import { countedIn } from '../../task/log/records.js'
import { emptySegment, PREFIX, type SegmentSum } from '../../task/log/segment.js'

/** A record of a log with its key. */
export interface KeyedRecord extends ReadRecord {
  readonly key: string
}

/** The part of a log that is whole. */
export interface WholeLog {
  /** True if nothing of the log is missing. */
  readonly isWhole: boolean
  /** Keys of the records of the part. */
  readonly keys: ReadonlySet<string>
  readonly prefix: SegmentSum
  readonly open: SegmentSum
  /** The last segment of the part; `undefined` if not even the prefix is whole. */
  readonly lastSegment: number | undefined
}

const NOTHING: WholeLog = {
  isWhole: false,
  keys: new Set(),
  prefix: emptySegment(PREFIX),
  open: emptySegment(PREFIX),
  lastSegment: undefined,
}

/**
 * The segments from the beginning up to the first one that lacks a record. What follows a gap cannot be replayed.
 * @param records those that no retry dropped
 */
export function wholeLogOf(head: TaskHead, records: readonly KeyedRecord[]): WholeLog {
  const kept = records.filter(({ record }) => isKept(head, countedIn(record)))
  const sums = new LogSums()
  for (const read of kept) sums.add(read)
  const { prefix, open } = head
  if (sums.hole(head) === undefined) {
    return { isWhole: true, keys: new Set(kept.map(({ key }) => key)), prefix, open, lastSegment: open.segment }
  }
  // Numbers that a retry dropped are no gap, but their list may be damaged too.
  if (head.hasDropped) return NOTHING
  const expected = new Map<number, SegmentSum>()
  for (const { record } of kept) if (record.kind === 'checkpoint') expected.set(record.closes.segment, record.closes)
  expected.set(open.segment, open)
  expected.set(PREFIX, prefix)
  const segments = [...new Set(kept.map(({ record }) => countedIn(record)))].sort((one, other) => one - other)
  const keys = new Set<string>()
  let last = emptySegment(PREFIX)
  for (const segment of segments[0] === PREFIX || prefix.count === 0 ? segments : []) {
    const found = sumOf(segment, kept)
    const wanted = expected.get(segment)
    if (wanted?.count !== found.count || wanted.sum !== found.sum) break
    for (const { key, record } of kept) if (countedIn(record) === segment) keys.add(key)
    last = found
  }
  if (keys.size === 0 && prefix.count > 0) return NOTHING
  return {
    isWhole: false,
    keys,
    prefix,
    open: last.segment === PREFIX ? emptySegment(PREFIX) : last,
    lastSegment: last.segment,
  }
}

function isKept({ keptFrom }: TaskHead, segment: number): boolean {
  return segment === PREFIX || segment >= keptFrom
}

function sumOf(segment: number, records: readonly KeyedRecord[]): SegmentSum {
  let [count, sum] = [0, 0]
  for (const { record, text } of records) {
    if (countedIn(record) !== segment) continue
    count++
    sum = addChecksum(sum, text)
  }
  return { segment, count, sum }
}
