/**
 * The stream that answers a job: frames of a type (one letter), a length (32 bits, the lowest byte first) and a payload.
 * `M` is a message in JSON; `B` is bytes of a file. The last frame is the message `done` or `failed`: a stream without one
 * was interrupted.
 */
import type { OperatorProgress } from './jobs.js'
import type { Problem } from './problem.js'

/** A message of a job. `ping` shows that the connection works. */
export type StreamMessage =
  | ({ readonly kind: 'progress' } & OperatorProgress)
  | { readonly kind: 'ping' }
  | { readonly kind: 'done'; readonly report: unknown }
  | { readonly kind: 'failed'; readonly error: Problem }

/** Content type of the stream. */
export const JOB_CONTENT_TYPE = 'application/octet-stream'

const HEAD_BYTES = 5
// A report has at most 1,000 findings of some 100 bytes. A longer frame is no frame.
const PAYLOAD_BYTES_MAX = 64 * 1_048_576

/** Makes the frame of a message. */
export function messageFrame(message: StreamMessage): Uint8Array {
  return frame('M', Buffer.from(JSON.stringify(message)))
}

/** Makes the frame of bytes of a file. */
export function bytesFrame(bytes: Uint8Array): Uint8Array {
  return frame('B', bytes)
}

function frame(type: 'M' | 'B', payload: Uint8Array): Uint8Array {
  const head = Buffer.alloc(HEAD_BYTES)
  head.write(type, 0, 'latin1')
  head.writeUInt32LE(payload.length, 1)
  return Buffer.concat([head, payload])
}

/** Reads frames: bytes of a file, and messages. @throws Error for bytes that are no frames */
export async function* readFrames(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer | StreamMessage> {
  // Parts of the frame that is read, and their length.
  let parts: Buffer[] = []
  let length = 0
  let wanted = HEAD_BYTES
  for await (const chunk of chunks) {
    parts.push(chunk)
    length += chunk.length
    while (length >= wanted) {
      const all = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)
      const size = all.readUInt32LE(1)
      const type = all.toString('latin1', 0, 1)
      if ((type !== 'M' && type !== 'B') || size > PAYLOAD_BYTES_MAX) throw new Error('The answer has no frames')
      wanted = HEAD_BYTES + size
      parts = [all]
      if (length < wanted) break
      const payload = all.subarray(HEAD_BYTES, wanted)
      parts = [all.subarray(wanted)]
      length -= wanted
      wanted = HEAD_BYTES
      yield type === 'B' ? payload : (JSON.parse(payload.toString('utf8')) as StreamMessage)
    }
  }
}
