/**
 * Checks of names from callers: task types, steps, owners, labels, keys. Names become parts of store keys and of heads.
 */
import { expected, InvalidArgument } from '../base/expected.js'

/** Longest name of each kind, in UTF-8 bytes. A head with all of them stays below 2 KiB. */
export const NAME_BYTES_MAX = {
  type: 128,
  version: 64,
  owner: 256,
  idempotencyKey: 256,
  label: 256,
  step: 200,
  branch: 64,
} as const

/**
 * Checks that `value` is a non-empty text without control characters, of at most `bytesMax` UTF-8 bytes.
 * @throws TypeError naming the argument, what was expected and what was given
 */
export function checkName(value: unknown, argument: string, bytesMax: number): asserts value is string {
  if (typeof value !== 'string') throw expected(argument, 'a string', value)
  const bytes = Buffer.byteLength(value)
  // A control character can break a log line, and needs six bytes in the JSON of a head.
  if (bytes === 0 || bytes > bytesMax || /\p{Cc}|\p{Cs}/u.test(value)) {
    throw new InvalidArgument(
      `Expected \`${argument}\` to be 1 to ${bytesMax} bytes of text without control characters, got ${bytes} bytes: ${JSON.stringify(value.slice(0, 40))}`,
    )
  }
}

/**
 * The start of `text`, at most `bytesMax` bytes in JSON. Characters that can forge or hide terminal text become spaces.
 */
export function cutText(text: string, bytesMax: number): string {
  let cut = text.replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, ' ').slice(0, bytesMax)
  while (Buffer.byteLength(JSON.stringify(cut)) > bytesMax + 2) cut = cut.slice(0, Math.floor(cut.length * 0.9))
  return cut
}
