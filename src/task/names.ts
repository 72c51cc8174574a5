/** The words that users give to things: task types, steps, owners, labels, keys. They become parts of keys and of heads. */
import { expected, InvalidArgument } from '../base/expected.js'

/** The most UTF-8 bytes of each, so that a head of all of them stays under its 2 KiB. */
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
 * A non-empty text without control characters, of at most `bytesMax` UTF-8 bytes.
 * @throws TypeError naming the argument, what was expected and what was given
 */
export function checkName(value: unknown, argument: string, bytesMax: number): asserts value is string {
  if (typeof value !== 'string') throw expected(argument, 'a string', value)
  const bytes = Buffer.byteLength(value)
  // Control characters would end a line of a log, and take six bytes each in a head's JSON.
  if (bytes === 0 || bytes > bytesMax || /\p{Cc}|\p{Cs}/u.test(value)) {
    throw new InvalidArgument(
      `Expected \`${argument}\` to be 1 to ${bytesMax} bytes of text without control characters, got ${bytes} bytes: ${JSON.stringify(value.slice(0, 40))}`,
    )
  }
}

/** As much of `text` as takes `bytesMax` bytes in JSON, without characters that could forge or hide text in a terminal. */
export function cutText(text: string, bytesMax: number): string {
  let cut = text.replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, ' ').slice(0, bytesMax)
  while (Buffer.byteLength(JSON.stringify(cut)) > bytesMax + 2) cut = cut.slice(0, Math.floor(cut.length * 0.9))
  return cut
}
