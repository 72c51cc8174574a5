/** The tables of docs/mcp/clients.md, made from what a run of all clients wrote down. */
import type { Ended } from './adapter-process.js'
import type { Outcome } from './trial.js'

/** What was seen of one client beside one kind of server. */
export interface Seen {
  readonly client: string
  readonly package: string
  readonly version: string
  readonly speaks: string
  readonly stdio: Outcome | { readonly failed: string }
  /** By how many seconds nobody served. */
  readonly http: Readonly<Record<string, Outcome | { readonly failed: string }>>
}

/** What a run of all clients wrote down. */
export interface ClientsRun {
  readonly node: string
  /** How long a pending call was waited for after the server was back. */
  readonly patienceMs: number
  readonly rows: readonly Seen[]
}

type Tried = Outcome | { readonly failed: string }

/** Both tables, in Markdown. */
export function tablesOf(run: ClientsRun): string {
  const seconds = Object.keys(run.rows[0]?.http ?? {})
  const first = run.rows.map((row) => {
    const http = row.http[seconds[0] as string] as Tried
    const cells = [nameOf(row), 'failed' in http ? row.speaks : http.revision, both(row.stdio, http, callOf)]
    return [...cells, both(row.stdio, http, progressOf), both(row.stdio, http, inputOf), killOf(row.stdio, run)]
  })
  const second = run.rows.map((row) => {
    const revision = Object.values(row.http).flatMap((tried) => ('failed' in tried ? [] : [tried.revision]))[0]
    const cells = seconds.map(
      (after) => killOf(row.http[after] as Tried, run) + longerThan(Number(after), row.http[after] as Tried),
    )
    return [nameOf(row), revision ?? row.speaks, ...cells.map(orTheSame)]
  })
  return [
    `The clients ran on Node ${run.node.slice(1)}. A call without an answer was waited for until ${run.patienceMs / 1_000} s after the server was back.`,
    '',
    '### What each client can do',
    '',
    table(
      ['client', 'revision', 'list, call', 'progress', 'input', 'answered, when its server is killed over stdio'],
      first,
    ),
    '',
    '### Is a call answered, when its server is killed over HTTP and comes back?',
    '',
    table(
      ['client', 'revision', ...seconds.map((after) => (after === '0' ? 'back at once' : `back after ${after} s`))],
      second,
    ),
  ].join('\n')
}

const table = (head: string[], rows: readonly (readonly string[])[]) =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')

/** What is said of an outage that a busy machine made longer: it is not the one of the column. */
function longerThan(seconds: number, tried: Tried): string {
  if ('failed' in tried || tried.kill.outageMs < seconds * 1_000 + 1_000) return ''
  return ` (it was back after ${(tried.kill.outageMs / 1_000).toFixed(1)} s)`
}

/** A long cell that says what the one before it does is shortened. */
const orTheSame = (cell: string, index: number, cells: readonly string[]) =>
  cell.startsWith('no') && cell === cells[index - 1] ? 'no: the same' : cell

const nameOf = ({ package: name, version }: Seen) => `\`${name}\` ${version}`

/** One cell for both transports where they are alike. */
function both(stdio: Tried, http: Tried, say: (outcome: Outcome) => string): string {
  const [one, other] = [stdio, http].map((tried) =>
    'failed' in tried ? `failed: ${quoted(tried.failed)}` : say(tried),
  )
  return one === other ? (one as string) : `stdio: ${one}; HTTP: ${other}`
}

const callOf = ({ tools, call }: Outcome) =>
  tools.join() === 'confirm,work' && isAnswered(call, 'plain') ? 'ok' : `not ok: ${say(call)}`

/** A client that polls may see none of a short call, and some of the longer one whose server is killed. */
function progressOf({ progress: ofShort, kill }: Outcome): string {
  const progress = ofShort.length > 0 ? ofShort : kill.progress
  if (progress.length === 0) return 'none'
  const rises = progress.every((value, index) => index === 0 || value > (progress[index - 1] as number))
  return rises
    ? progress.length === 3
      ? 'in order'
      : 'in order, the latest at each poll'
    : `out of order: ${progress}`
}

function inputOf({ input: { ended, asked } }: Outcome): string {
  if (!ended) return 'asked, and no answer in 20 s'
  if ('text' in ended && ended.text.includes('true') && asked === 1) return 'ok'
  return /can't answer elicitation|INPUT_UNAVAILABLE/.test('text' in ended ? ended.text : ended.error)
    ? 'not declared: `INPUT_UNAVAILABLE`'
    : say(ended)
}

function killOf(tried: Tried, { patienceMs }: ClientsRun): string {
  if ('failed' in tried) return `failed: ${quoted(tried.failed)}`
  const { pending, again, begun, answeredMs, reconnected, resumed } = tried.kill
  if (pending && isAnswered(pending, 'kill')) return `yes, after ${(answeredMs / 1_000).toFixed(0)} s`
  const lost = pending ? say(pending) : `no answer in ${patienceMs / 1_000} s`
  const joins = again && isAnswered(again, 'kill')
  const more = resumed ? 'its task is resumed' : begun === 1 ? 'the same call joins' : 'the same call is a new task'
  return `no: ${lost}; ${joins ? `${more}${reconnected ? ' from another client' : ''}` : `again: ${again ? say(again) : 'not tried'}`}`
}

const isAnswered = (ended: Ended, id: string) =>
  'text' in ended && ended.text.includes('worked') && ended.text.includes(id)

const say = (ended: Ended) => quoted('text' in ended ? ended.text : ended.error)

/** Fit for a cell; the name of a task and a port are another each time. */
function quoted(text: string): string {
  const line = text
    .replaceAll(/task-\w+/g, 'task-…')
    .replaceAll(/127\.0\.0\.1:\d+/g, '127.0.0.1:…')
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/[`|]/g, "'")
  return `\`${line.length > 110 ? `${line.slice(0, 109)}…` : line}\``
}
