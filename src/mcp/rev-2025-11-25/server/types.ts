/** The interfaces that the parts of this binding share: what is attached to, a call, and what they use of `DurableTasks`. */
import type { Server } from '@modelcontextprotocol/sdk/server/index.js'
import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import type { RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js'
import type {
  ProgressToken,
  ServerCapabilities,
  ServerNotification,
  ServerRequest,
  Task,
  Tool,
} from '@modelcontextprotocol/sdk/types.js'
import type { TaskView } from '../../../api/task-view.js'
import type { Caller } from '../../access/caller.js'
import type { Checkpoints } from '../../checkpoints/checkpoints.js'
import type { Answer } from '../../tools/answer.js'
import type { IsHeard } from '../../tools/join-call.js'
import type { McpCore, StartedCall } from '../../tools/mcp-core.js'
import type { DurableTool } from '../../tools/tool.js'
import type { PlainTool } from '../../tools/tool-list.js'
import type { Origin } from '../../tools/tool-records.js'
import type { DurableTransport } from './transport.js'

/** What the parts of this binding use of `DurableTasks`. */
export interface DurableBinding {
  readonly core: McpCore
  readonly checkpoints: Checkpoints
  /** The servers that are connected. */
  readonly attachments: Set<Attachment>
  /** Each server that is attached, connected or not. */
  readonly attachmentOf: WeakMap<McpServer | Server, Attachment>
  /** The queue of the author's own handlers; `undefined` until it is used. */
  readonly queue: MessageRelay | undefined
  /** True if the author was handed `taskStore`. */
  readonly hasTaskStore: boolean
  /** The capabilities that a server declares. */
  capabilities(): ServerCapabilities
  /** What clients are told of a settled task. */
  answer(view: TaskView, known?: Origin): Promise<Answer>
  /** The task as clients see it. */
  project(view: TaskView, known?: Origin): Promise<Task>
  /** Sends the progress of a task after the request that made it was answered. */
  followProgress(attachment: Attachment, taskId: string, progressToken: ProgressToken, maker: Caller): void
}

/** Sends what waits for a client's `tasks/result`. */
export interface MessageRelay {
  relay(taskId: string, attachment: Attachment, extra: Extra): Promise<void>
}

/** A server that durable tasks are attached to. */
export interface Attachment {
  /** The low-level one, always. */
  readonly server: Server
  readonly mcp: McpServer | undefined
  /** Whose session it is, where that is known from outside a request. */
  owner: string | undefined
  transport: DurableTransport | undefined
  /** Who reads what the server sends of its own accord, where that is known. */
  reader: Caller | undefined
  /** The tasks that were made through it, and by whom. */
  readonly created: Map<string, Caller>
  /** What ends the progress of a task whose call was answered, by task. Each holds the server, so all end with the connection. */
  readonly followed: Map<string, () => void>
  /** Fallback tools by their names with prefix; empty with an `McpServer`, which has its own. */
  readonly plain: Map<string, PlainTool<Extra>>
  /** True if calls of the tool are answered by its durable task here. An author may disable, rename or remove a tool. */
  readonly serves: (name: string) => boolean
  /**
   * Task support of a tool that is not ours: clients may, must or can't call it with a task. `'unknown'` for
   * an author's tool on a low-level server.
   */
  readonly taskSupportOf: (name: string) => Promise<NonNullable<Tool['execution']>['taskSupport'] | 'unknown'>
}

/** What the SDK tells a handler of the request it handles. */
export type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>

/** A call whose task is on disk. */
export interface OpenCall {
  readonly tool: DurableTool
  readonly kind: 'inline' | 'task' | 'start'
  readonly caller: Caller
  readonly started: StartedCall
  readonly isHeard: IsHeard
  /** The progress that its client was sent last, if the call is taken up after a restart. */
  readonly lastProgress?: number | undefined
}
