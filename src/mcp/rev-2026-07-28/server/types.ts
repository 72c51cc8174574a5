/** The interfaces that the parts of this binding share: what is attached to, and what they use of `DurableTasks`. */
import type { McpServer, McpServerFactory, Server, ServerContext } from '@modelcontextprotocol/server'
import type { TaskView } from '../../../api/task-view.js'
import type { Checkpoints } from '../../checkpoints/checkpoints.js'
import type { Answer } from '../../tools/answer.js'
import type { McpCore } from '../../tools/mcp-core.js'
import type { PlainTool } from '../../tools/tool-list.js'
import type { DetailedTask } from './project-task.js'
import type { RequestStates } from './request-state.js'

/** What the parts of this binding use of `DurableTasks`. */
export interface DurableBinding {
  readonly core: McpCore
  readonly checkpoints: Checkpoints
  readonly requestStates: RequestStates
  /** The same factory, which fails for a server that durable tasks are not attached to. */
  attachedBy(createServer: CreateServer): CreateServer
  /** What clients are told of a settled task. */
  answer(view: TaskView): Promise<Answer>
  /** The task as `tasks/get` says it. */
  detail(view: TaskView): Promise<DetailedTask>
}

/** Makes the server of one request, or of one stdio connection: a new one each time, attached. */
export type CreateServer = McpServerFactory

/** A server that durable tasks are attached to. */
export interface Attachment {
  /** The low-level one, always. */
  readonly server: Server
  readonly mcp: McpServer | undefined
  /** By their names with prefix; only without an `McpServer`, which has its own. */
  readonly plain: Map<string, PlainTool<ServerContext>>
  /** True if the durable tool of that name is to be had here: an author may disable it. */
  readonly serves: (name: string) => boolean
}
