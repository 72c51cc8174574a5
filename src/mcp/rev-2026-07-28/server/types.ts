/** Interfaces that the parts of this binding share: attached servers, and the part of `DurableTasks` that they use. */
import type { McpServer, McpServerFactory, Server, ServerContext } from '@modelcontextprotocol/server'
import type { TaskView } from '../../../api/task-view.js'
import type { Checkpoints } from '../../checkpoints/checkpoints.js'
import type { Answer } from '../../tools/answer.js'
import type { McpCore } from '../../tools/mcp-core.js'
import type { PlainTool } from '../../tools/tool-list.js'
import type { Origin } from '../../tools/tool-records.js'
import type { DetailedTask } from './project-task.js'
import type { RequestStates } from './request-state.js'

/** The part of `DurableTasks` that other files of this binding use. */
export interface DurableBinding {
  readonly core: McpCore
  readonly checkpoints: Checkpoints
  readonly requestStates: RequestStates
  /** Wraps a factory so that it fails for a server that is not attached. */
  attachedBy(createServer: CreateServer): CreateServer
  /** The client's result of a settled task. */
  answer(view: TaskView, known?: Origin): Promise<Answer>
  /** A task in the form of `tasks/get`. */
  detail(view: TaskView): Promise<DetailedTask>
}

/** Creates the server of one request, or of one stdio connection: a new one each time, attached. */
export type CreateServer = McpServerFactory

/** A server that durable tasks are attached to. */
export interface Attachment {
  /** The low-level server, also of an `McpServer`. */
  readonly server: Server
  readonly mcp: McpServer | undefined
  /** Fallback tools by their names with prefix. Used only without an `McpServer`, which lists its own. */
  readonly plain: Map<string, PlainTool<ServerContext>>
  /** True if the durable tool of that name is enabled on this server. */
  readonly serves: (name: string) => boolean
}
