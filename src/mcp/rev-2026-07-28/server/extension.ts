/** The extensions that a server with durable tasks has, and whether a request's client knows them. */
import {
  CLIENT_CAPABILITIES_META_KEY,
  type ClientCapabilities,
  MissingRequiredClientCapabilityError,
  type ServerCapabilities,
  type ServerContext,
} from '@modelcontextprotocol/server'

/** Tasks, as SEP-2663 has them. */
export const TASKS_EXTENSION = 'io.modelcontextprotocol/tasks'
/** Checkpoints and session tasks: ours. */
export const CHECKPOINTS_EXTENSION = 'holdfast/checkpoints'

/** What a server says it can do. Never the `tasks` of 2025-11-25: the two are not the same. */
export const CAPABILITIES: ServerCapabilities = {
  extensions: { [TASKS_EXTENSION]: {}, [CHECKPOINTS_EXTENSION]: { version: '1' } },
}

/** True if the request is of this revision: every one of those brings its client's capabilities along. */
export function isModern(ctx: ServerContext): boolean {
  return ctx.mcpReq.envelope !== undefined
}

/** What the client of this one request can do, or `undefined` where that is not said with the request. */
export function capabilitiesIn(ctx: ServerContext): ClientCapabilities | undefined {
  const envelope = ctx.mcpReq.envelope as Record<string, unknown> | undefined
  return envelope?.[CLIENT_CAPABILITIES_META_KEY] as ClientCapabilities | undefined
}

/** True if this one request declares that its client knows tasks. What an earlier one declared does not count. */
export function knowsTasks(capabilities: unknown): boolean {
  const { extensions } = (capabilities ?? {}) as { extensions?: Record<string, unknown> }
  const declared = extensions?.[TASKS_EXTENSION]
  return typeof declared === 'object' && declared !== null
}

/** The refusal for a client that doesn't. */
export function tasksNotDeclared(): MissingRequiredClientCapabilityError {
  return new MissingRequiredClientCapabilityError({ requiredCapabilities: { extensions: { [TASKS_EXTENSION]: {} } } })
}
