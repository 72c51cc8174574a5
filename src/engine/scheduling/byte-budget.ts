/**
 * Bytes of the tasks in the store, in all and by owner, and the check of the budgets. Each head counts its own bytes
 * (task/byte-count.ts). Here they are summed: of unfinished tasks in memory, of settled tasks by a counter in the
 * store. With `limits.ownerBytesMax`, the settled tasks of an owner are read once, at the first start of that owner.
 *
 * - A budget refuses calls that let the store grow from outside: `start`, `createSessionTask`, a checkpoint of a
 *     client, a message. It never refuses the records of a running task: their effects took place, and without the
 *     record they would be repeated.
 */
import { HoldfastError } from '../../base/errors.js'
import type { Level } from '../../store/disk/level.js'
import { readSettledOf } from '../../store/list.js'
import type { Store } from '../../store/store.js'
import { byteCountOf } from '../../task/byte-count.js'
import { isSettled, type TaskHead } from '../../task/head.js'

/** The budgets in bytes. `Infinity` for none. */
export interface Budgets {
  readonly storeBytesMax: number
  readonly ownerBytesMax: number
}

/** Members of a task that the budget uses. */
interface CountedBytes {
  readonly head: TaskHead
  readonly committed: TaskHead | undefined
  /** Bytes that are counted for the task. */
  countedBytes: number
}

interface OwnerSum {
  settled: number
  /**
   * Bytes of tasks that settled or were swept during the read. They replace the values of the read. Set only during the
   * read.
   */
  meanwhile: Map<string, number> | undefined
  loading: Promise<void> | undefined
}

export class ByteBudget {
  #live = 0
  readonly #liveOf = new Map<string, number>()
  readonly #settledOf = new Map<string, OwnerSum>()

  constructor(
    private readonly store: Store,
    private readonly budgets: Budgets,
  ) {}

  /** Bytes of all tasks in the store. */
  get total(): number {
    return this.#live + this.store.totals.current.settledBytes
  }

  /** Counts the bytes of a task, from its current head. */
  note(task: CountedBytes): void {
    this.#count(task, byteCountOf(task.head).kept)
  }

  /** Stops counting a task that leaves the memory. If it is settled, its bytes count for its owner. */
  leave(task: CountedBytes): void {
    this.#count(task, 0)
    const { committed } = task
    if (committed && isSettled(committed.status)) this.#settled(committed, byteCountOf(committed).kept)
  }

  /** Stops counting a settled task that is swept. */
  swept(head: TaskHead): void {
    this.#settled(head, 0)
  }

  /** Reads the bytes of the owner's settled tasks, once. `undefined` if there is nothing to read. */
  load(owner: string | undefined): Promise<void> | undefined {
    if (owner === undefined || this.budgets.ownerBytesMax === Number.POSITIVE_INFINITY) return undefined
    const there = this.#settledOf.get(owner)
    if (there) return there.loading
    const sum: OwnerSum = { settled: 0, meanwhile: new Map(), loading: undefined }
    this.#settledOf.set(owner, sum)
    sum.loading = this.#read(owner, sum)
    return sum.loading
  }

  /**
   * Checks that `bytes` more fit into the budgets. Call `load` before, and commit without an `await` in between.
   * @throws HoldfastError `LIMIT_EXCEEDED` if they do not fit
   */
  assertRoom(owner: string | undefined, bytes: number): void {
    const { storeBytesMax, ownerBytesMax } = this.budgets
    if (this.total + bytes > storeBytesMax) throw full('The store', this.total, bytes, 'storeBytesMax', storeBytesMax)
    if (owner === undefined || ownerBytesMax === Number.POSITIVE_INFINITY) return
    const used = (this.#liveOf.get(owner) ?? 0) + (this.#settledOf.get(owner)?.settled ?? 0)
    if (used + bytes > ownerBytesMax) throw full('The owner', used, bytes, 'ownerBytesMax', ownerBytesMax)
  }

  #count(task: CountedBytes, bytes: number): void {
    const more = bytes - task.countedBytes
    if (more === 0) return
    task.countedBytes = bytes
    this.#live += more
    const { owner } = task.head
    if (owner === undefined || this.budgets.ownerBytesMax === Number.POSITIVE_INFINITY) return
    const sum = (this.#liveOf.get(owner) ?? 0) + more
    if (sum === 0) this.#liveOf.delete(owner)
    else this.#liveOf.set(owner, sum)
  }

  #settled(head: TaskHead, bytes: number): void {
    const sum = head.owner === undefined ? undefined : this.#settledOf.get(head.owner)
    if (sum?.meanwhile) sum.meanwhile.set(head.taskId, bytes)
    else if (sum) sum.settled += bytes === 0 ? -byteCountOf(head).kept : bytes
  }

  async #read(owner: string, sum: OwnerSum): Promise<void> {
    try {
      const read = await this.store.read((level: Level) => readSettledOf(level, owner))
      for (const [taskId, bytes] of sum.meanwhile ?? []) read.set(taskId, bytes)
      for (const bytes of read.values()) sum.settled += bytes
      sum.meanwhile = undefined
      sum.loading = undefined
    } catch (error) {
      // After a failed read, the next call reads again.
      this.#settledOf.delete(owner)
      throw error
    }
  }
}

function full(what: string, used: number, bytes: number, limit: keyof Budgets, max: number): HoldfastError {
  return new HoldfastError(
    'LIMIT_EXCEEDED',
    `${what} uses ${used} bytes, and ${bytes} more are over its budget of ${max} (option \`limits.${limit}\`). Nothing was written, and unfinished tasks continue. Raise the budget, or give tasks a \`ttl\` (or the store a \`retention\`), so that settled ones are swept.`,
    { details: { used, bytes, max, option: `limits.${limit}` } },
  )
}
