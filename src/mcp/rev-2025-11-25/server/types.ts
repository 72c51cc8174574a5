/**
 * Interfaces that the parts of this binding share: attached servers, calls, and the part of `DurableTasks` that they
 * use.
 */
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

/** The part of `DurableTasks` that other files of this binding use. */
export interface DurableBinding {
  readonly core: McpCore
  readonly checkpoints: Checkpoints
  /** Servers that are connected. */
  readonly attachments: Set<Attachment>
  /** Attachments of all attached servers, connected or not. */
  readonly attachmentOf: WeakMap<McpServer | Server, Attachment>
  /** Queue of the author's own handlers; `undefined` until it is used. */
  readonly queue: MessageRelay | undefined
  /** True if the author has used `taskStore`. */
  readonly hasTaskStore: boolean
  /** Capabilities that a server declares. */
  capabilities(): ServerCapabilities
  /** The client's result of a settled task. */
  answer(view: TaskView, known?: Origin): Promise<Answer>
  /** A task in the form of the protocol. */
  project(view: TaskView, known?: Origin): Promise<Task>
  /** Sends the progress of a task after the request that created it was answered. */
  followProgress(attachment: Attachment, taskId: string, progressToken: ProgressToken, maker: Caller): void
}

/** Sends the messages that wait for a client's `tasks/result`. */
interface MessageRelay {
  relay(taskId: string, attachment: Attachment, extra: Extra): Promise<void>
}

/** A server that durable tasks are attached to. */
export interface Attachment {
  /** The low-level server, also of an `McpServer`. */
  readonly server: Server
  readonly mcp: McpServer | undefined
  /** Owner of the session, if it is known without a request. */
  owner: string | undefined
  transport: DurableTransport | undefined
  /** Caller that reads messages without a request, if it is known. */
  reader: Caller | undefined
  /** Tasks that were created through this server, each with its caller. */
  readonly created: Map<string, Caller>
  /**
   * Functions that end the progress of a task whose call was answered, by task. Each holds the server, so all are
   * called when the connection ends.
   */
  readonly followed: Map<string, () => void>
  /** Fallback tools by their names with prefix. Empty for an `McpServer`, which lists its own. */
  readonly plain: Map<string, PlainTool<Extra>>
  /**
   * True if the durable tool of that name is enabled on this server. An author may disable, rename or remove a tool.
   */
  readonly serves: (name: string) => boolean
  /**
   * Task support of a plain tool: clients may, must or cannot call it with a task. `'unknown'` for an author's tool on
   * a low-level server.
   */
  readonly taskSupportOf: (name: string) => Promise<NonNullable<Tool['execution']>['taskSupport'] | 'unknown'>
}

/** Context of a request, from the SDK. */
export type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>

/** The end of an inline call: its next answer is the last one. */
export interface CallEnd {
  /** Key of the record that the answer is not delivered. */
  readonly rejoinKey: string | undefined
  /**
   * True if a later process gives the same answer, because the outcome is on disk. Such an answer is sent before it is
   * stored (mcp-core-1).
   */
  readonly isRepeatable: boolean
  /** Deletes that record, for an answer of which nothing else is stored. */
  readonly deliver: () => void
}

/** A call whose task is on disk. */
export interface OpenCall {
  readonly tool: DurableTool
  readonly kind: 'inline' | 'task' | 'start'
  readonly caller: Caller
  readonly started: StartedCall
  readonly isHeard: IsHeard
  /** For a call of an earlier process: progress that the client received last. */
  readonly resumed?: { readonly lastProgress: number | undefined }
}
