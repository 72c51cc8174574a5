/**
 * A tool made from a task definition, with checked options and converted schemas. Without this check, a schema that
 * JSON Schema cannot express would later fail the whole list of tools of every client.
 */
import { type ZodType, z } from 'zod'
import { type Duration, durationMs } from '../../base/duration.js'
import { checkFlag, checkFunction, checkOptionsOf, type Names, oneOf, refuseOldSchema } from '../../base/expected.js'
import type { JsonValue } from '../../base/json.js'
import type { AuthInfoLike } from '../../http/node.js'
import type { AnyTaskDefinition, TaskDefinition } from '../../task/definition/definition.js'
import { checkName } from '../../task/names.js'

/** Context of a call, for `toInput` and `toIdempotencyKey`. */
export interface CallExtra {
  /** Owner that makes the call. */
  readonly owner: string
  readonly authInfo: AuthInfoLike | undefined
  readonly sessionId: string | undefined
  /** `_meta` of the request. */
  readonly _meta: Readonly<Record<string, unknown>> | undefined
  /** Answers of the client to an earlier `inputRequired(…)` of `toInput`, by key. 2026-07-28 only. */
  readonly inputResponses?: Readonly<Record<string, unknown>> | undefined
  /** The `requestState` of that `inputRequired(…)`, as the client returned it. Do not trust it unless you signed it. */
  readonly requestState?: unknown
}

/** Return value of `inputRequired(…)` of `@modelcontextprotocol/server`: a request for input before there is a task. */
export interface InputRequired {
  readonly resultType: 'input_required'
  readonly inputRequests?: Readonly<Record<string, unknown>> | undefined
  readonly requestState?: string | undefined
}

/** Context of `toResult` and `toError`. */
export interface ResultAbout {
  readonly taskId: string
  readonly tool: string
}

/** The result of a tool, as both protocol revisions know it. */
export interface ToolResult {
  content: { type: string; [key: string]: unknown }[]
  structuredContent?: Record<string, unknown> | undefined
  isError?: boolean | undefined
  _meta?: Record<string, unknown> | undefined
  [key: string]: unknown
}

/** The options of `durable.tool`. */
export interface ToolOptions<Input = unknown, Output = unknown> {
  /**
   * Name of the tool.
   * @default the name of the definition
   */
  readonly name?: string
  /** Title of the tool, for people. */
  readonly title?: string
  /** Description of the tool, for models. */
  readonly description?: string
  /** Annotations of the tool, as the protocol defines them. */
  readonly annotations?: Record<string, unknown>
  /** Metadata of the tool, as the protocol defines it. */
  readonly _meta?: Record<string, unknown>
  /**
   * Rule for calls that request a task: clients may (`'optional'`), must (`'required'`) or cannot (`'forbidden'`) do so.
   * @default 'optional'
   */
  readonly taskSupport?: 'optional' | 'required' | 'forbidden'
  /**
   * Time that a call waits for the result before it is answered with a task. In 2025-11-25 that concerns a call without a
   * task. In 2026-07-28 it concerns clients that know tasks.
   * @default 2025-11-25: none, the call waits; 2026-07-28: 0
   */
  readonly inlineBudget?: Duration
  /**
   * Reaction of a call's task when its client cancels the call. A dropped connection never cancels a task.
   * @default 'continue'
   */
  readonly onInterrupt?: 'continue' | 'cancel'
  /**
   * True if a repeated call joins the task of an equal call whose client was gone before the answer.
   * @default true
   */
  readonly rejoin?: boolean
  /**
   * True to add a tool `start_<name>` that answers `{ taskId }` at once.
   * @default false
   */
  readonly start?: boolean
  /**
   * Schema that is listed, and that checks the arguments.
   * @default the `input` of the definition
   */
  readonly inputSchema?: ZodType
  /**
   * Schema of the result that is listed. With `false` none is listed.
   * @default the `output` of the definition, if it is an object
   */
  readonly outputSchema?: ZodType | false
  /**
   * Makes the task's input from the checked arguments. In 2026-07-28 it may return `inputRequired(…)` to get more from the
   * client before there is a task.
   */
  // biome-ignore lint/suspicious/noExplicitAny: the author's schema decides the type of the arguments
  readonly toInput?: (args: any, extra: CallExtra) => Input | InputRequired | Promise<Input | InputRequired>
  /** Makes the result of the tool from the output of the task. */
  readonly toResult?: (output: Output, about: ResultAbout) => ToolResult
  /** Makes the result of the tool from the error of the task. `undefined` stands for the result without this function. */
  readonly toError?: (error: Error, about: ResultAbout) => ToolResult | undefined
  /** Makes an idempotency key from the arguments. A repeated call with the same key joins the first task. */
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly toIdempotencyKey?: (args: any, extra: CallExtra) => string | undefined
}

/** A tool, ready to be listed and called. */
export interface DurableTool {
  readonly name: string
  readonly startName: string | undefined
  readonly definition: AnyTaskDefinition
  readonly title: string | undefined
  readonly description: string | undefined
  readonly annotations: Record<string, unknown> | undefined
  readonly _meta: Record<string, unknown> | undefined
  readonly taskSupport: 'optional' | 'required' | 'forbidden'
  readonly inlineBudgetMs: number | undefined
  readonly onInterrupt: 'continue' | 'cancel'
  readonly rejoin: boolean
  readonly inputSchema: ZodType | undefined
  /**
   * True if arguments are parsed before `toInput`. The definition's own schema is applied by the start of the task
   * instead.
   */
  readonly parsesArguments: boolean
  readonly outputSchema: ZodType | undefined
  readonly toInput: ToolOptions['toInput']
  readonly toResult: ((output: JsonValue | undefined, about: ResultAbout) => ToolResult) | undefined
  readonly toError: ToolOptions['toError']
  readonly toIdempotencyKey: ToolOptions['toIdempotencyKey']
}

/** The names of the options of `durable.tool`. */
export const TOOL_OPTIONS: Names<ToolOptions> = {
  name: true,
  title: true,
  description: true,
  annotations: true,
  _meta: true,
  taskSupport: true,
  inlineBudget: true,
  onInterrupt: true,
  rejoin: true,
  start: true,
  inputSchema: true,
  outputSchema: true,
  toInput: true,
  toResult: true,
  toError: true,
  toIdempotencyKey: true,
}

/**
 * Makes a tool.
 * @param lateCalls answer of a call whose `inlineBudget` is over: a handle in place of the result, or a task
 * @throws TypeError naming the tool and the mistake
 */
export function makeTool<Input, Output>(
  definition: TaskDefinition<Input, Output>,
  options: ToolOptions<Input, Output>,
  lateCalls: 'handle' | 'task' = 'handle',
): DurableTool {
  checkOptionsOf<ToolOptions<Input, Output>>('durable.tool', options, TOOL_OPTIONS)
  const name = options.name ?? definition.name
  checkName(name, 'name', 128)
  const { taskSupport = 'optional', onInterrupt = 'continue', rejoin = true, start = false } = options
  oneOf('taskSupport', taskSupport, ['optional', 'required', 'forbidden'])
  oneOf('onInterrupt', onInterrupt, ['continue', 'cancel'])
  checkFlag('rejoin', rejoin)
  checkFlag('start', start)
  for (const option of ['toInput', 'toResult', 'toError', 'toIdempotencyKey'] as const) {
    if (options[option] !== undefined) checkFunction(option, options[option])
  }
  const inputSchema = options.inputSchema ?? definition.input
  if (inputSchema) checkSchema(name, 'inputSchema', inputSchema, 'input')
  const outputSchema = outputSchemaOf(name, definition, options)
  const inlineBudgetMs =
    options.inlineBudget === undefined ? undefined : durationMs(options.inlineBudget, 'inlineBudget', { zero: true })
  if (inlineBudgetMs !== undefined && outputSchema && lateCalls === 'handle') {
    throw new TypeError(
      `Tool '${name}' has an output schema, and \`inlineBudget\` answers with a handle that doesn't fit it: clients refuse such a result. Set \`outputSchema: false\`, or leave \`inlineBudget\` out.`,
    )
  }
  return {
    name,
    startName: start ? `start_${name}` : undefined,
    definition: definition as AnyTaskDefinition,
    title: options.title,
    description: options.description,
    annotations: options.annotations,
    _meta: options._meta,
    taskSupport,
    inlineBudgetMs,
    onInterrupt,
    rejoin,
    inputSchema,
    parsesArguments: options.inputSchema !== undefined || options.toInput !== undefined,
    outputSchema,
    toInput: options.toInput as ToolOptions['toInput'],
    toResult: options.toResult as DurableTool['toResult'],
    toError: options.toError,
    toIdempotencyKey: options.toIdempotencyKey,
  }
}

function outputSchemaOf<Input, Output>(
  name: string,
  definition: TaskDefinition<Input, Output>,
  { outputSchema, toResult }: ToolOptions<Input, Output>,
): ZodType | undefined {
  if (outputSchema === false) return undefined
  // The result of `toResult` may differ from the output.
  const schema = outputSchema ?? (toResult ? undefined : definition.output)
  if (!schema) return undefined
  if (outputSchema === undefined && !isObjectSchema(schema)) return undefined
  checkSchema(name, 'outputSchema', schema, 'output')
  return schema
}

function isObjectSchema(schema: ZodType): schema is z.ZodObject {
  return (schema as { _zod?: { def?: { type?: string } } })._zod?.def?.type === 'object'
}

function checkSchema(tool: string, option: string, schema: ZodType, io: 'input' | 'output'): void {
  refuseOldSchema(option, schema)
  if (!isObjectSchema(schema)) {
    throw new TypeError(
      `Expected \`${option}\` of tool '${tool}' to be a z.object(…): the protocol lists tools with objects only`,
    )
  }
  const whole = failureOf(schema, io)
  if (whole === undefined) return
  const field = Object.entries(schema.shape).find(([, part]) => failureOf(part as ZodType, io) !== undefined)?.[0]
  throw new TypeError(
    `\`${option}\` of tool '${tool}' can't be listed${field === undefined ? '' : `: field \`${field}\``}: ${whole}. Use a type that JSON has, and convert it in \`toInput\` or in the task.`,
  )
}

function failureOf(schema: ZodType, io: 'input' | 'output'): string | undefined {
  try {
    z.toJSONSchema(schema, { io, target: 'draft-7' })
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}
