/** `holdfast tasks …`: one task, lists, and what an operator does to tasks. */

import { durationMs } from '../../base/duration.js'
import type { OperatorRouteCalls } from '../../operator/index.js'
import { type Context, commandContext, jsonValue, type Terminal } from '../terminal/context.js'
import { CommandError } from '../terminal/exit-codes.js'
import { type Column, instantText, timeText } from '../terminal/output.js'
import { type Command, Option } from '../terminal/packages.js'
import { type BulkRequest, bulk } from './bulk.js'
import { type AttributeOption, addFilters, attribute, type FilterOptions, filterOf, wantedOf } from './filters.js'
import { showSteps } from './steps.js'

type Page = Awaited<ReturnType<OperatorRouteCalls['listTasks']>>
export type Task = Page['tasks'][number]

/** Columns of a list of tasks. */
export function taskColumns(now: number): readonly Column<Task>[] {
  return [
    { title: 'TASK', text: ({ taskId }) => taskId },
    { title: 'STATUS', text: ({ status, parked }) => (parked ? 'parked' : status) },
    { title: 'TYPE', text: ({ type }) => type },
    { title: 'OWNER', text: ({ owner }) => owner },
    { title: 'AGE', text: ({ createdAt }) => timeText(now - createdAt) },
    { title: 'STEPS', text: ({ completedSteps }) => completedSteps },
    {
      title: 'NOTE',
      text: ({ parked, error, progress, title }) => parked?.code ?? error?.code ?? progress?.message ?? title,
    },
  ]
}

/** Adds the commands of `holdfast tasks`. */
export function addTaskCommands(program: Command, terminal: Terminal): void {
  const tasks = program.command('tasks').description('Look at tasks, and act on them.')
  const of = (command: Command) => commandContext(terminal, command)

  addFilters(tasks.command('list').description('List tasks.'))
    .addOption(new Option('--limit <number>', 'number of tasks').argParser(positive).default(100))
    .option('--cursor <cursor>', 'continue after an earlier list')
    .addOption(new Option('--order <order>', 'order of creation').choices(['oldest', 'newest']).default('newest'))
    .action(async (_options: unknown, command: Command) => list(of(command), command.opts()))

  tasks
    .command('get <taskId>')
    .description('Show one task.')
    .action(async (taskId: string, _options: unknown, command: Command) => {
      const context = of(command)
      await context.withStore(async ({ calls }) =>
        show(context, await calls.getTask({ taskId, values: context.values })),
      )
    })

  tasks
    .command('steps <taskId>')
    .description('Show the log of a task.')
    .action(async (taskId: string, _options: unknown, command: Command) => showSteps(of(command), taskId))

  tasks
    .command('explain <taskId>')
    .description('Show why a task does not run now.')
    .action(async (taskId: string, _options: unknown, command: Command) => {
      const context = of(command)
      await context.withStore(async ({ calls }) => {
        const found = await calls.explainTask({ taskId })
        context.output.fields(
          found,
          Object.entries(found).map(([name, value]) => [name, shownField(name, value)]),
        )
      })
    })

  tasks
    .command('start <type>')
    .description('Start a task of a definition that the server has registered.')
    .option('--input <json>', 'input as JSON; - reads standard input')
    .option('--owner <owner>', 'owner of the task')
    .option('--idempotency-key <key>', 'a second start with this key returns the same task')
    .option('--priority <number>', 'higher runs earlier', Number)
    .option('--ttl <duration>', 'time after which the task is deleted, such as 7d')
    .option('--title <text>', 'title for people')
    .option('--attribute <name=value>', 'attribute by which lists find the task; repeatable', attribute)
    .action(async (type: string, options: StartOptions, command: Command) => {
      const context = of(command)
      const input = await jsonValue(terminal, '--input', options.input)
      const { owner, idempotencyKey, priority, ttl, title } = options
      const attributes = options.attribute && wantedOf(options.attribute)
      const about = { owner, idempotencyKey, priority, ttl, title, attributes }
      await context.withStore(
        async ({ calls }) => {
          const started = await calls.startTask({ ...about, type, input })
          const what = started.created ? 'started' : 'existed already under this key'
          context.output.done(`${started.taskId} ${what}.`, started)
        },
        { needsServer: true },
      )
    })

  tasks
    .command('set-attributes <taskId> <name=value...>')
    .description('Set attributes of an unfinished task, such as customer=a-17. name=null removes one.')
    .action(async (taskId: string, given: readonly string[], _options: unknown, command: Command) => {
      const context = of(command)
      const attributes = given.reduce<AttributeOption>((before, text) => attribute(text, before), {})
      await context.withStore(async ({ calls }) => {
        const task = await calls.setAttributes({ taskId, attributes })
        context.output.done(`The attributes of ${taskId} are set.`, task)
      })
    })

  bulk(terminal, tasks.command('cancel [taskId]').description('Cancel a task, or all that match the filters.'), {
    verb: 'cancel',
    past: 'cancelled',
    needsServer: false,
    options: (command) =>
      command
        .option('--reason <text>', 'reason, for the task and the audit')
        .option('--force', 'give up the clean-up of a parked task'),
    one: async ({ calls, mode }, taskId, { reason, force }) => {
      const { cleanUp } = await calls.cancelTask({ taskId, reason, force })
      return mode === 'stopped' && cleanUp === 'pending'
        ? 'Its clean-up is pending: it runs when the server starts.'
        : undefined
    },
    many: ({ calls }, request) => calls.cancelTasks(request),
  })
  bulk(terminal, tasks.command('retry [taskId]').description('Make the next attempt of a task now.'), {
    verb: 'retry',
    past: 'retried',
    needsServer: true,
    one: async ({ calls }, taskId) => noMore(await calls.retryTask({ taskId })),
    many: ({ calls }, request) => calls.retryTasks(withoutReason(request)),
  })
  bulk(terminal, tasks.command('resume [taskId]').description('Resume a parked task.'), {
    verb: 'resume',
    past: 'resumed',
    needsServer: true,
    one: async ({ calls }, taskId) => noMore(await calls.resumeTask({ taskId })),
    many: ({ calls }, request) => calls.resumeTasks(withoutReason(request)),
  })
  bulk(terminal, tasks.command('delete [taskId]').description('Delete a settled task. The audit stays.'), {
    verb: 'delete',
    past: 'deleted',
    needsServer: false,
    one: async ({ calls }, taskId) => noMore(await calls.deleteTask({ taskId })),
    many: ({ calls }, request) => calls.deleteTasks(withoutReason(request)),
  })

  tasks
    .command('fork <taskId>')
    .description('Create a task that continues from a recorded point of this one.')
    .option('--checkpoint <id>', 'continue from this checkpoint')
    .option('--after-step <name>', 'continue after this step')
    .option('--owner <owner>', 'owner of the new task')
    .option('--idempotency-key <key>', 'a second fork with this key returns the same task')
    .action(async (taskId: string, options: ForkOptions, command: Command) => {
      const context = of(command)
      const { checkpoint, afterStep, owner, idempotencyKey } = options
      if ((checkpoint === undefined) === (afterStep === undefined)) {
        throw new CommandError(2, 'Name the point with either --checkpoint <id> or --after-step <name>.')
      }
      const point = checkpoint === undefined ? { afterStep: afterStep as string } : { checkpointId: checkpoint }
      await context.withStore(
        async ({ calls }) => {
          const forked = await calls.forkTask({ taskId, point, owner, idempotencyKey })
          context.output.done(`${forked.taskId} continues from ${taskId}.`, forked)
        },
        { needsServer: true },
      )
    })

  tasks
    .command('respond <taskId> <key> <json>')
    .description('Answer an open question of a task. The key is that of `tasks get`; - reads standard input.')
    .action(async (taskId: string, key: string, json: string, _options: unknown, command: Command) => {
      const context = of(command)
      const value = await jsonValue(terminal, 'The answer', json)
      await context.withStore(
        async ({ calls }) => {
          const answer = await calls.respond({ taskId, responses: { [key]: value } })
          const ignored = answer.ignored[0]
          if (ignored) throw new CommandError(4, `The answer to '${key}' was ignored: ${IGNORED[ignored.reason]}.`)
          context.output.done(`The answer to '${key}' is stored.`, answer)
        },
        { needsServer: true },
      )
    })

  tasks
    .command('send <taskId> <name> [json]')
    .description('Send a message to a task; - reads standard input.')
    .option('--idempotency-key <key>', 'a second message with this key changes nothing')
    .action(async (taskId: string, name: string, json: string | undefined, options: SendOptions, command: Command) => {
      const context = of(command)
      const payload = await jsonValue(terminal, 'The message', json)
      const { idempotencyKey } = options
      await context.withStore(
        async ({ calls }) => {
          const sent = await calls.sendMessage({ taskId, name, payload, idempotencyKey })
          context.output.done(`The message '${name}' is stored.`, sent)
        },
        { needsServer: true },
      )
    })
}

/** The filters of a request for an action that has no reason. */
function withoutReason({ reason: _, ...request }: BulkRequest) {
  return request
}

/** An action that has no further sentence for the operator. */
function noMore(_answer: unknown): undefined {}

interface StartOptions {
  readonly input?: string
  readonly owner?: string
  readonly idempotencyKey?: string
  readonly priority?: number
  readonly ttl?: string
  readonly title?: string
  readonly attribute?: AttributeOption
}

interface ForkOptions {
  readonly checkpoint?: string
  readonly afterStep?: string
  readonly owner?: string
  readonly idempotencyKey?: string
}

interface SendOptions {
  readonly idempotencyKey?: string
}

const IGNORED = {
  unknown: 'the task has no open question of this key',
  answered: 'the question is answered already',
  settled: 'the task has settled',
  invalid: 'the answer does not fit the schema of the question',
} as const

// The server returns at most this many tasks in a page.
const PAGE_TASKS_MAX = 1_000

async function list(context: Context, options: ListOptions): Promise<void> {
  const filter = filterOf(options)
  const { order } = options
  await context.withStore(async ({ calls }) => {
    const found: Task[] = []
    let { cursor } = options
    // A page may be short or empty while there is a cursor.
    do {
      const limit = Math.min(PAGE_TASKS_MAX, options.limit - found.length)
      const page = await calls.listTasks({ ...filter, order, limit, cursor })
      found.push(...page.tasks)
      cursor = page.cursor
    } while (cursor !== undefined && found.length < options.limit)
    context.output.rows(found, taskColumns(context.terminal.now()))
    if (cursor === undefined) return
    if (context.output.json) context.output.object({ cursor })
    else context.output.note(`More tasks match. Continue with --cursor ${cursor}`)
  })
}

interface ListOptions extends FilterOptions {
  readonly limit: number
  readonly cursor?: string
  readonly order: 'oldest' | 'newest'
}

function show({ output, values }: Context, task: Awaited<ReturnType<OperatorRouteCalls['getTask']>>): void {
  const fields = Object.entries(task).map(([name, value]) => [name, shownField(name, value)] as const)
  output.fields(task, fields)
  if (!values && !output.json) output.note('Inputs, results and questions are hidden. Show them with --show-values.')
}

/** The value of a field for people: instants as text, also those in a list or an object. Values of tasks stay as they are. */
export function shownField(name: string, value: unknown): unknown {
  if (VALUES.includes(name)) return value
  if (typeof value === 'number') return /At$|^(since|until)$/.test(name) ? instantText(value) : value
  if (Array.isArray(value)) return value.map((each) => shownField('', each))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([inner, each]) => [inner, shownField(inner, each)]))
}

/** Fields with a value of a task, whose names are the author's. */
const VALUES = ['input', 'outcome', 'state', 'request', 'attributes', 'progress']

function positive(text: string): number {
  const number = Number(text)
  if (Number.isInteger(number) && number > 0) return number
  throw new CommandError(2, `Expected a whole number above zero, and got '${text}'.`)
}

/** Milliseconds of a duration of the command line. @throws CommandError */
export function durationOption(name: string, text: string): number {
  try {
    return durationMs(text, name)
  } catch (cause) {
    throw new CommandError(2, `${name} takes a duration such as 90s, 15m, 12h or 7d, and got '${text}'.`, { cause })
  }
}
