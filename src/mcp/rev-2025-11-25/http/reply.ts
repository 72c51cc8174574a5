/** What the endpoint makes of answers: no session, no state. */
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js'

/** The answer to one request. */
export function jsonResponse(message: JSONRPCMessage, sessionId: string): Response {
  const headers = { 'content-type': 'application/json', 'mcp-session-id': sessionId }
  return new Response(JSON.stringify(message), { headers })
}

/** The rest of a stream, and its end. */
export function sseResponse(events: readonly { id: string; message: JSONRPCMessage }[], sessionId: string): Response {
  const text = events.map(({ id, message }) => `event: message\nid: ${id}\ndata: ${JSON.stringify(message)}\n\n`)
  const headers = { 'content-type': 'text/event-stream', 'cache-control': 'no-cache', 'mcp-session-id': sessionId }
  return new Response(text.join(''), { headers })
}
