/**
 * Rows of bad values for each option, and a check that a call refuses each of them by its name. The compiler wants a row for
 * every name of an option's interface.
 */
import { expect } from 'vitest'
import { defineTask, type RetryOptions } from '../../src/index.js'

// --- what no option of a kind may be --------------------------------------------------------------------------------

/** Of no kind at all. A function is one in some places, and is left out. */
export const NOTHING_ELSE = [null, true, Symbol('x'), 5n, [], Object.create(null)]
export const text = (bytesMax: number) => [
  '',
  'x'.repeat(bytesMax + 1),
  'a\nb',
  'a\0',
  '\ud800',
  0,
  -1,
  ...NOTHING_ELSE,
]
export const COUNT = [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60, '5', '', ...NOTHING_ELSE]
export const NO_DURATION = [
  ...[-1, -0.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e17],
  ...[
    '',
    '5',
    's',
    '-5s',
    '5 fortnights',
    '7 weeks',
    '1e3s',
    '5S',
    'Infinitys',
    '99999999999d',
    new Date(),
    ...NOTHING_ELSE,
  ],
]
export const DURATION = [0, '0s', '0.0m', ...NO_DURATION]
export const INSTANT = [
  ...[
    Number.NaN,
    Number.POSITIVE_INFINITY,
    9e15,
    new Date(Number.NaN),
    '2026-01-01',
    'tomorrow',
    '5s',
    ...NOTHING_ELSE,
  ],
]
export const FLAG = ['no', '', 0, 1, null, [], {}]
export const FUNCTION = [5, 'x', {}, ...NOTHING_ELSE]
export const OBJECT = [5, 'x', () => {}, null, true, []]
export const oneOf = ['', 'maybe', 0, ...NOTHING_ELSE]

/** Bad values for each option: all names of its interface, or it doesn't compile. */
export type Rows<Options> = { readonly [Name in keyof Required<Options>]: readonly unknown[] }

export const RETRY: Rows<RetryOptions> = {
  maximumAttempts: COUNT,
  initialInterval: NO_DURATION,
  backoffCoefficient: [0, 0.5, -2, Number.NaN, Number.POSITIVE_INFINITY, '2', ...NOTHING_ELSE],
  maximumInterval: DURATION,
  retryIf: FUNCTION,
}

// --- what is tried ----------------------------------------------------------------------------------------------------

export interface Tried {
  /** What the error calls the options. */
  readonly call: string
  readonly names: object
  readonly rows: Readonly<Record<string, readonly unknown[]>>
  /** What else the call needs to be a good one. */
  readonly good?: Readonly<Record<string, unknown>>
}

/** Every bad value of every option, with what its error has to say. */
export function* badOptions({ call, names, rows, good = {} }: Tried, prefix = ''): Iterable<[unknown, RegExp]> {
  expect(Object.keys(rows).sort()).toEqual(Object.keys(names).sort())
  const nested = prefix !== ''
  for (const given of OBJECT) {
    const what = nested ? `Expected \`${prefix.slice(0, -1)}\`` : `Expected the options of \`${call}\``
    yield [given, new RegExp(`^${escaped(what)} to be an object.*, got `)]
  }
  const misspelt = nested
    ? `Unknown option \`${prefix}misspelt\`; there are `
    : `Unknown option \`misspelt\` of \`${call}\`; `
  yield [{ ...good, misspelt: 1 }, new RegExp(`^${escaped(misspelt)}`)]
  for (const [name, values] of Object.entries(rows)) {
    for (const value of values) {
      yield [
        { ...good, [name]: value },
        new RegExp(`(Expected|Unknown option) .*\`?${escaped(prefix + name)}\\b|defineTask`),
      ]
    }
  }
}

export const escaped = (plain: string) => plain.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

/** Whether the message says what was given, and is a mistake of the program: a `TypeError` without a code. */
export function expectRefusal(error: unknown, message: RegExp, where: string): void {
  expect(error, where).toBeInstanceOf(TypeError)
  expect((error as { code?: unknown }).code, where).toBeUndefined()
  expect((error as Error).message, where).toMatch(message)
  expect((error as Error).message, where).toMatch(/, got .|^Unknown option .*; there are ./)
}

export const show = (value: unknown) => {
  try {
    return typeof value === 'object' ? JSON.stringify(value) : String(value)
  } catch {
    return 'something'
  }
}
export const quick = defineTask({ name: 'quick' }, () => 1)

/** What a call threw, now or later. */
export async function errorOf(call: () => unknown): Promise<unknown> {
  try {
    await call()
    return undefined
  } catch (thrown) {
    return thrown
  }
}
