/**
 * Answers of jobs. Owns the running ones.
 *
 * job-streams-1. A job ends when its client is gone, and when the server closes. Its files are removed before `close` resolves.
 * job-streams-2. A client that reads slowly holds at most `BUFFERED_BYTES_MAX` and a few chunks here: the job waits for it. Of the
 *   progress, only the newest is kept.
 */
import { Writable } from 'node:stream'
import { HoldfastError } from '../../base/errors.js'
import { faultOf } from '../../base/fault.js'
import type { Logger } from '../../base/logger.js'
import { bytesFrame, JOB_CONTENT_TYPE, messageFrame, type StreamMessage } from '../contract/frames.js'
import type { JobControl, OperatorProgress } from '../contract/jobs.js'
import { problemOf } from '../contract/problem.js'

const BUFFERED_BYTES_MAX = 256 * 1024
const PING_MS = 15_000

type Run = (control: JobControl) => Promise<unknown>

export class JobStreams {
  readonly #running = new Map<JobStream, Promise<void>>()

  constructor(private readonly logger: Logger) {}

  /**
   * Begins a job, and answers once it makes progress.
   * @throws what the job throws before
   */
  async open(run: Run, signal: AbortSignal): Promise<Response> {
    const stream = new JobStream()
    const giveUp = () => stream.abort(new DOMException('The client is gone', 'AbortError'))
    if (signal.aborted) giveUp()
    signal.addEventListener('abort', giveUp, { once: true })
    const job = run(stream.control)
    const over = this.#follow(stream, job).finally(() => {
      signal.removeEventListener('abort', giveUp)
      this.#running.delete(stream)
    })
    this.#running.set(stream, over)
    await Promise.race([stream.begun, job])
    return new Response(stream.body, { headers: { 'content-type': JOB_CONTENT_TYPE } })
  }

  /** Ends every job, and waits until their files are removed. */
  async close(): Promise<void> {
    const running = [...this.#running]
    for (const [stream] of running) stream.abort(new HoldfastError('CLOSED', 'The server closes its store.'))
    await Promise.all(running.map(([, over]) => over))
  }

  /** Sends the end of a job. Never rejects. */
  async #follow(stream: JobStream, job: Promise<unknown>): Promise<void> {
    try {
      const report = await job
      stream.end({ kind: 'done', report })
    } catch (error) {
      stream.end({ kind: 'failed', error: problemOf(error) ?? this.#fault(error, stream) })
    }
  }

  #fault(error: unknown, { control }: JobStream) {
    if (!control.signal.aborted) {
      this.logger.error('A request to the operator API failed unexpectedly', { error: faultOf(error) })
    }
    const message = 'The server failed while it answered. Its log has one line about the fault.'
    return { code: 'INVALID_REQUEST', message, mayBeWritten: true } as const
  }
}

/** The answer of one job. */
class JobStream {
  readonly body: ReadableStream<Uint8Array>
  readonly control: JobControl
  /** Resolves with the first progress or byte. */
  readonly begun: Promise<void>
  readonly #aborter = new AbortController()
  #begin = () => {}
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  #progress: OperatorProgress | undefined
  /** Calls on the writer of bytes to continue. */
  #goOn: (() => void) | undefined
  #isOver = false
  readonly #ping = setInterval(() => this.#send({ kind: 'ping' }), PING_MS).unref()

  constructor() {
    this.begun = new Promise((resolve) => {
      this.#begin = resolve
    })
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller
        },
        pull: () => this.#pulled(),
        cancel: () => this.abort(new DOMException('The client is gone', 'AbortError')),
      },
      new ByteLengthQueuingStrategy({ highWaterMark: BUFFERED_BYTES_MAX }),
    )
    const bytes = new Writable({
      write: (chunk: Buffer, _encoding, done) => this.#write(chunk, done),
      destroy: (error, done) => {
        this.#goOn?.()
        done(error)
      },
    })
    // The job has the error already.
    bytes.on('error', () => {})
    const onProgress = (progress: OperatorProgress) => {
      this.#progress = progress
      this.#begin()
      this.#showProgress()
    }
    this.control = { signal: this.#aborter.signal, onProgress, bytes }
  }

  /** Ends the job. */
  abort(why: Error): void {
    this.#aborter.abort(why)
    ;(this.control.bytes as Writable).destroy(why)
  }

  /** Sends the last message. */
  end(message: StreamMessage): void {
    if (this.#isOver) return
    this.#isOver = true
    clearInterval(this.#ping)
    try {
      this.#controller?.enqueue(messageFrame(message))
      this.#controller?.close()
    } catch {
      // The client cancelled the stream.
    }
  }

  #write(chunk: Buffer, done: () => void): void {
    this.#begin()
    try {
      this.#controller?.enqueue(bytesFrame(chunk))
    } catch {
      // The client cancelled the stream, and the job is aborted.
    }
    if (this.#hasRoom) done()
    else this.#goOn = done
  }

  #pulled(): void {
    const goOn = this.#goOn
    this.#goOn = undefined
    goOn?.()
    this.#showProgress()
  }

  #showProgress(): void {
    const progress = this.#progress
    if (!progress || !this.#hasRoom) return
    this.#progress = undefined
    this.#send({ kind: 'progress', ...progress })
  }

  #send(message: StreamMessage): void {
    if (this.#isOver || !this.#hasRoom) return
    try {
      this.#controller?.enqueue(messageFrame(message))
    } catch {
      // The client cancelled the stream.
    }
  }

  get #hasRoom(): boolean {
    return (this.#controller?.desiredSize ?? 0) > 0
  }
}
