/**
 * Puts durable tools into a server, through its public surface only. Plain tools stay the author's and the SDK's business.
 *
 * - On an `McpServer` the `tools/call` handler is installed with the first tool, or by the constructor where that says
 *     `capabilities.tools`. The wrap has to be there before: too late, it would do nothing and say nothing. That is
 *     detected, and refused.
 * - A low-level `Server` has one handler for all tools: the author's is asked for what is not ours, and its list is
 *     merged with ours, whenever it is set.
 */

import type { McpServer, RegisteredTool, Server, ServerContext, Tool } from '@modelcontextprotocol/server'
import { checkServer } from '../../tools/check-server.js'
import type { DurableTool } from '../../tools/tool.js'
import { type CallParams, callTool, unknownTool } from './call-tool.js'
import { CAPABILITIES } from './extension.js'
import { jsonSchemaOf } from './json-schema.js'
import { installCheckpointMethods, installTaskMethods } from './methods.js'
import type { Attachment, DurableBinding, PlainTool } from './types.js'

type Handler = (request: never, ctx: ServerContext) => unknown
type ListResult = { tools: Tool[] } & Record<string, unknown>

const TOO_LATE =
  'durable.attach(server) comes too late: the server has a `tools/call` handler already. Attach before the first tool is registered, and make the server with `durable.serverOptions(…)`, without `capabilities.tools` if it is an `McpServer`.'

/** Attaches. @throws TypeError for a server of another SDK; Error when it is too late */
export function attachTo(durable: DurableBinding, given: McpServer | Server): Attachment {
  checkServer(given, '2026-07-28')
  const mcp = 'registerTool' in given ? given : undefined
  const server = mcp ? mcp.server : (given as Server)
  try {
    server.assertCanSetRequestHandler('tools/call')
  } catch (cause) {
    throw new Error(TOO_LATE, { cause })
  }
  if (server.transport) throw new Error('durable.attach(server) comes too late: the server is connected already')

  const registered = new Map<string, RegisteredTool>()
  const plain = new Map<string, PlainTool>()
  const serves = (name: string) => !mcp || registered.get(name)?.enabled === true
  const attachment: Attachment = { server, mcp, plain, serves }

  const original = server.setRequestHandler.bind(server) as (...given: unknown[]) => void
  server.setRequestHandler = ((method: string, ...rest: unknown[]) => {
    const handler = rest.at(-1) as Handler
    // With schemas of its own, a handler is handed the parameters and not the request.
    const paramsIn = (request: unknown) => (rest.length > 1 ? request : (request as { params: unknown }).params)
    const install = (wrapped: Handler) => original(method, ...rest.slice(0, -1), wrapped)
    if (method === 'tools/call') {
      install((request, ctx) =>
        callAny(durable, attachment, paramsIn(request) as CallParams, ctx, () => handler(request, ctx)),
      )
    } else if (method === 'tools/list' && !mcp) {
      install(async (request, ctx) => merged(durable, attachment, paramsIn(request), await handler(request, ctx)))
    } else original(method, ...rest)
  }) as typeof server.setRequestHandler

  server.registerCapabilities(CAPABILITIES)
  installTaskMethods(durable, attachment)
  installCheckpointMethods(durable, attachment)
  if (mcp) {
    for (const { tool, role } of durable.core.tools.values()) {
      const { name, ...config } = configOf(tool, role)
      registered.set(name, mcp.registerTool(name, config as never, unanswered as never))
    }
  } else {
    server.registerCapabilities({ tools: {} })
    server.setRequestHandler('tools/list', () => ({ tools: [] }))
    server.setRequestHandler('tools/call', ({ params }) => {
      throw unknownTool(params.name)
    })
  }
  return attachment
}

function callAny(
  durable: DurableBinding,
  attachment: Attachment,
  params: CallParams,
  ctx: ServerContext,
  next: () => unknown,
): unknown {
  const plain = attachment.plain.get(params.name)
  return plain ? plain.run(params.arguments ?? {}, ctx) : callTool(durable, attachment, params, ctx, next)
}

/** The author's list with our tools before it, on its first page. */
function merged(durable: DurableBinding, attachment: Attachment, params: unknown, theirs: unknown): ListResult {
  const list = theirs as ListResult
  if ((params as { cursor?: string } | undefined)?.cursor !== undefined) return list
  const durables = [...durable.core.tools.values()].map(({ tool, role }) => listed(tool, role))
  const ours = [...durables, ...[...attachment.plain.values()].map((plain) => plain.listed)]
  const names = new Set(ours.map(({ name }) => name))
  return { ...list, tools: [...ours, ...list.tools.filter(({ name }) => !names.has(name))] }
}

function listed(tool: DurableTool, role: 'call' | 'start'): Tool {
  const { inputSchema, outputSchema, ...shown } = configOf(tool, role)
  return {
    ...shown,
    inputSchema: inputSchema ? jsonSchemaOf(inputSchema, 'input') : { type: 'object', properties: {} },
    ...(outputSchema ? { outputSchema: jsonSchemaOf(outputSchema, 'output') } : {}),
  } as Tool
}

/** How a tool is shown. */
function configOf(tool: DurableTool, role: 'call' | 'start') {
  const { title, description, annotations, _meta, inputSchema, outputSchema } = tool
  const how = `Starts ${tool.name} in the background and returns its taskId at once, instead of waiting for the result.`
  const said = role === 'call' ? description : description ? `${how} ${description}` : how
  return {
    name: role === 'call' ? tool.name : (tool.startName as string),
    ...(title ? { title } : {}),
    ...(said ? { description: said } : {}),
    ...(annotations ? { annotations } : {}),
    ...(_meta ? { _meta } : {}),
    ...(inputSchema ? { inputSchema } : {}),
    ...(role === 'call' && outputSchema ? { outputSchema } : {}),
  }
}

async function unanswered(): Promise<never> {
  throw new Error('This tool is answered by durable.attach(server)')
}
