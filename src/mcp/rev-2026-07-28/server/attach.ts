/**
 * Adds durable tools to a server, through its public methods only. Plain tools are still handled by the author's code
 * and the SDK.
 *
 * - An `McpServer` installs its `tools/call` handler with the first tool, or in the constructor if the options have
 *   `capabilities.tools`. The wrapper must be set before that. A later wrapper would have no effect and cause no error.
 *   So an attach that is too late is detected and refused.
 * - A low-level `Server` has one handler for all tools. The author's handler is called for other tools, and its list is
 *   merged with ours, whenever it is set.
 */

import type { McpServer, RegisteredTool, Server, ServerContext } from '@modelcontextprotocol/server'
import { checkInTime, checkServer } from '../../tools/check-server.js'
import { configOf, type ListedTool, listedTool, mergedList } from '../../tools/tool-list.js'
import { type CallParams, callTool, unknownTool } from './call-tool.js'
import { CAPABILITIES } from './extension.js'
import { installCheckpointMethods, installTaskMethods } from './methods.js'
import { traced } from './request-span.js'
import type { Attachment, DurableBinding } from './types.js'

type Handler = (request: never, ctx: ServerContext) => unknown

/**
 * Attaches durable tools to a server.
 * @throws TypeError for a server of another SDK; Error if it is too late
 */
export function attachTo(durable: DurableBinding, given: McpServer | Server): Attachment {
  checkServer(given, '2026-07-28')
  const mcp = 'registerTool' in given ? given : undefined
  const server = mcp ? mcp.server : (given as Server)
  checkInTime(server, !mcp)

  const registered = new Map<string, RegisteredTool>()
  const plain: Attachment['plain'] = new Map()
  const serves = (name: string) => !mcp || registered.get(name)?.enabled === true
  const attachment: Attachment = { server, mcp, plain, serves }

  const original = server.setRequestHandler.bind(server) as (...given: unknown[]) => void
  server.setRequestHandler = ((method: string, ...rest: unknown[]) => {
    const handler = rest.at(-1) as Handler
    // A handler that is set with its own schemas receives the parameters instead of the request.
    const paramsIn = (request: unknown) => (rest.length > 1 ? request : (request as { params: unknown }).params)
    const install = (wrapped: Handler) => {
      const answer = (request: never, ctx: ServerContext) =>
        traced(durable, paramsIn(request), ctx, () => wrapped(request, ctx))
      original(method, ...rest.slice(0, -1), answer)
    }
    if (method === 'tools/call') {
      install((request, ctx) =>
        callAny(durable, attachment, paramsIn(request) as CallParams, ctx, () => handler(request, ctx)),
      )
    } else if (method === 'tools/list' && !mcp) {
      install(async (request, ctx) => {
        const list = await handler(request, ctx)
        return mergedList(oursFor(durable, attachment), paramsIn(request), list)
      })
    } else install(handler)
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

/** Durable tools and fallback tools of a low-level server. */
function oursFor(durable: DurableBinding, { plain }: Attachment): ListedTool[] {
  const durables = [...durable.core.tools.values()].map(({ tool, role }) => listedTool(tool, role, 'draft-2020-12'))
  return [...durables, ...[...plain.values()].map(({ listed }) => listed)]
}

async function unanswered(): Promise<never> {
  throw new Error('This tool is answered by durable.attach(server)')
}
