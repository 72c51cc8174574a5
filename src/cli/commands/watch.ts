/** `holdfast tasks events` and `watch`: what happens to tasks, as it happens. */

import type { OperatorEvent } from '../../operator/index.js'
import { type Context, commandContext, type Terminal } from '../terminal/context.js'
import { CommandError } from '../terminal/exit-codes.js'
import { instantText } from '../terminal/output.js'
import type { Command } from '../terminal/packages.js'

const SETTLED = ['completed', 'failed', 'cancelled']

/** Adds the commands to `holdfast tasks`. */
export function addWatchCommands(tasks: Command, terminal: Terminal): void {
  tasks
    .command('events [taskId]')
    .description('Print the events of a task, or of all tasks, until the command is interrupted.')
    .action(async (taskId: string | undefined, _options: unknown, command: Command) => {
      const context = commandContext(terminal, command)
      await follow(context, taskId, (event) => {
        print(context, event)
        return false
      })
    })
  tasks
    .command('watch <taskId>')
    .description('Print the events of a task until it has settled. Exit code 0 if it completed, else 4.')
    .action(async (taskId: string, _options: unknown, command: Command) => {
      const context = commandContext(terminal, command)
      let status: string | undefined
      await follow(context, taskId, (event) => {
        status = settledAs(event) ?? status
        print(context, event)
        return status !== undefined
      })
      if (status !== 'completed') throw new CommandError(4, `Task ${taskId} ${status ?? 'has not settled'}.`)
    })
}

/** Reads the feed until `on` returns true, or the user interrupts. A feed that was cut begins again with a snapshot. */
async function follow(
  context: Context,
  taskId: string | undefined,
  on: (event: OperatorEvent) => boolean,
): Promise<void> {
  await context.withStore(
    async (store) => {
      if (store.mode !== 'running') return
      const { interrupted } = context.terminal
      for (let isCut = true; isCut; ) {
        isCut = false
        for await (const event of store.client.events({ taskId, signal: interrupted })) {
          if (event.name === 'cut') isCut = true
          else if (event.name === 'closed') throw new CommandError(5, 'The server closed the store; start it again.')
          else if (on(event)) return
        }
      }
      interrupted.throwIfAborted()
    },
    { needsServer: true },
  )
}

function settledAs(event: OperatorEvent): string | undefined {
  if (event.name === 'task:settled') return event.data.status
  if (event.name !== 'snapshot' || !('task' in event.data)) return undefined
  const { status } = event.data.task
  return SETTLED.includes(status) ? status : undefined
}

function print({ output }: Context, event: OperatorEvent): void {
  if (output.json) {
    output.object({ event: event.name, ...event.data })
    return
  }
  if (event.name === 'snapshot') {
    if ('task' in event.data) output.cells(['now', event.data.task.taskId, event.data.task.status])
    return
  }
  const { at, ...rest } = event.data as { at?: number } & Record<string, unknown>
  const fields = Object.entries(rest).map(
    ([name, value]) => `${name}=${typeof value === 'object' ? JSON.stringify(value) : String(value)}`,
  )
  output.cells([instantText(at), event.name, ...fields])
}
