/**
 * Decides the repair of one task whose records are damaged, missing, or do not fit each other. Pure.
 *
 * repair-task-1. An unfinished task that lost a record of its own fails with `RECORD_DAMAGED`, and no clean-up runs: what it has
 *   done is not known any more, so nothing of it may run again. A settled task keeps its outcome, if that is whole.
 * repair-task-2. The log keeps its beginning up to the first gap, so that a fork can continue from there. Without the input, it
 *   keeps nothing, because a fork would run with another input.
 * repair-task-3. A task that has settled never becomes unfinished again: a damaged settled head counts more than a whole live one.
 * repair-task-4. A task that lost the fixed part of its head stays as a failed one, so that its ID is known and a parent does not
 *   start it again.
 * - Nothing is made up: a value that is taken out of the store is in the lost-found file.
 */
import { taskIdTime } from '../../base/ids.js'
import type { NewAuditEntry } from '../../store/audit.js'
import { type Operation, recordNumber } from '../../store/disk/layout.js'
import type { StoredEntry } from '../../store/disk/page.js'
import { seal, unseal } from '../../store/integrity/envelope.js'
import { toWrites } from '../../store/operations.js'
import { TASK_BYTES } from '../../task/byte-count.js'
import type { Change, TaskDecision } from '../../task/changes.js'
import type { CheckpointInfo, SavedBy } from '../../task/checkpoint.js'
import { decide, type Entry } from '../../task/decisions/decide.js'
import { transition } from '../../task/decisions/transition.js'
import { isLive, isSettled, type TaskHead } from '../../task/head.js'
import { decodeMovingPart, isStoredInline, joinParts, splitValue, withValue } from '../../task/head-codec.js'
import { decodeDropped, includes } from '../../task/log/dropped-records.js'
import type { Outcome, TaskError } from '../../task/log/outcome.js'
import { decodeRecord } from '../../task/log/records.js'
import { type KeyedRecord, type WholeLog, wholeLogOf } from './whole-log.js'

/** Facts about a task besides its records, and settings of the repair. */
export interface Surroundings {
  readonly now: number
  /** Time for which the idempotency key of the task is kept. */
  readonly retentionMs: number
  /** Type and owner of the task in the audit, for a task that lost the fixed part of its head. */
  readonly inAudit: { readonly type: string; readonly owner: string | undefined }
  /** Damage of the task, as a sentence. */
  readonly damage: string
}

/** The repair of a task. */
export interface TaskRepair {
  readonly operations: readonly Operation[]
  /** Records that leave the store. */
  readonly moved: readonly StoredEntry[]
  readonly entries: readonly NewAuditEntry[]
  /** Result for the task, as a sentence. */
  readonly result: string
  /** True if the task was unfinished and has failed by the repair. */
  readonly hasFailed: boolean
}

const TASK_REMOVED = 'its records are in the lost-found file'

/** Decides the repair of the task with these records. */
export function repairTask(taskId: string, records: readonly StoredEntry[], around: Surroundings): TaskRepair {
  const found = readRecords(taskId, records)
  if (!found.hasHead) {
    const operations = records.map(([key]) => ({ key }))
    return { operations, moved: records, entries: [], result: TASK_REMOVED, hasFailed: false }
  }
  const parts = partsOf(taskId, found, around)
  const { head: read, input } = parts
  if (read.sweeping) return withoutDamaged(records, found)
  const isInputLost = parts.isFixedLost || (read.hasInput && input === undefined)
  const log =
    isInputLost || parts.isHeadLost ? { ...wholeLogOf(LOGLESS, []), isWhole: false } : wholeLogOf(read, found.log)
  const checkpoints = checkpointsOf(read, found, log)
  const head: TaskHead = {
    ...read,
    hasInput: input !== undefined,
    prefix: log.prefix,
    open: log.open,
    records: log.isWhole ? read.records : log.keys.size,
    hasDropped: log.isWhole ? read.hasDropped : undefined,
    checkpoints: checkpoints.counts,
  }
  const wasUnfinished = !parts.hasSettled
  const decision = decisionOf(head, parts, around)
  const { operations: written, entries = [] } = toWrites(decision)
  const fixedKey = `task/${taskId}`
  const inline = input !== undefined && isStoredInline(input) ? input : undefined
  const fixedText = withValue(JSON.stringify({ ...parts.fixed, hasInput: head.hasInput }), inline)
  const puts = new Map<string, string>([[fixedKey, seal(fixedKey, decision.head.seq, fixedText)]])
  if (input !== undefined && inline === undefined) put(puts, `input/${taskId}`, decision.head.seq, input)
  for (const { key, value } of written) if (value !== undefined) puts.set(key, value)
  const moved: StoredEntry[] = []
  const operations: Operation[] = []
  for (const [key, text] of records) {
    if (puts.has(key)) {
      if (!found.sound.has(key)) moved.push([key, text])
      continue
    }
    if (isKept(key, { found, log, checkpoints, head: decision.head })) continue
    operations.push({ key })
    if (!isReplaced(key, found, parts)) moved.push([key, text])
  }
  for (const [key, value] of puts) operations.push({ key, value })
  const { status } = decision.head
  const hasFailed = wasUnfinished && status === 'failed'
  const result = hasFailed ? 'the task failed with RECORD_DAMAGED' : `the task is ${status}`
  return { operations, moved, entries, result, hasFailed }
}

/** A task that is being deleted only loses the records that are damaged. The sweep deletes the rest. */
function withoutDamaged(records: readonly StoredEntry[], { sound }: Found): TaskRepair {
  const moved = records.filter(([key]) => !sound.has(key))
  const operations = moved.map(([key]) => ({ key }))
  return { operations, moved, entries: [], result: 'the task is being deleted', hasFailed: false }
}

function put(puts: Map<string, string>, key: string, seq: number, body: string): void {
  puts.set(key, seal(key, seq, body))
}

interface Found {
  /** Bodies of the records that fit their checksums. */
  readonly sound: ReadonlyMap<string, { readonly seq: number; readonly body: string }>
  readonly keys: ReadonlySet<string>
  readonly hasHead: boolean
  readonly log: readonly KeyedRecord[]
  readonly infos: readonly (CheckpointInfo & { readonly key: string })[]
}

function readRecords(taskId: string, records: readonly StoredEntry[]): Found {
  const sound = new Map<string, { readonly seq: number; readonly body: string }>()
  const keys = new Set(records.map(([key]) => key))
  for (const [key, text] of records) attempt(() => sound.set(key, unseal(key, text)))
  const dropped = attempt(() => decodeDropped(sound.get(`dropped/${taskId}`)?.body ?? ''))
  const log: KeyedRecord[] = []
  const infos: (CheckpointInfo & { readonly key: string })[] = []
  for (const [key, { body }] of sound) {
    if (key.startsWith('log/') && !(dropped && includes(dropped.numbers, recordNumber(key)))) {
      attempt(() => log.push({ key, record: decodeRecord(body), text: body }))
    }
    if (key.startsWith('checkpoint/')) attempt(() => infos.push({ ...(JSON.parse(body) as CheckpointInfo), key }))
  }
  const hasHead = ['task', 'live', 'done'].some((kind) => keys.has(`${kind}/${taskId}`))
  return { sound, keys, hasHead, log, infos }
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}

interface Parts {
  readonly head: TaskHead
  readonly fixed: object
  readonly isHeadLost: boolean
  readonly isFixedLost: boolean
  readonly hasSettled: boolean
  readonly input: string | undefined
  readonly outcome: Outcome | undefined
}

/** The head from what is left of its parts, the input, and the outcome. */
function partsOf(taskId: string, { sound, keys }: Found, { inAudit }: Surroundings): Parts {
  const [task, live, done] = [`task/${taskId}`, `live/${taskId}`, `done/${taskId}`]
  const fixedValue = attempt(() => splitValue(sound.get(task)?.body ?? ''))
  const ownFixed = attempt(() => objectIn(fixedValue?.part ?? ''))
  const fixed = ownFixed ?? {
    type: inAudit.type,
    kind: 'body',
    owner: inAudit.owner,
    createdAt: createdAtOf(taskId),
    hasInput: false,
    seed: 'lost',
  }
  const moving = [done, live].flatMap((key) => {
    const record = sound.get(key)
    const value = record && attempt(() => splitValue(record.body))
    const part = value && attempt(() => decodeMovingPart(taskId, record.seq, value.part))
    return part && value ? [{ key, part, value: value.value }] : []
  })
  const [newest] = moving
  const seqs = [...sound.values()].map(({ seq }) => seq)
  const lastSeq = seqs.reduce((newest, seq) => Math.max(newest, seq), 0)
  const part = newest?.part ?? decodeMovingPart(taskId, lastSeq, JSON.stringify(newRow(taskId)))
  const head = joinParts(part as NonNullable<typeof part>, JSON.stringify(fixed))
  const outcomeText = newest?.value ?? sound.get(`outcome/${taskId}`)?.body
  const outcome = outcomeText === undefined ? undefined : attempt(() => JSON.parse(outcomeText) as Outcome)
  return {
    head,
    fixed,
    isHeadLost: newest === undefined || (keys.has(done) && newest.key !== done),
    isFixedLost: ownFixed === undefined,
    hasSettled: keys.has(done) || outcome !== undefined || isSettled(head.status),
    input: head.hasInput ? (fixedValue?.value ?? sound.get(`input/${taskId}`)?.body) : undefined,
    outcome,
  }
}

function objectIn(text: string): object {
  const value = JSON.parse(text) as unknown
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError('It is no object')
  return value
}

function createdAtOf(taskId: string): number {
  return attempt(() => taskIdTime(taskId)) || 0
}

/** The moving part of a new task. */
function newRow(taskId: string): readonly unknown[] {
  const createdAt = createdAtOf(taskId)
  return ['pending', 0, 1, null, 0, 0, 0, -1, 0, 0, 0, 0, 0, 0, 0, TASK_BYTES, 0, createdAt, null]
}

const LOGLESS = joinParts(
  decodeMovingPart('', 0, JSON.stringify(newRow('task-00000000000000000000000000'))) as never,
  '{}',
)

function damagedOutcome(message: string): Extract<Outcome, { kind: 'error' }> {
  return { kind: 'error', error: { name: 'TaskFailedError', message, code: 'RECORD_DAMAGED', ours: true } }
}

/** The decision that settles an unfinished task, or writes the head of a settled one anew. */
function decisionOf(head: TaskHead, parts: Parts, { now, retentionMs, damage }: Surroundings): TaskDecision {
  const { outcome, hasSettled } = parts
  const failed = damagedOutcome(`Records of task ${head.taskId} are damaged or missing: ${damage}`)
  if (!isSettled(head.status)) {
    const givesUp = head.intents !== undefined || head.children !== undefined || undefined
    const event = {
      kind: 'settle',
      outcome: hasSettled ? (outcome ?? failed) : failed,
      by: 'repair',
      retentionMs,
      givesUp,
    } as const
    return transition(head, event, now)
  }
  if (isLive(head)) {
    const failedCleanUp = transition(
      head,
      { kind: 'cleaned-up', run: head.run, failed: `RECORD_DAMAGED: ${damage}` },
      now,
    )
    return withOutcome(failedCleanUp, outcome ?? lostOutcome(head, failed))
  }
  const entry: Entry = { at: now, action: 'repaired', from: head.status, to: head.status, by: 'repair', why: damage }
  const next = { ...head, seq: head.seq + 1 }
  return withOutcome(decide(next, entry), outcome ?? lostOutcome(head, failed))
}

function withOutcome({ head, changes }: TaskDecision, outcome: Outcome): TaskDecision {
  const { error, ...rest } = head
  const isDamaged = outcome.kind === 'error' && outcome.error.code === 'RECORD_DAMAGED' && head.status === 'completed'
  const next: TaskHead = isDamaged
    ? { ...rest, status: 'failed', error: { name: outcome.error.name, message: '', code: 'RECORD_DAMAGED' } }
    : head
  const others = changes.filter(({ kind }) => kind !== 'head' && kind !== 'outcome')
  const [to] = [next.status]
  const entries = others.map(
    (change): Change => (change.kind === 'audit' ? { ...change, entry: { ...change.entry, to } } : change),
  )
  return {
    head: next,
    changes: [{ kind: 'head', head: next }, ...entries, { kind: 'outcome', text: JSON.stringify(outcome) }],
  }
}

/** An outcome in the place of one that was lost. A completed task fails, because its result is gone. */
function lostOutcome(head: TaskHead, failed: Outcome): Outcome {
  if (head.status === 'cancelled') return { kind: 'cancelled', reason: 'RECORD_DAMAGED: the reason was lost' }
  if (head.status === 'failed' && head.error) {
    const { name, message, code } = head.error
    const error: TaskError = { name, message, code }
    return { kind: 'error', error }
  }
  return failed
}

interface Checkpoints {
  readonly counts: TaskHead['checkpoints']
  /** IDs of the checkpoints that are kept. */
  readonly ids: ReadonlySet<string>
}

/** The checkpoints that have a description, a state, and the log before them. */
function checkpointsOf(head: TaskHead, { infos, sound }: Found, { isWhole, lastSegment }: WholeLog): Checkpoints {
  const last = isWhole ? Number.POSITIVE_INFINITY : lastSegment
  const counts = { body: 0, client: 0 }
  const ids = new Set<string>()
  for (const by of ['body', 'client'] as const satisfies readonly SavedBy[]) {
    const whole = infos.filter(
      ({ savedBy, opens, checkpointId }) =>
        savedBy === by &&
        last !== undefined &&
        (opens === undefined || (opens >= head.keptFrom && opens <= last)) &&
        sound.has(`state/${head.taskId}/${checkpointId}`),
    )
    const newest = whole.sort((one, other) => other.seq - one.seq).slice(0, head.checkpoints[by])
    counts[by] = newest.length
    for (const { checkpointId } of newest) ids.add(checkpointId)
  }
  return { counts, ids }
}

interface Kept {
  readonly found: Found
  readonly log: WholeLog
  readonly checkpoints: Checkpoints
  readonly head: TaskHead
}

/** True for a record that stays as it is. */
function isKept(key: string, { found, log, checkpoints, head }: Kept): boolean {
  if (!found.sound.has(key)) return false
  const [kind = ''] = key.split('/')
  switch (kind) {
    case 'log':
      return log.isWhole || log.keys.has(key)
    case 'dropped':
      return head.hasDropped === true
    case 'checkpoint':
    case 'state':
      return checkpoints.ids.has(key.slice(key.lastIndexOf('/') + 1))
    case 'task':
    case 'live':
    case 'done':
    case 'input':
    case 'outcome':
      return false
    default:
      return true
  }
}

/** True for a part of the head whose content the new head has, and for a value that is stored in another place now. */
function isReplaced(key: string, { sound }: Found, { input, outcome }: Parts): boolean {
  if (!sound.has(key)) return false
  const [kind] = key.split('/')
  return (
    kind === 'task' ||
    kind === 'live' ||
    (kind === 'input' ? input : kind === 'outcome' ? outcome : undefined) !== undefined
  )
}
