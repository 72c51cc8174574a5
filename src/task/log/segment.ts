/** The segments of a log: a checkpoint opens the next, and names are numbered anew in each. */

/** The segment that a body is in before its first restore or save. */
export const PREFIX = -1

/** How many records a segment has, and the sum of their checksums: a missing record is noticed. */
export interface SegmentSum {
  readonly segment: number
  readonly count: number
  readonly sum: number
}

/** A segment that nothing is recorded in yet. */
export function emptySegment(segment: number): SegmentSum {
  return { segment, count: 0, sum: 0 }
}
