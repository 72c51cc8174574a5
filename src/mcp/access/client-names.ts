/** Checks of names that clients choose. */
import { checkName } from '../../task/names.js'
import { invalidParams } from './refusal.js'

/**
 * Checks that `value` can be the name of a type of task.
 * @throws ProtocolError if it cannot
 */
export function durableName(value: unknown, parameter: string): asserts value is string {
  try {
    checkName(value, parameter, 100)
  } catch (error) {
    throw invalidParams((error as Error).message)
  }
}

/** Longest request ID, and longest progress token, that the server keeps for a client. */
export const CHOSEN_NAME_BYTES_MAX = 128

/** True for a text that is longer than that. A number never is. */
export function isLongName(name: unknown): boolean {
  return typeof name === 'string' && Buffer.byteLength(name) > CHOSEN_NAME_BYTES_MAX
}
