/**
 * Notices a record that is missing from a task's log. The head counts and sums the prefix and the open segment, a
 * checkpoint those it closed (store-1), so a hole shows even where every record that is left is sound.
 */
import { addChecksum } from '../../base/checksum.js'
import { countedIn, type LogRecord } from './records.js'
import { PREFIX, type SegmentSum } from './segment.js'

/** A record and the text it was decoded from. */
export interface ReadRecord {
  readonly record: LogRecord
  readonly text: string
}

/** The sums that the head of a task has of its log. */
interface SummedHead {
  readonly prefix: SegmentSum
  readonly open: SegmentSum
  /** The first segment that is kept. */
  readonly keptFrom: number
}

/** Counts and sums the records of a log as they are read, so that a long log is checked without a pause. */
export class LogSums {
  readonly #closed = new Map<number, SegmentSum>()
  readonly #found = new Map<number, { count: number; sum: number }>()

  add({ record, text }: ReadRecord): void {
    const segment = countedIn(record)
    const sum = this.#found.get(segment) ?? { count: 0, sum: 0 }
    sum.count++
    sum.sum = addChecksum(sum.sum, text)
    this.#found.set(segment, sum)
    if (record.kind === 'checkpoint') this.#closed.set(record.closes.segment, record.closes)
  }

  /** What is wrong with the log of this head, as a sentence, or `undefined` if it is whole. */
  hole(head: SummedHead): string | undefined {
    const expected = new Map<number, SegmentSum>([
      [head.open.segment, head.open],
      [PREFIX, head.prefix],
    ])
    for (const [segment, sum] of this.#closed) if (segment >= head.keptFrom) expected.set(segment, sum)
    for (const segment of new Set([...expected.keys(), ...this.#found.keys()])) {
      const want = expected.get(segment)
      const have = this.#found.get(segment)
      if (want?.count === (have?.count ?? 0) && want.sum === (have?.sum ?? 0)) continue
      const where = segment === PREFIX ? 'the prefix' : `segment ${segment}`
      return `${where} of the log has ${have?.count ?? 0} records where ${want?.count ?? 0} were written, or not the same ones`
    }
    return undefined
  }
}

/** What is wrong with the log, as a sentence, or `undefined` if it is whole. */
export function findHole(head: SummedHead, log: readonly ReadRecord[]): string | undefined {
  const sums = new LogSums()
  for (const read of log) sums.add(read)
  return sums.hole(head)
}
