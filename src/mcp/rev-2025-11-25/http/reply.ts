/** Responses with JSON-RPC messages. They need no session and no state. */
import type { JSONRPCMessage, RequestId } from '@modelcontextprotocol/sdk/types.js'
import { RPC } from '../../access/refusal.js'

/** Creates the response with the answer to one request. */
export function jsonResponse(message: JSONRPCMessage, sessionId: string): Response {
  const headers = { 'content-type': 'application/json', 'mcp-session-id': sessionId }
  return new Response(JSON.stringify(message), { headers })
}

/** Creates the response with the rest of a stream, and its end. */
export function sseResponse(events: readonly { id: string; message: JSONRPCMessage }[], sessionId: string): Response {
  const text = events.map(({ id, message }) => `event: message\nid: ${id}\ndata: ${JSON.stringify(message)}\n\n`)
  const headers = { 'content-type': 'text/event-stream', 'cache-control': 'no-cache', 'mcp-session-id': sessionId }
  return new Response(text.join(''), { headers })
}

/** Creates the error of a request that was open when the server was restarted. */
export function restarted(id: RequestId, method: string): JSONRPCMessage {
  const message = `The server was restarted while it worked on this request (${method}). Send it again if that is safe.`
  return { jsonrpc: '2.0', id, error: { code: RPC.internal, message, data: { code: 'SERVER_RESTARTED' } } }
}

/** Creates the error of a wait whose client was disconnected for too long. */
export function clientAway(id: RequestId): JSONRPCMessage {
  const message = 'No client was connected to this request for 5 minutes, so the request was ended. Send it again.'
  return { jsonrpc: '2.0', id, error: { code: RPC.internal, message, data: { code: 'CLIENT_AWAY' } } }
}
