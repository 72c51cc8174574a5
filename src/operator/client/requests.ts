/**
 * Requests of a client to the holder. Finds the holder again when it changed: after a restart it has another secret, and
 * perhaps another socket.
 *
 * requests-1. A request is repeated only if the server did not get it, refused it, or it only reads.
 * requests-2. A `POST` gets a connection of its own. On a kept one, a reset would not show if the server had the request.
 */
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { HoldfastError } from '../../base/errors.js'
import { hasCode } from '../../store/disk/files.js'
import { errorOfProblem } from '../contract/problem.js'
import { ACTOR_HEADER, type HolderRecord, PROTOCOL_HEADER, PROTOCOL_VERSION } from '../contract/protocol.js'
import { apiUnavailable, findHolder } from './find-holder.js'

/** Options of the connection, checked. */
export interface OperatorConnectionOptions {
  readonly dir: string
  readonly actor: string
  readonly waitMs: number
  readonly timeoutMs: number
}

/** One request. */
export interface Sending {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly body?: string | undefined
  /** Bytes of the body, in place of JSON. */
  readonly stream?: AsyncIterable<Uint8Array> | undefined
  readonly signal?: AbortSignal | undefined
  /** True if a `POST` changes nothing in the store. */
  readonly onlyReads?: boolean | undefined
}

const ATTEMPTS_MAX = 3
const RETRY_MS = 50
const BODY_CHARS_OF_ERROR_MAX = 1_000_000

export class OperatorConnection {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 8 })
  #holder: HolderRecord | undefined

  constructor(private readonly options: OperatorConnectionOptions) {}

  /** Ends the kept connections. */
  close(): void {
    this.#agent.destroy()
  }

  /** Sends a request, and returns the parsed body of the answer. @throws HoldfastError that the server threw, or `OPERATOR_UNAVAILABLE` */
  async call(sending: Sending): Promise<unknown> {
    const response = await this.open(sending)
    const text = await textOf(response).catch((cause: unknown) => {
      throw this.lost(sending, cause)
    })
    try {
      return JSON.parse(text)
    } catch (cause) {
      throw this.lost(sending, cause)
    }
  }

  /** Sends a request, and returns the answer once its head is there. */
  async open(sending: Sending): Promise<IncomingMessage> {
    const { dir, waitMs } = this.options
    let waitedMs = 0
    for (let attempt = 1; ; attempt++) {
      const holder = this.#holder ?? (await findHolder(dir, waitMs))
      this.#holder = holder
      let response: IncomingMessage
      try {
        response = await this.#send(holder, sending)
      } catch (error) {
        sending.signal?.throwIfAborted()
        this.#holder = undefined
        // Not connected: the server has nothing of the request.
        const isUnsent = hasCode(error, 'ECONNREFUSED', 'ENOENT', 'ENOTSOCK')
        // A stream is read once.
        const mayRepeat = sending.stream
          ? false
          : isUnsent
            ? waitedMs < waitMs
            : sending.method === 'GET' && attempt < ATTEMPTS_MAX && !hasCode(error, 'ETIMEDOUT')
        if (!mayRepeat) throw this.lost(sending, error, isUnsent)
        // The holder may be about to make its socket again.
        await delay(RETRY_MS)
        waitedMs += RETRY_MS
        continue
      }
      if (response.statusCode === 200) return response
      const problem = errorOfProblem(await jsonOf(response)) ?? this.lost(sending, undefined)
      // The secret is that of an earlier opening. Nothing was done.
      if (response.statusCode !== 401 || sending.stream || attempt >= ATTEMPTS_MAX) throw problem
      this.#holder = undefined
    }
  }

  #send({ path: socketPath, secret }: HolderRecord, sending: Sending): Promise<IncomingMessage> {
    const { actor, timeoutMs } = this.options
    const { method, path, body, stream, signal } = sending
    const headers: Record<string, string> = {
      authorization: `Bearer ${secret}`,
      [PROTOCOL_HEADER]: String(PROTOCOL_VERSION),
      [ACTOR_HEADER]: encodeURIComponent(actor),
    }
    if (body !== undefined) {
      headers['content-type'] = 'application/json'
      headers['content-length'] = String(Buffer.byteLength(body))
    }
    const agent = method === 'GET' ? this.#agent : false
    return new Promise((resolve, reject) => {
      const req = httpRequest({ socketPath, method, path, headers, agent, signal })
      req.setTimeout(timeoutMs, () => req.destroy(noAnswer(timeoutMs)))
      req.once('response', resolve)
      if (!stream) {
        req.once('error', reject)
        req.end(body)
        return
      }
      const noting = new NotingSource(stream)
      // `pipeline` ends the request without the error of its source.
      req.once('error', (error) => reject(noting.failure ?? error))
      // The end of the answer, or the error of the request, is what counts.
      pipeline(noting.chunks(), req).catch((error: Error) => req.destroy(error))
    })
  }

  /** The error of a connection that broke. */
  lost({ method, onlyReads = method === 'GET' }: Sending, cause: unknown, isUnsent = false): HoldfastError {
    const why = cause instanceof Error ? ` (${cause.message})` : ''
    const advice = isUnsent
      ? 'Nothing was done.'
      : onlyReads
        ? 'Try again.'
        : 'The server may have done what was requested. Read the state before you repeat the call.'
    const message = `The connection to the server broke${why}. ${advice}`
    return apiUnavailable(this.options.dir, message, cause, !onlyReads && !isUnsent)
  }
}

/** The bytes of a request, and the error of their source. */
class NotingSource {
  failure: unknown

  constructor(private readonly source: AsyncIterable<Uint8Array>) {}

  async *chunks(): AsyncGenerator<Uint8Array> {
    try {
      yield* this.source
    } catch (error) {
      this.failure = error
      throw error
    }
  }
}

function noAnswer(timeoutMs: number): Error {
  const message = `no answer within ${timeoutMs} ms: the server is busy or stopped`
  return Object.assign(new Error(message), { code: 'ETIMEDOUT' })
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}

/** Body of a refusal; `undefined` if it is no JSON or was cut off. */
async function jsonOf(response: IncomingMessage): Promise<unknown> {
  try {
    const text = await textOf(response)
    return text.length > BODY_CHARS_OF_ERROR_MAX ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}
