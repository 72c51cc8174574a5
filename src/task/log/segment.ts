/** Segments of a log. A checkpoint opens the next segment, and names are numbered from 1 in each. */

/** The segment before the first restore or save of a checkpoint. */
export const PREFIX = -1

/** The number of records of a segment, and the sum of their checksums. A missing record changes them. */
export interface SegmentSum {
  readonly segment: number
  readonly count: number
  readonly sum: number
}

/** The sum of a segment without records. */
export function emptySegment(segment: number): SegmentSum {
  return { segment, count: 0, sum: 0 }
}
