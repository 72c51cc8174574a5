/** Names that come from clients. */
import { checkName } from '../../task/names.js'
import { invalidParams } from './refusal.js'

/** @throws ProtocolError unless `value` may name a type of task */
export function durableName(value: unknown, parameter: string): asserts value is string {
  try {
    checkName(value, parameter, 100)
  } catch (error) {
    throw invalidParams((error as Error).message)
  }
}

/** The longest request ID, and the longest progress token, that a client may choose where the server keeps it. */
export const CHOSEN_NAME_BYTES_MAX = 128

/** True for a text of a client's choice that is longer. A number never is. */
export function isLongName(name: unknown): boolean {
  return typeof name === 'string' && Buffer.byteLength(name) > CHOSEN_NAME_BYTES_MAX
}
