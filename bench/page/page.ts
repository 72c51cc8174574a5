/** The page docs/internals/benchmarks.md, and its tables, as markdown. Pure: the same result gives the same text. */
import {
  figureOf,
  LIMIT_SPREAD_MAX,
  limitsOf,
  type MeasuredEngine,
  type Range,
  type Ratios,
  type Result,
  rangeOf,
  ratiosBetween,
  ratiosToLimit,
  ratiosWithin,
  rounded,
  type Sample,
  samplesOf,
  spreadOf,
} from '../result.js'
import { EXPLANATIONS } from './explanations.js'
import { type Goal, goalsOf } from './goals.js'
import { callsOf, plotsOf, samplesFor, sizesOf } from './plots.js'

/** The page of a run. `file`: name of the run's JSON in data/bench. */
export function pageOf(result: Result, file: string): string {
  const plots = new Map(plotsOf(result).map(({ name, title }) => [name, `![${title}](benchmarks/${name}.svg)\n`]))
  const parts = WORKLOADS.flatMap(({ name, title, about }) => {
    const table = tableOf(result, name)
    return table === '' ? [] : [`## ${title}\n`, `${about}\n`, table, ...(plots.has(name) ? [plots.get(name)] : [])]
  })
  return [HEAD, conditionsOf(result, file), goalsTable(result), ...parts, durabilityOf(result), TAIL].join('\n')
}

/** The tables of a run, for a terminal. */
export function tablesOf(result: Result): string {
  return WORKLOADS.flatMap(({ name, title }) => {
    const table = tableOf(result, name)
    return table === '' ? [] : [`${title}\n`, table]
  })
    .concat(durabilityOf(result))
    .join('\n')
}

const HEAD = `# Benchmarks

This page shows how fast Holdfast is, next to other engines and to the limits of the disk. It is generated from a run of
\`npm run bench:peers\`. Do not edit it: \`npm run bench:page\` writes it again.

\`\`\`sh
npm run bench         # Holdfast, the probe and the raw limit: under 3 minutes
npm run bench:peers   # every engine, every workload, three rounds: about half an hour; writes this page
\`\`\`

[bench/README.md](../../bench/README.md) has the options, and the commands that compare two commits and count operations.

## How to read it

- **Figures of one run only can be compared.** Processors and disks differ. Quote ratios, and not absolute figures.
- Engines take turns, round by round, so that a slow minute of the disk does not hit one engine alone.
- A figure is a median, with the least and the greatest value in brackets. A **cold** figure is that of the first repetition in
  a new process. A **warm** one is that of the last repetition in the same process: a server runs for long.
- **The raw limit** is a loop that appends 1 KiB to a file and calls \`fdatasync\`. It is measured directly before and after
  each repetition, on the same disk. A ratio is left out where the limits that belong to it differ by a factor above ${LIMIT_SPREAD_MAX}.
- **The probe** is LevelDB with group commit and no engine. It stores what an engine has to store: a head of the task when
  it is created, with each step and when it ends, and a record of each step. It waits for each, and at most 100 operations share
  a batch, as in Holdfast. It has no checksums, audit, index, limits or replay. [bench/README.md](../../bench/README.md) has
  what it leaves out.
- Every engine runs the same body: a step returns 1 KiB of JSON that does not compress, and does nothing else. The bench
  checks each result, and that no completed step runs again.
`

const WORKLOADS = [
  {
    name: 'w1',
    title: 'W1: one task',
    about: 'One task of 1,000 steps, one after the other. No other task shares a wait for the disk.',
  },
  {
    name: 'w2',
    title: 'W2: many tasks',
    about:
      '1,000 tasks of 5 steps. 100 clients each start a task, wait for its result, and start the next one. Latency is from the start to the result.',
  },
  {
    name: 'w3',
    title: 'W3: after a kill',
    about:
      '1,000 tasks with 10 of 20 steps done; `SIGKILL`; a new process. Milliseconds from the start of that process. Services of a peer, such as a database, stay up.',
  },
  {
    name: 'w4',
    title: 'W4: growth',
    about:
      'Calls in stores with 0, 100,000 and 1,000,000 settled tasks, of which the older half has been swept. The stores are filled by copying sealed records. Milliseconds: the median, and the slowest of 30 calls (fewer where they take over 10 s); then the keys that a call reads.',
  },
  {
    name: 'w5',
    title: 'W5: one long task',
    about:
      'One task of 10,000 steps that saves a state of 0.1 to 1 MiB every 100 steps, with `keepCheckpoints: 3`. The payload is the results of the steps and three states; the bytes are those of the database after a compaction.',
  },
  {
    name: 'w6',
    title: 'W6: MCP, end to end',
    about:
      '`tools/call` of a durable tool of one step, and of one of one function, over Streamable HTTP, in turns with the same tool on a bare server of the SDK, in one process.',
  },
  {
    name: 'w7',
    title: 'W7: a busy server',
    about:
      'The latency of `tools/list` while the server runs 500 tasks at a time, each with a step that waits 250 ms; and on the idle server.',
  },
  {
    name: 'w8',
    title: 'W8: memory',
    about:
      '10,000 live tasks, each in the middle of a step, and 100,000 sleeping tasks that are unloaded: directly after their start, and after a minute in which the process is idle.',
  },
] as const

const TAIL = `## What is not measured

- Steps that do something, or wait for something. They decide the speed of most real tasks.
- Other sizes of results. Other settings of the peers: each runs as it is shipped, except for what its row names.
- More than one process or machine. A store of Holdfast has one process at a time. **Several of the peers run on many
  machines**, which Holdfast does not do; the bench runs each of them on one. OpenWorkflow, LangGraph and DBOS can share
  a database, and Restate can run as a cluster.
- \`durability: 'buffered'\`, \`anchor: 'each'\`, owners, schemas and idempotency keys in W1, W2 and W3.
- Power cuts. A \`SIGKILL\` leaves the cache of the operating system alone. That each step is synced is counted above; that
  the disk keeps what it acknowledges is the word of the disk.
- The clients of a peer over a network. Restate and PostgreSQL are reached over the loopback interface.
`

function conditionsOf(result: Result, file: string): string {
  const { date, version, commit, node, machine, rounds, reps, scale, engines, failures } = result
  const limits = limitsOf(result)
  const limit = rangeOf(limits)
  const rows = Object.entries(engines).map(([, engine]) => [
    engine.title,
    engine.package ? `\`${engine.package.name}\` ${engine.package.version ?? ''}` : '',
    engine.node,
    engine.isDistributed ? 'yes' : 'no',
    engine.skipped ? `**Not measured:** ${engine.skipped}` : engine.note,
  ])
  const isTrial = scale < 1
  return [
    '## This run\n',
    ...(isTrial
      ? [`> **A trial run, at ${scale} of the full size.** It shows that the bench works. Its figures mean little.\n`]
      : []),
    `- ${date}, Holdfast ${version} at commit \`${commit}\`, rounds: ${rounds}, repetitions in a process: ${reps}. Data: [${file}](../../data/bench/${file}).`,
    `- Node ${node}, ${machine.platform}, ${machine.processors} processors (${machine.model}). Load average before ${loadOf(machine.loadBefore)}, after ${loadOf(machine.loadAfter)}.`,
    `- Raw limit ${limit ? `${text(limit)} appends/s, a spread of ${rounded(spreadOf(limits))}` : 'not measured'}.`,
    ...failures.map(({ workload, engine, error }) => `- **Failed:** ${workload} of ${engine}: ${error}.`),
    '',
    table(['engine', 'package', 'Node', 'runs on many machines', 'settings'], rows),
  ].join('\n')
}

/** The goals, and under the table why those were missed that are. */
function goalsTable(result: Result): string {
  // W2 with five tasks, for one, says nothing.
  if (result.scale < 1) return '## Goals\n\nA trial at a small size is not compared with the goals.\n'
  const goals = goalsOf(result)
  const rows = goals.map(({ goal, found, missedBy }) => [
    goal.title,
    wantedOf(goal),
    'none' in found ? found.none : `${figure(found.value, goal)}${found.note ? ` (${found.note})` : ''}`,
    missedBy === undefined ? '–' : missedBy === 0 ? 'yes' : `**no**, by ${percent(missedBy)}`,
  ])
  const reasons = goals.flatMap(({ name, goal, missedBy }) => {
    if (!missedBy) return []
    return [`- **${goal.title}**, missed by ${percent(missedBy)}. ${EXPLANATIONS[name] ?? 'Not explained yet.'}`]
  })
  return [
    '## Goals\n',
    'What the speed of Holdfast was planned with, as this run meets it. Each figure is a median, and each ratio is of figures of the same round. The best peer is the best of those that sync what they acknowledge.\n',
    table(['figure', 'goal', 'measured', 'met'], rows),
    ...(reasons.length > 0 ? ['### Missed goals\n', ...reasons, ''] : []),
  ].join('\n')
}

function wantedOf(goal: Goal): string {
  const { least, most } = goal
  if (least !== undefined && least === most) return `= ${figure(least, goal)}`
  return least !== undefined ? `≥ ${figure(least, goal)}` : `≤ ${figure(most ?? Number.NaN, goal)}`
}

function figure(value: number, { unit = '' }: Goal): string {
  return `${rounded(value).toLocaleString('en', { maximumSignificantDigits: 12 })}${unit}`
}

function percent(share: number): string {
  return Number.isFinite(share) ? `${Math.max(1, Math.round(share * 100))} %` : 'more than can be said in percent'
}

function loadOf(averages: readonly number[]): string {
  return averages.map((average) => average.toFixed(1)).join(', ')
}

function durabilityOf({ engines }: Result): string {
  const rows = Object.values(engines).flatMap(({ title, syncs }) => {
    if (!syncs) return []
    return [[title, 'perStep' in syncs ? String(rounded(syncs.perStep)) : `not counted: ${syncs.notCounted}`]]
  })
  if (rows.length === 0) return ''
  return [
    '## Durability\n',
    'Calls of `fsync` and `fdatasync` per step, counted by `strace` over the process and its service: a task of many steps less a task of few. Far below 1, acknowledged steps may be lost in a power cut.\n',
    table(['engine', 'syncs per step'], rows),
  ].join('\n')
}

function tableOf(result: Result, workload: string): string {
  if (!result.samples.some((sample) => sample.workload === workload)) return ''
  switch (workload) {
    case 'w1':
      return sideBySide(result, 'w1', 'stepsPerSecond', { label: 'steps/s', cpu: 'cpuMicrosPerStep', more: [] })
    case 'w2':
      return sideBySide(result, 'w2', 'tasksPerSecond', {
        label: 'tasks/s',
        cpu: 'cpuMicrosPerTask',
        more: [
          ['p50 ms, warm', 'p50Ms'],
          ['p99 ms, warm', 'p99Ms'],
        ],
      })
    case 'w3':
      return recoveries(result)
    case 'w4':
      return growth(result)
    case 'w5':
      return longTask(result)
    case 'w6':
      return mcp(result)
    case 'w7':
      return busy(result)
    default:
      return memory(result)
  }
}

interface Shown {
  readonly label: string
  /** Name of the figure of processor time. */
  readonly cpu: string
  readonly more: readonly (readonly [label: string, figure: string])[]
}

function sideBySide(result: Result, workload: string, figure: string, { label, cpu, more }: Shown): string {
  const rows = measuredEngines(result, workload).map(([name, { title }]) => {
    const cold = samplesOf(result, workload, name, 'cold')
    const warm = samplesOf(result, workload, name, 'warm')
    const steps = 'stepsPerSecond'
    return [
      title,
      textOf(cold, figure),
      textOf(warm, figure),
      ratio(ratiosToLimit(cold, steps)),
      ratio(ratiosToLimit(warm, steps)),
      ...more.map(([, other]) => textOf(warm, other)),
      textOf(warm, cpu),
      textOf(warm, 'rssMb'),
    ]
  })
  const headings = [
    'engine',
    `${label}, cold`,
    `${label}, warm`,
    'steps ÷ raw limit, cold',
    'steps ÷ raw limit, warm',
    ...more.map(([heading]) => heading),
    `processor µs, own process, warm`,
    'RSS MB',
  ]
  return [
    table(headings, rows),
    comparisons(result, workload, [
      ['cold ÷ cold', 'cold', figure],
      ['warm ÷ warm', 'warm', figure],
    ]),
  ].join('\n')
}

/** Ratios of Holdfast to each other engine, of the figures that `columns` name. */
function comparisons(
  result: Result,
  workload: string,
  columns: readonly (readonly [heading: string, state: 'cold' | 'warm' | 'all', figure: string])[],
): string {
  const others = measuredEngines(result, workload).filter(([name]) => name !== 'holdfast')
  if (others.length === 0 || samplesOf(result, workload, 'holdfast').length === 0) return ''
  const rows = others.map(([name, { title }]) => [
    title,
    ...columns.map(([, state, figure]) => {
      const [ours, theirs] = ['holdfast', name].map((engine) => samplesOf(result, workload, engine, state))
      return ratio(ratiosBetween(ours ?? [], theirs ?? [], figure))
    }),
  ])
  return table(['Holdfast ÷', ...columns.map(([heading]) => heading)], rows)
}

function recoveries(result: Result): string {
  const figures = ['openMs', 'firstNextStepMs', 'allNextStepsMs', 'allCompleteMs', 'rerunSteps']
  const rows = measuredEngines(result, 'w3').map(([name, { title }]) => {
    const samples = samplesOf(result, 'w3', name)
    return [title, ...figures.map((figure) => textOf(samples, figure))]
  })
  const headings = ['engine', 'open', 'first next step', 'all next steps', 'all complete', 'completed steps run again']
  return [
    table(headings, rows),
    comparisons(result, 'w3', [
      ['all next steps (less is better)', 'all', 'allNextStepsMs'],
      ['all complete (less is better)', 'all', 'allCompleteMs'],
    ]),
  ].join('\n')
}

function growth(result: Result): string {
  const sizes = sizesOf(result)
  const names = sizes.map((size) => size.toLocaleString('en'))
  const all = samplesOf(result, 'w4', 'holdfast')
  const store = (figure: string) =>
    sizes.map((size) =>
      textOf(
        all.filter(({ settled }) => settled === size),
        figure,
      ),
    )
  const w2 = (figure: string) => sizes.map((size) => textOf(samplesFor(result, 'w4', 'W2', size), figure))
  const task = (figure: string) => sizes.map((size) => textOf(samplesFor(result, 'w4', 'task', size), figure))
  const stores = [
    ['settled tasks that are kept', ...store('kept')],
    ['settled tasks that were swept', ...store('swept')],
    ['`open`, ms', ...store('openMs')],
    ['keys read by `open`', ...store('openReadKeys')],
    ['W2 tasks/s, warm', ...w2('tasksPerSecond')],
    ['W2 processor µs a task', ...w2('cpuMicrosPerTask')],
    ['operations of a task of 5 steps', ...task('operations')],
    ['batches of it', ...task('batches')],
    ['keys read by it', ...task('readKeys')],
    ['RSS MB at the end', ...store('rssMb')],
  ]
  const calls = callsOf(result, 'w4')
    .filter((call) => call.includes('('))
    .map((call) => [
      `\`${call.replace(/,( \w+)$/, '`,$1')}${/, \w+$/.test(call) ? '' : '`'}`,
      ...sizes.map((size) => {
        const samples = samplesFor(result, 'w4', call, size)
        const [p50, p99] = [figureOf(samples, 'p50Ms'), figureOf(samples, 'p99Ms')]
        return p50 && p99 ? `${rounded(p50.median)} · ${rounded(p99.median)}` : '–'
      }),
      ...sizes.map((size) => textOf(samplesFor(result, 'w4', call, size), 'readKeys')),
      textOf(samplesFor(result, 'w4', call, sizes.at(-1)), 'loopDelayMaxMs'),
    ])
  return [
    table(['settled tasks', ...names], stores),
    table(
      [
        'call',
        ...names.map((name) => `ms at ${name}`),
        ...names.map((name) => `keys at ${name}`),
        'longest block of the event loop at the last size, ms',
      ],
      calls,
    ),
  ].join('\n')
}

function longTask(result: Result): string {
  const samples = samplesOf(result, 'w5', 'holdfast')
  return table(
    ['', ''],
    [
      ['first tenth of the steps, ms', textOf(samples, 'firstPartMs')],
      ['second tenth, ms', textOf(samples, 'secondPartMs')],
      ['last tenth, ms', textOf(samples, 'lastPartMs')],
      ['last ÷ first', ratio(ratiosWithin(samples, 'lastPartMs', 'firstPartMs'))],
      ['last ÷ second', ratio(ratiosWithin(samples, 'lastPartMs', 'secondPartMs'))],
      ['bytes of payload', textOf(samples, 'payloadBytes')],
      ['bytes before the compaction', textOf(samples, 'bytesBefore')],
      ['bytes after it', textOf(samples, 'bytes')],
      ['bytes ÷ payload', plainRatio(samples, 'bytes', 'payloadBytes')],
    ],
  )
}

function mcp(result: Result): string {
  const tools = [
    ['one function', 'functionP50Ms', 'functionP99Ms', 'functionCallsPerSecond'],
    ['one step', 'p50Ms', 'p99Ms', 'callsPerSecond'],
  ] as const
  const rows = callsOf(result, 'w6').flatMap((call) => {
    const samples = samplesFor(result, 'w6', call)
    const durable = tools.map(([title, p50, p99, rate]) => [
      ...[call, `durable, ${title}`, textOf(samples, p50), ratio(ratiosWithin(samples, p50, 'bareP50Ms'))],
      ...[textOf(samples, p99), textOf(samples, rate), ratio(ratiosWithin(samples, rate, 'bareCallsPerSecond'))],
    ])
    const bare = ['bareP50Ms', 'bareP99Ms', 'bareCallsPerSecond'].map((figure) => textOf(samples, figure))
    return [...durable, [call, 'bare SDK server', bare[0] ?? '', '1', bare[1] ?? '', bare[2] ?? '', '1']]
  })
  return table(['revision, clients', 'tool', 'p50 ms', '÷ bare', 'p99 ms', 'calls/s', '÷ bare'], rows)
}

function busy(result: Result): string {
  const samples = samplesOf(result, 'w7', 'holdfast')
  return table(
    ['`tools/list`', 'idle server', 'with the tasks', 'with ÷ idle'],
    [
      [
        'p50 ms',
        textOf(samples, 'idleP50Ms'),
        textOf(samples, 'p50Ms'),
        ratio(ratiosWithin(samples, 'p50Ms', 'idleP50Ms')),
      ],
      [
        'p99 ms',
        textOf(samples, 'idleP99Ms'),
        textOf(samples, 'p99Ms'),
        ratio(ratiosWithin(samples, 'p99Ms', 'idleP99Ms')),
      ],
      ['event-loop delay p99, ms', textOf(samples, 'idleLoopDelayP99Ms'), textOf(samples, 'loopDelayP99Ms'), ''],
      ['longest delay, ms', '', textOf(samples, 'loopDelayMaxMs'), ''],
    ],
  )
}

function memory(result: Result): string {
  const rows = callsOf(result, 'w8').map((call) => {
    const samples = samplesFor(result, 'w8', call)
    const figures = ['tasks', 'heapBytesPerTask', 'rssMb', 'openMs', 'recoveredMs', 'statsMs', 'listCompletedMs']
    return [call, ...figures.map((figure) => textOf(samples, figure))]
  })
  const headings = ['tasks', 'number', 'heap bytes a task', 'RSS MB', '`open` ms', 'recovered after ms', '`stats()` ms']
  return table([...headings, "`list({ status: 'completed' })` ms"], rows)
}

function measuredEngines(result: Result, workload: string): (readonly [string, MeasuredEngine])[] {
  return Object.entries(result.engines).filter(([name]) => samplesOf(result, workload, name).length > 0)
}

function textOf(samples: readonly Sample[], figure: string): string {
  const range = figureOf(samples, figure)
  return range ? text(range) : '–'
}

function text({ median, least, greatest }: Range): string {
  const show = (value: number) => rounded(value).toLocaleString('en', { maximumSignificantDigits: 12 })
  return least === greatest ? show(median) : `${show(median)} (${show(least)}–${show(greatest)})`
}

function ratio({ range, printed, measured }: Ratios): string {
  if (measured === 0) return '–'
  if (!range) return 'not printed: the raw limit moved'
  return printed === measured ? text(range) : `${text(range)}, ${printed} of ${measured}`
}

/** A ratio that does not depend on the time. */
function plainRatio(samples: readonly Sample[], name: string, to: string): string {
  return ratio(
    ratiosWithin(
      samples.map(({ limits: _, ...sample }) => sample),
      name,
      to,
    ),
  )
}

function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(headings), `|${headings.map(() => '---').join('|')}|`, ...rows.map(line), ''].join('\n')
}
