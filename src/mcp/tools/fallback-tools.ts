/**
 * Plain tools for clients without support for tasks. A model follows its long work by calling them, and their
 * descriptions explain when to use which. Stored text (labels, messages, states) is only ever a field of the result, in
 * quotes.
 */

import { z } from 'zod'
import type { TaskView } from '../../api/task-view.js'
import { ProtocolError } from '../../base/errors.js'
import { checkOptionsOf, expected } from '../../base/expected.js'
import { isSettled } from '../../task/head.js'
import type { Caller } from '../access/caller.js'
import type { Params } from '../access/params.js'
import { refusalOf } from '../access/refusal.js'
import type { Scope } from '../access/rights.js'
import type { Answer } from './answer.js'
import type { McpCore } from './mcp-core.js'
import type { ToolResult } from './tool.js'
import { waitForEnd } from './wait.js'

/** The fallback tools by name, without a prefix. */
const FALLBACK_TOOLS = [
  'get_task_status',
  'wait_for_task',
  'get_task_result',
  'cancel_task',
  'list_my_tasks',
  'create_session',
  'complete_session',
  'save_checkpoint',
  'restore_checkpoint',
] as const

/** Name of a fallback tool. */
export type FallbackTool = (typeof FALLBACK_TOOLS)[number]

/** The calls on checkpoints and session tasks that the tools make (checkpoints.ts). */
interface CheckpointTools {
  save(params: Params, caller: Caller): Promise<{ checkpointId: string }>
  restore(params: Params, caller: Caller): Promise<object>
  createTask(params: Params, caller: Caller): Promise<TaskView>
  completeTask(params: Params, caller: Caller): Promise<TaskView>
}

/** The revision's part: it shows a task, and makes the answer of a settled one. */
export interface FallbackParts {
  readonly core: McpCore
  readonly checkpoints: CheckpointTools
  readonly project: (view: TaskView) => Promise<{ status: string; statusMessage?: string | undefined }>
  readonly answer: (view: TaskView) => Promise<Answer>
}

/** A tool, ready to be registered. */
export interface FallbackDefinition {
  readonly name: FallbackTool
  readonly title: string
  readonly description: string
  readonly annotations: {
    readOnlyHint: boolean
    destructiveHint: boolean
    idempotentHint: boolean
    openWorldHint: boolean
  }
  readonly inputSchema: z.ZodObject
  readonly outputSchema: z.ZodObject
  readonly run: (args: Record<string, unknown>, caller: Caller, signal: AbortSignal) => Promise<Record<string, unknown>>
}

// Shorter than the 60 s after which most clients give up a call.
const WAIT_SECONDS_MAX = 50
const PAGE = 20

const taskId = z.string().describe('The taskId that the tool which started the task returned')
const status = z.string().describe('working, input_required, completed, failed or cancelled; the last three are final')
const task = {
  taskId: z.string(),
  status,
  statusMessage: z.string().optional().describe('The last progress message of the task, or the reason of its failure'),
  createdAt: z.string(),
  lastUpdatedAt: z.string(),
}
const result = {
  isError: z.boolean().optional().describe('Whether the task ended with an error'),
  structuredContent: z.record(z.string(), z.unknown()).optional().describe('The result, if it is an object'),
  text: z.array(z.string()).optional().describe('The result, or the error, as text'),
}

const READS = { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false }
const WRITES = { readOnlyHint: false, destructiveHint: false, idempotentHint: false, openWorldHint: false }
const ENDS = { readOnlyHint: false, destructiveHint: true, idempotentHint: true, openWorldHint: false }

/** Creates the definitions of the tools. `prefix` begins each name. */
export function fallbackTools(parts: FallbackParts, prefix: string): FallbackDefinition[] {
  const { core, checkpoints } = parts
  const named = (name: FallbackTool) => `${prefix}${name}`

  const shown = async (view: TaskView) => {
    const { status, statusMessage } = await parts.project(view)
    return {
      taskId: view.taskId,
      status,
      ...(statusMessage === undefined ? {} : { statusMessage }),
      createdAt: new Date(view.createdAt).toISOString(),
      lastUpdatedAt: new Date(view.updatedAt).toISOString(),
    }
  }
  const withResult = async (view: TaskView) => ({
    ...(await shown(view)),
    ...(isSettled(view.status) ? resultFields(await parts.answer(view)) : {}),
  })
  const read = async (args: Record<string, unknown>, caller: Caller, action: 'read' | 'cancel' = 'read') => {
    const id = String(args['taskId'])
    const scope: Scope = await core.scope(action, caller, { taskId: id })
    return { id, scope }
  }

  const all: FallbackDefinition[] = [
    {
      name: 'get_task_status',
      title: 'Status of a task',
      description: `Looks at a background task once and returns at once. To wait for it, call ${named('wait_for_task')} instead of calling this again and again.`,
      annotations: READS,
      inputSchema: z.object({ taskId }),
      outputSchema: z.object(task),
      run: async (args, caller) => {
        const { id, scope } = await read(args, caller)
        return shown(await core.holdfast.get(id, scope))
      },
    },
    {
      name: 'wait_for_task',
      title: 'Wait for a task',
      description: `Waits until a background task ends, for at most \`seconds\`, and returns its result if it ended. If its status is still working, call this again; don't start the work a second time.`,
      annotations: READS,
      inputSchema: z.object({ taskId, seconds: z.number().int().min(1).max(WAIT_SECONDS_MAX).default(30) }),
      outputSchema: z.object({ ...task, ...result }),
      run: async (args, caller, signal) => {
        const { id, scope } = await read(args, caller)
        const seconds = Number(args['seconds'] ?? 30)
        const { view } = await waitForEnd(core, id, { ...scope, signal, untilParked: true, budgetMs: seconds * 1_000 })
        return withResult(view ?? (await core.holdfast.get(id, scope)))
      },
    },
    {
      name: 'get_task_result',
      title: 'Result of a task',
      description: `Returns the result of a background task that has ended. If it has not, it returns the status only; call ${named('wait_for_task')} then.`,
      annotations: READS,
      inputSchema: z.object({ taskId }),
      outputSchema: z.object({ ...task, ...result }),
      run: async (args, caller) => {
        const { id, scope } = await read(args, caller)
        return withResult(await core.holdfast.get(id, scope))
      },
    },
    {
      name: 'cancel_task',
      title: 'Cancel a task',
      description:
        'Cancels a background task for good. Only when the user wants it stopped; what it has done already stays done.',
      annotations: ENDS,
      inputSchema: z.object({ taskId }),
      outputSchema: z.object(task),
      run: async (args, caller) => {
        const { id, scope } = await read(args, caller, 'cancel')
        return shown(await core.holdfast.cancel(id, { ...scope, reason: 'The client cancelled the task' }))
      },
    },
    {
      name: 'list_my_tasks',
      title: 'My tasks',
      description: `Lists your background tasks, by default those that have not ended. Use it to find a taskId again, for example at the start of a conversation.`,
      annotations: READS,
      inputSchema: z.object({
        include: z.enum(['unfinished', 'all']).default('unfinished'),
        cursor: z.string().optional(),
      }),
      outputSchema: z.object({ tasks: z.array(z.object(task)), nextCursor: z.string().optional() }),
      run: async ({ include, cursor }, caller) => {
        await core.scope('read', caller)
        const page = await core.holdfast.list({
          owner: caller.owner,
          limit: PAGE,
          ...(include === 'all' ? {} : { status: ['pending', 'running', 'input_required'] }),
          cursor: cursor as string | undefined,
        })
        const tasks = await Promise.all(page.tasks.map(shown))
        return { tasks, ...(page.cursor === undefined ? {} : { nextCursor: page.cursor }) }
      },
    },
    {
      name: 'create_session',
      title: 'Begin a session',
      description: `Begins a session that keeps its state between conversations, and returns its taskId. Save the state with ${named('save_checkpoint')}, continue later with ${named('restore_checkpoint')}, and end it with ${named('complete_session')}.`,
      annotations: WRITES,
      inputSchema: z.object({ type: z.string().optional().describe('What kind of session it is, such as support') }),
      outputSchema: z.object(task),
      run: async ({ type }, caller) => shown(await checkpoints.createTask(type === undefined ? {} : { type }, caller)),
    },
    {
      name: 'complete_session',
      title: 'End a session',
      description: 'Ends a session for good. Its checkpoints can still be read.',
      annotations: ENDS,
      inputSchema: z.object({ taskId, summary: z.string().optional() }),
      outputSchema: z.object(task),
      run: async (args, caller) => {
        const outcome = { kind: 'result', ...(args['summary'] === undefined ? {} : { result: args['summary'] }) }
        return shown(await checkpoints.completeTask({ taskId: args['taskId'], outcome }, caller))
      },
    },
    {
      name: 'save_checkpoint',
      title: 'Save a checkpoint',
      description: `Saves a state with a task or session, so that this conversation, or a later one, can continue from it. Save after each part that should not be done or asked twice.`,
      annotations: WRITES,
      inputSchema: z.object({
        taskId,
        state: z.record(z.string(), z.unknown()).describe('Everything that is needed to continue from here'),
        label: z.string().optional().describe('A few words that describe this point'),
      }),
      outputSchema: z.object({ checkpointId: z.string() }),
      run: (args, caller) => checkpoints.save(args, caller),
    },
    {
      name: 'restore_checkpoint',
      title: 'Restore a checkpoint',
      description:
        'Returns the latest state that was saved with a task or session, or that of one checkpointId. It changes nothing.',
      annotations: READS,
      inputSchema: z.object({ taskId, checkpointId: z.string().optional() }),
      outputSchema: z.object({
        checkpointId: z.string(),
        state: z.unknown(),
        completedSteps: z.number(),
        createdAt: z.string(),
      }),
      run: async (args, caller) => ({ ...(await checkpoints.restore(args, caller)) }),
    },
  ]
  // Without authentication, the ID is the only protection of a task: a list would return the IDs of all clients.
  return core.options.access === 'open' ? all.filter(({ name }) => name !== 'list_my_tasks') : all
}

/** Runs a tool. A refusal becomes a tool error, which a model can read. */
export async function runFallback(
  tool: FallbackDefinition,
  args: Record<string, unknown>,
  caller: Caller,
  { signal, core }: { signal: AbortSignal; core: McpCore },
): Promise<ToolResult> {
  try {
    await core.ready()
    const structuredContent = await tool.run(args, caller, signal)
    return { content: [{ type: 'text', text: JSON.stringify(structuredContent) }], structuredContent }
  } catch (error) {
    const { message } = error instanceof ProtocolError ? error : refusalOf(error, core.logger)
    return { content: [{ type: 'text', text: message }], isError: true }
  }
}

function resultFields(answer: Answer): Record<string, unknown> {
  if (answer.kind === 'error') return { isError: true, text: [answer.error.message] }
  const { content, structuredContent, isError } = answer.result
  const text = content.flatMap((part) => (typeof part['text'] === 'string' ? [part['text']] : []))
  return { ...(isError ? { isError } : {}), ...(structuredContent ? { structuredContent } : {}), text }
}

/** The options of `registerFallbackTools`. */
export interface FallbackOptions {
  /**
   * Prefix of each name, such as `jobs_`.
   * @default ''
   */
  readonly prefix?: string
  /**
   * Names of the tools to add.
   * @default all of them; without authentication all but `list_my_tasks`
   */
  readonly only?: readonly FallbackTool[]
}

/**
 * Checks the options and adds the defaults.
 * @throws TypeError for an unknown option, and for the name of an unknown tool
 */
export function checkFallbackOptions(options: FallbackOptions): Required<FallbackOptions> {
  checkOptionsOf<FallbackOptions>('durable.registerFallbackTools', options, { prefix: true, only: true })
  const { prefix = '', only = FALLBACK_TOOLS } = options
  if (typeof prefix !== 'string') throw expected('prefix', 'a string', prefix)
  if (!Array.isArray(only)) throw expected('only', 'an array of names', only)
  for (const name of only) {
    if (!FALLBACK_TOOLS.includes(name)) {
      throw new TypeError(`Unknown fallback tool ${JSON.stringify(name)}; there are ${FALLBACK_TOOLS.join(', ')}`)
    }
  }
  return { prefix, only }
}

/** Creates the refusal of a tool whose name is in use on the server. */
export function nameIsTaken(name: string, cause?: unknown): Error {
  const said = `The name '${name}' is taken on this server. Give \`registerFallbackTools\` a \`prefix\`, or leave the tool out with \`only\`.`
  return new Error(said, { cause })
}
