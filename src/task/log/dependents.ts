/**
 * Finds the calls of a body that depend on a log record, in nearly linear time for any number of branches.
 *
 * A call depends on a record if the body made the call after it received the record, except in a sibling branch:
 * another branch of the same `race` or `all`. Each record and each call is stored at every scope that contains it,
 * under the call of that scope that leads to it. Two entries under different calls of a scope are not in sibling
 * branches. Two entries under the same call are compared in the scopes inside.
 */
import { Heap } from '../../base/collections.js'
import type { LogRecord } from './records.js'
import { isWithin, levelsOf } from './scope.js'

/** Place of a call, and the number of the record that the body had received last when it made the call. */
export type CallPlace = Pick<LogRecord, 'segment' | 'scope' | 'after'>

/** The smallest number added, and the smallest number added under another label. */
class Least {
  #label: string | number | undefined
  #least = Number.POSITIVE_INFINITY
  #other = Number.POSITIVE_INFINITY

  get all(): number {
    return this.#least
  }

  add(label: string | number, number: number): void {
    if (label === this.#label) this.#least = Math.min(this.#least, number)
    else if (number >= this.#least) this.#other = Math.min(this.#other, number)
    else {
      this.#other = this.#least
      this.#least = number
      this.#label = label
    }
  }

  except(label: string | number): number {
    return label === this.#label ? this.#other : this.#least
  }
}

const newLeast = () => new Least()

/** The dropped records, stored so that the calls that depend on them are found. */
export class Dependents {
  readonly #segments = new Least()
  /** Entries at the scope of the body itself, by segment. Most calls are found there. */
  readonly #bodies = new Map<number, Least>()
  readonly #levels = new ByScope<Least>()
  #first = Number.POSITIVE_INFINITY

  /**
   * @param within the scope in which dependents are dropped: empty for the whole log, or a branch of the record's
   *   segment
   */
  add({ segment, scope, seq }: LogRecord, within = ''): void {
    this.#first = Math.min(this.#first, seq)
    // Everything in a later segment depends on the record too: no branches are open at a checkpoint.
    if (within === '') this.#segments.add(segment, seq)
    for (const level of levelsOf(scope)) {
      if (!isWithin(level.scope, within)) continue
      const least =
        level.scope === ''
          ? entryOf(this.#bodies, segment, newLeast)
          : this.#levels.entry(segment, level.scope, newLeast)
      least.add(level.call, seq)
    }
  }

  /** True if the call depends on one of the records. */
  isBehind({ segment, scope, after }: CallPlace): boolean {
    if (after < this.#first) return false
    if (this.#segments.except(segment) <= after) return true
    const body = this.#bodies.get(segment)
    if (body && firstAt(body, scope.slice(0, Math.max(0, scope.indexOf('.')))) <= after) return true
    const levels = scope === '' ? undefined : this.#levels.of(segment)
    if (levels === undefined) return false
    return levelsOf(scope).some(({ scope: outer, call }) => {
      const level = levels.get(outer)
      return level !== undefined && firstAt(level, call) <= after
    })
  }
}

/** Calls inside one scope, grouped by the call of that scope that leads to them. The latest is taken first. */
class Calls<T extends { readonly asked: CallPlace }> {
  readonly #byCall = new Map<string, Heap<T>>()
  // Every heap in this heap is not empty, and is taken out before it is changed.
  readonly #heaps = new Heap<Heap<T>>((one, other) => latest(one) > latest(other))

  add(call: string, item: T): void {
    const heap = this.#byCall.get(call) ?? new Heap<T>((one, other) => one.asked.after > other.asked.after)
    this.#byCall.set(call, heap)
    this.#heaps.remove(heap)
    heap.add(item)
    this.#heaps.add(heap)
  }

  /** Removes and returns the calls made after record `seq`, except those that `call` leads to. */
  *take(seq: number, call: string): Generator<T, void> {
    const excluded = call === '' ? undefined : this.#byCall.get(call)
    const isExcluded = excluded !== undefined && this.#heaps.remove(excluded)
    for (let heap = this.#heaps.first; heap && latest(heap) >= seq; heap = this.#heaps.first) {
      this.#heaps.remove(heap)
      const item = heap.first as T
      heap.remove(item)
      if (heap.size > 0) this.#heaps.add(heap)
      yield item
    }
    if (isExcluded) this.#heaps.add(excluded)
  }
}

/** Calls in branches that no dropped record has reached yet. */
export class PendingDependents<T extends { readonly asked: CallPlace }> {
  readonly #levels = new ByScope<Calls<T>>()

  add(item: T): void {
    const { segment, scope } = item.asked
    for (const level of levelsOf(scope)) {
      this.#levels.entry(segment, level.scope, () => new Calls<T>()).add(level.call, item)
    }
  }

  /**
   * Removes and returns the calls in the branch `within` that depend on the record. A call can be returned more than
   * once.
   */
  *take({ segment, scope, seq }: LogRecord, within: string): Generator<T, void> {
    for (const level of levelsOf(scope)) {
      if (isWithin(level.scope, within)) {
        const calls = this.#levels.of(segment)?.get(level.scope)
        if (calls) yield* calls.take(seq, level.call)
      }
    }
  }
}

function latest<T extends { readonly asked: CallPlace }>(heap: Heap<T>): number {
  return (heap.first as T).asked.after
}

function firstAt(level: Least, call: string): number {
  return call === '' ? level.all : level.except(call)
}

function entryOf<K, T>(entries: Map<K, T>, key: K, make: () => T): T {
  let entry = entries.get(key)
  if (entry === undefined) {
    entry = make()
    entries.set(key, entry)
  }
  return entry
}

/** A map with one value for each scope of each segment. */
export class ByScope<T> {
  readonly #segments = new Map<number, Map<string, T>>()

  /** The values of a segment, by scope; `undefined` if there are none. */
  of(segment: number): ReadonlyMap<string, T> | undefined {
    return this.#segments.get(segment)
  }

  set(segment: number, scope: string, value: T): void {
    entryOf(this.#segments, segment, () => new Map<string, T>()).set(scope, value)
  }

  /** The value of a scope. Created if there is none. */
  entry(segment: number, scope: string, make: () => T): T {
    return entryOf(
      entryOf(this.#segments, segment, () => new Map<string, T>()),
      scope,
      make,
    )
  }
}
