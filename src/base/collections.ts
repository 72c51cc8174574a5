/**
 * Collections that JavaScript does not have: a priority queue, a queue, and a map and a set that usually have at most one
 * entry.
 */

/** Priority queue that can remove any of its items. Each operation takes O(log n). */
export class Heap<T> {
  readonly #items: T[] = []
  readonly #places = new SmallMap<T, number>()

  /**
   * @param isBefore true if `one` leaves the heap before `other`. The order of two items must not change while they are
   * inside.
   */
  constructor(private readonly isBefore: (one: T, other: T) => boolean) {}

  get size(): number {
    return this.#items.length
  }

  /** The item that leaves the heap next. */
  get first(): T | undefined {
    return this.#items[0]
  }

  /** All items, in no order. */
  items(): T[] {
    return [...this.#items]
  }

  /** Adds an item. An item that is inside already stays where it is. */
  add(item: T): void {
    if (this.#places.has(item)) return
    this.#put(item, this.#items.length)
    this.#rise(this.#items.length - 1)
  }

  /** Removes an item. Returns true if it was inside. */
  remove(item: T): boolean {
    const at = this.#places.get(item)
    if (at === undefined) return false
    this.#places.delete(item)
    const last = this.#items.pop() as T
    if (last !== item) {
      this.#put(last, at)
      this.#rise(at)
      this.#sink(this.#places.get(last) as number)
    }
    return true
  }

  #put(item: T, at: number): void {
    this.#items[at] = item
    this.#places.set(item, at)
  }

  #rise(from: number): void {
    const item = this.#items[from] as T
    let at = from
    while (at > 0) {
      const above = (at - 1) >> 1
      const other = this.#items[above] as T
      if (!this.isBefore(item, other)) break
      this.#put(other, at)
      at = above
    }
    this.#put(item, at)
  }

  #sink(from: number): void {
    const item = this.#items[from] as T
    let at = from
    for (;;) {
      let below = 2 * at + 1
      if (below >= this.#items.length) break
      const right = this.#items[below + 1]
      if (right !== undefined && this.isBefore(right, this.#items[below] as T)) below++
      const other = this.#items[below] as T
      if (!this.isBefore(other, item)) break
      this.#put(other, at)
      at = below
    }
    this.#put(item, at)
  }
}

// Entries that were taken out are removed from the array in bulk, from this number on.
const COMPACT_FROM = 64

/** Entries in the order in which they were added. Each operation takes constant time on average. */
export class Queue<T> {
  #entries: (T | undefined)[] = []
  #start = 0

  get size(): number {
    return this.#entries.length - this.#start
  }

  /** The entry that was added first; `undefined` if there is none. */
  get first(): T | undefined {
    return this.#entries[this.#start]
  }

  push(entry: T): void {
    this.#entries.push(entry)
  }

  /** Takes out the first entry. */
  shift(): T | undefined {
    if (this.size === 0) return undefined
    const first = this.#entries[this.#start]
    this.#entries[this.#start++] = undefined
    if (this.#start >= COMPACT_FROM && this.#start * 2 >= this.#entries.length) {
      this.#entries = this.#entries.slice(this.#start)
      this.#start = 0
    }
    return first
  }

  /** Takes out every entry for which `isKept` is false. Takes time in proportion to the entries. */
  filter(isKept: (entry: T) => boolean): void {
    this.#entries = [...this].filter(isKept)
    this.#start = 0
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let at = this.#start; at < this.#entries.length; at++) yield this.#entries[at] as T
  }
}

/**
 * A map that usually has at most one entry, which is kept in fields. A `Map` is created for the second entry: an empty one
 * has about 180 bytes, and a server has thousands of runs in memory, each with several maps.
 */
export class SmallMap<Key, Value> {
  #hasOne = false
  #key: Key | undefined
  #value: Value | undefined
  #all: Map<Key, Value> | undefined

  get size(): number {
    if (this.#all) return this.#all.size
    return this.#hasOne ? 1 : 0
  }

  has(key: Key): boolean {
    if (this.#all) return this.#all.has(key)
    return this.#hasOne && this.#key === key
  }

  get(key: Key): Value | undefined {
    if (this.#all) return this.#all.get(key)
    return this.#hasOne && this.#key === key ? this.#value : undefined
  }

  set(key: Key, value: Value): this {
    if (this.#all) this.#all.set(key, value)
    else if (!this.#hasOne || this.#key === key) this.#keepOne(true, key, value)
    else {
      this.#all = new Map([
        [this.#key as Key, this.#value as Value],
        [key, value],
      ])
      this.#keepOne(false, undefined, undefined)
    }
    return this
  }

  /** Deletes an entry. Returns true if it was there. */
  delete(key: Key): boolean {
    if (this.#all) return this.#all.delete(key)
    if (!this.has(key)) return false
    this.#keepOne(false, undefined, undefined)
    return true
  }

  clear(): void {
    this.#all = undefined
    this.#keepOne(false, undefined, undefined)
  }

  /** The keys in the order in which they were added. */
  keys(): Iterable<Key> {
    return this.#all?.keys() ?? (this.#hasOne ? [this.#key as Key] : [])
  }

  /** The values in the order in which their keys were added. */
  values(): Iterable<Value> {
    return this.#all?.values() ?? (this.#hasOne ? [this.#value as Value] : [])
  }

  #keepOne(hasOne: boolean, key: Key | undefined, value: Value | undefined): void {
    this.#hasOne = hasOne
    this.#key = key
    this.#value = value
  }
}

/** A set of objects that usually has at most one, which is kept in a field. A `Set` is created for the second one. */
export class SmallSet<Item extends object> {
  #one: Item | undefined
  #all: Set<Item> | undefined

  get size(): number {
    return this.#all?.size ?? (this.#one ? 1 : 0)
  }

  has(item: Item): boolean {
    return this.#all?.has(item) ?? this.#one === item
  }

  add(item: Item): this {
    if (this.#all) this.#all.add(item)
    else if (!this.#one) this.#one = item
    else if (this.#one !== item) {
      this.#all = new Set([this.#one, item])
      this.#one = undefined
    }
    return this
  }

  /** Deletes an item. Returns true if it was there. */
  delete(item: Item): boolean {
    if (this.#all) return this.#all.delete(item)
    if (this.#one !== item) return false
    this.#one = undefined
    return true
  }

  clear(): void {
    this.#one = undefined
    this.#all = undefined
  }

  /** The items in the order in which they were added. */
  [Symbol.iterator](): Iterator<Item> {
    return (this.#all ?? (this.#one ? [this.#one] : []))[Symbol.iterator]()
  }
}
