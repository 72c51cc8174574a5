/**
 * @modelcontextprotocol/ext-tasks: calls as tasks. For a server of 2026-07-28 it wants a way around the client, which refuses a
 * task for an answer; that is sent with fetch, or written between the client's own messages.
 */
import { randomUUID } from 'node:crypto'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { createTaskSessionFromClient, resultFromTaskOutcome } from '@modelcontextprotocol/ext-tasks/client'
import { serve, textOf } from './adapter.mjs'

const INFO = { name: 'ext-tasks', version: '1.0.0' }
const VERSION = '2026-07-28'
const EXTENSION = 'io.modelcontextprotocol/tasks'

const overHttp = (url, token) => async (request, id, signal) => {
  const { method, params } = request
  const name = params?.name ?? params?.taskId
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': VERSION,
      'mcp-method': method,
      ...(name === undefined ? {} : { 'mcp-name': name }),
    },
    body: JSON.stringify({ ...request, jsonrpc: '2.0', id }),
    ...(signal ? { signal } : {}),
  })
  return response.json()
}

const overStdio = (transport) => {
  const waiting = new Map()
  const { onmessage, onclose } = transport
  transport.onmessage = (message, extra) => {
    const settle = waiting.get(message.id)
    if (!settle) return onmessage(message, extra)
    waiting.delete(message.id)
    settle.resolve(message)
  }
  transport.onclose = () => {
    for (const { reject } of waiting.values()) reject(new Error('Connection closed'))
    onclose?.()
  }
  return (request, id) =>
    new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject })
      transport.send({ ...request, jsonrpc: '2.0', id }).catch(reject)
    })
}

serve(async ({ url, token, command, args, speaks }, on) => {
  const isModern = speaks !== '2025-11-25'
  const capabilities = { elicitation: { form: {} }, ...(isModern ? { extensions: { [EXTENSION]: {} } } : {}) }
  const negotiation = isModern ? { versionNegotiation: { mode: { pin: VERSION } } } : {}
  const client = new Client(INFO, { capabilities, ...negotiation })
  if (!isModern) client.setRequestHandler('elicitation/create', () => on.ask())
  const headers = { authorization: `Bearer ${token}` }
  const transport = url
    ? new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } })
    : new StdioClientTransport({ command, args })
  await client.connect(transport)
  const send = isModern && (url ? overHttp(url, token) : overStdio(transport))
  const session = createTaskSessionFromClient(client, {
    endpointId: 'clients',
    onInputRequest: async () => on.ask(),
    ...(isModern && {
      v2RequestFraming: { protocolVersion: VERSION, clientInfo: INFO, clientCapabilities: capabilities },
      rawDispatch: async (request, { signal } = {}) => {
        const { result, error } = await send(request, randomUUID(), signal)
        return error ? { kind: 'error', error } : { kind: 'result', result }
      },
    }),
  })
  const settle = async (execution) => {
    if (execution.kind === 'task') on.reference(execution.serializeReference())
    const { outcome } = await execution.settle({
      onEvent: (event) => {
        const [, done] = /^(\d+)/.exec(event.task?.statusMessage ?? '') ?? []
        if (done) on.progress(Number(done))
      },
    })
    return textOf(resultFromTaskOutcome(outcome))
  }
  return {
    era: isModern ? VERSION : '2025-11-25',
    list: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: async (name, given) => settle(await session.callTool(name, given, { task: {} })),
    resume: async (reference) => settle(await session.resumeTask(reference)),
    close: () => client.close(),
  }
})
