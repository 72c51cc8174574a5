/** Messages that callers send to a task. They are kept in their order until the body receives them. */
import { bytesOf } from './byte-count.js'

/** One message to a task. */
export interface Message {
  readonly name: string
  /** Number of the message among all messages of the task, from 0. */
  readonly order: number
  /** The payload as JSON text; empty text stands for `undefined`. */
  readonly text: string
}

/** The message that an idempotency key of `send` belongs to, within its task. */
export interface MessageKey {
  readonly key: string
  readonly order: number
  /** Hash of the name and the payload. */
  readonly fingerprint: string
}

/** Largest number of keys that one `send` deletes. Without this, the batch of a send could be large. */
export const MESSAGE_KEYS_DROPPED_MAX = 64

/** Bytes of a kept idempotency key of a message. */
export function messageKeyUsage(entry: MessageKey): number {
  return bytesOf(JSON.stringify(entry))
}

/**
 * The oldest keys, which are dropped so that at most `max` keys remain with one more. A repeated `send` under a
 * dropped key is a new message.
 */
export function droppedMessageKeys(kept: readonly MessageKey[], max: number): MessageKey[] {
  const over = Math.min(Math.max(0, kept.length + 1 - max), MESSAGE_KEYS_DROPPED_MAX)
  return [...kept].sort((one, other) => one.order - other.order).slice(0, over)
}
