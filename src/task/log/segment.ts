/** Segments of a log. A checkpoint opens the next segment, and names are numbered from 1 in each. */

/** The segment before the first restore or save of a checkpoint. */
export const PREFIX = -1

/** The number of records of a segment, and the sum of their checksums. A missing record changes them. */
export interface SegmentSum {
  readonly segment: number
  readonly count: number
  readonly sum: number
}

// Shared by all tasks: most have no record in the prefix.
const EMPTY_PREFIX: SegmentSum = { segment: PREFIX, count: 0, sum: 0 }

/** The sum of a segment without records. */
export function emptySegment(segment: number): SegmentSum {
  return segment === PREFIX ? EMPTY_PREFIX : { segment, count: 0, sum: 0 }
}

/** The sum of a segment. */
export function segmentSum(segment: number, count: number, sum: number): SegmentSum {
  return count === 0 ? emptySegment(segment) : { segment, count, sum }
}
