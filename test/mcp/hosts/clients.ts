/** Clients of both revisions for the recipes of docs/mcp/hosts, each with a token. */
import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from '@modelcontextprotocol/client'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { INFO, KNOWS_TASKS, metaOf, VERSION } from '../../helpers/mcp/rev-2026-07-28/modern-client.js'

const headersOf = (token: string) => ({ authorization: `Bearer ${token}` })

/** The client of the SDK of 2025-11-25. It comes back until the server is there: a busy machine may take long to start it. */
export async function connect(url: URL, token = 'token-of-alice') {
  const client = new Client(INFO)
  const transport = new StreamableHTTPClientTransport(url, {
    requestInit: { headers: headersOf(token) },
    reconnectionOptions: {
      maxRetries: 100,
      initialReconnectionDelay: 500,
      maxReconnectionDelay: 500,
      reconnectionDelayGrowFactor: 1,
    },
  })
  await client.connect(transport as never)
  return { client, transport }
}

/** The client of the SDK of 2026-07-28, which knows no tasks. */
export async function connectModern(url: URL, token = 'token-of-alice') {
  const client = new ModernClient(INFO, { versionNegotiation: { mode: { pin: VERSION } } })
  await client.connect(new ModernTransport(url, { requestInit: { headers: headersOf(token) } }))
  return client
}

/** Posts one request of revision 2026-07-28 by a client that knows tasks. */
function post(url: URL, method: string, params: Record<string, unknown>, token: string): Promise<Response> {
  const name = params['name'] ?? params['taskId']
  return fetch(url, {
    method: 'POST',
    headers: {
      ...headersOf(token),
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': VERSION,
      'mcp-method': method,
      ...(typeof name === 'string' ? { 'mcp-name': name } : {}),
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { ...params, _meta: metaOf(KNOWS_TASKS) } }),
  })
}

/** The first event of a subscription to a task: what the server will notify of. */
export async function listen(url: URL, taskId: string): Promise<unknown> {
  const response = await post(url, 'subscriptions/listen', { notifications: { taskIds: [taskId] } }, 'token-of-alice')
  let text = ''
  // Leaving the loop closes the stream.
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += Buffer.from(chunk).toString()
    if (text.includes('\n\n')) break
  }
  const { method, params } = JSON.parse(text.split('data: ')[1]?.split('\n')[0] ?? '{}')
  return method === 'notifications/subscriptions/acknowledged' ? params.notifications : text
}

/** The answer to one request of revision 2026-07-28 by a client that knows tasks. */
export async function request(url: URL, method: string, params: Record<string, unknown>, token = 'token-of-alice') {
  const response = await post(url, method, params, token)
  const text = await response.text()
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream')
  const last = isStream ? text.trim().split('\n\n').at(-1)?.split('data: ').at(1) : text
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at what it expects to be there
  return JSON.parse(last || '{}') as any
}
