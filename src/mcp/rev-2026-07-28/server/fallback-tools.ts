/** Registers the tools for clients without tasks, on an `McpServer` or a low-level `Server` of this SDK. */
import type { ServerContext } from '@modelcontextprotocol/server'
import { callerOf } from '../../access/caller.js'
import {
  checkFallbackOptions,
  type FallbackOptions,
  fallbackTools,
  nameIsTaken,
  runFallback,
} from '../../tools/fallback-tools.js'
import { plainTool } from '../../tools/tool-list.js'
import type { Attachment, DurableBinding } from './types.js'

/**
 * Registers the fallback tools.
 * @throws TypeError for an unknown name; Error if a name is in use
 */
export function registerFallback(durable: DurableBinding, attachment: Attachment, options: FallbackOptions): void {
  const { prefix, only } = checkFallbackOptions(options)
  const { core, checkpoints } = durable
  const parts = {
    core,
    checkpoints,
    project: (view: Parameters<DurableBinding['detail']>[0]) => durable.detail(view),
    answer: (view: Parameters<DurableBinding['answer']>[0]) => durable.answer(view),
  }
  for (const tool of fallbackTools(parts, prefix)) {
    if (!only.includes(tool.name)) continue
    const name = `${prefix}${tool.name}`
    const run = async (args: Record<string, unknown>, ctx: ServerContext) => {
      const caller = await callerOf(core.options, { authInfo: ctx.http?.authInfo, sessionId: ctx.sessionId })
      return runFallback(tool, args, caller, { signal: ctx.mcpReq.signal, core })
    }
    if (!attachment.mcp) {
      if (attachment.plain.has(name) || core.tools.has(name)) throw nameIsTaken(name)
      attachment.plain.set(name, plainTool(name, tool, 'draft-2020-12', run))
      continue
    }
    const { title, description, annotations, inputSchema, outputSchema } = tool
    const config = { title, description, annotations, inputSchema, outputSchema }
    try {
      attachment.mcp.registerTool(name, config as never, run as never)
    } catch (cause) {
      throw nameIsTaken(name, cause)
    }
  }
}
