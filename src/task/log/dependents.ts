/**
 * Answers which calls came of a record, and finds those that did, without comparing each with each: near-linear however
 * many branches a log has.
 *
 * A call came of a record if it was made after the record was handed over, and stands in no sibling of the record's branch:
 * in another branch of the same call. Two scopes of one segment part in a scope that holds both, by different calls or by
 * branches of one call. So each record and each call is entered at every scope that holds it, under the call there that
 * leads to it, and only entries under one and the same call are told apart further inside.
 */
import { Heap } from '../../base/heap.js'
import type { LogRecord } from './records.js'
import { isWithin, levelsOf } from './scope.js'

/** A call: where it stands, and the record handed over last when it was made. */
export type CallPlace = Pick<LogRecord, 'segment' | 'scope' | 'after'>

/** The least number entered, and the least one under another label than that. */
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

/** The records that go, by what may have come of them. */
export class Dependents {
  readonly #segments = new Least()
  /** At the body itself, by segment: most calls are found there. */
  readonly #bodies = new Map<number, Least>()
  readonly #levels = new ByScope<Least>()
  #first = Number.POSITIVE_INFINITY

  /** @param within what came of the record goes only there: in the whole log, or in this branch of its segment */
  add({ segment, scope, seq }: LogRecord, within = ''): void {
    this.#first = Math.min(this.#first, seq)
    // Whatever lies in a later segment came of the record too: no call of branches is open over a checkpoint.
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

  /** True if the call came of one of the records. */
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

/** Calls at one scope, by the call there that leads to them; the latest comes out first. */
class Calls<T extends { readonly asked: CallPlace }> {
  readonly #byCall = new Map<string, Heap<T>>()
  // Each heap in here holds something, and stays as it is while it is in here.
  readonly #heaps = new Heap<Heap<T>>((one, other) => latest(one) > latest(other))

  add(call: string, item: T): void {
    const heap = this.#byCall.get(call) ?? new Heap<T>((one, other) => one.asked.after > other.asked.after)
    this.#byCall.set(call, heap)
    this.#heaps.remove(heap)
    heap.add(item)
    this.#heaps.add(heap)
  }

  /** Takes out those made after `seq`, but for those that `call` leads to. */
  *take(seq: number, call: string): Generator<T, void> {
    const beside = call === '' ? undefined : this.#byCall.get(call)
    const isBeside = beside !== undefined && this.#heaps.remove(beside)
    for (let heap = this.#heaps.first; heap && latest(heap) >= seq; heap = this.#heaps.first) {
      this.#heaps.remove(heap)
      const item = heap.first as T
      heap.remove(item)
      if (heap.size > 0) this.#heaps.add(heap)
      yield item
    }
    if (isBeside) this.#heaps.add(beside)
  }
}

/** Calls in branches, until a record goes that they came of. */
export class PendingDependents<T extends { readonly asked: CallPlace }> {
  readonly #levels = new ByScope<Calls<T>>()

  add(item: T): void {
    const { segment, scope } = item.asked
    for (const level of levelsOf(scope)) {
      this.#levels.entry(segment, level.scope, () => new Calls<T>()).add(level.call, item)
    }
  }

  /** Takes out what came of the record in the branch `within`. One that was taken out before may come again. */
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

/** One value for each scope of each segment. */
export class ByScope<T> {
  readonly #segments = new Map<number, Map<string, T>>()

  /** The values of a segment, by scope; `undefined` if there are none. */
  of(segment: number): ReadonlyMap<string, T> | undefined {
    return this.#segments.get(segment)
  }

  set(segment: number, scope: string, value: T): void {
    entryOf(this.#segments, segment, () => new Map<string, T>()).set(scope, value)
  }

  /** The value of a scope, made if there is none. */
  entry(segment: number, scope: string, make: () => T): T {
    return entryOf(
      entryOf(this.#segments, segment, () => new Map<string, T>()),
      scope,
      make,
    )
  }
}
