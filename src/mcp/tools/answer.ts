/** Turns the outcome of a task into an answer for clients. Pure. Each revision converts the answer to its own form. */
import { isProtocolError, ProtocolError } from '../../base/errors.js'
import type { JsonValue } from '../../base/json.js'
import { failureCode, type Outcome, reviveError, type TaskError } from '../../task/log/outcome.js'
import { clientWordsOf, RPC } from '../access/refusal.js'
import type { DurableTool, ToolResult } from './tool.js'

/** Answer for a client: the result of the tool, or a JSON-RPC error. */
export type Answer =
  | { readonly kind: 'result'; readonly result: ToolResult }
  | { readonly kind: 'error'; readonly error: { code: number; message: string; data?: unknown } }

/** The properties of a tool that its answers depend on. A default answer depends on nothing else. */
export type Projection = Pick<DurableTool, 'name' | 'toResult' | 'toError' | 'outputSchema'>

/** Makes the answer for a settled task. */
export function answerOf(outcome: Outcome, taskId: string, tool?: Projection): Answer {
  const about = { taskId, tool: tool?.name ?? '' }
  if (outcome.kind === 'cancelled') {
    const why = outcome.reason === undefined ? '' : `: ${outcome.reason}`
    return failed(RPC.internal, `Task ${taskId} was cancelled${why}`, { code: 'TASK_CANCELLED', taskId })
  }
  if (outcome.kind === 'result') {
    if (!tool?.toResult) return { kind: 'result', result: resultOf(outcome.result, tool?.outputSchema !== undefined) }
    return checked(tool.toResult(outcome.result, about), tool, taskId)
  }
  const error = causeOf(outcome.error)
  if (error.ours) {
    const code = failureCode(error)
    return failed(RPC.internal, clientWordsOf(code, error.message), { code, taskId })
  }
  if (isProtocolError(error)) {
    return failed(error.code, thrownMessageOf(error), error.data)
  }
  const custom = tool?.toError?.(reviveError(error), about)
  if (custom) return { kind: 'result', result: custom }
  return { kind: 'result', result: { content: [{ type: 'text', text: error.message }], isError: true } }
}

/**
 * Default result of an output. An object becomes structured content, with its JSON as text. An output that is a tool
 * result already is used unchanged, unless the tool has an output schema, which describes objects.
 */
function resultOf(output: JsonValue | undefined, hasSchema: boolean): ToolResult {
  if (output === undefined) return { content: [] }
  if (!hasSchema && isToolResult(output)) return output as ToolResult
  const content = [{ type: 'text', text: typeof output === 'string' ? output : JSON.stringify(output) }]
  if (typeof output !== 'object' || output === null || Array.isArray(output)) return { content }
  return { content, structuredContent: output }
}

/**
 * True if the output is a `CallToolResult` of the protocol: each of its fields has the right type, and each entry of
 * `content` is of a type of the protocol, with the fields of that type. Without this, any object with a list called
 * `content` would be one.
 */
function isToolResult(output: JsonValue): boolean {
  const { content, structuredContent, isError, _meta } = fieldsOf(output) ?? {}
  if (!Array.isArray(content)) return false
  if (structuredContent !== undefined && !fieldsOf(structuredContent)) return false
  if (isError !== undefined && typeof isError !== 'boolean') return false
  if (_meta !== undefined && !fieldsOf(_meta)) return false
  return content.length > 0 ? content.every(isContent) : structuredContent !== undefined || isError !== undefined
}

// https://modelcontextprotocol.io/specification/2025-11-25/server/tools, section "Tool Result"
const TEXTS_OF = new Map<unknown, readonly string[]>([
  ['text', ['text']],
  ['image', ['data', 'mimeType']],
  ['audio', ['data', 'mimeType']],
  ['resource_link', ['uri', 'name']],
])

function isContent(entry: unknown): boolean {
  const fields = fieldsOf(entry) ?? {}
  if (fields['type'] === 'resource') return typeof fieldsOf(fields['resource'])?.['uri'] === 'string'
  return TEXTS_OF.get(fields['type'])?.every((field) => typeof fields[field] === 'string') ?? false
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined
}

/**
 * Message of an error for the protocol. The SDK's error class adds a prefix to its message, and the client adds it
 * again.
 */
export function thrownMessageOf({ name, message }: { name: string; message: string }): string {
  return name === 'McpError' ? message.replace(/^MCP error -?\d+: /, '') : message
}

/** Cause of a step's failure: the error that the step threw. */
function causeOf(error: TaskError): TaskError {
  return error.step !== undefined && error.cause ? causeOf(error.cause) : error
}

/** Makes the error to throw for an answer of kind `error`. */
export function toThrow({ code, message, data }: Extract<Answer, { kind: 'error' }>['error']): ProtocolError {
  return new ProtocolError(code, message, data)
}

function failed(code: number, message: string, data: unknown): Answer {
  return { kind: 'error', error: { code, message, ...(data === undefined ? {} : { data }) } }
}

function checked(result: ToolResult, tool: Projection | undefined, taskId: string): Answer {
  if (!tool?.outputSchema || !tool.toResult || result.isError) return { kind: 'result', result }
  const parsed = tool.outputSchema.safeParse(result.structuredContent)
  if (parsed.success) return { kind: 'result', result }
  const said = `The result of tool ${tool.name} does not fit its output schema`
  return failed(RPC.internal, said, { code: 'INVALID_OUTPUT', taskId })
}
