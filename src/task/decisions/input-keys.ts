/**
 * Decides the key of each input. Clients answer an input under its key. Pure.
 *
 * - The key of the first input with a name is the name itself, so clients can expect a fixed key.
 * input-key-2. The key of a later input is `<name>-<n>`, where `n` counts the inputs of the task. If an earlier input
 *     had that key, the next free number is used. No key is used twice, so a late answer cannot reach a later input.
 * input-key-3. Older versions did not keep the keys, and every key was `<name>-<n>`. For a head of such a version,
 *     every key that ends in one of these numbers counts as used.
 */

import { bytesOf } from '../byte-count.js'
import type { TaskHead } from '../head.js'
import { NAME_BYTES_MAX } from '../names.js'

/** Longest key in UTF-8 bytes: a name and a number. */
export const INPUT_KEY_BYTES_MAX = NAME_BYTES_MAX.step + 20

type Asked = Pick<TaskHead, 'inputsAsked' | 'hasInputKeys'>

/** Possible keys of the next input called `name`, in order of preference and without end. */
export function* inputKeys(name: string, { inputsAsked = 0 }: Asked): Generator<string, never> {
  yield name
  for (let number = inputsAsked + 1; ; number++) yield `${name}-${number}`
}

/** True if an input of an older version had the key, by the count in the head (input-key-3). */
export function isOlderKey(key: string, { inputsAsked = 0, hasInputKeys }: Asked): boolean {
  const number = hasInputKeys ? 0 : Number(/-(\d+)$/.exec(key)?.[1] ?? 0)
  return number >= 1 && number <= inputsAsked
}

/** Head fields after `count` more inputs. The keys of a task are kept from its first input on, or not at all. */
export function withInputs({ inputsAsked = 0, hasInputKeys }: Asked, count: number): Asked {
  if (count === 0) return { inputsAsked: inputsAsked || undefined, hasInputKeys }
  return { inputsAsked: inputsAsked + count, hasInputKeys: inputsAsked === 0 || hasInputKeys }
}

/** Bytes of a kept key. */
export function inputKeyUsage(key: string): number {
  return bytesOf(key)
}
