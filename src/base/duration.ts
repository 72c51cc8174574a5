/** Durations as users write them: milliseconds, or a string such as `'30s'`. */
import { expected } from './expected.js'

/** Milliseconds, or a number and a unit: `'250ms'`, `'30s'`, `'15m'`, `'2h'`, `'7d'`. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

const UNIT_MS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** The longest duration: 1,000 years. A due time that far from now is still a valid `Date`. */
export const DURATION_MS_MAX = 365_000 * 86_400_000

/**
 * Milliseconds of `value`, a whole number above zero. `{ zero: true }` also allows zero.
 * @throws TypeError naming the option, the expected and the given value
 */
export function durationMs(value: number | string, option: string, { zero = false } = {}): number {
  const ms = typeof value === 'number' ? value : parse(value)
  if (ms === undefined || !Number.isFinite(ms) || ms > DURATION_MS_MAX || ms < 0 || (ms === 0 && !zero)) {
    const what = `milliseconds or a string such as '30s' (ms, s, m, h, d), ${zero ? 'zero or more' : 'above zero'}`
    throw expected(
      option,
      ms !== undefined && ms > DURATION_MS_MAX ? `${what} and at most a thousand years` : what,
      value,
    )
  }
  return Math.ceil(ms)
}

function parse(text: unknown): number | undefined {
  const match = typeof text === 'string' ? /^(\d+(?:\.\d+)?) ?(ms|s|m|h|d)$/.exec(text) : null
  return match ? Number(match[1]) * (UNIT_MS[match[2] as string] as number) : undefined
}

const INSTANT_MS_MAX = 8.64e15 // The last instant that a `Date` can represent.

/**
 * Milliseconds since the epoch of a `Date`, or of a number that is an instant already.
 * @throws TypeError naming the option, the expected and the given value
 */
export function instantOf(value: Date | number, option: string): number {
  const at = value instanceof Date ? value.getTime() : value
  if (typeof at === 'number' && Number.isFinite(at) && Math.abs(at) <= INSTANT_MS_MAX) return Math.ceil(at)
  throw expected(option, 'a valid Date or milliseconds since the epoch', value)
}
