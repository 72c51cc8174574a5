/** The streams of one session: the state of each, and the purpose for which it is opened. */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { JSONRPCMessage, RequestId } from '@modelcontextprotocol/sdk/types.js'
import type { BindingRecord } from '../../../task/changes.js'
import type { KeptRequest } from './kept-request.js'
import type { EventRecord, OpenRecord } from './session-records.js'

/** Name of the stream of messages without a request. The transport calls it `_GET_stream` in every session. */
export const STANDALONE = 'get'
export const STANDALONE_OF_TRANSPORT = '_GET_stream'

/** Purpose for which a stream is opened. */
export type Opening =
  /** Nothing is kept of the stream, because its client can repeat the request. */
  | { readonly kind: 'unkept' }
  /**
   * A request. `begin` writes the given records together with its own.
   * @returns false if the request is refused; then nothing is written
   */
  | {
      readonly kind: 'request'
      readonly request: KeptRequest
      readonly begin: (beside: (call?: OpenRecord['call']) => BindingRecord[]) => Promise<boolean>
      /** Receives the function that wraps the response. */
      readonly onOpen: (watch: (response: Response) => Response) => void
    }
  /** A request of an earlier process. */
  | { readonly kind: 'again'; readonly request: KeptRequest; readonly stream: string }

const opening = new AsyncLocalStorage<{ what: Opening | undefined }>()

/**
 * Runs `act`, which hands a request to the transport, with the purpose of its stream. `storeEvent` reads the purpose,
 * which the transport does not pass on.
 */
export async function opens<T>(what: Opening, act: () => Promise<T>): Promise<T> {
  const slot: { what: Opening | undefined } = { what }
  try {
    return await opening.run(slot, act)
  } finally {
    // Callbacks that wait for the answer keep the slot in memory. Without this, they would also keep the parameters of
    // the request.
    slot.what = undefined
  }
}

/** Purpose of the current request's stream. It can be read once. */
export function takeOpening(): Opening {
  const slot = opening.getStore()
  const what = slot?.what
  if (slot) slot.what = undefined
  return what ?? { kind: 'unkept' }
}

/** State of a stream. */
export interface Stream {
  readonly name: string
  next: number
  /** Number of the answer, once there is one. */
  final: number | undefined
  /** Progress that was sent last. */
  progress: number | undefined
  readonly writes: Set<Promise<unknown>>
  /** ID of the stream in the transport. */
  id: string
  /** ID of the request that the stream answers. */
  requestId: RequestId | undefined
  /** True if that request waits for the end of a task. */
  isWait: boolean
  /** Instant at which the last reader disconnected; `undefined` if there was none in this process. */
  leftAt: number | undefined
  /** Key of the record that the answer is not delivered. */
  rejoinKey: string | undefined
  /** True if the response is on its way to the client, which reads it at once. */
  isOwed: boolean
}

export function newStream(name: string): Stream {
  return {
    name,
    next: 0,
    final: undefined,
    progress: undefined,
    writes: new Set(),
    id: name === STANDALONE ? STANDALONE_OF_TRANSPORT : name,
    requestId: undefined,
    isWait: false,
    leftAt: undefined,
    rejoinKey: undefined,
    isOwed: false,
  }
}

/** Updates the state of a stream with a message that was sent on it. */
export function note(stream: Stream, number: number, message: JSONRPCMessage): void {
  if (!('method' in message)) {
    if (stream.name !== STANDALONE) stream.final = number
  } else if (message.method === 'notifications/progress') {
    const progress = message.params?.['progress']
    if (typeof progress === 'number') stream.progress = progress
  }
}

/** ID of an event. */
export function streamIdOf({ stream, number }: Pick<EventRecord, 'stream' | 'number'>): string {
  return `${stream}_${number}`
}
