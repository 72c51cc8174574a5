/**
 * The span of one request of a client, by the conventions of OpenTelemetry for MCP servers:
 * https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/mcp.md. Its parent is the client's
 * span in `_meta`. Arguments, results and URIs are not part of it.
 */
import { cutText } from '../../task/names.js'
import type { SpanBegin, SpanEnd, Telemetry, TelemetrySpan } from '../../task/telemetry.js'
import { traceOf } from '../../task/trace.js'
import { RPC } from './refusal.js'

/** A request, as its span shows it. */
export interface SpannedRequest {
  readonly method: string
  readonly params: unknown
  /** The `_meta` of the request, with the trace of the client. */
  readonly meta: Readonly<Record<string, unknown>> | undefined
  readonly requestId: string | number
  /** Revision of the protocol, if it is known. */
  readonly version: unknown
  readonly sessionId: string | undefined
  readonly isHttp: boolean
  /** True if this server has a durable tool of that name. */
  readonly hasTool: (name: string) => boolean
}

// The longest name of a client that a span shows.
const NAME_BYTES_MAX_OF_SPAN = 128
const REVISION = /^\d{4}-\d{2}-\d{2}$/
// From this revision on, requests have no session.
const WITHOUT_SESSIONS = '2026-07-28'

/** Begins the span of a request. */
export function beginRequest(telemetry: Telemetry, request: SpannedRequest): TelemetrySpan {
  const { method, params, meta, requestId, version, sessionId, isHttp, hasTool } = request
  const name = nameIn(params)
  const protocolVersion = typeof version === 'string' && REVISION.test(version) ? version : undefined
  const hasSession = protocolVersion === undefined || protocolVersion < WITHOUT_SESSIONS
  const about: SpanBegin = {
    kind: 'request',
    method,
    tool: method === 'tools/call' ? name : undefined,
    prompt: method === 'prompts/get' ? name : undefined,
    isOwnTool: method === 'tools/call' && name !== undefined && hasTool(name),
    requestId: cutText(String(requestId), NAME_BYTES_MAX_OF_SPAN),
    protocolVersion,
    sessionId: hasSession ? sessionId : undefined,
    transport: isHttp ? 'tcp' : 'pipe',
    parent: traceOf(meta),
  }
  return telemetry.begin(about)
}

function nameIn(params: unknown): string | undefined {
  const { name } = (params ?? {}) as { name?: unknown }
  return typeof name === 'string' ? cutText(name, NAME_BYTES_MAX_OF_SPAN) : undefined
}

/** Answers a request while its span is active. The span ends with the answer. */
export function answerWithin(span: TelemetrySpan, signal: AbortSignal, answer: () => unknown): Promise<unknown> {
  const work = span.within(async () => answer())
  work.then(
    (result) => span.end(signal.aborted ? { outcome: 'interrupted' } : endOf(result)),
    (error: unknown) => span.end({ outcome: 'failed', rpcCode: rpcCodeOf(error) }),
  )
  return work
}

function endOf(result: unknown): SpanEnd {
  const { isError } = (result ?? {}) as { isError?: unknown }
  return isError === true ? { outcome: 'failed', code: 'tool_error' } : { outcome: 'completed' }
}

/** The code of JSON-RPC that the SDK answers with. */
function rpcCodeOf(error: unknown): number {
  const { code } = (error ?? {}) as { code?: unknown }
  return Number.isSafeInteger(code) ? (code as number) : RPC.internal
}
