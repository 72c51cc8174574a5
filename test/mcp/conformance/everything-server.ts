/**
 * A server with the plain tools, resources and prompts that the official suite asks for, bare or behind Holdfast's endpoint
 * with default options. `tsx test/mcp/conformance/everything-server.ts <port> <2025-11-25|2026-07-28> <bare|holdfast> <directory>`
 */
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { McpServer as LegacyServer, ResourceTemplate as LegacyTemplate } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { isInitializeRequest } from '@modelcontextprotocol/sdk/types.js'
import { createMcpHandler, McpServer, ResourceTemplate } from '@modelcontextprotocol/server'
import { Holdfast } from 'holdfast'
import { durableTasks as legacyTasks } from 'holdfast/mcp/2025-11-25'
import { durableTasks } from 'holdfast/mcp/2026-07-28'
import { z } from 'zod'
import { serveNode } from '../../../src/http/node.js'

const [port, revision, kind, dir] = process.argv.slice(2) as [string, string, 'bare' | 'holdfast', string]
const info = { name: 'everything', version: '1.0.0' }

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
const WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA='
const text = (said: string) => ({ type: 'text' as const, text: said })
const image = { type: 'image' as const, data: PNG, mimeType: 'image/png' }
const embedded = (uri: string) => ({
  type: 'resource' as const,
  resource: { uri, mimeType: 'text/plain', text: 'This is an embedded resource content.' },
})

/** The same words for both SDKs: a server as far as it is used here. */
// biome-ignore lint/suspicious/noExplicitAny: the two SDKs type the same calls differently
type AnyServer = any

function fill(server: AnyServer, Template: AnyServer, schemaOf: (shape: z.ZodRawShape) => unknown): AnyServer {
  const tool = (name: string, act: (args: AnyServer, extra: AnyServer) => unknown, inputSchema?: object) =>
    server.registerTool(
      name,
      { description: name, ...(inputSchema ? { inputSchema } : {}) },
      inputSchema ? act : (extra: AnyServer) => act({}, extra),
    )
  tool('test_simple_text', () => ({ content: [text('This is a simple text response for testing.')] }))
  tool('test_image_content', () => ({ content: [image] }))
  tool('test_audio_content', () => ({ content: [{ type: 'audio', data: WAV, mimeType: 'audio/wav' }] }))
  tool('test_embedded_resource', () => ({ content: [embedded('test://embedded-resource')] }))
  tool('test_multiple_content_types', () => ({
    content: [text('Multiple content types test:'), image, embedded('test://mixed-content-resource')],
  }))
  tool('test_error_handling', () => ({
    isError: true,
    content: [text('This tool intentionally returns an error for testing')],
  }))
  tool('test_tool_with_progress', async (_args, extra) => {
    const meta = extra?._meta ?? extra?.mcpReq?._meta
    const notify = extra?.sendNotification ?? extra?.mcpReq?.notify
    for (const progress of [0, 50, 100]) {
      const params = { progressToken: meta?.progressToken, progress, total: 100 }
      if (meta?.progressToken !== undefined) await notify?.({ method: 'notifications/progress', params })
    }
    return { content: [text('Done')] }
  })
  tool('test_tool_with_logging', async (_args, extra) => {
    const notify = extra?.sendNotification ?? extra?.mcpReq?.notify
    for (const data of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
      await notify?.({ method: 'notifications/message', params: { level: 'info', data } })
    }
    return { content: [text('Done')] }
  })
  const prompt = z.object({ prompt: z.string() })
  tool(
    'test_sampling',
    async ({ prompt }, extra) => {
      const messages = [{ role: 'user', content: text(prompt) }]
      const answer = await server.server.createMessage(
        { messages, maxTokens: 100 },
        { relatedRequestId: extra?.requestId },
      )
      return { content: [text(`LLM response: ${answer.content.text}`)] }
    },
    prompt,
  )
  const elicit = async (message: string, properties: object, extra: AnyServer) => {
    const requestedSchema = { type: 'object', properties, required: Object.keys(properties) }
    const answer = await server.server.elicitInput({ message, requestedSchema }, { relatedRequestId: extra?.requestId })
    return {
      content: [
        text(`Elicitation completed: action=${answer.action}, content=${JSON.stringify(answer.content ?? {})}`),
      ],
    }
  }
  tool(
    'test_elicitation',
    ({ message }, extra) => elicit(message, { response: { type: 'string' } }, extra),
    z.object({ message: z.string() }),
  )
  tool('test_elicitation_sep1034_defaults', (_args, extra) =>
    elicit(
      'Defaults',
      {
        name: { type: 'string', default: 'John Doe' },
        age: { type: 'integer', default: 30 },
        score: { type: 'number', default: 95.5 },
        status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
        verified: { type: 'boolean', default: true },
      },
      extra,
    ),
  )
  tool('json_schema_2020_12_tool', () => ({ content: [text('ok')] }), z.object({ name: z.string().optional() }))

  server.registerResource('static-text', 'test://static-text', { mimeType: 'text/plain' }, () => ({
    contents: [
      { uri: 'test://static-text', mimeType: 'text/plain', text: 'This is the content of the static text resource.' },
    ],
  }))
  server.registerResource('static-binary', 'test://static-binary', { mimeType: 'image/png' }, () => ({
    contents: [{ uri: 'test://static-binary', mimeType: 'image/png', blob: PNG }],
  }))
  const template = new Template('test://template/{id}/data', { list: undefined })
  server.registerResource(
    'template',
    template,
    { mimeType: 'application/json' },
    (uri: URL, { id }: { id: string }) => ({
      contents: [
        {
          uri: uri.href,
          mimeType: 'application/json',
          text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }),
        },
      ],
    }),
  )
  const says = (said: string) => ({ messages: [{ role: 'user', content: text(said) }] })
  server.registerPrompt('test_simple_prompt', {}, () => says('This is a simple prompt for testing.'))
  server.registerPrompt(
    'test_prompt_with_arguments',
    { argsSchema: schemaOf({ arg1: z.string(), arg2: z.string() }) },
    ({ arg1, arg2 }: { arg1: string; arg2: string }) => says(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`),
  )
  server.registerPrompt(
    'test_prompt_with_embedded_resource',
    { argsSchema: schemaOf({ resourceUri: z.string() }) },
    ({ resourceUri }: { resourceUri: string }) => ({ messages: [{ role: 'user', content: embedded(resourceUri) }] }),
  )
  server.registerPrompt('test_prompt_with_image', {}, () => ({ messages: [{ role: 'user', content: image }] }))
  return server
}

// The earlier SDK takes the arguments of a prompt as they are, without an object around them.
const fillLegacy = (server: AnyServer) => fill(server, LegacyTemplate, (shape) => shape)
const fillModern = (server: AnyServer) => fill(server, ResourceTemplate, (shape) => z.object(shape))

const capabilities = { logging: {} }
const makeLegacy = (options: object = {}) => new LegacyServer(info, { capabilities, ...options })
const makeModern = (options: object = {}) => new McpServer(info, { capabilities, ...options })

type Listener = (req: IncomingMessage, res: ServerResponse) => unknown

async function listener(): Promise<Listener> {
  if (kind === 'holdfast') {
    const holdfast = await Holdfast.open({ dir })
    if (revision === '2025-11-25') {
      const durable = legacyTasks(holdfast, { access: 'open' })
      return durable.httpHandler(() => fillLegacy(durable.attach(makeLegacy(durable.serverOptions({ capabilities })))))
        .node
    }
    const durable = durableTasks(holdfast, { access: 'open' })
    return durable.httpHandler(() => fillModern(durable.attach(makeModern(durable.serverOptions({ capabilities })))))
      .node
  }
  if (revision === '2026-07-28') {
    const handler = createMcpHandler(() => fillModern(makeModern()), {})
    return (req, res) => serveNode(req, res, (request) => handler.fetch(request), 4 * 1024 * 1024)
  }
  const transports = new Map<string, StreamableHTTPServerTransport>()
  return async (req, res) => {
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk as Buffer)
    const body = chunks.length === 0 ? undefined : (JSON.parse(Buffer.concat(chunks).toString()) as unknown)
    const sessionId = req.headers['mcp-session-id']
    let transport = typeof sessionId === 'string' ? transports.get(sessionId) : undefined
    if (!transport && isInitializeRequest(body)) {
      const made = new StreamableHTTPServerTransport({
        sessionIdGenerator: () => randomUUID(),
        onsessioninitialized: (id) => void transports.set(id, made),
      })
      await fillLegacy(makeLegacy()).connect(made)
      transport = made
    }
    if (transport) return transport.handleRequest(req, res, body)
    res.writeHead(sessionId === undefined ? 400 : 404, { 'content-type': 'application/json' })
    res.end(JSON.stringify({ jsonrpc: '2.0', error: { code: -32_000, message: 'No such session' }, id: null }))
  }
}

const answer = await listener()
createServer((req, res) => void answer(req, res)).listen(Number(port), '127.0.0.1', () =>
  process.stderr.write('listening\n'),
)
