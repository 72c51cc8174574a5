/**
 * Decides the key of each input. Clients answer an input under its key. Pure.
 *
 * - The key of the first input with a name is the name itself, so clients can expect a fixed key.
 * input-key-2. The key of a later input is `<name>-<n>`, where `n` counts the inputs of the task. If an earlier input
 *     had that key, the next free number is used. No key is used twice, so a late answer cannot reach a later input.
 */

import { bytesOf } from '../byte-count.js'
import type { TaskHead } from '../head.js'
import { NAME_BYTES_MAX } from '../names.js'

/** Longest key in UTF-8 bytes: a name and a number. */
export const INPUT_KEY_BYTES_MAX = NAME_BYTES_MAX.step + 20

/** Possible keys of the next input called `name`, in order of preference and without end. */
export function* inputKeys(name: string, { inputsAsked = 0 }: Pick<TaskHead, 'inputsAsked'>): Generator<string, never> {
  yield name
  for (let number = inputsAsked + 1; ; number++) yield `${name}-${number}`
}

/** Bytes of a kept key. */
export function inputKeyUsage(key: string): number {
  return bytesOf(key)
}
