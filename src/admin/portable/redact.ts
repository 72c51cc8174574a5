/**
 * Redacts the records of a task, for a bug report: inputs, results, states, messages, questions, texts of errors, owners and
 * idempotency keys are replaced. Titles and attributes are left out. Names of types, steps, inputs and messages, codes, sizes and
 * instants stay. Pure.
 *
 * redact-1. A field, and a kind of record, stays only if it is named here. So a field that a later version adds is left out.
 */
import { seal, unseal } from '../../store/integrity/envelope.js'
import type { AuditEntry } from '../../task/changes.js'
import { splitValue, withValue } from '../../task/head-codec.js'
import type { TaskError } from '../../task/log/outcome.js'

const REDACTED = 'redacted'

/** The record without its values; `undefined` for one that is left out. */
export function redactRecord(key: string, text: string): string | undefined {
  const [kind = ''] = key.split('/')
  const redact = KINDS[kind]
  if (!redact) return undefined
  const { seq, body } = unseal(key, text)
  return seal(key, seq, redact(body))
}

type Redact = (body: string) => string

const KINDS: Readonly<Record<string, Redact>> = {
  task: (body) => withInline(body, fixedPart),
  live: (body) => withInline(body, movingPart),
  done: (body) => withInline(body, movingPart),
  input: size,
  outcome: outcome,
  log: (body) => withInline(body, record),
  dropped: (body) => body,
  checkpoint: (body) =>
    object(body, ['checkpointId', 'taskId', 'savedBy', 'seq', 'createdAt', 'completedSteps', 'opens', 'stateBytes']),
  state: size,
  note: (body) => withInline(body, note),
  'input-key': (body) => body,
  intent: (body) => withInline(body, undoRecord),
  message: size,
  patch: (body) => body,
  beside: size,
}

const FIXED = [
  'type',
  'kind',
  'version',
  'createdAt',
  'ttlMs',
  'deadlineAt',
  'priority',
  'hasInput',
  'seed',
  'parentId',
  'depth',
  'forkedFrom',
]
const NAMED = [
  'wakeAt',
  'parked',
  'triedWith',
  'settledAt',
  'timeoutAt',
  'hasStepStates',
  'intents',
  'inputs',
  'inputsAsked',
  'messagesSent',
  'messageKeys',
  'messages',
  'listens',
  'attemptsBefore',
  'wantsAttempt',
  'hasNews',
  'children',
  'hasPatches',
  'hasDropped',
  'deaths',
  'begun',
  'cleanUp',
  'stoppedBy',
  'durability',
]
const PLACE = ['segment', 'scope', 'ask', 'after', 'id', 'name', 'number']
const RECORD = [
  ...PLACE,
  'kind',
  'seq',
  'at',
  'startedAt',
  'attempts',
  'dueAt',
  'key',
  'message',
  'childId',
  'branch',
  'lost',
]
const SAVED = ['checkpointId', 'opens', 'stateBytes', 'closes']
const NOTE = [
  ...PLACE,
  'failedAttempts',
  'retryAt',
  'failedAt',
  'failedSeq',
  'failedWith',
  'begunAt',
  'wait',
  'child',
  'decided',
]
const QUESTION = ['key', 'name', 'requestedAt', 'dueAt']
/** Number, start, end and code. */
const ATTEMPT_POSITIONS = 4
const UNDO = [...PLACE, 'order', 'begunAt', 'record', 'failed', 'times']
const UNDOING = ['failedAttempts', 'retryAt', 'doneAt', 'failedAt']

type Fields = Readonly<Record<string, unknown>>

function pick(from: Fields, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(names.flatMap((name) => (from[name] === undefined ? [] : [[name, from[name]]])))
}

function object(body: string, names: readonly string[]): string {
  return JSON.stringify(pick(JSON.parse(body) as Fields, names))
}

/** Stands for a value: its size in bytes. */
function size(body: string): string {
  return JSON.stringify({ redacted: Buffer.byteLength(body) })
}

/** Redacts a body whose value follows on a line of its own. */
function withInline(body: string, redact: Redact): string {
  const { part, value } = splitValue(body)
  return withValue(redact(part), value === undefined ? undefined : size(value))
}

function fixedPart(part: string): string {
  const fixed = JSON.parse(part) as Fields
  return JSON.stringify({
    ...pick(fixed, FIXED),
    ...(fixed['owner'] === undefined ? {} : { owner: REDACTED }),
    ...(fixed['idempotencyKey'] === undefined ? {} : { idempotencyKey: REDACTED }),
  })
}

function movingPart(part: string): string {
  const row = JSON.parse(part) as unknown[]
  const named = row[19] as (Fields & { error?: TaskError; progress?: Fields }) | undefined
  if (!named) return part
  const { error, progress } = named
  const shown = {
    ...pick(named, NAMED),
    ...(error && { error: { name: error.name, message: REDACTED, code: error.code } }),
    ...(progress && { progress: pick(progress, ['done', 'total']) }),
  }
  return JSON.stringify([...row.slice(0, 19), shown])
}

function record(part: string): string {
  const fields = JSON.parse(part) as Fields
  const failed = fields['failed'] as TaskError | undefined
  const names = fields['kind'] === 'checkpoint' ? [...RECORD, ...SAVED] : RECORD
  return JSON.stringify({ ...pick(fields, names), ...attempts(fields), ...(failed && { failed: taskError(failed) }) })
}

function note(part: string): string {
  const fields = JSON.parse(part) as Fields
  const input = fields['input'] as Fields | undefined
  return JSON.stringify({ ...pick(fields, NOTE), ...attempts(fields), ...(input && { input: pick(input, QUESTION) }) })
}

/** The last attempts of a step, with the positions of each that are known: instants and codes. */
function attempts({ lastAttempts }: Fields): object {
  if (!Array.isArray(lastAttempts)) return {}
  return { lastAttempts: lastAttempts.filter(Array.isArray).map((attempt) => attempt.slice(0, ATTEMPT_POSITIONS)) }
}

function undoRecord(part: string): string {
  const fields = JSON.parse(part) as Fields
  const undoing = fields['undoing'] as Fields | undefined
  return JSON.stringify({ ...pick(fields, UNDO), ...(undoing && { undoing: pick(undoing, UNDOING) }) })
}

function outcome(body: string): string {
  const { kind, error } = JSON.parse(body) as { kind: string; error?: TaskError }
  return JSON.stringify({ kind, redacted: Buffer.byteLength(body), ...(error && { error: taskError(error) }) })
}

function taskError({ name, code, record: at, step, cause }: TaskError): object {
  return { name, code, message: REDACTED, record: at, step, cause: cause && taskError(cause) }
}

const ACTORS: ReadonlySet<string> = new Set(['admin', 'body', 'engine', 'recovery'])
/** Actions whose reason is a code, or a name of the program. */
const NAMING: ReadonlySet<AuditEntry['action']> = new Set([
  'parked',
  'resumed',
  'failed',
  'answered',
  'message-sent',
  'undone',
  'undo-failed',
])

/** The audit entry without names of owners and texts of callers. */
export function redactEntry(entry: AuditEntry): AuditEntry {
  const { by, why, action } = entry
  return {
    ...entry,
    by: ACTORS.has(by) ? by : REDACTED,
    why: why === undefined || NAMING.has(action) ? why : REDACTED,
  }
}
