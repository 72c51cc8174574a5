/**
 * Refusals of calls while the store of the server is not open: another copy of the server holds it, or it could not be
 * opened.
 */
import { HoldfastError, ProtocolError } from '../../base/errors.js'
import { RPC } from './refusal.js'

/** Error of a durable call if another copy of the server holds the store. The message is for a person. */
export class StoreHeld extends ProtocolError {
  override readonly name = 'StoreHeld'
}

/** Creates the error of a call on a store that could not be opened. */
export function notOpened(error: unknown): unknown {
  if (!(error instanceof HoldfastError)) {
    return new ProtocolError(RPC.internal, 'The task store of this server could not be opened. Its log has the reason.')
  }
  if (error.code !== 'STORE_LOCKED') return error
  const said = `Another copy of this server${holderIn(error.details)} uses these tasks. Close it, or give this copy a directory of its own.`
  return new StoreHeld(RPC.internal, said, { code: error.code })
}

function holderIn({ pid, since }: Record<string, unknown>): string {
  if (typeof pid !== 'number' || typeof since !== 'string') return ''
  return ` (process ${pid}, started ${timeOf(since)})`
}

/** Local time of an instant, in hours and minutes, for a person near the machine. */
function timeOf(since: string): string {
  const at = new Date(since)
  const two = (value: number) => String(value).padStart(2, '0')
  return `${two(at.getHours())}:${two(at.getMinutes())}`
}
