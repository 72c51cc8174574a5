/** The official client of the tasks extension, over HTTP. */
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { createTaskSessionFromClient, type WithTasksOptions } from '@modelcontextprotocol/ext-tasks/client'

const INFO = { name: 'ext-tasks', version: '1.0.0' }
const VERSION = '2026-07-28'
const CAPABILITIES = { elicitation: { form: {} }, extensions: { 'io.modelcontextprotocol/tasks': {} } }

interface Framed {
  readonly method: string
  readonly params?: { readonly name?: string; readonly taskId?: string }
}

/** A session; the SDK's own client refuses a task for an answer, so what it frames is sent beside it. */
export async function taskSession(url: URL, options: WithTasksOptions = {}) {
  const client = new Client(INFO, { capabilities: CAPABILITIES, versionNegotiation: { mode: { pin: VERSION } } })
  await client.connect(new StreamableHTTPClientTransport(url))
  let count = 0
  return createTaskSessionFromClient(client, {
    ...options,
    endpointId: 'test',
    v2RequestFraming: { protocolVersion: VERSION, clientInfo: INFO, clientCapabilities: CAPABILITIES },
    rawDispatch: async (request, { signal } = {}) => {
      const { method, params } = request as unknown as Framed
      const name = params?.name ?? params?.taskId
      const response = await fetch(url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          'mcp-protocol-version': VERSION,
          'mcp-method': method,
          ...(name === undefined ? {} : { 'mcp-name': name }),
        },
        body: JSON.stringify({ ...(request as object), jsonrpc: '2.0', id: ++count }),
        ...(signal ? { signal } : {}),
      })
      const { result, error } = (await response.json()) as { result: never; error?: never }
      return error ? { kind: 'error', error } : { kind: 'result', result }
    },
  })
}
