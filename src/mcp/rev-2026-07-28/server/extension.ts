/** The extensions of a server with durable tasks, and checks of the client's capabilities. */
import {
  CLIENT_CAPABILITIES_META_KEY,
  type ClientCapabilities,
  MissingRequiredClientCapabilityError,
  type ServerCapabilities,
  type ServerContext,
} from '@modelcontextprotocol/server'

/** ID of the tasks extension of SEP-2663. */
export const TASKS_EXTENSION = 'io.modelcontextprotocol/tasks'
/** ID of our extension for checkpoints and session tasks. */
export const CHECKPOINTS_EXTENSION = 'holdfast/checkpoints'

/** Capabilities of a server. The `tasks` of 2025-11-25 are never among them, because they differ from the extension. */
export const CAPABILITIES: ServerCapabilities = {
  extensions: { [TASKS_EXTENSION]: {}, [CHECKPOINTS_EXTENSION]: { version: '1' } },
}

/** True if the request is of this revision. Every request of this revision contains its client's capabilities. */
export function isModern(ctx: ServerContext): boolean {
  return ctx.mcpReq.envelope !== undefined
}

/** Client capabilities in this request; `undefined` if the request has none. */
export function capabilitiesIn(ctx: ServerContext): ClientCapabilities | undefined {
  const envelope = ctx.mcpReq.envelope as Record<string, unknown> | undefined
  return envelope?.[CLIENT_CAPABILITIES_META_KEY] as ClientCapabilities | undefined
}

/** True if this request declares that its client knows tasks. Declarations of earlier requests do not count. */
export function knowsTasks(capabilities: unknown): boolean {
  const { extensions } = (capabilities ?? {}) as { extensions?: Record<string, unknown> }
  const declared = extensions?.[TASKS_EXTENSION]
  return typeof declared === 'object' && declared !== null
}

/** Creates the refusal of a client that does not know tasks. */
export function tasksNotDeclared(): MissingRequiredClientCapabilityError {
  return new MissingRequiredClientCapabilityError({ requiredCapabilities: { extensions: { [TASKS_EXTENSION]: {} } } })
}
