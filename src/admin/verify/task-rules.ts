/**
 * The rules for the records of one task (docs/internals/on-disk-format.md). Pure: a caller adds the records one by one, so
 * that a long log is checked in little memory. `verify` and the crash suites of the tests use the same rules.
 *
 * task-rules-1. The parts of the head and the list of dropped records are added first (`FIRST_KINDS`), since they decide how
 *   the other records are read.
 * task-rules-2. A record that is about to be deleted (pruned, dropped by a retry, swept) may still be there. So a rule
 *   compares what the head counts, and allows these records in addition.
 */
import { damaged } from '../../store/integrity/envelope.js'
import type { CheckpointInfo, SavedBy } from '../../task/checkpoint.js'
import { isSettled, type TaskHead } from '../../task/head.js'
import { decodeMovingPart, joinParts, splitValue, VALUE_INLINE_BYTES_MAX } from '../../task/head-codec.js'
import { type Dropped, decodeDropped, includes, isUncleared } from '../../task/log/dropped-records.js'
import { LogSums } from '../../task/log/log-sums.js'
import { decodePendingRecord, isOutstanding } from '../../task/log/pending-record.js'
import { countedIn, decodeRecord } from '../../task/log/records.js'
import { PREFIX } from '../../task/log/segment.js'
import { decodeUndoRecord, ON_CANCEL, type UndoRecord } from '../../task/log/undo-record.js'
import type { Find } from './findings.js'

/** Kinds of keys `<kind>/<taskId>…`, in the order in which the records of a task are added (task-rules-1). */
export const TASK_KINDS = [
  'task',
  'live',
  'done',
  'dropped',
  'input',
  'outcome',
  'log',
  'checkpoint',
  'state',
  'note',
  'input-key',
  'intent',
  'message',
  'message-key',
  'patch',
  'beside',
] as const

/** Kind of a record of a task. */
export type TaskKind = (typeof TASK_KINDS)[number]

/** Checks the records of one task. */
export class TaskCheck {
  readonly #bodies = new Map<TaskKind, string>()
  readonly #found = new Map<TaskKind, { count: number; first: string }>()
  readonly #sums = new LogSums()
  readonly #infos: CheckpointInfo[] = []
  readonly #states = new Set<string>()
  #dropped: Dropped | undefined
  #head: TaskHead | undefined
  #hasHead = false
  #outstanding = 0
  #children = 0
  #intents = 0
  #newestIntent = -1
  #hasRepeatedIntents = false

  /** @param find receives each broken rule */
  constructor(
    private readonly taskId: string,
    private readonly find: Find,
  ) {}

  /** Notes a record that is there and cannot be read. */
  addDamaged(kind: TaskKind, key: string): void {
    this.#note(kind, key)
  }

  /** @param seq number in the envelope */
  add(kind: TaskKind, key: string, seq: number, body: string): void {
    this.#note(kind, key)
    try {
      this.#read(kind, key, seq, body)
    } catch (error) {
      this.find('RECORD_UNREADABLE', key, (error as Error).message)
    }
  }

  #note(kind: TaskKind, key: string): void {
    const found = this.#found.get(kind)
    if (found) found.count++
    else this.#found.set(kind, { count: 1, first: key })
  }

  #read(kind: TaskKind, key: string, seq: number, body: string): void {
    switch (kind) {
      case 'task':
      case 'input':
      case 'outcome':
        return void this.#bodies.set(kind, body)
      case 'live':
      case 'done':
        this.#bodies.set(kind, body)
        return void this.#readHead(key, seq, body)
      case 'dropped':
        this.#dropped = decodeDropped(body)
        return
      case 'log':
        return void this.#readRecord(key, body)
      case 'checkpoint':
        return void this.#infos.push(JSON.parse(body) as CheckpointInfo)
      case 'state':
        return void this.#states.add(key.slice(key.lastIndexOf('/') + 1))
      case 'note': {
        const note = decodePendingRecord(body)
        if (isOutstanding(note)) this.#outstanding++
        if (note.child !== undefined) this.#children++
        return
      }
      case 'intent':
        return void this.#readUndoRecord(decodeUndoRecord(body))
      default:
    }
  }

  #readUndoRecord({ id, order, times }: UndoRecord): void {
    if (id === ON_CANCEL) return
    this.#intents++
    this.#newestIntent = Math.max(this.#newestIntent, order)
    if (times !== undefined) this.#hasRepeatedIntents = true
  }

  #readHead(key: string, seq: number, body: string): void {
    const moving = decodeMovingPart(this.taskId, seq, splitValue(body).part)
    if (!moving) throw damaged(key, 'it is no head')
    const fixed = this.#bodies.get('task')
    if (fixed !== undefined) this.#head = joinParts(moving, splitValue(fixed).part)
    this.#hasHead = true
  }

  #readRecord(key: string, body: string): void {
    const head = this.#head
    if (!head) return
    const number = Number.parseInt(key.slice(key.lastIndexOf('/') + 1), 16)
    if (head.hasDropped && this.#dropped && includes(this.#dropped.numbers, number)) return
    const record = decodeRecord(body)
    const segment = countedIn(record)
    if (segment === PREFIX || segment >= head.keptFrom) this.#sums.add({ record, text: body })
  }

  /**
   * Ends the check.
   * @param isCopied true if the records of the task are those of a fork or an import that has no head yet
   * @returns the head, if the task is whole enough to have one
   */
  end(isCopied: boolean): TaskHead | undefined {
    const { taskId } = this
    const has = (kind: TaskKind) => this.#found.has(kind)
    if (!has('task') && !has('live') && !has('done')) {
      if (isCopied) return undefined
      for (const [kind, { count, first }] of this.#found) {
        this.find('ORPHAN', first, `${count} records of kind '${kind}' belong to task ${taskId}, which does not exist`)
      }
      return undefined
    }
    if (has('live') && has('done')) {
      this.find('HEAD_TWICE', `live/${taskId}`, 'it has a live head and a settled one')
    }
    const movingKey = has('done') ? `done/${taskId}` : `live/${taskId}`
    if (!has('task')) this.find('HEAD_PART_MISSING', `task/${taskId}`, 'its head has only its moving part')
    if (!has('live') && !has('done'))
      this.find('HEAD_PART_MISSING', `live/${taskId}`, 'its head has only its fixed part')
    const head = this.#head
    if (!head || !this.#hasHead || head.sweeping) return head
    this.#checkValues(head, movingKey)
    const hole = this.#sums.hole(head)
    if (hole !== undefined) this.find('LOG_INCOMPLETE', `log/${taskId}/`, hole)
    this.#checkCheckpoints(head)
    if (!isSettled(head.status)) this.#checkCounts(head)
    return head
  }

  /** Checks that an input and an outcome exist once, exactly if the head counts them, and in the place for their size. */
  #checkValues(head: TaskHead, headKey: string): void {
    const { taskId } = head
    const settledKind = headKey.startsWith('done') ? 'done' : 'live'
    const places = [
      { what: 'input', wanted: head.hasInput, inline: splitValue(this.#bodies.get('task') ?? '').value },
      {
        what: 'outcome',
        wanted: isSettled(head.status),
        inline: splitValue(this.#bodies.get(settledKind) ?? '').value,
      },
    ] as const
    for (const { what, wanted, inline } of places) {
      const key = `${what}/${taskId}`
      const own = this.#bodies.get(what)
      const count = (inline === undefined ? 0 : 1) + (this.#found.has(what) ? 1 : 0)
      if (wanted && count === 0) this.find('VALUE_MISSING', key, `its ${what} is stored 0 times`)
      if (wanted && count > 1) this.find('VALUE_SURPLUS', key, `its ${what} is stored ${count} times`)
      if (!wanted && count !== 0) this.find('VALUE_SURPLUS', key, `it has an ${what}`)
      if (inline !== undefined && Buffer.byteLength(inline) > VALUE_INLINE_BYTES_MAX)
        this.find('VALUE_SURPLUS', key, `its ${what} is too large`)
      if (own === undefined || Buffer.byteLength(own) > VALUE_INLINE_BYTES_MAX) continue
      // The outcome of a task with a clean-up was written before its last head.
      if (what === 'input' || head.cleanUp === 'none')
        this.find('VALUE_SURPLUS', key, `its ${what} is small, and not stored with the head`)
    }
  }

  /** The newest checkpoints, as many as the head counts, have a description and a state. */
  #checkCheckpoints(head: TaskHead): void {
    const { taskId, keptFrom } = head
    const opens = (this.#dropped && head.hasDropped ? this.#dropped.opens : undefined) ?? Number.POSITIVE_INFINITY
    for (const by of ['body', 'client'] as const satisfies readonly SavedBy[]) {
      const count = head.checkpoints[by]
      const saved = this.#infos.filter(
        (info) => info.savedBy === by && (info.opens === undefined || (info.opens >= keptFrom && info.opens < opens)),
      )
      if (saved.length < count)
        this.find(
          'CHECKPOINT_MISSING',
          `checkpoint/${taskId}/`,
          `${saved.length} of ${count} checkpoints of the ${by} are there`,
        )
      const kept = saved.sort((one, other) => one.seq - other.seq).slice(Math.max(0, saved.length - count))
      for (const { checkpointId } of kept) {
        if (!this.#states.has(checkpointId))
          this.find('CHECKPOINT_MISSING', `state/${taskId}/${checkpointId}`, 'the state of the checkpoint is missing')
      }
    }
  }

  /** An unfinished task has what its head counts. */
  #checkCounts(head: TaskHead): void {
    const { taskId } = head
    const compare = (prefix: string, what: string, counted: number, found: number) => {
      if (counted !== found)
        this.find('COUNT_WRONG', `${prefix}/${taskId}/`, `the head counts ${counted} ${what}, and ${found} are there`)
    }
    const countOf = (kind: TaskKind) => this.#found.get(kind)?.count ?? 0
    compare('note', 'unanswered inputs', head.inputs ?? 0, this.#outstanding)
    compare('note', 'children', head.children ?? 0, this.#children)
    // A step that begins again after its undo, or in a later attempt of the task, counts again and has one record.
    const isExact = head.attempt === 1 && !this.#hasRepeatedIntents
    compare('intent', 'begun steps with an undo', head.intents ?? 0, isExact ? this.#intents : this.#newestIntent + 1)
    compare('message-key', 'keys of messages', head.messageKeys ?? 0, countOf('message-key'))
    // Messages that a retry returns are put back after the commit of the retry.
    const isReturning = head.hasDropped && this.#dropped && isUncleared(this.#dropped)
    if (!isReturning) compare('message', 'messages', head.messages ?? 0, countOf('message'))
  }
}
