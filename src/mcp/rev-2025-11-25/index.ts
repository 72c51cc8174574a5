/** The public API of `holdfast/mcp/2025-11-25`: what is exported here, and nothing else. */

export type { FallbackOptions, FallbackTool } from '../fallback-tools.js'
export type { AuthInfoLike } from '../http/node.js'
export type { HttpOptions } from '../http/options.js'
export type { AccessRequest, Decision, DurableOptions, McpLimits, TtlOptions } from '../options.js'
export type { Access } from '../owner.js'
export type { CallExtra, ResultAbout, ToolOptions, ToolResult } from '../tool.js'
export { checkpointClient, hasCheckpoints } from './checkpoint-client.js'
export type { DurableTasks } from './durable-tasks.js'
export { durableTasks } from './durable-tasks.js'
export type { FetchContext, HttpHandler } from './http/handler.js'
export type { CreateServer } from './http/session.js'
