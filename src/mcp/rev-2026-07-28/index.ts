/** The public API of `holdfast/mcp/2026-07-28`: what is exported here, and nothing else. */

export type { FallbackOptions, FallbackTool } from '../fallback-tools.js'
export type { FetchContext } from '../http/node.js'
export type { AccessRequest, Decision, DurableOptions, McpLimits, TtlOptions } from '../options.js'
export type { Access, AuthInfoLike } from '../owner.js'
export type { CallExtra, InputRequired, ResultAbout, ToolOptions, ToolResult } from '../tool.js'
export type { Trace } from '../trace.js'
export { type ClientLike, checkpointClient, hasCheckpoints } from './checkpoint-client.js'
export { type DurableTasks, durableTasks } from './durable-tasks.js'
export type { CreateServer, HttpHandler } from './http/handler.js'
export type { HttpOptions, LegacyFetch } from './http/options.js'
export type { StdioHandle, StdioOptions } from './stdio/serve.js'
