/** The names of attributes, and the attributes of a task. */
import type { Attributes } from '@opentelemetry/api'
import type { SpanBegin, SpanEnd, SpanTask } from '../task/telemetry.js'

/** Names of attributes. All of ours begin with `holdfast.`; `error.type` is one of the general conventions. */
export const ATTRIBUTES = {
  taskId: 'holdfast.task.id',
  taskType: 'holdfast.task.type',
  taskOwner: 'holdfast.task.owner',
  taskTitle: 'holdfast.task.title',
  taskAttribute: 'holdfast.task.attribute',
  taskStatus: 'holdfast.task.status',
  statusFrom: 'holdfast.status.from',
  statusTo: 'holdfast.status.to',
  run: 'holdfast.run.number',
  runAttempt: 'holdfast.run.attempt',
  recovered: 'holdfast.run.recovered',
  replayedSteps: 'holdfast.run.replayed_steps',
  step: 'holdfast.step.name',
  stepAttempt: 'holdfast.step.attempt',
  checkpointId: 'holdfast.checkpoint.id',
  checkpointBy: 'holdfast.checkpoint.by',
  recoveryFound: 'holdfast.recovery.found',
  recoveryTasks: 'holdfast.recovery.tasks',
  recoveryResult: 'holdfast.recovery.result',
  storeKind: 'holdfast.store.kind',
  outcome: 'holdfast.outcome',
  error: 'error.type',
} as const

/**
 * Names of attributes of the conventions for MCP:
 * https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/mcp.md
 */
export const MCP_ATTRIBUTES = {
  method: 'mcp.method.name',
  version: 'mcp.protocol.version',
  session: 'mcp.session.id',
  tool: 'gen_ai.tool.name',
  prompt: 'gen_ai.prompt.name',
  operation: 'gen_ai.operation.name',
  requestId: 'jsonrpc.request.id',
  rpcCode: 'rpc.response.status_code',
  transport: 'network.transport',
} as const

/** The attributes of a task on a span. An attribute without a value is left out by the SDK. */
export function taskAttributes({ taskId, type, owner, ...shown }: SpanTask): Attributes {
  const attributes: Attributes = {
    [ATTRIBUTES.taskId]: taskId,
    [ATTRIBUTES.taskType]: type,
    [ATTRIBUTES.taskOwner]: owner,
  }
  addShown(attributes, shown)
  return attributes
}

/** Adds the title of a task, and each of its attributes under a name of its own. */
function addShown(to: Attributes, { title, attributes = {} }: Pick<SpanTask, 'title' | 'attributes'>): void {
  if (title !== undefined) to[ATTRIBUTES.taskTitle] = title
  for (const [name, value] of Object.entries(attributes)) to[`${ATTRIBUTES.taskAttribute}.${name}`] = value
}

/**
 * The attributes of a span when it begins: those that a sampler may need. The others are set at the end, because an SDK
 * copies the first ones several times.
 */
export function firstAttributes(about: SpanBegin): Attributes {
  switch (about.kind) {
    case 'request':
      return requestAttributes(about)
    case 'recover':
      return { [ATTRIBUTES.recoveryFound]: about.found }
    case 'step':
      return { [ATTRIBUTES.taskType]: about.task.type, [ATTRIBUTES.step]: about.step }
    default:
      return { [ATTRIBUTES.taskType]: about.task.type }
  }
}

/** The other attributes of a span, which are set at its end. */
export function lastAttributes(about: SpanBegin, end: SpanEnd): Attributes {
  // The conventions name all attributes of a request, and ours are not among them.
  if (about.kind === 'request') return errorAttributes(end)
  const { outcome, code } = end
  if (about.kind === 'recover') return { [ATTRIBUTES.outcome]: outcome, ...recoveryAttributes(end) }
  const { taskId, owner } = about.task
  const attributes: Attributes = {
    [ATTRIBUTES.taskId]: taskId,
    [ATTRIBUTES.taskOwner]: owner,
    [ATTRIBUTES.outcome]: outcome,
    [ATTRIBUTES.error]: code,
  }
  switch (about.kind) {
    case 'create':
      addShown(attributes, about.task)
      break
    case 'run':
      addShown(attributes, about.task)
      attributes[ATTRIBUTES.run] = about.run
      attributes[ATTRIBUTES.runAttempt] = about.attempt
      attributes[ATTRIBUTES.recovered] = about.recovered
      attributes[ATTRIBUTES.replayedSteps] = end.replayedSteps
      break
    case 'step':
      attributes[ATTRIBUTES.run] = about.run
      attributes[ATTRIBUTES.stepAttempt] = about.attempt
      break
    case 'save-checkpoint':
    case 'restore-checkpoint':
      attributes[ATTRIBUTES.checkpointBy] = about.by
      attributes[ATTRIBUTES.checkpointId] = end.checkpointId
  }
  return attributes
}

function recoveryAttributes({ tasks = {} }: SpanEnd): Attributes {
  const counts = Object.entries(tasks).map(([result, count]) => [`${ATTRIBUTES.recoveryTasks}.${result}`, count])
  return Object.fromEntries(counts)
}

/** A request of a client. */
export type RequestAbout = Extract<SpanBegin, { kind: 'request' }>

/** The attributes of a request on a span. */
export function requestAttributes(about: RequestAbout): Attributes {
  const { tool, prompt, requestId, sessionId } = about
  return {
    ...requestMetricAttributes({ ...about, isOwnTool: tool !== undefined }),
    ...(prompt === undefined ? {} : { [MCP_ATTRIBUTES.prompt]: prompt }),
    ...(sessionId === undefined ? {} : { [MCP_ATTRIBUTES.session]: sessionId }),
    [MCP_ATTRIBUTES.requestId]: requestId,
  }
}

/** The attributes of a request on a metric. Only a tool of this server has its name: others are chosen by clients. */
export function requestMetricAttributes(about: RequestAbout): Attributes {
  const { method, tool, isOwnTool, protocolVersion, transport } = about
  return {
    [MCP_ATTRIBUTES.method]: method,
    ...(tool === undefined ? {} : { [MCP_ATTRIBUTES.operation]: 'execute_tool' }),
    ...(tool === undefined || !isOwnTool ? {} : { [MCP_ATTRIBUTES.tool]: tool }),
    ...(protocolVersion === undefined ? {} : { [MCP_ATTRIBUTES.version]: protocolVersion }),
    [MCP_ATTRIBUTES.transport]: transport,
  }
}

/** The attributes of the error of a request: the code of JSON-RPC, or `tool_error` for the result of a tool. */
export function errorAttributes({ code, rpcCode }: SpanEnd): Attributes {
  if (rpcCode === undefined) return code === undefined ? {} : { [ATTRIBUTES.error]: code }
  return { [ATTRIBUTES.error]: String(rpcCode), [MCP_ATTRIBUTES.rpcCode]: String(rpcCode) }
}
