/**
 * Adds durable tools to a server, through its public methods only. Plain tools are still handled by the author's code
 * and the SDK.
 *
 * attach-2025-1. An `McpServer` installs its `tools/call` handler with the first tool, so the wrapper must be set
 * before that. A later wrapper would have no effect and cause no error. So an attach that is too late is detected and
 * refused.
 * - The SDK lists the durable tools of an `McpServer`, and we answer their calls. The SDK's own handling of tasks would
 *   poll once a second.
 * - A low-level `Server` has one handler for all tools. The author's handler is called for other tools, and its list is
 *   merged with ours, whenever it is set.
 */

import type { Server } from '@modelcontextprotocol/sdk/server/index.js'
import type { McpServer, RegisteredTool } from '@modelcontextprotocol/sdk/server/mcp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import {
  CallToolRequestSchema,
  ListToolsRequestSchema,
  type ServerCapabilities,
  type Tool,
} from '@modelcontextprotocol/sdk/types.js'
import { z } from 'zod'
import { invalidParams } from '../../access/refusal.js'
import { checkInTime, checkServer } from '../../tools/check-server.js'
import type { DurableTool } from '../../tools/tool.js'
import { configOf, type ListedTool, listedTool, mergedList } from '../../tools/tool-list.js'
import { callTool } from './call-tool.js'
import { installCheckpointMethods, installTaskMethods } from './methods.js'
import { traced } from './request-span.js'
import { DurableTransport } from './transport.js'
import type { Attachment, DurableBinding, Extra } from './types.js'

// The SDK checks `tools/call` requests twice, and reports a mistake of the client as an internal error in its first check.
const anyCall = z.object({ method: z.literal('tools/call'), params: z.unknown() })
const anyList = z.looseObject({ method: z.literal('tools/list') })

type Handler = (request: never, extra: Extra) => unknown
interface Schema {
  parse(request: unknown): never
  readonly shape?: { method?: { value?: unknown; _zod?: { def?: { values?: unknown[] } } } }
}
type SetRequestHandler = (schema: unknown, handler: Handler) => void

/**
 * Attaches durable tools to a server.
 * @throws TypeError for a server of another SDK; Error if it is too late
 */
export function attachTo(durable: DurableBinding, given: McpServer | Server): Attachment {
  checkServer(given, '2025-11-25')
  const mcp = 'registerTool' in given ? given : undefined
  const server = mcp ? mcp.server : (given as Server)
  checkInTime(server, !mcp)

  let listTools: Handler | undefined
  const registered = new Map<string, RegisteredTool>()
  const plain: Attachment['plain'] = new Map()
  const attachment: Attachment = {
    server,
    mcp,
    owner: durable.core.options.access === 'local' ? 'local' : undefined,
    transport: undefined,
    reader: undefined,
    created: new Map(),
    followed: new Map(),
    plain,
    serves: (name) => (mcp ? registered.get(name)?.enabled === true : durable.core.tools.has(name)),
    taskSupportOf: mcp
      ? taskSupportIn(mcp, () => listTools)
      : async (name) => (plain.has(name) ? 'forbidden' : 'unknown'),
  }

  const install = server.setRequestHandler.bind(server) as SetRequestHandler
  server.setRequestHandler = ((schema: Schema, handler: Handler) => {
    const method = methodOf(schema)
    const original = (schema: unknown, answer: Handler) =>
      install(schema, (request: never, extra) => {
        const { method, params } = request as { method: string; params?: unknown }
        return traced(durable, attachment, method, params, extra, () => answer(request, extra))
      })
    if (method === 'tools/list') listTools = handler
    if (method === 'tools/call') {
      original(anyCall, (request, extra) => {
        const call = CallToolRequestSchema.parse(request)
        const fallback = plain.get(call.params.name)
        const next = () =>
          fallback ? fallback.run(call.params.arguments ?? {}, extra) : handler(schema.parse(request), extra)
        return callTool(durable, attachment, call, extra, next)
      })
    } else if (method === 'tools/list' && !mcp) {
      original(anyList, async (request: { params?: unknown }, extra) => {
        const list = await handler(schema.parse(request), extra)
        return mergedList(oursFor(durable, attachment), request.params, list)
      })
    } else original(schema, handler)
  }) as typeof server.setRequestHandler

  const connect = server.connect.bind(server)
  server.connect = async (transport: Transport) => {
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

  server.registerCapabilities(durable.capabilities())
  installTaskMethods(durable, attachment)
  installCheckpointMethods(durable, attachment)
  if (mcp) {
    for (const { tool, role } of durable.core.tools.values()) register(mcp, registered, tool, role)
  } else {
    server.registerCapabilities({ tools: {} })
    server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: [] }))
    server.setRequestHandler(CallToolRequestSchema, ({ params }) => {
      throw invalidParams(`Tool ${params.name} not found`)
    })
  }
  return attachment
}

/** Method of the requests that a schema of zod describes. A literal of zod's mini variant has no `value`. */
function methodOf({ shape }: Schema): unknown {
  return shape?.method?.value ?? shape?.method?._zod?.def?.values?.[0]
}

/** Durable tools and fallback tools of a low-level server. */
function oursFor(durable: DurableBinding, { plain }: Attachment): ListedTool[] {
  const durables = [...durable.core.tools.values()].map(({ tool, role }) => ({
    ...listedTool(tool, role, 'draft-7'),
    execution: { taskSupport: taskSupportFor(tool, role) },
  }))
  return [...durables, ...[...plain.values()].map(({ listed }) => listed)]
}

function taskSupportFor(tool: DurableTool, role: 'call' | 'start') {
  return role === 'start' ? 'forbidden' : tool.taskSupport
}

function register(
  mcp: McpServer,
  registered: Map<string, RegisteredTool>,
  tool: DurableTool,
  role: 'call' | 'start',
): void {
  const { name, ...config } = configOf(tool, role)
  const taskSupport = taskSupportFor(tool, role)
  const handler = { createTask: unanswered, getTask: unanswered, getTaskResult: unanswered }
  const { tasks } = mcp.experimental
  const made =
    taskSupport === 'forbidden'
      ? mcp.registerTool(name, config as never, unanswered as never)
      : tasks.registerToolTask(name, { ...config, execution: { taskSupport } } as never, handler as never)
  registered.set(name, made)
  const { update } = made
  // A tool that is removed from this server's list, or renamed, is not handled here any more.
  made.update = (updates) => {
    if (updates.name !== undefined && updates.name !== name) registered.delete(name)
    update(updates)
  }
}

async function unanswered(): Promise<never> {
  throw new Error('This tool is answered by durable.attach(server)')
}

type TaskSupport = NonNullable<Tool['execution']>['taskSupport']

/**
 * Makes a reader of the SDK's list of tools. It reads the list once for each state of the list, because the SDK
 * converts every schema for it. Without this, each call of an unknown tool would cost as much as all schemas together.
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
      // After a failure, the next call reads the list again.
      reading.catch(() => {
        if (known === reading) known = undefined
      })
    }
    return (await known).get(name) ?? 'unknown'
  }
}

/** Capabilities of a server with durable tasks. The SDK adds `tools` with the first tool (attach-2025-1). */
export function capabilitiesOf(listsTasks: boolean): ServerCapabilities {
  return {
    tasks: { ...(listsTasks ? { list: {} } : {}), cancel: {}, requests: { tools: { call: {} } } },
    experimental: { 'holdfast/checkpoints': { version: '1' } },
  }
}
