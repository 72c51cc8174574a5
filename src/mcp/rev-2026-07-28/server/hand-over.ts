/**
 * The moment at which an answer was handed to its connection (mcp-core-4): over HTTP, once the response was read to its end
 * by what writes the socket; else, once the transport has sent the answer. If the client is gone before that, or the process
 * crashes, a repeated call gets the same answer.
 */
import type { RequestId, Server, ServerContext } from '@modelcontextprotocol/server'

/** The end of a call. */
export interface HandedOver {
  /** Deletes the record that the answer is not delivered. */
  readonly deliver: () => void
  /** The client is gone without the answer. */
  readonly release: () => void
}

interface HandOver {
  end: HandedOver | undefined
}

type Sender = NonNullable<Server['transport']>

const handOvers = new WeakMap<object, HandOver>()
const sent = new WeakMap<Sender, Map<RequestId, () => void>>()

/** Calls one function of `end` once the answer of this request was handed to its connection, or cannot be. */
export function onceHandedOver({ http, mcpReq }: ServerContext, server: Server, end: HandedOver): void {
  const request = http?.req
  const handOver = request && handOvers.get(request)
  if (handOver) handOver.end = end
  else if (!request && server.transport) onceSent(server.transport, mcpReq.id, end.deliver)
  // A request that the SDK made itself: it serves a client of an earlier revision without our endpoint.
  else end.deliver()
}

/**
 * Answers a request over HTTP, and watches until the response is read.
 * @param watched wraps a response; `isRead` is true if the response was read to its end
 */
export async function handingOver(
  request: Request,
  ask: () => Promise<Response>,
  watched: (response: Response, onOver: (isRead: boolean) => void) => Response,
): Promise<Response> {
  const handOver: HandOver = { end: undefined }
  handOvers.set(request, handOver)
  const response = await ask()
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true
  // The answer of a stream may come later.
  if (!handOver.end && !isStream) return response
  return watched(response, (isRead) => {
    if (isRead) handOver.end?.deliver()
    else handOver.end?.release()
  })
}

function onceSent(transport: Sender, id: RequestId, deliver: () => void): void {
  const known = sent.get(transport)
  const waiting = known ?? new Map<RequestId, () => void>()
  waiting.set(id, deliver)
  if (known) return
  sent.set(transport, waiting)
  const send = transport.send.bind(transport)
  transport.send = async (message, options) => {
    await send(message, options)
    if ('method' in message || message.id === undefined) return
    const delivered = waiting.get(message.id)
    waiting.delete(message.id)
    delivered?.()
  }
}
