/**
 * Decides who runs next. Owns the slots and the queue for them; a run owns its slot until it is over, or only waits.
 * They meet in three calls: `tryTake`, `enqueue`, `release`.
 *
 * S1. At most `concurrency` runs have a slot; of one type and of one owner no more than their own limits allow. Tasks
 *     without an owner are nobody's: only the other two limits hold for them.
 * S2. Owners take turns, so one with ten thousand tasks delays nobody else's first. Among an owner's tasks the priority
 *     decides, then who waits longer. So a priority is a word between an owner and its own tasks, never against others.
 * S3. A waiting task gains 1 of priority per `ageingMs`, all the time and all alike. So which of two comes first never
 *     changes while they wait, and the queue is never sorted anew.
 * S4. Whoever is held up by a limit of its type or its owner holds up nobody behind it.
 * S5. Between two calls nobody waits who could run. So a newcomer that may take a slot passes nobody.
 *
 * A decision is O(log n) in what waits, and looks at each type that has anything waiting once.
 */
import { Heap } from '../heap.js'

/** Whose slot it is. */
export interface SlotUse {
  readonly owner?: string | undefined
  readonly type: string
}

/** A task that waits for a slot. */
export interface Waiter extends SlotUse {
  /** One place in the queue per ID. */
  readonly taskId: string
  readonly priority?: number | undefined
  /** Since when it waits, in milliseconds since the epoch. */
  readonly since: number
}

/** The limits, and how fast a priority grows. */
export interface SchedulerOptions {
  readonly concurrency: number
  /** Default: no limit of its own. */
  readonly concurrencyPerOwner?: number | undefined
  readonly ageingMs: number
  /** The limit of a type, if it has one. */
  readonly concurrencyOf: (type: string) => number | undefined
  /** Told whenever a task leaves the queue for a slot. */
  readonly onServed?: () => void
}

interface Waiting extends Waiter {
  readonly rank: number
  readonly order: number
  readonly begin: () => void
}

/** An owner with anything waiting or running: what waits, by type. */
interface OwnerState {
  readonly name: string | undefined
  running: number
  /** Counts on; the owner with the lowest was served the longest ago. */
  turn: number
  readonly lanes: Map<string, Heap<Waiting>>
}

interface TypeState {
  running: number
  /** The owners that have a task of it waiting and may run one more. */
  readonly owners: Heap<OwnerState>
}

export class Scheduler {
  #free: number
  #stopped = false
  #serving = false
  #count = 0
  readonly #places = new Map<string, Waiting>()
  readonly #owners = new Map<string | undefined, OwnerState>()
  readonly #types = new Map<string, TypeState>()

  constructor(private readonly options: SchedulerOptions) {
    this.#free = options.concurrency
  }

  /** How many tasks wait for a slot. */
  get waiting(): number {
    return this.#places.size
  }

  /** How many slots are free. */
  get free(): number {
    return this.#free
  }

  /** Takes a slot if the limits allow it, and nobody waits who could take it. */
  tryTake(use: SlotUse): boolean {
    // While the queue is being served, what is free is not free for newcomers.
    if (this.#stopped || this.#serving || this.#free === 0 || this.#isTypeFull(use.type)) return false
    const owner = this.#ownerOf(use.owner)
    const fits = !this.#isOwnerFull(owner)
    if (fits) this.#changeOwner(owner, () => this.#take(owner, use.type))
    else this.#forget(owner)
    return fits
  }

  /** Calls `begin`, with a slot taken, once it is this task's turn: at once if that is now. */
  enqueue(waiter: Waiter, begin: () => void): void {
    const { taskId, owner: name, type, priority = 0, since } = waiter
    this.remove(taskId)
    // What `priority` is worth in time: both age alike, so this is all that has to be compared.
    const rank = since - priority * this.options.ageingMs
    const waiting: Waiting = { taskId, owner: name, type, since, rank, order: this.#count++, begin }
    const owner = this.#ownerOf(name)
    this.#changeOwner(owner, () => {
      if (owner.lanes.size === 0) owner.turn = this.#count++
      const lane = owner.lanes.get(type) ?? new Heap<Waiting>(comesFirst)
      owner.lanes.set(type, lane)
      lane.add(waiting)
      this.#places.set(taskId, waiting)
    })
    this.#serve()
  }

  /** Takes a task out of the queue. Returns whether it was there. */
  remove(taskId: string): boolean {
    const waiting = this.#places.get(taskId)
    if (!waiting) return false
    const owner = this.#ownerOf(waiting.owner)
    this.#changeOwner(owner, () => this.#leave(owner, waiting))
    return true
  }

  /** Gives a slot back. */
  release({ owner: name, type }: SlotUse): void {
    this.#free++
    this.#typeOf(type).running--
    const owner = this.#ownerOf(name)
    this.#changeOwner(owner, () => owner.running--)
    this.#forgetType(type)
    this.#serve()
  }

  /** Queues many, and serves them once all are there: who comes first is not a matter of who was queued first. */
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

  /** Nobody begins any more. */
  stop(): void {
    this.#stopped = true
  }

  #serve(): void {
    // One that begins may give its slot back, or queue another, at once; the loop below sees that.
    if (this.#serving) return
    this.#serving = true
    try {
      for (let next = this.#next(); next; next = this.#next()) {
        const { waiting, owner } = next
        this.#changeOwner(owner, () => {
          this.#leave(owner, waiting)
          this.#take(owner, waiting.type)
          owner.turn = this.#count++
        })
        this.options.onServed?.()
        waiting.begin()
      }
    } finally {
      this.#serving = false
    }
  }

  #next(): { owner: OwnerState; waiting: Waiting } | undefined {
    if (this.#stopped || this.#free === 0) return undefined
    let owner: OwnerState | undefined
    for (const [type, { owners }] of this.#types) {
      const { first } = owners
      if (first && (!owner || first.turn < owner.turn) && !this.#isTypeFull(type)) owner = first
    }
    let waiting: Waiting | undefined
    for (const [type, { first }] of owner?.lanes ?? []) {
      if (first && (!waiting || comesFirst(first, waiting)) && !this.#isTypeFull(type)) waiting = first
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
    const lane = owner.lanes.get(waiting.type)
    lane?.remove(waiting)
    if (lane?.size === 0) owner.lanes.delete(waiting.type)
  }

  /** Changes what an owner has, and with it where it stands. Nothing may change while it stands there. */
  #changeOwner(owner: OwnerState, change: () => void): void {
    const before = [...owner.lanes.keys()]
    for (const type of before) this.#typeOf(type).owners.remove(owner)
    change()
    if (!this.#isOwnerFull(owner)) for (const type of owner.lanes.keys()) this.#typeOf(type).owners.add(owner)
    for (const type of before) this.#forgetType(type)
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
    const state = { running: 0, owners: new Heap<OwnerState>((one, other) => one.turn < other.turn) }
    this.#types.set(type, state)
    return state
  }

  // An owner that has nothing here any more leaves no trace; owners come and go by the million.
  #forget({ name, running, lanes }: OwnerState): void {
    if (running === 0 && lanes.size === 0) this.#owners.delete(name)
  }

  #forgetType(type: string): void {
    const state = this.#types.get(type)
    if (state && state.running === 0 && state.owners.size === 0) this.#types.delete(type)
  }
}

function comesFirst(one: Waiting, other: Waiting): boolean {
  return one.rank < other.rank || (one.rank === other.rank && one.order < other.order)
}
