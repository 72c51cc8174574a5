/** Messages from outside, kept in the order they came until a body receives them. */
import { bytesOf } from './byte-count.js'

/** One message. */
export interface Message {
  readonly name: string
  /** Its place among all the task's messages. */
  readonly order: number
  /** The payload as JSON text; empty text stands for `undefined`. */
  readonly text: string
}

/** What an idempotency key of `send` stands for, within its task. */
export interface MessageKey {
  readonly key: string
  readonly order: number
  /** A hash of name and payload. */
  readonly fingerprint: string
}

/** Keys that one send deletes at most, so that its batch stays small. */
export const MESSAGE_KEYS_DROPPED_MAX = 64

/** Bytes that the key of a message keeps. */
export function messageKeyUsage(entry: MessageKey): number {
  return bytesOf(JSON.stringify(entry))
}

/**
 * The oldest keys, of those that are over `max` once one more is kept. A repeated `send` under a dropped key is a new
 * message.
 */
export function droppedMessageKeys(kept: readonly MessageKey[], max: number): MessageKey[] {
  const over = Math.min(Math.max(0, kept.length + 1 - max), MESSAGE_KEYS_DROPPED_MAX)
  return [...kept].sort((one, other) => one.order - other.order).slice(0, over)
}
