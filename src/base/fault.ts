/** Descriptions of errors for the log. */
import { HoldfastError } from './errors.js'

const CODE = /^[A-Za-z][A-Za-z0-9_]{0,63}$/
const FRAME = /^ {4}at .*\d+:\d+\)?$/m
const TEXT_LENGTH_MAX = 500

/**
 * Describes a thrown value for a line of the log: its class, its code and the place in the code. Includes the message
 * only of an error of the store or of the operating system, because the message of another error can contain inputs,
 * results or secrets. Never throws.
 */
export function faultOf(thrown: unknown): string {
  try {
    if (!(thrown instanceof Error)) return `a value of type ${typeof thrown} that is no Error`
    if (isOfTheStore(thrown)) return textOf(thrown).slice(0, TEXT_LENGTH_MAX)
    const { name, message, stack = '' } = thrown
    const { code } = thrown as { code?: unknown }
    const what = CODE.test(name) ? name : 'Error'
    const which = typeof code === 'string' && CODE.test(code) ? ` ${code}` : ''
    // The message is part of the stack, and may look like a place. So the search begins after it.
    const at = stack.indexOf(message)
    const where = at < 0 ? undefined : FRAME.exec(stack.slice(at + message.length))?.[0].trim()
    return `${what}${which}${where === undefined ? '' : ` ${where}`}`.slice(0, TEXT_LENGTH_MAX)
  } catch {
    return 'a value that cannot be described'
  }
}

/** True for errors of the store, of LevelDB and of the operating system. */
function isOfTheStore(error: Error): boolean {
  const { code, syscall } = error as { code?: unknown; syscall?: unknown }
  if (typeof code !== 'string') return /^(IO error|Corruption): /.test(error.message)
  if (error instanceof HoldfastError) return code.startsWith('STORE_') || code === 'RECORD_DAMAGED'
  return code.startsWith('LEVEL_') || typeof syscall === 'string'
}

function textOf({ message, cause }: Error): string {
  return cause instanceof Error && isOfTheStore(cause) ? `${message}: ${cause.message}` : message
}
