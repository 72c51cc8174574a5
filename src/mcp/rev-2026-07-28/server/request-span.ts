/** Spans of the requests that a server of this revision answers. */
import { PROTOCOL_VERSION_META_KEY, type ServerContext } from '@modelcontextprotocol/server'
import { answerWithin, beginRequest } from '../../access/request-span.js'
import type { DurableBinding } from './types.js'

/** Answers a request. With telemetry, it has a span, which is active meanwhile. The request that opens the store has none. */
export function traced({ core }: DurableBinding, params: unknown, ctx: ServerContext, answer: () => unknown): unknown {
  const { telemetry } = core
  if (!telemetry) return answer()
  const { id, method, _meta, envelope, signal } = ctx.mcpReq
  const span = beginRequest(telemetry, {
    method,
    params,
    meta: _meta,
    requestId: id,
    version: (envelope as Record<string, unknown> | undefined)?.[PROTOCOL_VERSION_META_KEY],
    sessionId: ctx.sessionId,
    isHttp: ctx.http !== undefined,
    hasTool: (name) => core.tools.has(name),
  })
  return answerWithin(span, signal, answer)
}
