/**
 * Detects records that are missing from the log of a task. The head has the count and the sum of the prefix and of the
 * open segment. A checkpoint has those of the segment that it closed (store-1). So a gap is found even if all other
 * records are intact.
 */
import { addChecksum } from '../../base/checksum.js'
import { countedIn, type LogRecord } from './records.js'
import { PREFIX, type SegmentSum } from './segment.js'

/** A record and the text that it was decoded from. */
export interface ReadRecord {
  readonly record: LogRecord
  readonly text: string
}

/** The fields of a task head that sum its log. */
interface SummedHead {
  readonly prefix: SegmentSum
  readonly open: SegmentSum
  /** The first segment that is kept. */
  readonly keptFrom: number
}

/** Counts and sums the records of a log while they are read, so that a long log is checked in small parts. */
export class LogSums {
  readonly #closed = new Map<number, SegmentSum>()
  readonly #found = new Map<number, { count: number; sum: number }>()

  add({ record, text }: ReadRecord): void {
    const segment = countedIn(record)
    let sum = this.#found.get(segment)
    if (!sum) {
      sum = { count: 0, sum: 0 }
      this.#found.set(segment, sum)
    }
    sum.count++
    sum.sum = addChecksum(sum.sum, text)
    if (record.kind === 'checkpoint') this.#closed.set(record.closes.segment, record.closes)
  }

  /** Describes the first gap in the log of this head in a sentence. `undefined` if the log is complete. */
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

/** Describes the first gap in the log in a sentence. `undefined` if the log is complete. */
export function findHole(head: SummedHead, log: readonly ReadRecord[]): string | undefined {
  const sums = new LogSums()
  for (const read of log) sums.add(read)
  return sums.hole(head)
}
