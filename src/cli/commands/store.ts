/** `holdfast stats`, `health` and `recovery`: the store as a whole. */

import type { OperatorRouteCalls } from '../../operator/index.js'
import type { Connected } from '../terminal/connect.js'
import { type Context, commandContext, type Terminal } from '../terminal/context.js'
import { CommandError } from '../terminal/exit-codes.js'
import { instantText } from '../terminal/output.js'
import { type Command, Option } from '../terminal/packages.js'
import { instantOption } from './filters.js'
import { durationOption, shownField } from './tasks.js'

/** Adds the commands. */
export function addStoreCommands(program: Command, terminal: Terminal): void {
  program
    .command('stats')
    .description(
      'Show counts, sizes and service levels; with a window, also those of its full hours, and their targets.',
    )
    .addOption(
      new Option('--since <duration>', 'window of this last time, such as 12h or 7d').conflicts(['from', 'to']),
    )
    .option('--from <instant>', 'window from the hour of this instant (ISO 8601)', instantOption)
    .option('--to <instant>', 'window up to this instant (ISO 8601)', instantOption)
    .action(async ({ since, from, to }: StatsCommandOptions, command: Command) => {
      const context = commandContext(terminal, command)
      const begin = since === undefined ? from : Math.max(0, terminal.now() - durationOption('--since', since))
      await context.withStore(async ({ calls }) => printStats(context, await calls.stats({ from: begin, to })))
    })
  program
    .command('health')
    .description('Show if the server is live and ready. Exit code 0 if it is ready, else 4.')
    .action(async (_options: unknown, command: Command) => {
      const context = commandContext(terminal, command)
      await context.withStore(
        async ({ calls }) => {
          const health = await calls.health()
          context.output.fields(health, flat(health))
          if (!health.ready) throw new CommandError(4, 'The server is not ready.')
        },
        { needsServer: true },
      )
    })
  program
    .command('recovery')
    .description(
      'Show the report of the recovery at the start of the server; at rest, the stored report of the last one.',
    )
    .option('--last', 'show the stored report of the last recovery that found tasks')
    .option('--begin', 'resume the unfinished tasks first, if they wait for that')
    .action(async ({ last = false, begin = false }: { last?: boolean; begin?: boolean }, command: Command) => {
      const context = commandContext(terminal, command)
      await context.withStore(
        async ({ calls, mode }) => {
          if (begin) await calls.recover()
          await (last || mode === 'stopped' ? printLast(context, calls) : printThis(context, calls))
        },
        { needsServer: begin },
      )
    })
}

interface StatsCommandOptions {
  readonly since?: string
  readonly from?: number
  readonly to?: number
}

type ReadStats = Awaited<ReturnType<OperatorRouteCalls['stats']>>

function printStats({ output }: Context, stats: ReadStats): void {
  const { window, ...rest } = stats
  if (output.json || !window) {
    output.fields(stats, flat(rest))
    return
  }
  const { targets, ...levels } = window.levels
  const shown = { from: instantText(window.from), to: instantText(window.to), levels }
  output.fields(stats, flat({ ...rest, window: shown }))
  const rows = Object.entries(targets) as [keyof typeof targets, (typeof targets)[keyof typeof targets]][]
  output.rows(
    rows.map(([name, target]) => ({ name, level: levels[name], ...target })),
    [
      { title: 'LEVEL', text: ({ name }) => name },
      { title: 'VALUE', text: ({ level }) => level },
      { title: 'TARGET', text: ({ below, above }) => (below === undefined ? `> ${above}` : `< ${below}`) },
      { title: 'HOLDS', text: ({ holds }) => (holds === undefined ? 'nothing to count' : holds ? 'yes' : 'no') },
    ],
  )
}

async function printThis({ output }: Context, calls: Connected['calls']): Promise<void> {
  const report = await calls.recovery()
  if (output.json) {
    output.object(report)
    return
  }
  const { tasks, suspects, ...head } = report
  output.fields(head, flat(head))
  for (const { taskId, type, deaths, reason } of suspects) {
    output.cells(['suspect', taskId, type, `${deaths} crashes`, reason])
  }
  if (tasks.length > 0) printResults(output, tasks)
}

async function printLast({ output }: Context, calls: Connected['calls']): Promise<void> {
  const { report } = await calls.lastRecovery()
  if (output.json) {
    output.object({ report: report ?? null })
    return
  }
  if (!report) {
    output.line('No recovery has found tasks yet.')
    return
  }
  const { tasks, ...head } = report
  output.fields(head, flat(head))
  printResults(output, tasks)
}

interface RecoveryResult {
  readonly taskId: string
  readonly type: string
  readonly action: string
  readonly replayed?: number
  readonly reason?: string | undefined
}

function printResults(output: Context['output'], tasks: readonly RecoveryResult[]): void {
  output.rows(tasks, [
    { title: 'TASK', text: ({ taskId }) => taskId },
    { title: 'TYPE', text: ({ type }) => type },
    { title: 'RESULT', text: ({ action }) => action },
    { title: 'REPLAYED', text: ({ replayed }) => replayed },
    { title: 'NOTE', text: ({ reason }) => reason },
  ])
}

/** The fields of nested objects as lines with names such as `levels.sinceOpen.completed`. */
function flat(value: object, prefix = ''): (readonly [string, unknown])[] {
  return Object.entries(value).flatMap(([name, inner]) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? flat(inner as object, `${prefix}${name}.`)
      : [[`${prefix}${name}`, shownField(name, inner)] as const],
  )
}
