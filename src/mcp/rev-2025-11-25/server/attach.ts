/**
 * Puts durable tools into an `McpServer`, through its public surface only. Plain tools stay the SDK's business.
 *
 * attach-2025-1. The `tools/call` handler is installed with the first tool, so the wrap has to be there before: too late, it would
 *     do nothing and say nothing. That is detected, and refused.
 * - Durable tools are listed by the SDK and answered by us; its own way to them polls once a second.
 */

import type { McpServer, RegisteredTool } from '@modelcontextprotocol/sdk/server/mcp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { CallToolRequestSchema, type ServerCapabilities, type Tool } from '@modelcontextprotocol/sdk/types.js'
import { z } from 'zod'
import { checkServer } from '../../tools/check-server.js'
import type { DurableTool } from '../../tools/tool.js'
import { callTool } from './call-tool.js'
import { installCheckpointMethods, installTaskMethods } from './methods.js'
import { DurableTransport } from './transport.js'
import type { Attachment, DurableBinding } from './types.js'

// The SDK checks these requests twice, and calls what a client got wrong an internal error the first time.
const anyCall = z.object({ method: z.literal('tools/call'), params: z.unknown() })

type Handler = (request: never, extra: never) => unknown
type SetRequestHandler = (schema: { shape?: { method?: { value?: unknown } } }, handler: Handler) => void

/** Attaches. @throws TypeError for a server of another SDK; Error when it is too late */
export function attachTo(durable: DurableBinding, server: McpServer): Attachment {
  checkServer(server, '2025-11-25')
  const inner = server.server
  try {
    inner.assertCanSetRequestHandler('tools/call')
  } catch (cause) {
    throw new Error(
      'durable.attach(server) comes too late: the server has a `tools/call` handler already. Attach before the first tool is registered, and make the server with `durable.serverOptions(…)`, without `capabilities.tools`.',
      { cause },
    )
  }
  if (inner.transport) throw new Error('durable.attach(server) comes too late: the server is connected already')

  let listTools: Handler | undefined
  const attachment: Attachment = {
    server,
    owner: durable.core.options.access === 'local' ? 'local' : undefined,
    transport: undefined,
    reader: undefined,
    created: new Map(),
    followed: new Map(),
    registered: new Map(),
    taskSupportOf: taskSupportIn(server, () => listTools),
  }

  const original = inner.setRequestHandler.bind(inner) as SetRequestHandler
  inner.setRequestHandler = ((schema: Parameters<SetRequestHandler>[0], handler: Handler) => {
    const method = schema.shape?.method?.value
    if (method === 'tools/list') listTools = handler
    if (method !== 'tools/call') return original(schema, handler)
    return original(
      anyCall as never,
      (async (request: unknown, extra: never) => {
        const call = CallToolRequestSchema.parse(request)
        return callTool(durable, attachment, call, extra, () => handler(call as never, extra))
      }) as Handler,
    )
  }) as typeof inner.setRequestHandler

  const connect = inner.connect.bind(inner)
  inner.connect = async (transport: Transport) => {
    const ours = transport instanceof DurableTransport ? transport : new DurableTransport(transport)
    attachment.transport = ours
    ours.onOver = () => {
      durable.attachments.delete(attachment)
      for (const stop of attachment.followed.values()) stop()
      attachment.followed.clear()
    }
    durable.attachments.add(attachment)
    await connect(ours)
  }

  inner.registerCapabilities(durable.capabilities())
  installTaskMethods(durable, attachment)
  installCheckpointMethods(durable, attachment)
  for (const { tool, role } of durable.core.tools.values()) list(attachment, tool, role)
  return attachment
}

function list({ server, registered }: Attachment, tool: DurableTool, role: 'call' | 'start'): void {
  const { title, description, annotations, _meta, taskSupport, inputSchema, outputSchema } = tool
  const keep = (name: string, tool: RegisteredTool) => {
    registered.set(name, tool)
    const { update } = tool
    // Taken off this server's list, or renamed: it is not ours to answer any more.
    tool.update = (updates) => {
      if (updates.name !== undefined && updates.name !== name) registered.delete(name)
      update(updates)
    }
  }
  const shown = { ...(title ? { title } : {}), ...(annotations ? { annotations } : {}), ...(_meta ? { _meta } : {}) }
  const schemas = { ...(inputSchema ? { inputSchema } : {}) }
  if (role === 'start') {
    const name = tool.startName as string
    const how = `Starts ${tool.name} in the background and returns its taskId at once, instead of waiting for the result.`
    const config = { ...shown, ...schemas, description: description ? `${how} ${description}` : how }
    keep(name, server.registerTool(name, config as never, unanswered as never))
    return
  }
  const config = {
    ...shown,
    ...schemas,
    ...(description ? { description } : {}),
    ...(outputSchema ? { outputSchema } : {}),
  }
  if (taskSupport === 'forbidden') {
    keep(tool.name, server.registerTool(tool.name, config as never, unanswered as never))
    return
  }
  const handler = { createTask: unanswered, getTask: unanswered, getTaskResult: unanswered }
  const { tasks } = server.experimental
  keep(
    tool.name,
    tasks.registerToolTask(tool.name, { ...config, execution: { taskSupport } } as never, handler as never),
  )
}

async function unanswered(): Promise<never> {
  throw new Error('This tool is answered by durable.attach(server)')
}

type TaskSupport = NonNullable<Tool['execution']>['taskSupport']

/**
 * Reads the SDK's own list once for each state of the list, since the SDK converts every schema for it. Without this, each
 * call of a tool that does not exist would cost as much as all schemas together.
 */
function taskSupportIn(server: McpServer, listTools: () => Handler | undefined): Attachment['taskSupportOf'] {
  let known: Promise<Map<string, TaskSupport>> | undefined
  // The SDK calls this for each tool that is added, changed or removed, connected or not.
  const notify = server.sendToolListChanged.bind(server)
  server.sendToolListChanged = () => {
    known = undefined
    notify()
  }
  const read = async () => {
    const request = { method: 'tools/list', params: {} }
    const { tools } = ((await listTools()?.(request as never, {} as never)) ?? { tools: [] }) as { tools: Tool[] }
    return new Map(tools.map(({ name, execution }) => [name, execution?.taskSupport ?? 'forbidden'] as const))
  }
  return async (name) => {
    if (!known) {
      const reading = read()
      known = reading
      // The next call reads the list again.
      reading.catch(() => {
        if (known === reading) known = undefined
      })
    }
    return (await known).get(name) ?? 'unknown'
  }
}

/** What a server with durable tasks says it can do. `tools` is left to the first tool (attach-2025-1). */
export function capabilitiesOf(listsTasks: boolean): ServerCapabilities {
  return {
    tasks: { ...(listsTasks ? { list: {} } : {}), cancel: {}, requests: { tools: { call: {} } } },
    experimental: { 'holdfast/checkpoints': { version: '1' } },
  }
}
