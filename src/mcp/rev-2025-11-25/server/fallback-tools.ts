/** Registers the tools for clients without tasks on a server of this SDK. */
import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js'
import { callerOf } from '../../access/caller.js'
import {
  checkFallbackOptions,
  type FallbackOptions,
  fallbackTools,
  nameIsTaken,
  runFallback,
} from '../../tools/fallback-tools.js'
import type { DurableBinding, Extra } from './types.js'

/** @throws TypeError for an unknown name; Error when one is taken */
export function registerFallback(durable: DurableBinding, server: McpServer, options: FallbackOptions): void {
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
    const { title, description, annotations, inputSchema, outputSchema } = tool
    const handler = async (args: Record<string, unknown>, extra: Extra) =>
      (await runFallback(tool, args, await callerOf(core.options, extra), {
        signal: extra.signal,
        core,
      })) as CallToolResult
    try {
      const config = { title, description, annotations, inputSchema, outputSchema }
      server.registerTool(`${prefix}${tool.name}`, config as never, handler as never)
    } catch (cause) {
      throw nameIsTaken(`${prefix}${tool.name}`, cause)
    }
  }
}
