/** `holdfast checkpoints …`: the checkpoints of a task, one with its state, and differences. */

import { commandContext, type Terminal } from '../terminal/context.js'
import { instantText } from '../terminal/output.js'
import type { Command } from '../terminal/packages.js'
import { shownField } from './tasks.js'

/** Adds the commands of `holdfast checkpoints`. */
export function addCheckpointCommands(program: Command, terminal: Terminal): void {
  const checkpoints = program.command('checkpoints').description('Look at the checkpoints of a task.')
  checkpoints
    .command('list <taskId>')
    .description('List the checkpoints of a task, oldest first.')
    .action(async (taskId: string, _options: unknown, command: Command) => {
      const context = commandContext(terminal, command)
      await context.withStore(async ({ calls }) => {
        const found = await calls.listCheckpoints({ taskId })
        context.output.rows(found.checkpoints, [
          { title: 'CHECKPOINT', text: ({ checkpointId }) => checkpointId },
          { title: 'SAVED BY', text: ({ savedBy }) => savedBy },
          { title: 'LABEL', text: ({ label }) => label },
          { title: 'CREATED', text: ({ createdAt }) => instantText(createdAt) },
          { title: 'STEPS', text: ({ completedSteps }) => completedSteps },
          { title: 'BYTES', text: ({ stateBytes }) => stateBytes },
        ])
      })
    })
  checkpoints
    .command('show <taskId> <checkpointId>')
    .description('Show one checkpoint; with --show-values its state too.')
    .action(async (taskId: string, checkpointId: string, _options: unknown, command: Command) => {
      const context = commandContext(terminal, command)
      await context.withStore(async ({ calls }) => {
        const found = await calls.getCheckpoint({ taskId, checkpointId, values: context.values })
        context.output.fields(
          found,
          Object.entries(found).map(([name, value]) => [name, shownField(name, value)] as const),
        )
      })
    })
  checkpoints
    .command('diff <taskId> <checkpointId>')
    .description('Show what changed from the checkpoint before, or from another one.')
    .option('--from <checkpointId>', 'the earlier checkpoint')
    .action(async (taskId: string, checkpointId: string, { from }: { from?: string }, command: Command) => {
      const context = commandContext(terminal, command)
      await context.withStore(async ({ calls }) => {
        const found = await calls.diffCheckpoints({ taskId, checkpointId, from, values: context.values })
        const text = (value: unknown) => (value === undefined ? undefined : JSON.stringify(value))
        context.output.rows(found.differences, [
          { title: 'PATH', text: ({ path }) => path },
          { title: 'CHANGE', text: ({ kind }) => kind },
          ...(context.values
            ? [
                { title: 'BEFORE', text: ({ before }: { before?: unknown }) => text(before) },
                { title: 'AFTER', text: ({ after }: { after?: unknown }) => text(after) },
              ]
            : []),
        ])
        if (found.isCut) context.output.note('There are more differences than these.')
      })
    })
}
