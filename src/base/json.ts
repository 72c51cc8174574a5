/**
 * Conversion of values to JSON for the store. `toJson` checks a value, and names the path of the first part that JSON
 * would lose. Every reader, the first run included, receives the parsed text. So a `Date` or an `undefined` cannot
 * differ between the first run and a replay.
 */
import { HoldfastError } from './errors.js'

/** A value that JSON can carry. */
export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue }

/** Type of a `T` after JSON: a `Date` becomes a string, and a field with a function or `undefined` is left out. */
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

/**
 * Deepest nesting of a value. A deeper value is refused. Without this, it could overflow the stack of a later reader.
 */
const JSON_DEPTH_MAX = 500

/** Description and limit of a value, for the sentence of an error. */
export interface JsonUse {
  /** `the result of step 'load'`, `the input` … */
  readonly what: string
  /** UTF-8 bytes allowed. */
  readonly bytesMax: number
  /** The option that raises the limit, as the user writes it: `limits.resultBytesMax`. */
  readonly option: string
}

/**
 * The JSON text of `value`, or `undefined` for `undefined`. The conversion stops as soon as the value is over its limit.
 * @throws HoldfastError `NOT_SERIALIZABLE` naming the path, `TOO_LARGE` naming size, limit and option
 */
export function toJson(value: unknown, use: JsonUse): string | undefined {
  const plain = toPlain(value, use)
  if (plain === undefined) return undefined
  const text = JSON.stringify(plain)
  // A UTF-16 unit takes one to three bytes, so most values are settled without counting.
  if (text.length > use.bytesMax || (text.length * 3 > use.bytesMax && Buffer.byteLength(text) > use.bytesMax)) {
    throw tooLarge(use, Buffer.byteLength(text), 'takes')
  }
  return text
}

/**
 * A copy of `value` that holds only the types of JSON, as if its JSON text were parsed.
 * @throws HoldfastError `NOT_SERIALIZABLE`, `TOO_LARGE` as `toJson`. The size in that error is a lower bound.
 */
export function toPlain(value: unknown, use: JsonUse): JsonValue | undefined {
  return new Conversion(use).convert(value)
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

// Classes whose content is in internal slots. `JSON.stringify` would write `{}` and lose the content without an error.
const OPAQUE = [Map, Set, WeakMap, WeakSet, WeakRef, Promise, ArrayBuffer, RegExp, Error] as const

/** One conversion of a value, with the position inside the value and a lower bound of the bytes of its JSON. */
class Conversion {
  #bytes = 0
  /** The objects that contain the current value. */
  readonly #above: object[] = []
  /** Keys and indexes that lead to the current value. Only an error turns them into a text. */
  readonly #path: (string | number)[] = []

  constructor(private readonly use: JsonUse) {}

  convert(value: unknown): JsonValue | undefined {
    switch (typeof value) {
      case 'string':
        this.#add(value.length + 2)
        return value
      case 'boolean':
        this.#add(4)
        return value
      case 'undefined':
        return value
      case 'number':
        this.#add(1)
        if (Number.isFinite(value)) return value
        throw this.#unserialisable(`is ${value}`, 'JSON has no such number; send null or a string')
      case 'bigint':
        throw this.#unserialisable('is a BigInt', 'send it as a string')
      case 'symbol':
      case 'function':
        throw this.#unserialisable(`is a ${typeof value}`, 'return data only')
    }
    if (value !== null) return this.#convertObject(value as object)
    this.#add(4)
    return null
  }

  #convertObject(value: object): JsonValue | undefined {
    if (this.#above.includes(value)) throw this.#unserialisable('contains itself', 'send a tree without cycles')
    if (this.#above.length >= JSON_DEPTH_MAX) {
      throw this.#unserialisable(`is nested deeper than ${JSON_DEPTH_MAX} levels`, 'send a flatter value')
    }
    const { toJSON } = value as { toJSON?: unknown }
    const isPlain = hasPlainPrototype(value)
    if (!isPlain && value instanceof Date && Number.isNaN(value.getTime())) {
      throw this.#unserialisable('is an invalid Date', 'send null or a valid one')
    }
    if (typeof toJSON === 'function') {
      this.#above.push(value)
      const converted = this.convert(toJSON.call(value, ''))
      this.#above.pop()
      return converted
    }
    if (!isPlain) {
      // `JSON.stringify` also unwraps a `Number`, a `String` and a `Boolean`.
      if (value instanceof Number || value instanceof String || value instanceof Boolean) {
        return this.convert(value.valueOf())
      }
      this.#refuseOpaque(value)
    }
    this.#above.push(value)
    const plain = Array.isArray(value) ? this.#convertArray(value) : this.#convertMembers(value)
    this.#above.pop()
    return plain
  }

  #convertArray(array: readonly unknown[]): JsonValue {
    // Brackets, and a comma before each item but the first.
    this.#add(1 + Math.max(1, array.length))
    const plain: JsonValue[] = []
    for (let index = 0; index < array.length; index++) {
      this.#path.push(index)
      plain.push(this.convert(array[index]) ?? null)
      this.#path.pop()
    }
    return plain
  }

  #convertMembers(object: object): JsonValue {
    this.#add(2)
    const plain: { [key: string]: JsonValue } = {}
    for (const key of Object.keys(object)) {
      this.#path.push(key)
      const member = this.convert((object as Record<string, unknown>)[key])
      this.#path.pop()
      if (member === undefined) continue
      // Quotes and a colon.
      this.#add(key.length + 3)
      if (key === '__proto__') Object.defineProperty(plain, key, { value: member, enumerable: true })
      else plain[key] = member
    }
    return plain
  }

  #refuseOpaque(value: object): void {
    const opaque = OPAQUE.find((type) => value instanceof type)
    if (!opaque && !ArrayBuffer.isView(value) && !hidesItsContent(value)) return
    const hint = value instanceof Promise ? 'await it first' : 'turn it into plain data first'
    const name = opaque?.name ?? (value.constructor?.name || 'object')
    throw this.#unserialisable(`is a ${name}, whose content JSON loses`, hint)
  }

  #add(bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes > this.use.bytesMax) throw tooLarge(this.use, this.#bytes, 'takes at least')
  }

  #unserialisable(is: string, hint: string): HoldfastError {
    const path = this.#path.reduce<string>(
      (path, part) => (typeof part === 'number' ? `${path}[${part}]` : path === '' ? part : `${path}.${part}`),
      '',
    )
    const where = path === '' ? upperFirst(this.use.what) : `\`${path}\` in ${this.use.what}`
    return new HoldfastError('NOT_SERIALIZABLE', `${where} ${is}; ${hint}.`, { details: { path } })
  }
}

function hasPlainPrototype(value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as object | null
  return prototype === null || prototype === Object.prototype || prototype === Array.prototype
}

// True for an instance without own fields, such as a `Headers`, a `Blob`, or an object of a class with private fields.
// An array of another realm, or of a subclass, is no such instance.
function hidesItsContent(value: object): boolean {
  return !Array.isArray(value) && Object.keys(value).length === 0
}

function tooLarge({ what, bytesMax, option }: JsonUse, bytes: number, takes: string): HoldfastError {
  return new HoldfastError(
    'TOO_LARGE',
    `${upperFirst(what)} ${takes} ${bytes} bytes as JSON; the limit is ${bytesMax} (option \`${option}\`). Keep large data in a file or a blob store and return a reference to it.`,
    { details: { bytes, bytesMax, option } },
  )
}

function upperFirst(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
