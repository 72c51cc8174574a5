/** What a client is told where the store of its server is not open: another copy holds it, or it could not be opened. */
import { HoldfastError, ProtocolError } from '../../base/errors.js'
import { RPC } from './refusal.js'

/** A durable call of a server whose store is held by another copy of it. Says so in words for a person. */
export class StoreHeld extends ProtocolError {
  override readonly name = 'StoreHeld'
}

/** What a call on a store that could not be opened is refused with. */
export function notOpened(error: unknown): unknown {
  if (!(error instanceof HoldfastError)) {
    return new ProtocolError(RPC.internal, 'The task store of this server could not be opened. Its log says why.')
  }
  if (error.code !== 'STORE_LOCKED') return error
  const said = `Another copy of this server${holderIn(error.details)} uses these tasks. Close it, or give this copy a directory of its own.`
  return new StoreHeld(RPC.internal, said, { code: error.code })
}

function holderIn({ pid, since }: Record<string, unknown>): string {
  if (typeof pid !== 'number' || typeof since !== 'string') return ''
  return ` (process ${pid}, started ${timeOf(since)})`
}

/** The local time of an instant, as a person near the machine reads a clock. */
function timeOf(since: string): string {
  const at = new Date(since)
  const two = (value: number) => String(value).padStart(2, '0')
  return `${two(at.getHours())}:${two(at.getMinutes())}`
}
