/**
 * Creates IDs. Task IDs sort by creation and carry 120 random bits. Over MCP without authentication a task ID is a bearer
 * token, so a ULID (80 random bits, counted up within a millisecond) would be too weak.
 *
 * ids-1. The time part of a task ID never goes back, also when the clock does. A new opening continues after the newest
 *        ID of the store. Without this, a cursor of `list` would skip tasks that are created after it.
 * - A counter follows the time part and orders the IDs of one millisecond. The counter's overflow adds 1 ms.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { decodeTime, encodeTime, monotonicFactory, ulid } from 'ulid'

/** Source of the engine's IDs and of its random numbers. */
export interface Ids {
  /** `task-` + 10 characters of time + 2 of a counter + 24 random ones (Crockford base 32). Sorts after the ID before it. */
  taskId(now: number): string
  /**
   * Part of the newest task ID that decides its order, of the IDs created or passed to `continueAfter`; `undefined`
   * before the first one. The random part is left out, so that storing this value discloses no ID.
   */
  readonly newestOrder: string | undefined
  /**
   * Makes every later task ID sort after `order`, also if the clock was set back.
   * @param order a task ID, or a `newestOrder`
   */
  continueAfter(order: string): void
  /** `cp-` + ULID. */
  checkpointId(now: number): string
  /** A ULID that sorts after the one before it, even in the same millisecond. */
  orderedId(now: number): string
  /** A random number from 0 up to, and without, 1. It varies the delay before a retry. */
  fraction(): number
  /** 128 random bits as text, for the seed of a task's `uuid()` and the token of a lock. */
  seed(): string
}

const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const TIME_CHARS = 10 // 48 bits of milliseconds, as in a ULID
const TIME_MS_MAX = 2 ** 48 - 1
const COUNTER_CHARS = 2 // 1,024 IDs a millisecond; more move the time part ahead by 1 ms
const TASK_RANDOM_CHARS = 24 // 5 bits each: 120
const COUNTER_VALUES = 32 ** COUNTER_CHARS
const ORDER = /^task-[0-7][0-9A-HJKMNP-TV-Z]{11}/

/** Text that sorts before every task ID of `instant`, and after the IDs of earlier instants. */
export function firstTaskIdAt(instant: number): string {
  return `task-${encodeTime(Math.min(Math.max(0, instant), TIME_MS_MAX), TIME_CHARS)}`
}

/** The beginning of a task ID, without the random part: it sorts as the ID does, and is no key to the task. */
export function orderOf(taskId: string): string {
  return taskId.slice(0, 'task-'.length + TIME_CHARS + COUNTER_CHARS)
}

/**
 * Time part of a task ID, in milliseconds since the epoch. It is the creation of the task, or a later instant if the
 * clock had been set back before (ids-1).
 */
export function taskIdTime(taskId: string): number {
  // `decodeTime` requires the length of a ULID: the time, and 16 more characters.
  return decodeTime(taskId.slice('task-'.length, 'task-'.length + 26))
}

// Reads random bytes in blocks. One call per character, as in `ulid`, would cost more than the rest of the ID.
function randomPool(): () => number {
  let pool = randomBytes(0)
  let next = 0
  return () => {
    if (next === pool.length) {
      pool = randomBytes(4_096)
      next = 0
    }
    return pool[next++] as number
  }
}

/** Creates a source of IDs that uses `node:crypto`. */
export function createIds(): Ids {
  const randomByte = randomPool()
  const randomFraction = () => randomByte() / 256
  const monotonic = monotonicFactory(randomFraction)
  const newest = { time: -1, counter: 0, order: undefined as string | undefined }
  const advance = (now: number) => {
    if (now > newest.time) {
      newest.time = now
      newest.counter = 0
    } else if (++newest.counter === COUNTER_VALUES) {
      newest.time++
      newest.counter = 0
    }
  }
  return {
    taskId(now) {
      advance(now)
      const { time, counter } = newest
      let random = ''
      for (let char = 0; char < TASK_RANDOM_CHARS; char++) random += CROCKFORD[randomByte() & 31]
      newest.order = `task-${encodeTime(time, TIME_CHARS)}${CROCKFORD[counter >> 5]}${CROCKFORD[counter & 31]}`
      return newest.order + random
    },
    get newestOrder() {
      return newest.order
    },
    continueAfter(given) {
      const [order] = ORDER.exec(given) ?? []
      if (order === undefined || (newest.order !== undefined && order <= newest.order)) return
      const [high = '', low = ''] = order.slice('task-'.length + TIME_CHARS)
      newest.time = decodeTime(order.slice('task-'.length).padEnd(26, '0'))
      newest.counter = CROCKFORD.indexOf(high) * 32 + CROCKFORD.indexOf(low)
      newest.order = order
    },
    checkpointId: (now) => `cp-${ulid(now, randomFraction)}`,
    orderedId: (now) => monotonic(now),
    fraction: randomFraction,
    seed: () => randomUUID(),
  }
}

/**
 * Idempotency key that a step sends to other services: the same in every attempt and run of the step, and different for
 * each step.
 */
export function idempotencyKeyOf(taskId: string, recordId: string): string {
  const hash = createHash('sha256').update(recordId).digest('hex')
  return `${taskId}-${hash.slice(0, 32)}`
}

/**
 * A name-based UUID (version 5) under the task's seed.
 * See https://www.rfc-editor.org/rfc/rfc9562#section-5.5
 */
export function uuidOf(seed: string, name: string): string {
  const bytes = createHash('sha1')
    .update(Buffer.from(seed.replaceAll('-', ''), 'hex'))
    .update(name)
    .digest()
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x50
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80
  const hex = bytes.toString('hex', 0, 16)
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/**
 * A copy of an ID that is a part of a longer text, such as a key. Without a copy, V8 keeps the whole text in memory as long
 * as the ID.
 */
export function copyOfId(part: string): string {
  return Buffer.from(part, 'latin1').toString('latin1')
}
