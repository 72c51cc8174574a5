/** The streams of one session, as far as their events are concerned: what is known of each, and what it was opened for. */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { JSONRPCMessage, RequestId } from '@modelcontextprotocol/sdk/types.js'
import type { BindingRecord } from '../../../task/changes.js'
import type { KeptRequest } from './kept-request.js'
import type { EventRecord, OpenRecord } from './session-records.js'

/** The stream that is no request's answer; the transport calls it `_GET_stream` in every session. */
export const STANDALONE = 'get'
export const STANDALONE_OF_TRANSPORT = '_GET_stream'

/** What a stream is opened for. */
export type Opening =
  /** Nothing is kept of it: its client can simply ask again. */
  | { readonly kind: 'unkept' }
  /**
   * A request. `begin` writes what is given to it with what it writes itself.
   * @returns whether it did: what is refused leaves nothing
   */
  | {
      readonly kind: 'request'
      readonly request: KeptRequest
      readonly begin: (beside: (call?: OpenRecord['call']) => BindingRecord[]) => Promise<boolean>
      /** Is given what the response has to go through. */
      readonly onOpen: (watch: (response: Response) => Response) => void
    }
  /** A request of an earlier process. */
  | { readonly kind: 'again'; readonly request: KeptRequest; readonly stream: string }

const opening = new AsyncLocalStorage<{ what: Opening | undefined }>()

/** Runs `act`, which hands a request to the transport, and tells `storeEvent` what it opens a stream for: the transport doesn't. */
export async function opens<T>(what: Opening, act: () => Promise<T>): Promise<T> {
  const slot: { what: Opening | undefined } = { what }
  try {
    return await opening.run(slot, act)
  } finally {
    // Whatever waits for the answer still has the slot, for as long as it waits. It must not hold the request's parameters.
    slot.what = undefined
  }
}

/** What the stream of the current request is opened for. Told once. */
export function takeOpening(): Opening {
  const slot = opening.getStore()
  const what = slot?.what
  if (slot) slot.what = undefined
  return what ?? { kind: 'unkept' }
}

/** What is known of a stream. */
export interface Stream {
  readonly name: string
  next: number
  /** The number of the answer, once there is one. */
  final: number | undefined
  /** The progress that was sent last. */
  progress: number | undefined
  readonly writes: Set<Promise<unknown>>
  /** What the transport calls it. */
  id: string
  /** The request that it answers. */
  requestId: RequestId | undefined
  /** True if that request waits for the end of a task. */
  isWait: boolean
  /** When its last reader went; `undefined` if it had none in this process. */
  leftAt: number | undefined
  /** The note that its answer is not delivered. */
  rejoinKey: string | undefined
  /** Its response is on its way to the client, who reads it as soon as it is there. */
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

/** What is known of a stream from what was sent on it. */
export function note(stream: Stream, number: number, message: JSONRPCMessage): void {
  if (!('method' in message)) {
    if (stream.name !== STANDALONE) stream.final = number
  } else if (message.method === 'notifications/progress') {
    const progress = message.params?.['progress']
    if (typeof progress === 'number') stream.progress = progress
  }
}

/** The ID of an event. */
export function streamIdOf({ stream, number }: Pick<EventRecord, 'stream' | 'number'>): string {
  return `${stream}_${number}`
}
