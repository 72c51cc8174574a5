/**
 * Decides who runs next. Owns the slots and the queue for them; a run owns its slot until it is over, or only waits.
 * They meet in four calls: `tryTake`, `enqueue`, `rest`, `release`.
 *
 * - At most `concurrency` runs have a slot; of one type and of one owner no more than their own limits allow. Tasks
 *     without an owner are nobody's: only the other two limits hold for them.
 * scheduler-2. Owners take turns, so one with ten thousand tasks delays nobody else's first. Among an owner's tasks the
 *     priority decides, then who waits longer. So a priority is a word between an owner and its own tasks, never
 *     against others.
 * - A waiting task gains 1 of priority per `ageingMs`, all the time and all alike. So which of two comes first never
 *     changes while they wait, and the queue is never sorted anew.
 * - Whoever is held up by a limit of its type or its owner holds up nobody behind it.
 * - Between two calls nobody waits who could run. So a newcomer that may take a slot passes nobody.
 * scheduler-6. While as many runs are in memory as may be (loaded-runs.ts), a free slot goes to one of them that waits
 *     for it before another run is loaded. scheduler-2 decides among these, and otherwise among all.
 *
 * A decision is O(log n) in what waits, and looks at each type that has anything waiting once, or twice (scheduler-6).
 */
import { Heap } from '../../base/heap.js'
import { LoadedRuns } from './loaded-runs.js'

/** Whose slot it is. */
export interface SlotUse {
  readonly owner?: string | undefined
  readonly type: string
}

/** A task that waits for a slot. */
export interface QueuedRun extends SlotUse {
  /** One place in the queue per ID. */
  readonly taskId: string
  readonly priority?: number | undefined
  /** Since when it waits, in milliseconds since the epoch. */
  readonly since: number
  /** True if its run is in memory, and only waits for a slot again. */
  readonly isLoaded?: boolean
}

/** Time after which a waiting task gains 1 of `priority`. Without this, a task of low priority could wait for ever. */
export const PRIORITY_AGEING_MS = 30_000

/** The limits, and how fast a priority grows. */
export interface SchedulerOptions {
  readonly concurrency: number
  /** Default: no limit of its own. */
  readonly concurrencyPerOwner?: number | undefined
  readonly ageingMs: number
  /** The limit of a type, if it has one. */
  readonly concurrencyOf: (type: string) => number | undefined
  /** The runs in memory. Default: as many as there are. */
  readonly loaded?: LoadedRuns
}

interface Waiting extends QueuedRun {
  readonly rank: number
  readonly order: number
  readonly lane: Lane
  readonly begin: () => void
}

/** What a task stands in line with: tasks of its type, those whose run is in memory apart. */
interface Lane {
  readonly type: string
  readonly isLoaded: boolean
  /** How many stand in it. */
  waiting: number
  /** The owners that have a task waiting in it and may run one more. */
  readonly owners: Heap<OwnerState>
}

/** An owner with anything waiting or running: what waits, by lane. */
interface OwnerState {
  readonly name: string | undefined
  running: number
  /** Counts on; the owner with the lowest was served the longest ago. */
  turn: number
  readonly lanes: Map<Lane, Heap<Waiting>>
}

/** A type with anything waiting or running. */
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

  /** How many tasks wait for a slot. */
  get waiting(): number {
    return this.#places.size
  }

  /** How many slots are free. */
  get free(): number {
    return this.#free
  }

  /** Takes a slot for a run that is to be loaded, if the limits allow it, and nobody waits who could take it. */
  tryTake(use: SlotUse): boolean {
    // While the queue is being served, what is free is not free for newcomers.
    if (this.#stopped || this.#serving || this.#free === 0 || this.#isTypeFull(use.type)) return false
    const there = this.#owners.get(use.owner)
    if (there && this.#isOwnerFull(there)) return false
    this.#loaded.enter()
    const owner = this.#ownerOf(use.owner)
    this.#changeOwner(owner, () => this.#take(owner, use.type))
    return true
  }

  /** Calls `begin`, with a slot taken, once it is this task's turn: at once if that is now. */
  enqueue(waiter: QueuedRun, begin: () => void): void {
    const { taskId, owner: name, type, priority = 0, since, isLoaded = false } = waiter
    this.remove(taskId)
    // What `priority` is worth in time: both age alike, so this is all that has to be compared.
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

  /** Takes a task out of the queue. Returns whether it was there. */
  remove(taskId: string): boolean {
    const waiting = this.#places.get(taskId)
    if (!waiting) return false
    const owner = this.#ownerOf(waiting.owner)
    this.#changeOwner(owner, () => this.#leave(owner, waiting))
    return true
  }

  /** Gives back the slot of a run that is over, and its place in memory. */
  release(use: SlotUse): void {
    // First, so that whoever is next may have both.
    this.#loaded.leave('loaded')
    this.rest(use)
  }

  /** Gives a slot back. The run stays in memory, or is being unloaded. */
  rest({ owner: name, type }: SlotUse): void {
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
        // May take others out of the queue, and with them change where their owners stand.
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

  /** Changes what an owner has, and with it where it stands. Nothing may change while it stands there. */
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

  // An owner that has nothing here any more leaves no trace; owners come and go by the million.
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
