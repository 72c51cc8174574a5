/**
 * What the store can carry, and how it is checked. A value goes in through
 * `toJson`, which names the path of the first thing JSON would lose, and every
 * reader, the first run included, gets what `JSON.parse` makes of the text: a
 * `Date` or an `undefined` cannot differ between the first run and a replay.
 */
import { HoldfastError } from './errors.js'

/** What comes out of the store. */
export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue }

/** What JSON makes of a `T`: a `Date` becomes a string, a field that holds a function or `undefined` is left out. */
export type Jsonified<T> = unknown extends T
  ? T
  : T extends { toJSON(): infer J }
    ? Jsonified<J>
    : T extends string | number | boolean | null | undefined
      ? T
      : T extends bigint | symbol | ((...args: never[]) => unknown)
        ? never
        : T extends readonly unknown[]
          ? { [K in keyof T]: Jsonified<T[K]> }
          : T extends object
            ? { [K in keyof T as T[K] extends symbol | ((...args: never[]) => unknown) ? never : K]: Jsonified<T[K]> }
            : T extends void // a function that returns nothing
              ? undefined
              : never

/** Nested deeper than this, a value is refused instead of overflowing the stack of a later reader. */
export const JSON_DEPTH_MAX = 500

/** What a value is and how large it may be, for the error's sentence. */
export interface JsonUse {
  /** `the result of step 'load'`, `the input` … */
  readonly what: string
  /** UTF-8 bytes allowed. */
  readonly bytesMax: number
  /** The option that raises the limit, as the user writes it: `limits.resultBytesMax`. */
  readonly option: string
}

/**
 * The JSON text of `value`, or `undefined` for `undefined`.
 * @throws HoldfastError `NOT_SERIALIZABLE` naming the path, `TOO_LARGE` naming size, limit and option
 */
export function toJson(value: unknown, use: JsonUse): string | undefined {
  const plain = toPlain(value, use.what, '', [])
  if (plain === undefined) return undefined
  const text = JSON.stringify(plain)
  // A UTF-16 unit takes one to three bytes, so most values are settled without counting.
  if (text.length > use.bytesMax || (text.length * 3 > use.bytesMax && Buffer.byteLength(text) > use.bytesMax)) {
    const bytes = Buffer.byteLength(text)
    throw new HoldfastError(
      'TOO_LARGE',
      `${upperFirst(use.what)} takes ${bytes} bytes as JSON; the limit is ${use.bytesMax} (option \`${use.option}\`). Keep large data in a file or a blob store and return a reference to it.`,
      { details: { bytes, bytesMax: use.bytesMax, option: use.option } },
    )
  }
  return text
}

/** The value of a JSON text that `toJson` made. */
export function fromJson(text: string | undefined): JsonValue | undefined {
  return text === undefined ? undefined : (JSON.parse(text) as JsonValue)
}

/** The JSON text of a value with the keys of every object sorted, so that equal values have equal texts. */
export function canonicalJson(value: JsonValue | undefined): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (value !== null && typeof value === 'object') {
    const fields = Object.keys(value).sort()
    return `{${fields.map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key])}`).join(',')}}`
  }
  return JSON.stringify(value) ?? 'undefined'
}

// Their content lives in internal slots: JSON.stringify would write `{}` and lose it without a word.
const OPAQUE = [Map, Set, WeakMap, WeakSet, WeakRef, Promise, ArrayBuffer, RegExp, Error] as const

function toPlain(value: unknown, what: string, path: string, above: object[]): JsonValue | undefined {
  switch (typeof value) {
    case 'string':
    case 'boolean':
    case 'undefined':
      return value
    case 'number':
      if (Number.isFinite(value)) return value
      throw unserialisable(what, path, `is ${value}`, 'JSON has no such number; send null or a string')
    case 'bigint':
      throw unserialisable(what, path, 'is a BigInt', 'send it as a string')
    case 'symbol':
    case 'function':
      throw unserialisable(what, path, `is a ${typeof value}`, 'return data only')
  }
  if (value === null) return null
  return objectToPlain(value as object, what, path, above)
}

function objectToPlain(value: object, what: string, path: string, above: object[]): JsonValue | undefined {
  if (above.includes(value)) throw unserialisable(what, path, 'contains itself', 'send a tree without cycles')
  if (above.length >= JSON_DEPTH_MAX) {
    throw unserialisable(what, path, `is nested deeper than ${JSON_DEPTH_MAX} levels`, 'send a flatter value')
  }
  if (value instanceof Date && Number.isNaN(value.getTime())) {
    throw unserialisable(what, path, 'is an invalid Date', 'send null or a valid one')
  }
  const opaque = OPAQUE.find((type) => value instanceof type)
  const convert = (value as { toJSON?: unknown }).toJSON
  if (typeof convert === 'function') return toPlain(convert.call(value, ''), what, path, [...above, value])
  // As JSON.stringify does.
  if (value instanceof Number || value instanceof String || value instanceof Boolean) {
    return toPlain(value.valueOf(), what, path, above)
  }
  if (opaque || ArrayBuffer.isView(value) || hidesItsContent(value)) {
    const hint = value instanceof Promise ? 'await it first' : 'turn it into plain data first'
    const name = opaque?.name ?? (value.constructor?.name || 'object')
    throw unserialisable(what, path, `is a ${name}, whose content JSON loses`, hint)
  }
  above.push(value)
  let plain: JsonValue
  if (Array.isArray(value)) {
    plain = Array.from(value, (item, index) => toPlain(item, what, `${path}[${index}]`, above) ?? null)
  } else {
    plain = Object.create(null) as { [key: string]: JsonValue }
    for (const [key, item] of Object.entries(value)) {
      const inner = toPlain(item, what, path === '' ? key : `${path}.${key}`, above)
      if (inner !== undefined) plain[key] = inner
    }
  }
  above.pop()
  return plain
}

// A `Headers`, a `Blob`, a class with private fields: an instance that shows none of what it holds.
function hidesItsContent(value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as object | null
  const isPlain = prototype === null || prototype === Object.prototype || Array.isArray(value)
  return !isPlain && Object.keys(value).length === 0
}

function unserialisable(what: string, path: string, is: string, hint: string): HoldfastError {
  const where = path === '' ? upperFirst(what) : `\`${path}\` in ${what}`
  return new HoldfastError('NOT_SERIALIZABLE', `${where} ${is}; ${hint}.`, { details: { path } })
}

function upperFirst(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
