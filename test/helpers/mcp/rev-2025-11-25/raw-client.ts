/** A client that sends what it is told to, and shows what comes: for what the SDK's own client would not send or show. */
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js'
import type { AuthInfo } from '@modelcontextprotocol/sdk/server/auth/types.js'
import type { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js'
import type { DurableTasks } from 'holdfast/mcp/2025-11-25'
import { INFO } from './connect.js'
import { checkNotified, checkSent } from './wire.js'

/** What came as an answer. */
export interface Answer {
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at what it expects to be there
  readonly result?: any
  readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown }
}

export interface RawOptions<S extends McpServer | Server = McpServer> {
  readonly authInfo?: AuthInfo | undefined
  readonly capabilities?: Record<string, unknown>
  readonly setUp?: (server: McpServer) => void
  /** An attached server, in place of a new `McpServer`. */
  readonly server?: S
}

function serverOf(durable: DurableTasks, setUp: RawOptions['setUp']): McpServer {
  const server = durable.attach(new McpServer(INFO, durable.serverOptions()))
  setUp?.(server)
  return server
}

export async function rawClient<S extends McpServer | Server = McpServer>(
  durable: DurableTasks,
  { authInfo, capabilities = {}, setUp, server = serverOf(durable, setUp) as S }: RawOptions<S> = {},
) {
  const [ours, theirs] = InMemoryTransport.createLinkedPair()
  const notifications: { method: string; params: Record<string, unknown> }[] = []
  const requests: { id: string | number; method: string; params: Record<string, unknown> }[] = []
  const waiting = new Map<unknown, (answer: Answer) => void>()
  theirs.onmessage = (message: JSONRPCMessage) => {
    if (!('method' in message)) {
      waiting.get(message.id)?.(message as Answer)
      waiting.delete(message.id)
    } else if ('id' in message) requests.push(message as never)
    else {
      checkNotified(message)
      notifications.push(message as never)
    }
  }
  await server.connect(ours)
  await theirs.start()
  let count = 0
  const send = (message: JSONRPCMessage) => theirs.send(message, authInfo ? { authInfo } : {})
  const request = (
    method: string,
    params: Record<string, unknown> = {},
    id: string | number = ++count,
  ): Promise<Answer> => {
    const answered = new Promise<Answer>((resolve) => waiting.set(id, resolve))
    void send({ jsonrpc: '2.0', id, method, params } as JSONRPCMessage)
    return answered.then((answer) => {
      checkSent(method, answer.result)
      return answer
    })
  }
  const initialized = await request('initialize', { protocolVersion: '2025-11-25', capabilities, clientInfo: INFO })
  await send({ jsonrpc: '2.0', method: 'notifications/initialized' })
  const call = (name: string, args: Record<string, unknown> = {}, more: Record<string, unknown> = {}) =>
    request('tools/call', { name, arguments: args, ...more })
  return { server, transport: theirs, request, send, call, notifications, requests, initialized, lastId: () => count }
}
