/** Messages from outside, kept in the order they came until a body receives them. */

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
