/** Spans of the requests that a server of this revision answers. */
import type { RequestId } from '@modelcontextprotocol/sdk/types.js'
import type { TelemetrySpan } from '../../../task/telemetry.js'
import { answerWithin, beginRequest } from '../../access/request-span.js'
import type { Attachment, DurableBinding, Extra } from './types.js'

/** A request before the SDK has received it. */
export interface EarlyRequest {
  readonly method: string
  readonly params?: { readonly _meta?: Record<string, unknown> | undefined } | undefined
  readonly id: RequestId
  readonly sessionId: string | undefined
  readonly version: unknown
}

/** Begins the span of a request whose task is created before the SDK receives the request. `undefined` without telemetry. */
export function beginEarly({ core }: DurableBinding, request: EarlyRequest): TelemetrySpan | undefined {
  const { method, params, id, sessionId, version } = request
  return (
    core.telemetry &&
    beginRequest(core.telemetry, {
      method,
      params,
      meta: params?._meta,
      requestId: id,
      version,
      sessionId,
      isHttp: true,
      hasTool: (name) => core.tools.has(name),
    })
  )
}

/** Answers a request. With telemetry, it has a span, which is active meanwhile. The request that opens the store has none. */
export function traced(
  { core }: DurableBinding,
  { transport }: Attachment,
  method: string,
  params: unknown,
  { requestId, sessionId, _meta, requestInfo, signal }: Extra,
  answer: () => unknown,
): unknown {
  const { telemetry } = core
  if (!telemetry) return answer()
  const early = transport?.spans.get(requestId)
  transport?.spans.delete(requestId)
  const span =
    early ??
    beginRequest(telemetry, {
      method,
      params,
      meta: _meta,
      requestId,
      version: requestInfo?.headers['mcp-protocol-version'] ?? transport?.protocolVersion,
      sessionId,
      isHttp: requestInfo !== undefined || sessionId !== undefined,
      hasTool: (name) => core.tools.has(name),
    })
  return answerWithin(span, signal, answer)
}
