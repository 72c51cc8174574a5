/**
 * Standard input and output of this process, between the client and the SDK's transport. Owns the only listeners on
 * them.
 *
 * - Input is read to its end, also after the SDK's transport has paused: the end means that the client is gone.
 * - After `mute` nothing more is written. Every error of output (EPIPE) is handled, and none reaches the SDK.
 */
import { PassThrough, type Readable, Writable } from 'node:stream'

/** Streams that the transport reads and writes. */
export class ProcessStreams {
  readonly input: Readable
  readonly output: Writable
  #isMuted = false

  /** @param onGone called when input has ended or output has failed; more than once if both happen */
  constructor(onGone: (reason: 'stdin' | 'stdout') => void) {
    const { stdin, stdout, stderr } = process
    const input = new PassThrough()
    this.input = input
    this.output = new Writable({
      decodeStrings: false,
      write: (chunk: string | Buffer, encoding, done) => {
        if (this.#isMuted) done()
        // A failure is an `error` event of stdout, and ends the connection there.
        else stdout.write(chunk, encoding, () => done())
      },
    })
    const gone = () => {
      onGone('stdin')
      if (!input.writableEnded) input.end()
    }
    stdin.on('data', (chunk) => {
      if (!input.writableEnded) input.write(chunk)
    })
    stdin.on('end', gone)
    stdin.on('close', gone)
    stdin.on('error', gone)
    stdout.on('error', () => onGone('stdout'))
    // A client that is gone has closed standard error too. A line of the log must not end the process.
    stderr.on('error', () => {})
    if (stdin.readableEnded || stdin.destroyed) queueMicrotask(gone)
  }

  /** Drops all later writes, because the client is gone. */
  mute(): void {
    this.#isMuted = true
  }

  /** Resolves once all writes have left the process. */
  flushed(): Promise<void> {
    if (this.#isMuted) return Promise.resolve()
    return new Promise((resolve) => this.output.write('', () => resolve()))
  }
}
