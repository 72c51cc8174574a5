/**
 * `holdfast mcp`: the operator API as an MCP server over stdio, so that people can ask their agent why a task is stuck. It
 * reads, and changes something only with `--write`. Each call connects anew, so the server may start or stop in between.
 */

import { z } from 'zod'
import type { OperatorRouteCalls } from '../../operator/index.js'
import type { Connected } from '../terminal/connect.js'
import { type Context, commandContext, type Terminal } from '../terminal/context.js'
import { type Command, McpServer, StdioServerTransport } from '../terminal/packages.js'
import { STATUSES } from './filters.js'

/** Adds the command. */
export function addMcpCommand(program: Command, terminal: Terminal, release: string): void {
  program
    .command('mcp')
    .description('Serve the operator API as an MCP server on standard input and output.')
    .option('--write', 'offer cancel, retry and resume too')
    .action(async ({ write = false }: { write?: boolean }, command: Command) => {
      const context = commandContext(terminal, command)
      // Refused before a client connects.
      void context.dir
      const server = operatorServer(context, release, write)
      const transport = new StdioServerTransport(process.stdin, process.stdout)
      const ended = new Promise<void>((resolve) => {
        server.server.onclose = resolve
        terminal.interrupted.addEventListener('abort', () => resolve(), { once: true })
        process.stdin.once('end', resolve)
      })
      await server.connect(transport)
      await ended
      await server.close()
    })
}

const taskId = z.string().describe('ID of the task, such as task-01…')

/** Makes the MCP server. */
export function operatorServer(context: Context, release: string, write: boolean): McpServer {
  const server = new McpServer({ name: 'holdfast-operator', version: release })
  const { values } = context

  const reads = { readOnlyHint: true, openWorldHint: false }
  const tool = <Shape extends z.ZodRawShape>(
    name: string,
    description: string,
    shape: Shape,
    call: (calls: OperatorRouteCalls, input: z.output<z.ZodObject<Shape>>, mode: Connected['mode']) => Promise<unknown>,
    annotations: object = reads,
  ) =>
    server.registerTool(name, { description, inputSchema: z.object(shape), annotations }, async (input) => {
      try {
        const answer = await context.withStore(({ calls, mode }) =>
          call(calls, input as z.output<z.ZodObject<Shape>>, mode),
        )
        return { content: [{ type: 'text', text: JSON.stringify(answer, null, 1) }] }
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error)
        return { isError: true, content: [{ type: 'text', text: message }] }
      }
    })

  tool(
    'list_tasks',
    'List durable tasks of the store, newest first, with optional filters.',
    {
      status: z.array(z.enum(STATUSES)).optional(),
      type: z.string().optional(),
      owner: z.string().optional(),
      limit: z.int().min(1).max(100).default(20),
      cursor: z.string().optional(),
    },
    (calls, query) => calls.listTasks({ ...query, order: 'newest' }),
  )
  tool('get_task', 'Read one task: status, error, open questions, clean-up.', { taskId }, (calls, { taskId }) =>
    calls.getTask({ taskId, values }),
  )
  tool('explain_task', 'Explain why a task does not run now, and what to do.', { taskId }, (calls, { taskId }) =>
    calls.explainTask({ taskId }),
  )
  tool('list_steps', 'Read the log of a task: its steps with states, attempts and times.', { taskId }, (calls, input) =>
    calls.listSteps({ taskId: input.taskId, values }),
  )
  tool('health', 'Read if the server is live and ready, and why not.', {}, (calls) => calls.health())
  tool(
    'recovery',
    'Read the report of the recovery of this start of the server; without a server, of the last one that found tasks.',
    {},
    (calls, _input, mode) => (mode === 'running' ? calls.recovery() : calls.lastRecovery()),
  )
  if (!write) return server

  const changes = { readOnlyHint: false, destructiveHint: true, openWorldHint: false }
  const reason = z.string().optional().describe('Reason for the audit')
  tool(
    'cancel_task',
    'Cancel a task. Its clean-up runs afterwards. This cannot be undone.',
    { taskId, reason },
    (calls, input) => calls.cancelTask(input),
    changes,
  )
  const repeats = { readOnlyHint: false, destructiveHint: false, openWorldHint: false }
  tool(
    'retry_task',
    'Make the next attempt of a task now.',
    { taskId },
    (calls, input) => calls.retryTask(input),
    repeats,
  )
  tool('resume_task', 'Resume a parked task.', { taskId }, (calls, input) => calls.resumeTask(input), repeats)
  return server
}
