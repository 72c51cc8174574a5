/**
 * A disk in memory that a test can crash at any write. The disk keeps the written data. A handle is the access of one
 * process. After the process crashes, the calls of its handles never settle.
 */
import { ENTRIES_PER_ITERATOR, type Level, type LevelBatch, type LevelRange } from '../store/disk/level.js'
import type { StoredEntry } from '../store/disk/page.js'
import { type RangeStart, readRanges, type WantedRange } from '../store/disk/read-ranges.js'

/** A fault at a chosen write. With `applied`, the write reaches the disk and only its acknowledgement is lost. */
export interface Fault {
  /** Number of the write, counted from the next one as 1. */
  readonly atWrite: number
  readonly applied: boolean
}

// With more changed keys than one in so many, a sort of all keys costs less than a move of each changed key.
const KEYS_PER_MOVE = 64

/** A disk in memory. It keeps its data when the process on it crashes or closes. */
export class MemoryDisk {
  readonly #content = new Map<string, string>()
  /** Every key in order, as of the last read of a range. */
  #sorted: string[] = []
  /** Keys that were added or removed since then. */
  readonly #changed = new Set<string>()
  #handles = new Set<MemoryLevel>()
  #writes = 0
  #death: Fault | undefined
  #failure: (Fault & { readonly error: Error }) | undefined
  #onDeath: (() => void)[] = []
  #full = false
  #crashes = 0

  /** @param latency delay of every write; one turn of the event loop by default */
  constructor(private readonly latency?: () => Promise<unknown>) {}

  /** Writes since the disk was made. */
  get writes(): number {
    return this.#writes
  }

  /** True if a process has the disk open. */
  get isOpen(): boolean {
    return this.#handles.size > 0
  }

  /** Every value on the disk, by its key. */
  get content(): ReadonlyMap<string, string> {
    return this.#content
  }

  /** Crashes the process at a write: before it reaches the disk, or (`applied`) after. */
  dieAt(fault: Fault): void {
    this.#death = { ...fault, atWrite: this.#writes + fault.atWrite }
  }

  /** Makes a write fail: without reaching the disk, or (`applied`) although it did. Later writes work again. */
  failAt(fault: Fault, error = new Error('IO error: No space left on device')): void {
    this.#failure = { ...fault, atWrite: this.#writes + fault.atWrite, error }
  }

  /** True if the disk is full: every write fails, and so does opening, until this is set to false. */
  set full(full: boolean) {
    this.#full = full
  }

  /** Crashes the process now. */
  crash(): void {
    this.#crashes++
    this.#death = undefined
    for (const handle of this.#handles) handle.die()
    this.#handles = new Set()
    for (const told of this.#onDeath.splice(0)) told()
  }

  /** Calls `told` when the process that has the disk open crashes. */
  onDeath(told: () => void): void {
    this.#onDeath.push(told)
  }

  /** Changes a value without the store, as a damaged disk does. `undefined` removes it. */
  damage(key: string, value: string | undefined): void {
    if (this.#content.has(key) === (value === undefined)) this.#changed.add(key)
    if (value === undefined) this.#content.delete(key)
    else this.#content.set(key, value)
  }

  /** @internal */
  get sortedKeys(): readonly string[] {
    if (this.#changed.size > this.#sorted.length / KEYS_PER_MOVE) this.#sorted = [...this.#content.keys()].sort()
    else for (const key of this.#changed) this.#move(key)
    this.#changed.clear()
    return this.#sorted
  }

  /** Inserts a key that was added, or takes out a key that was removed. */
  #move(key: string): void {
    const at = firstAtLeast(this.#sorted, key)
    const isListed = this.#sorted[at] === key
    if (this.#content.has(key) === isListed) return
    if (isListed) this.#sorted.splice(at, 1)
    else this.#sorted.splice(at, 0, key)
  }

  /** @internal */
  async open(): Promise<Level> {
    const crashes = this.#crashes
    await new Promise<void>((resolve, reject) => this.#afterLatency(resolve, reject))
    // The process that opens the disk crashed meanwhile.
    if (this.#crashes !== crashes) return new Promise(() => {})
    if (this.#full) throw new Error('IO error: No space left on device')
    if (this.#handles.size > 0) throw new Error('The disk is open already')
    const handle = new MemoryLevel(this)
    this.#handles.add(handle)
    return handle
  }

  /** @internal */
  release(handle: MemoryLevel): void {
    this.#handles.delete(handle)
  }

  /** @internal */
  write(handle: MemoryLevel, operations: readonly [key: string, value: string | undefined][]): Promise<void> {
    const number = ++this.#writes
    const apply = () => {
      for (const [key, value] of operations) this.damage(key, value)
    }
    const death = this.#death?.atWrite === number ? this.#death : undefined
    const failure = this.#failure?.atWrite === number ? this.#failure : undefined
    if (death) {
      if (death.applied) apply()
      this.crash()
    }
    if (handle.isDead) return new Promise(() => {})
    if (this.#full) return Promise.reject(new Error('IO error: No space left on device'))
    if (failure) {
      if (failure.applied) apply()
      return Promise.reject(failure.error)
    }
    return new Promise((resolve, reject) => {
      const whileAlive = (act: () => void) => () => {
        if (!handle.isDead) act()
      }
      const applyAndResolve = () => {
        apply()
        this.#afterLatency(whileAlive(resolve), reject)
      }
      this.#afterLatency(whileAlive(applyAndResolve), reject)
    })
  }

  /** Calls `act` after the latency. Not a promise, so that a test can count those of the engine. */
  #afterLatency(act: () => void, fail: (error: unknown) => void): void {
    if (this.latency) this.latency().then(act, fail)
    else setImmediate(act)
  }
}

/** Access of one process to the disk. */
class MemoryLevel implements Level {
  isDead = false

  constructor(private readonly disk: MemoryDisk) {}

  batch(): LevelBatch {
    const operations: [string, string | undefined][] = []
    return {
      put: (key, value) => operations.push([key, value]),
      del: (key) => operations.push([key, undefined]),
      write: () => this.disk.write(this, operations),
      close: async () => {},
    }
  }

  get(key: string): Promise<string | undefined> {
    return this.#alive(this.disk.content.get(key))
  }

  getMany(keys: string[]): Promise<(string | undefined)[]> {
    return this.#alive(keys.map((key) => this.disk.content.get(key)))
  }

  async page({ gte, lt, reverse }: LevelRange, size: number): Promise<StoredEntry[]> {
    const { content, sortedKeys: keys } = this.disk
    const from = firstAtLeast(keys, gte)
    const to = firstAtLeast(keys, lt)
    const found = reverse
      ? keys.slice(Math.max(from, to - size), to).reverse()
      : keys.slice(from, Math.min(to, from + size))
    return this.#alive(found.map((key): StoredEntry => [key, content.get(key) as string]))
  }

  readStarts(ranges: readonly WantedRange[]): Promise<RangeStart[]> {
    const lt = ranges.at(-1)?.lt as string
    let gte = ''
    const seek = (key: string) => {
      gte = key
    }
    const nextv = async (size: number) => {
      const page = await this.page({ gte, lt }, size)
      const last = page.at(-1)
      if (last) gte = `${last[0]}\u0000`
      return page
    }
    return readRanges({ seek, nextv }, ranges, { entriesMax: ENTRIES_PER_ITERATOR, isOver: () => false })
  }

  async compactRange(): Promise<void> {}

  async approximateSize(from: string, to: string): Promise<number> {
    const found = [...this.disk.content].filter(([key]) => key >= from && key < to)
    return this.#alive(found.reduce((sum, [key, value]) => sum + key.length + value.length, 0))
  }

  async close(): Promise<void> {
    this.disk.release(this)
  }

  die(): void {
    this.isDead = true
  }

  #alive<T>(value: T): Promise<T> {
    return this.isDead ? new Promise(() => {}) : Promise.resolve(value)
  }
}

/** Index of the first key that is not less than `key`. */
function firstAtLeast(keys: readonly string[], key: string): number {
  let from = 0
  let to = keys.length
  while (from < to) {
    const middle = (from + to) >> 1
    if ((keys[middle] as string) < key) from = middle + 1
    else to = middle
  }
  return from
}
