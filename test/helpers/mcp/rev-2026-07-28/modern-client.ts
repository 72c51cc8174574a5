/** A client of revision 2026-07-28 that sends what it is told to and shows what comes, in memory. */
import { InMemoryTransport, type JSONRPCMessage, McpServer, type Server } from '@modelcontextprotocol/server'
import type { DurableTasks } from 'holdfast/mcp/2026-07-28'
import { checkNotified, checkSent } from './wire.js'

export const INFO = { name: 'test', version: '1.0.0' }
export const EXTENSION = 'io.modelcontextprotocol/tasks'
export const VERSION = '2026-07-28'

/** What came as an answer. */
export interface Answer {
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at what it expects to be there
  readonly result?: any
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly error?: { readonly code: number; readonly message: string; readonly data?: any }
}

/** The envelope of every request. */
export function metaOf(capabilities: Record<string, unknown> = {}, more: Record<string, unknown> = {}) {
  return {
    'io.modelcontextprotocol/protocolVersion': VERSION,
    'io.modelcontextprotocol/clientInfo': INFO,
    'io.modelcontextprotocol/clientCapabilities': capabilities,
    ...more,
  }
}

export const KNOWS_TASKS = { extensions: { [EXTENSION]: {} } }

export interface ModernOptions {
  readonly capabilities?: Record<string, unknown>
  readonly setUp?: (server: McpServer) => void
  /** In place of an `McpServer`. */
  readonly server?: () => Server | McpServer
}

export function serverOf(durable: DurableTasks, setUp: (server: McpServer) => void = () => {}): McpServer {
  const server = durable.attach(new McpServer(INFO, durable.serverOptions()))
  setUp(server)
  return server
}

/** A client on a new server of `durable`, over a connection as stdio has it. */
export async function modernClient(durable: DurableTasks, options: ModernOptions = {}) {
  const { capabilities = KNOWS_TASKS } = options
  const [ours, theirs] = InMemoryTransport.createLinkedPair()
  durable.serveStdio(options.server ?? (() => serverOf(durable, options.setUp)), { transport: ours })
  // From the client's side: the server's `handle.close()` would close the Holdfast too.
  return talk(theirs, capabilities, () => theirs.close())
}

/** Talks over a transport. */
export async function talk(
  theirs: InMemoryTransport,
  capabilities: Record<string, unknown>,
  close: () => Promise<unknown>,
) {
  const notifications: { method: string; params: Record<string, unknown> }[] = []
  const waiting = new Map<unknown, (answer: Answer) => void>()
  let heard = () => {}
  theirs.onmessage = (message: JSONRPCMessage) => {
    if (!('method' in message)) {
      waiting.get(message.id)?.(message as Answer)
      waiting.delete(message.id)
    } else {
      checkNotified(message as never)
      notifications.push(message as never)
    }
    heard()
  }
  await theirs.start()
  let count = 0
  const send = (message: unknown) => theirs.send(message as JSONRPCMessage)
  const request = async (
    method: string,
    params: Record<string, unknown> = {},
    { id = ++count, knows = capabilities }: { id?: string | number; knows?: Record<string, unknown> } = {},
  ): Promise<Answer> => {
    const answered = new Promise<Answer>((resolve) => waiting.set(id, resolve))
    const { _meta, ...rest } = params
    await send({
      jsonrpc: '2.0',
      id,
      method,
      params: { ...rest, _meta: metaOf(knows, _meta as Record<string, unknown>) },
    })
    const answer = await answered
    checkSent(method, answer)
    return answer
  }
  const call = (name: string, args: Record<string, unknown> = {}, more: Record<string, unknown> = {}, how = {}) =>
    request('tools/call', { name, arguments: args, ...more }, how)
  const get = async (taskId: string) => (await request('tasks/get', { taskId })).result
  /** Polls until `done`. */
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at what it expects to be there
  const until = async (taskId: string, done: (task: any) => boolean) => {
    for (;;) {
      const task = await get(taskId)
      if (done(task)) return task
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
  const settled = (taskId: string) =>
    until(taskId, ({ status }) => ['completed', 'failed', 'cancelled'].includes(status))
  /** Resolves once a notification is there that fits. */
  const notified = async (fits: (notification: (typeof notifications)[number]) => boolean) => {
    for (;;) {
      const found = notifications.find(fits)
      if (found) return found
      await new Promise<void>((resolve) => {
        heard = resolve
      })
    }
  }
  return { request, send, call, get, until, settled, notifications, notified, close, lastId: () => count }
}
