/** What is derived from a task's log instead of being written to it, so that a replay sees the same. */
import { createHash } from 'node:crypto'

/** The key that a step hands to the services it calls: the same in every attempt and run, and of no other step. */
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
