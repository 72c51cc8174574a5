/** Registers the tools for clients without tasks on a server of this SDK. */
import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js'
import { callerOf } from '../caller.js'
import { FALLBACK_TOOLS, type FallbackTool, fallbackTools, runFallback } from '../fallback-tools.js'
import type { Extra } from './call-tool.js'
import type { DurableTasks } from './durable-tasks.js'

/** The options of `registerFallbackTools`. */
export interface FallbackOptions {
  /** Stands before each name, such as `jobs_`. Default: none. */
  readonly prefix?: string
  /** Which ones. Default: all of them; without authentication never `list_my_tasks`. */
  readonly only?: readonly FallbackTool[]
}

/** @throws TypeError for an unknown name; Error when one is taken */
export function registerFallback(durable: DurableTasks, server: McpServer, options: FallbackOptions): void {
  const { prefix = '', only = FALLBACK_TOOLS } = options
  for (const name of only) {
    if (!FALLBACK_TOOLS.includes(name)) {
      throw new TypeError(`Unknown fallback tool ${JSON.stringify(name)}; there are ${FALLBACK_TOOLS.join(', ')}`)
    }
  }
  const { core, checkpoints } = durable
  const parts = {
    core,
    checkpoints,
    project: (view: Parameters<DurableTasks['project']>[0]) => durable.project(view),
    answer: (view: Parameters<DurableTasks['answer']>[0]) => durable.answer(view),
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
      const taken = `The name '${prefix}${tool.name}' is taken on this server. Give \`registerFallbackTools\` a \`prefix\`, or leave the tool out with \`only\`.`
      throw new Error(taken, { cause })
    }
  }
}
