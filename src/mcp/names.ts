/** Names that come from clients. */
import { checkName } from '../task/names.js'
import { invalidParams } from './refusal.js'

/** @throws ProtocolError unless `value` may name a type of task */
export function durableName(value: unknown, parameter: string): asserts value is string {
  try {
    checkName(value, parameter, 100)
  } catch (error) {
    throw invalidParams((error as Error).message)
  }
}
