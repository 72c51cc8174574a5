/**
 * Checks of options and arguments. Each refusal is a `TypeError` that names the option, the expected and the given
 * value, and is thrown before the call begins. An option that is `undefined` counts as left out. An unknown option is
 * refused: a misspelt limit would not limit anything.
 */

/** Every name of an interface of options. The compiler rejects a table that lacks one, and tests try each name. */
export type Names<Options> = Readonly<Record<keyof Options, true>>

const TEXT_SHOWN_MAX = 40

/** Text that shows a given value in a message. */
export function shown(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'string') {
    const cut = value.length > TEXT_SHOWN_MAX ? `${value.slice(0, TEXT_SHOWN_MAX)}…` : value
    return `'${cut}' (string)`
  }
  if (value instanceof Date && Number.isNaN(value.getTime())) return 'an invalid Date'
  if (typeof value === 'object') return 'an object'
  return typeof value === 'function' ? 'a function' : `${String(value)} (${typeof value})`
}

/** Error about an argument of a caller. Its class differs from the `TypeError` that a fault of the code throws. */
export class InvalidArgument extends TypeError {}

/** Creates the error that refuses `option`. */
export function expected(option: string, what: string, given: unknown): InvalidArgument {
  return new InvalidArgument(`Expected \`${option}\` to be ${what}, got ${shown(given)}`)
}

/** Checks that the options of a call are an object without unknown names. */
export function checkOptionsOf<Options>(
  call: string,
  given: unknown,
  names: Names<Options>,
): asserts given is Partial<Options> {
  if (!isObject(given)) {
    throw new InvalidArgument(`Expected the options of \`${call}\` to be an object, got ${shown(given)}`)
  }
  refuseUnknown(given, names, '', ` of \`${call}\``)
}

/** Checks that an option is an object without unknown names. */
export function checkObject<Options>(
  option: string,
  given: unknown,
  names: Names<Options>,
): asserts given is Partial<Options> {
  if (!isObject(given)) throw expected(option, `an object of ${Object.keys(names).join(', ')}`, given)
  refuseUnknown(given, names, `${option}.`, '')
}

/** @throws TypeError for anything but an integer of at least `min` */
export function checkCount(option: string, given: unknown, min = 1): asserts given is number {
  if (!Number.isSafeInteger(given) || (given as number) < min) throw expected(option, `an integer >= ${min}`, given)
}

/** @throws TypeError for anything but `true` and `false`. A text such as `'no'` would count as true. */
export function checkFlag(option: string, given: unknown): asserts given is boolean {
  if (typeof given !== 'boolean') throw expected(option, 'true or false', given)
}

/** @throws TypeError for anything but a function */
export function checkFunction(option: string, given: unknown): void {
  if (typeof given !== 'function') throw expected(option, 'a function', given)
}

/** @throws TypeError for anything but one of `allowed` */
export function oneOf(option: string, given: unknown, allowed: readonly string[]): void {
  if (allowed.includes(given as string)) return
  throw expected(option, allowed.map((name) => `'${name}'`).join(' or '), given)
}

/** @throws TypeError for anything but an object with the functions in `names` */
export function checkFunctionsOf(option: string, given: unknown, names: readonly string[]): void {
  const of = (isObject(given) || typeof given === 'function' ? given : {}) as Record<string, unknown>
  const missing = names.find((name) => typeof of[name] !== 'function')
  if (missing !== undefined) throw expected(option, `an object with the functions ${names.join(', ')}`, given)
}

/** @throws TypeError for a schema of zod 3 or a raw shape. The message shows the form to write instead. */
export function refuseOldSchema(option: string, schema: unknown): void {
  const given = (schema ?? {}) as { _zod?: unknown; _def?: unknown }
  if (given._zod !== undefined) return
  const isOld = given._def !== undefined
  const isShape = isObject(schema) && Object.values(schema).every((field) => isSchema(field))
  if (!isOld && !isShape) return
  const what = isOld ? 'a schema of zod 3' : 'a raw shape'
  throw new InvalidArgument(
    `Expected \`${option}\` to be a schema of zod 4, got ${what}: wrap it in z.object({…}) of zod 4`,
  )
}

function isSchema(value: unknown): boolean {
  const { _zod, _def } = (value ?? {}) as { _zod?: unknown; _def?: unknown }
  return _zod !== undefined || _def !== undefined
}

export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function refuseUnknown(given: object, names: Names<never>, prefix: string, of: string): void {
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(names, name)) continue
    throw new InvalidArgument(`Unknown option \`${prefix}${name}\`${of}; there are ${Object.keys(names).join(', ')}`)
  }
}
