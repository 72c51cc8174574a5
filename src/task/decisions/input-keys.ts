/**
 * Decides under which key a question can be answered. Pure.
 *
 * - The first question of a name has the name as its key, as clients expect of a fixed question.
 * input-key-2. A later one is `<name>-<n>`, where `n` counts the questions of the task. If an earlier question had that key,
 *     the next free number is taken. No key is given twice, so a late answer cannot reach a later question.
 * input-key-3. Before the keys were kept, each question was `<name>-<n>` from the first on. Every key of a head from then that
 *     ends in such a number counts as given.
 */

import { bytesOf } from '../byte-count.js'
import type { TaskHead } from '../head.js'
import { NAME_BYTES_MAX } from '../names.js'

/** The most UTF-8 bytes of a key: a name, and a number. */
export const INPUT_KEY_BYTES_MAX = NAME_BYTES_MAX.step + 20

type Asked = Pick<TaskHead, 'inputsAsked' | 'hasInputKeys'>

/** Possible keys of the next question called `name`, in order of preference and without end. */
export function* inputKeys(name: string, { inputsAsked = 0 }: Asked): Generator<string, never> {
  yield name
  for (let number = inputsAsked + 1; ; number++) yield `${name}-${number}`
}

/** True if the head alone says that an earlier question had the key (input-key-3). */
export function isOlderKey(key: string, { inputsAsked = 0, hasInputKeys }: Asked): boolean {
  const number = hasInputKeys ? 0 : Number(/-(\d+)$/.exec(key)?.[1] ?? 0)
  return number >= 1 && number <= inputsAsked
}

/** Head fields after `count` more questions. The keys of a task are kept if that of its first question is. */
export function withInputs({ inputsAsked = 0, hasInputKeys }: Asked, count: number): Asked {
  if (count === 0) return { inputsAsked: inputsAsked || undefined, hasInputKeys }
  return { inputsAsked: inputsAsked + count, hasInputKeys: inputsAsked === 0 || hasInputKeys }
}

/** Bytes that a kept key takes. */
export function inputKeyUsage(key: string): number {
  return bytesOf(key)
}
