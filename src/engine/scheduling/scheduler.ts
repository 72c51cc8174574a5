/**
 * Decides which task runs next. Owns the slots and the queue. A run holds its slot until the run ends or only waits.
 * Entry points: `tryTake`, `enqueue`, `rest`, `release`.
 *
 * - At most `concurrency` runs hold a slot. The limits of their type and of their owner apply too. Tasks without an
 *     owner have no limit of an owner.
 * scheduler-2. Owners take turns, so an owner with ten thousand tasks does not delay the first task of another owner.
 *     Among the tasks of one owner, the priority decides, and then the waiting time. So a priority has no effect on
 *     other owners.
 * - A waiting task gains 1 of priority per `ageingMs`. All tasks gain alike, so the order of two waiting tasks never
 *     changes, and the queue is never sorted again.
 * - A task that the limit of its type or owner blocks does not block the tasks behind it.
 * - Between two calls, no queued task is runnable. So a new task that gets a slot overtakes no queued task.
 * scheduler-6. While the limit of runs in memory is reached (loaded-runs.ts), a free slot goes to a run in memory that
 *     waits for it, before another run is loaded. scheduler-2 decides among these, and otherwise among all.
 *
 * A decision is O(log n) in the number of queued tasks, and checks each type with queued tasks once, or twice
 * (scheduler-6).
 */
import { Heap } from '../../base/collections.js'
import { LoadedRuns } from './loaded-runs.js'

/** Owner and type of a run, for the limits. */
export interface SlotUse {
  readonly owner?: string | undefined
  readonly type: string
}

/** A task that is queued for a slot. */
export interface QueuedRun extends SlotUse {
  /** ID of the task. It has one place in the queue. */
  readonly taskId: string
  readonly priority?: number | undefined
  /** Start of its waiting time, in milliseconds since the epoch. */
  readonly since: number
  /** True if its run is in memory, and waits for a slot again. */
  readonly isLoaded?: boolean
}

/** Time after which a waiting task gains 1 of `priority`. Without this, a task of low priority could wait forever. */
export const PRIORITY_AGEING_MS = 30_000

/** Limits of the scheduler, and the speed of ageing. */
export interface SchedulerOptions {
  readonly concurrency: number
  /** Limit of the runs of one owner. No limit by default. */
  readonly concurrencyPerOwner?: number | undefined
  readonly ageingMs: number
  /** Returns the limit of a type, if it has one. */
  readonly concurrencyOf: (type: string) => number | undefined
  /** The runs in memory. Without a limit by default. */
  readonly loaded?: LoadedRuns
}

/** Place of a queued task, and what keeps it from a slot. */
export interface QueuePlace {
  readonly since: number
  /** Queued tasks of the same owner that come first. Owners take turns. */
  readonly ahead: number
  /** The limits that are reached. */
  readonly limits: readonly {
    readonly limit: 'concurrency' | 'type' | 'owner'
    readonly max: number
    readonly running: number
  }[]
}

interface Waiting extends QueuedRun {
  readonly rank: number
  readonly order: number
  readonly lane: Lane
  readonly begin: () => void
}

/** A queue of tasks of one type. Tasks whose run is in memory have a lane of their own. */
interface Lane {
  readonly type: string
  readonly isLoaded: boolean
  /** Number of tasks in the lane. */
  waiting: number
  /** Owners that have a task in the lane, and whose limit is not reached. */
  readonly owners: Heap<OwnerState>
}

/** An owner with queued or running tasks. */
interface OwnerState {
  readonly name: string | undefined
  running: number
  /** Grows with each turn. The owner with the lowest value was served the longest ago. */
  turn: number
  readonly lanes: Map<Lane, Heap<Waiting>>
}

/** A type with queued or running tasks. */
interface TypeState {
  running: number
  readonly lanes: { readonly [Key in 'loaded' | 'unloaded']: Lane }
}

export class Scheduler {
  #free: number
  #stopped = false
  #serving = false
  #count = 0
  readonly #places = new Map<string, Waiting>()
  readonly #owners = new Map<string | undefined, OwnerState>()
  readonly #types = new Map<string, TypeState>()
  readonly #loaded: LoadedRuns

  constructor(private readonly options: SchedulerOptions) {
    this.#free = options.concurrency
    this.#loaded = options.loaded ?? new LoadedRuns(Number.POSITIVE_INFINITY)
  }

  /** Number of queued tasks. */
  get waiting(): number {
    return this.#places.size
  }

  /** Number of free slots. */
  get free(): number {
    return this.#free
  }

  /** Takes a slot for a run that will be loaded, if the limits allow that. No queued task could use the slot then. */
  tryTake(use: SlotUse): boolean {
    // While the queue is being served, free slots belong to queued tasks.
    if (this.#stopped || this.#serving || this.#free === 0 || this.#isTypeFull(use.type)) return false
    const there = this.#owners.get(use.owner)
    if (there && this.#isOwnerFull(there)) return false
    this.#loaded.enter()
    const owner = this.#ownerOf(use.owner)
    this.#changeOwner(owner, () => this.#take(owner, use.type))
    return true
  }

  /** Queues a task. Calls `begin` with a slot taken when it is the turn of the task, possibly at once. */
  enqueue(waiter: QueuedRun, begin: () => void): void {
    const { taskId, owner: name, type, priority = 0, since, isLoaded = false } = waiter
    this.remove(taskId)
    // The priority as time. All tasks age alike, so a comparison of ranks is enough.
    const rank = since - priority * this.options.ageingMs
    const lane = this.#typeOf(type).lanes[isLoaded ? 'loaded' : 'unloaded']
    const waiting: Waiting = { taskId, owner: name, type, since, rank, order: this.#count++, lane, begin }
    const owner = this.#ownerOf(name)
    this.#changeOwner(owner, () => {
      if (owner.lanes.size === 0) owner.turn = this.#count++
      const line = owner.lanes.get(lane) ?? new Heap<Waiting>(comesFirst)
      owner.lanes.set(lane, line)
      line.add(waiting)
      lane.waiting++
      this.#places.set(taskId, waiting)
    })
    this.#serve()
  }

  /** The place of a queued task; `undefined` for any other. Compares it with each queued task. */
  placeOf(taskId: string): QueuePlace | undefined {
    const waiting = this.#places.get(taskId)
    if (!waiting) return undefined
    const { owner, type, since } = waiting
    let ahead = 0
    for (const other of this.#places.values()) if (other.owner === owner && comesFirst(other, waiting)) ahead++
    const { concurrency, concurrencyPerOwner: ofOwner, concurrencyOf } = this.options
    const limits = [
      { limit: 'concurrency', max: concurrency, running: concurrency - this.#free },
      { limit: 'type', max: concurrencyOf(type), running: this.#types.get(type)?.running ?? 0 },
      {
        limit: 'owner',
        max: owner === undefined ? undefined : ofOwner,
        running: this.#owners.get(owner)?.running ?? 0,
      },
    ] as const
    const reached = limits.flatMap(({ limit, max, running }) =>
      max !== undefined && running >= max ? [{ limit, max, running }] : [],
    )
    return { since, ahead, limits: reached }
  }

  /** Removes a task from the queue. True if it was queued. */
  remove(taskId: string): boolean {
    const waiting = this.#places.get(taskId)
    if (!waiting) return false
    const owner = this.#ownerOf(waiting.owner)
    this.#changeOwner(owner, () => this.#leave(owner, waiting))
    return true
  }

  /** Releases the slot and the memory place of a run that has ended. */
  release(use: SlotUse): void {
    // The memory place first, so that the next run can use both.
    this.#loaded.leave('loaded')
    this.rest(use)
  }

  /** Releases a slot. The run stays in memory, or is being unloaded. */
  rest({ owner: name, type }: SlotUse): void {
    this.#free++
    this.#typeOf(type).running--
    const owner = this.#ownerOf(name)
    this.#changeOwner(owner, () => owner.running--)
    this.#forgetType(type)
    this.#serve()
  }

  /**
   * Calls `queue`, which queues many tasks, and then serves them. So their order does not depend on the order of the
   * calls.
   */
  together(queue: () => void): void {
    const wasServing = this.#serving
    this.#serving = true
    try {
      queue()
    } finally {
      this.#serving = wasServing
    }
    this.#serve()
  }

  /** Stops the scheduler: no queued task begins any more. */
  stop(): void {
    this.#stopped = true
  }

  #serve(): void {
    // A task that begins may release its slot or queue another task at once. The running loop handles that.
    if (this.#serving) return
    this.#serving = true
    try {
      for (let next = this.#next(); next; next = this.#next()) {
        const { waiting, owner } = next
        // Loading a run may unload others, which changes the queue and the order of owners.
        if (!waiting.lane.isLoaded) this.#loaded.enter()
        this.#changeOwner(owner, () => {
          this.#leave(owner, waiting)
          this.#take(owner, waiting.type)
          owner.turn = this.#count++
        })
        waiting.begin()
      }
    } finally {
      this.#serving = false
    }
  }

  #next(): { owner: OwnerState; waiting: Waiting } | undefined {
    if (this.#stopped || this.#free === 0) return undefined
    const inMemory = this.#loaded.isAtCap ? this.#firstOf(({ isLoaded }) => isLoaded) : undefined
    return inMemory ?? this.#firstOf(() => true)
  }

  #firstOf(isMeant: (lane: Lane) => boolean): { owner: OwnerState; waiting: Waiting } | undefined {
    let owner: OwnerState | undefined
    for (const [type, { lanes }] of this.#types) {
      for (const lane of [lanes.loaded, lanes.unloaded]) {
        const { first } = lane.owners
        if (first && (!owner || first.turn < owner.turn) && isMeant(lane) && !this.#isTypeFull(type)) owner = first
      }
    }
    let waiting: Waiting | undefined
    for (const [lane, { first }] of owner?.lanes ?? []) {
      if (first && (!waiting || comesFirst(first, waiting)) && isMeant(lane) && !this.#isTypeFull(lane.type))
        waiting = first
    }
    return owner && waiting && { owner, waiting }
  }

  #take(owner: OwnerState, type: string): void {
    this.#free--
    owner.running++
    this.#typeOf(type).running++
  }

  #leave(owner: OwnerState, waiting: Waiting): void {
    this.#places.delete(waiting.taskId)
    const { lane } = waiting
    const line = owner.lanes.get(lane)
    line?.remove(waiting)
    lane.waiting--
    if (line?.size === 0) owner.lanes.delete(lane)
  }

  /**
   * Changes the state of an owner. The owner is removed from the heaps of its lanes during the change, and added again.
   */
  #changeOwner(owner: OwnerState, change: () => void): void {
    const before = [...owner.lanes.keys()]
    for (const lane of before) lane.owners.remove(owner)
    change()
    if (!this.#isOwnerFull(owner)) for (const lane of owner.lanes.keys()) lane.owners.add(owner)
    for (const { type } of before) this.#forgetType(type)
    this.#forget(owner)
  }

  #isOwnerFull({ name, running }: OwnerState): boolean {
    const { concurrencyPerOwner: max } = this.options
    return name !== undefined && max !== undefined && running >= max
  }

  #isTypeFull(type: string): boolean {
    const max = this.options.concurrencyOf(type)
    return max !== undefined && (this.#types.get(type)?.running ?? 0) >= max
  }

  #ownerOf(name: string | undefined): OwnerState {
    const there = this.#owners.get(name)
    if (there) return there
    const owner = { name, running: 0, turn: 0, lanes: new Map() }
    this.#owners.set(name, owner)
    return owner
  }

  #typeOf(type: string): TypeState {
    const there = this.#types.get(type)
    if (there) return there
    const lane = (isLoaded: boolean): Lane => ({ type, isLoaded, waiting: 0, owners: new Heap(wasServedBefore) })
    const state = { running: 0, lanes: { loaded: lane(true), unloaded: lane(false) } }
    this.#types.set(type, state)
    return state
  }

  // Deletes the state of an owner without tasks. Without this, millions of owners would stay in memory.
  #forget({ name, running, lanes }: OwnerState): void {
    if (running === 0 && lanes.size === 0) this.#owners.delete(name)
  }

  #forgetType(type: string): void {
    const state = this.#types.get(type)
    if (!state || state.running > 0) return
    const { loaded, unloaded } = state.lanes
    if (loaded.waiting + unloaded.waiting === 0) this.#types.delete(type)
  }
}

function wasServedBefore(one: OwnerState, other: OwnerState): boolean {
  return one.turn < other.turn
}

function comesFirst(one: Waiting, other: Waiting): boolean {
  return one.rank < other.rank || (one.rank === other.rank && one.order < other.order)
}
