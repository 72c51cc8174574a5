/** Registers the tools for clients without tasks, on an `McpServer` or a low-level `Server` of this SDK. */
import type { Server } from '@modelcontextprotocol/sdk/server/index.js'
import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { callerOf } from '../../access/caller.js'
import {
  checkFallbackOptions,
  type FallbackOptions,
  fallbackTools,
  nameIsTaken,
  runFallback,
} from '../../tools/fallback-tools.js'
import { plainTool } from '../../tools/tool-list.js'
import type { DurableBinding, Extra } from './types.js'

/**
 * Registers the fallback tools.
 * @throws TypeError for an unknown name; Error if a name is in use, and for a low-level server that is not attached
 */
export function registerFallback(durable: DurableBinding, server: McpServer | Server, options: FallbackOptions): void {
  const mcp = 'registerTool' in server ? server : undefined
  const plain = mcp ? undefined : durable.attachmentOf.get(server)?.plain
  if (!mcp && !plain) throw new Error('Call durable.attach(server) before durable.registerFallbackTools(server)')
  const { prefix, only } = checkFallbackOptions(options)
  const { core, checkpoints } = durable
  const parts = {
    core,
    checkpoints,
    project: (view: Parameters<DurableBinding['project']>[0]) => durable.project(view),
    answer: (view: Parameters<DurableBinding['answer']>[0]) => durable.answer(view),
  }
  for (const tool of fallbackTools(parts, prefix)) {
    if (!only.includes(tool.name)) continue
    const name = `${prefix}${tool.name}`
    const run = async (args: Record<string, unknown>, extra: Extra) =>
      runFallback(tool, args, await callerOf(core.options, extra), { signal: extra.signal, core })
    if (plain) {
      if (plain.has(name) || core.tools.has(name)) throw nameIsTaken(name)
      plain.set(name, plainTool(name, tool, 'draft-7', run))
      continue
    }
    const { title, description, annotations, inputSchema, outputSchema } = tool
    const config = { title, description, annotations, inputSchema, outputSchema }
    try {
      mcp?.registerTool(name, config as never, run as never)
    } catch (cause) {
      throw nameIsTaken(name, cause)
    }
  }
}
