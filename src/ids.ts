/**
 * Makes IDs. Task IDs sort by creation and carry 130 random bits: over MCP
 * without authentication a task ID is a bearer token, so an ordinary or a
 * monotonic ULID (80 bits, the last ones counted up) would not do.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { decodeTime, encodeTime, monotonicFactory, ulid } from 'ulid'

/** The engine's source of IDs and of randomness. */
export interface Ids {
  /** `task-` + 10 characters of time + 26 random characters (Crockford base 32). */
  taskId(now: number): string
  /** `cp-` + ULID. */
  checkpointId(now: number): string
  /** A ULID that sorts after the one before it, even in the same millisecond. */
  auditId(now: number): string
  /** A random number from 0 to 1: the jitter of a wait. */
  fraction(): number
  /** 128 random bits as text: a task's seed for `uuid()`, a lock's token. */
  seed(): string
}

const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const TASK_RANDOM_CHARS = 26 // 5 bits each: 130, above the 128 that a bearer token wants
const TIME_CHARS = 10 // 48 bits of milliseconds, as in a ULID

/** What every task ID of an instant, and of none before it, sorts after. */
export function firstTaskIdAt(instant: number): string {
  return `task-${encodeTime(Math.max(0, instant), TIME_CHARS)}`
}

/** When the task of that ID was created, in milliseconds since the epoch. */
export function taskIdTime(taskId: string): number {
  // A ULID's length: the time, and as many of the random characters.
  return decodeTime(taskId.slice('task-'.length, 'task-'.length + 26))
}

// Asked for in bulk: one call per character, as `ulid` makes them, costs more than the rest of the ID.
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

/** IDs from `node:crypto`. */
export function createIds(): Ids {
  const randomByte = randomPool()
  const randomFraction = () => randomByte() / 256
  const monotonic = monotonicFactory(randomFraction)
  return {
    taskId(now) {
      let random = ''
      for (let char = 0; char < TASK_RANDOM_CHARS; char++) random += CROCKFORD[randomByte() & 31]
      return `task-${encodeTime(now, TIME_CHARS)}${random}`
    },
    checkpointId: (now) => `cp-${ulid(now, randomFraction)}`,
    auditId: (now) => monotonic(now),
    fraction: randomFraction,
    seed: () => randomUUID(),
  }
}
