/** The median of ratios that were measured in pairs, and how far it can be trusted. */

/** A median and its 95 % interval. */
export interface Interval {
  readonly median: number
  readonly low: number
  readonly high: number
}

const RESAMPLES = 4_000

/**
 * Makes the interval by drawing from the ratios, with replacement, again and again (the bootstrap).
 * @param random numbers from 0 up to 1
 */
export function intervalOf(ratios: readonly number[], random: () => number): Interval {
  if (ratios.length === 0) throw new RangeError('There are no ratios to make an interval of')
  const draw = () => ratios[Math.floor(random() * ratios.length)] as number
  const medians = Array.from({ length: RESAMPLES }, () => medianOf(ratios.map(draw))).sort(ascending)
  const at = (share: number) => medians[Math.floor(share * (RESAMPLES - 1))] as number
  return { median: medianOf(ratios), low: at(0.025), high: at(0.975) }
}

function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort(ascending)
  const middle = sorted.slice(Math.ceil(sorted.length / 2) - 1, Math.floor(sorted.length / 2) + 1)
  return middle.reduce((sum, value) => sum + value, 0) / middle.length
}

function ascending(one: number, other: number): number {
  return one - other
}
