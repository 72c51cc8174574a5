/**
 * Limits of JSON from outside: the number of values and the depth of nesting. Checked before other code walks the JSON.
 */
import { ProtocolError } from '../base/errors.js'

/** Limits that this file checks. */
export interface JsonLimits {
  readonly jsonDepthMax: number
  readonly jsonValuesMax: number
}

const INVALID_PARAMS = -32_602

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const OPEN_ARRAY = 0x5b
const OPEN_OBJECT = 0x7b

/**
 * True if a JSON text holds more than `max` values. Counts commas and opening brackets outside strings, so an array or
 * object within another one counts as two. Scans bytes up to the limit, without parsing. For text that is not JSON the
 * count means nothing, and `JSON.parse` refuses that text afterwards.
 */
export function holdsMoreValues(json: Uint8Array, max: number): boolean {
  let values = 0
  for (let at = 0; at < json.length; at++) {
    const byte = json[at]
    if (byte === QUOTE) {
      for (at++; at < json.length && json[at] !== QUOTE; at++) if (json[at] === BACKSLASH) at++
    } else if (byte === COMMA || byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
      if (++values > max) return true
    }
  }
  return false
}

/**
 * Checks the depth and the number of values of a parsed value. Counts as the byte scan does. Stops at the first limit
 * that is passed, so the cost is bounded by `jsonValuesMax`.
 * @param what name of the value, for the sentence of the error
 * @throws ProtocolError `-32602` naming the limit
 */
export function checkJson(value: unknown, what: string, { jsonDepthMax, jsonValuesMax }: JsonLimits): void {
  let values = 0
  let level: unknown[] = [value]
  for (let depth = 0; level.length > 0; depth++) {
    const inner: unknown[] = []
    for (const item of level) {
      if (typeof item !== 'object' || item === null) continue
      const members = Array.isArray(item) ? item : Object.values(item)
      if (members.length > 0 && depth + 1 > jsonDepthMax) {
        throw overLimit('jsonDepthMax', jsonDepthMax, `${what} is nested deeper than ${jsonDepthMax} levels`)
      }
      values += Math.max(1, members.length)
      if (values > jsonValuesMax) {
        throw overLimit('jsonValuesMax', jsonValuesMax, `${what} holds more than ${jsonValuesMax} JSON values`)
      }
      for (const member of members) if (typeof member === 'object' && member !== null) inner.push(member)
    }
    level = inner
  }
}

function overLimit(limit: keyof JsonLimits, max: number, sentence: string): Error {
  const said = `${sentence} (limit \`${limit}\`). Send less, or ask the server's author to raise the limit.`
  return new ProtocolError(INVALID_PARAMS, said, { code: 'LIMIT_EXCEEDED', limit, max })
}
