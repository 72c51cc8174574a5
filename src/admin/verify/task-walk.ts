/**
 * Walks over the records of all tasks, one task at a time, in the order of their IDs. Each kind of record has a cursor, and
 * the cursors move together. So the memory does not depend on the number of tasks, or on the length of a log.
 */
import { under } from '../../store/disk/layout.js'
import type { Level } from '../../store/disk/level.js'
import { unseal } from '../../store/integrity/envelope.js'
import type { TaskHead } from '../../task/head.js'
import type { Find } from './findings.js'
import { TASK_KINDS, TaskCheck, type TaskKind } from './task-rules.js'

const PAGE = 1_000

/** Receives the key and the text of each record that is read, before it is checked. */
export type Seen = (kind: string, key: string, text: string) => void

/** Reads the records of one kind. */
class KindCursor {
  #page: readonly [key: string, text: string][] = []
  #at = 0
  #isAtEnd = false
  #from: string

  constructor(
    private readonly level: Level,
    readonly kind: TaskKind,
  ) {
    this.#from = under(`${kind}/`).gte
  }

  /** True if `current` is not known before `fill` was awaited. */
  get isEmpty(): boolean {
    return this.#at === this.#page.length && !this.#isAtEnd
  }

  async fill(): Promise<void> {
    this.#page = await this.level.page({ gte: this.#from, lt: under(`${this.kind}/`).lt }, PAGE)
    this.#at = 0
    const last = this.#page.at(-1)?.[0]
    if (last === undefined) this.#isAtEnd = true
    else this.#from = `${last}\u0000`
  }

  get current(): readonly [key: string, text: string] | undefined {
    return this.#page[this.#at]
  }

  /** Task of the current record. */
  get taskId(): string | undefined {
    return this.current?.[0].split('/')[1]
  }

  advance(): void {
    this.#at++
  }
}

/**
 * Checks each task, and yields the heads of those that have one.
 * @param isCopied true for a task whose records are copied for a fork that has no head yet
 */
export async function* walkTasks(
  level: Level,
  { find, seen, isCopied }: { find: Find; seen: Seen; isCopied: (taskId: string) => boolean },
): AsyncGenerator<TaskHead> {
  const cursors = TASK_KINDS.map((kind) => new KindCursor(level, kind))
  for (;;) {
    let taskId: string | undefined
    for (const cursor of cursors) {
      if (cursor.isEmpty) await cursor.fill()
      const { taskId: next } = cursor
      if (next !== undefined && (taskId === undefined || next < taskId)) taskId = next
    }
    if (taskId === undefined) return
    const check = new TaskCheck(taskId, find)
    for (const cursor of cursors) {
      while (cursor.taskId === taskId) {
        const [key, text] = cursor.current as readonly [string, string]
        seen(cursor.kind, key, text)
        if (taskId !== '~') add(check, cursor.kind, key, text, find)
        cursor.advance()
        if (cursor.isEmpty) await cursor.fill()
      }
    }
    // `<kind>/~` only marks the end of a kind (GUARDS in layout.ts).
    const head = taskId === '~' ? undefined : check.end(isCopied(taskId))
    if (head) yield head
  }
}

function add(check: TaskCheck, kind: TaskKind, key: string, text: string, find: Find): void {
  try {
    const { seq, body } = unseal(key, text)
    check.add(kind, key, seq, body)
  } catch (error) {
    find('RECORD_SEAL', key, (error as Error).message)
    check.addDamaged(kind, key)
  }
}
