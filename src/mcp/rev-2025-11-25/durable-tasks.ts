/**
 * The public class of the 2025-11-25 binding: tools from task definitions, and the calls of clients about their tasks.
 */
import type { TaskMessageQueue, TaskStore } from '@modelcontextprotocol/sdk/experimental/tasks/interfaces.js'
import type { Server, ServerOptions } from '@modelcontextprotocol/sdk/server/index.js'
import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import {
  type ProgressToken,
  RELATED_TASK_META_KEY,
  type ServerCapabilities,
  type Task,
} from '@modelcontextprotocol/sdk/types.js'
import type { ZodType } from 'zod'
import type { Holdfast } from '../../api/holdfast.js'
import type { TaskView } from '../../api/task-view.js'
import type { AuthInfoLike } from '../../http/node.js'
import type { AnyTaskDefinition, Returns } from '../../task/definition/definition.js'
import { isSettled } from '../../task/head.js'
import { type Caller, runAs } from '../access/caller.js'
import type { DurableOptions } from '../access/options.js'
import { Checkpoints } from '../checkpoints/checkpoints.js'
import type { StdioHandle } from '../stdio/life.js'
import type { Answer } from '../tools/answer.js'
import type { FallbackOptions } from '../tools/fallback-tools.js'
import { type ToolArguments, toolParts } from '../tools/function-tool.js'
import { McpCore } from '../tools/mcp-core.js'
import type { OpenHoldfast } from '../tools/opening.js'
import { ProgressFeed, type SentProgress } from '../tools/progress-feed.js'
import type { ToolResult } from '../tools/tool.js'
import type { Origin } from '../tools/tool-records.js'
import { createHttpHandler, type HttpHandler } from './http/handler.js'
import type { HttpOptions } from './http/options.js'
import type { CreateServer } from './http/session.js'
import { attachTo, capabilitiesOf } from './server/attach.js'
import { registerFallback } from './server/fallback-tools.js'
import { projectStoreTask, projectTask, REVISION, storeAnswer } from './server/project-task.js'
import { mayPush, notifyOfStatus } from './server/status-notifications.js'
import { readStoreState } from './server/store-state.js'
import { DurableTaskMessageQueue } from './server/task-message-queue.js'
import { DurableTaskStore } from './server/task-store.js'
import type { Attachment } from './server/types.js'
import { type StdioOptions, serveOverStdio } from './stdio/serve.js'

/** Durable tasks for servers on `@modelcontextprotocol/sdk`. Created by `durableTasks`. */
export class DurableTasks {
  /** @internal */
  readonly core: McpCore
  /** @internal */
  readonly checkpoints: Checkpoints
  /** @internal Servers that are connected. */
  readonly attachments = new Set<Attachment>()
  /** @internal Attachments by server, connected or not. */
  readonly attachmentOf = new WeakMap<McpServer | Server, Attachment>()
  #attached = false
  #store: TaskStore | undefined
  /** @internal Set once the author has used `taskMessageQueue`. */
  queue: DurableTaskMessageQueue | undefined

  /** @internal Use `durableTasks`. */
  constructor(given: Holdfast | OpenHoldfast, options: DurableOptions) {
    this.core = new McpCore(given, options)
    this.checkpoints = new Checkpoints(this.core)
    notifyOfStatus(this)
  }

  /**
   * The open `Holdfast`: the given instance, or the one that the given function resolves to. The first read begins the
   * open. If the open fails, this promise rejects. The next durable call opens again, and this is then the promise of
   * that open.
   */
  get opened(): Promise<Holdfast> {
    return this.core.opening.opened
  }

  /**
   * Makes a tool of a task, or, under a name, of one function: `run` is then the whole task, and the name is that of the
   * tool and of the task. Call it before the first server is attached.
   * @throws TypeError for a schema that cannot be listed, naming the field; for a name that is in use
   * @see docs/guides/tasks-of-one-function.md
   */
  tool<
    Given extends AnyTaskDefinition | string,
    I extends ZodType | undefined = undefined,
    O extends ZodType | undefined = undefined,
    Input = unknown,
    Returned extends Returns<O> | Promise<Returns<O>> = Returns<O> | Promise<Returns<O>>,
  >(given: Given, options?: ToolArguments<Given, I, O, Input, Returned>): this {
    if (this.#attached) {
      throw new Error('durable.tool(…) comes too late: a server is attached already, and would not list the tool')
    }
    const parts = toolParts(given, options)
    this.core.addTool(parts.definition, parts.options)
    return this
  }

  /**
   * Adds the durable tools to an `McpServer` or a low-level `Server`. Use one server for each session. Call it before
   * the server gets a tool, or a handler of `tools/list` or `tools/call`, of its own. Such handlers are called for your
   * own tools, and their list is merged with ours.
   * @returns the server
   * @throws TypeError for a server of another SDK
   * @throws Error if the server has tools, such a handler, or a connection, already
   */
  attach<S extends McpServer | Server>(server: S): S {
    this.#attached = true
    this.attachmentOf.set(server, attachTo(this, server))
    return server
  }

  /**
   * Options for `new McpServer(info, …)` or `new Server(info, …)`: the given ones, without the capability that would
   * install the SDK's tool handlers too early.
   */
  serverOptions(options: ServerOptions = {}): ServerOptions {
    const { tools: _, ...capabilities } = options.capabilities ?? {}
    return { ...options, capabilities }
  }

  /**
   * Runs `act` as the principal of `authInfo`. Use it around `transport.handleRequest`, because the SDK passes only a
   * session ID to a task store. Also use it around calls of `taskStore` in the body of a task, which runs for no
   * request.
   */
  withAuth<T>(authInfo: AuthInfoLike | undefined, act: () => T): T {
    return runAs({ authInfo }, act)
  }

  /**
   * A `TaskStore` for servers with handlers of their own. Pass it to the SDK's server, with `taskMessageQueue`. Tasks
   * that are created through it have no body to resume (`orphans`).
   */
  get taskStore(): TaskStore {
    this.#store ??= new DurableTaskStore(this)
    return this.#store
  }

  /** @internal True if the author has used `taskStore`. */
  get hasTaskStore(): boolean {
    return this.#store !== undefined
  }

  /** The message queue for `taskStore`. */
  get taskMessageQueue(): TaskMessageQueue {
    this.queue ??= new DurableTaskMessageQueue(this)
    return this.queue
  }

  /**
   * Adds plain tools for clients without support for tasks: to read a task, wait for it, cancel it, and keep a session.
   * @param server a low-level `Server` only after `attach`
   * @throws Error if a name is in use
   */
  registerFallbackTools(server: McpServer | Server, options: FallbackOptions = {}): this {
    registerFallback(this, server, options)
    return this
  }

  /**
   * Creates an MCP endpoint whose sessions and open calls survive a restart of the process.
   * @param createServer creates the server of one session; a new one each time, attached
   * @throws TypeError for an option of the wrong type, and for `access: 'local'`
   */
  httpHandler(createServer: CreateServer, options?: HttpOptions): HttpHandler {
    return createHttpHandler(this, createServer, options)
  }

  /**
   * Serves this process's standard input and output, and ends the process. By default, it closes the `Holdfast` and
   * exits with code 0 when the client is gone or a signal arrives.
   * @param createServer creates the server of the connection, attached
   * @throws TypeError for an option of the wrong type, and for `access: 'principal'`
   */
  serveStdio(createServer: CreateServer, options?: StdioOptions): StdioHandle {
    return serveOverStdio(this, createServer, options)
  }

  /** @internal */
  capabilities(): ServerCapabilities {
    return capabilitiesOf(this.core.options.access !== 'open')
  }

  /** @internal The client's result of a settled task. */
  async answer(view: TaskView, known?: Origin): Promise<Answer> {
    const { records } = this.core
    const origin = known ?? (await records.readOrigin(view.taskId))
    if (origin?.kind !== 'store') return this.core.answer(REVISION, view, origin)
    const state = await readStoreState(records.records, view.taskId)
    const result = view.status === 'cancelled' ? undefined : (state?.result as ToolResult | undefined)
    return result ? { kind: 'result', result } : storeAnswer(view)
  }

  /** @internal A task in the form of the protocol. */
  async project(view: TaskView, known?: Origin): Promise<Task> {
    const { options, records, holdfast } = this.core
    const about = { pollIntervalMs: options.pollIntervalMs, isError: false }
    const isUnfinishedBody = view.kind === 'body' && !isSettled(view.status)
    const origin = known ?? (isUnfinishedBody ? undefined : await records.readOrigin(view.taskId))
    if (origin?.kind === 'store') {
      return projectStoreTask(view, await readStoreState(records.records, view.taskId), about.pollIntervalMs)
    }
    const isCustom = view.status === 'completed' && origin?.projection === 'custom'
    // A listed view has no outcome.
    const needsOutcome = !view.outcome && (isCustom || view.status === 'cancelled')
    const whole = needsOutcome ? await holdfast.get(view.taskId) : view
    if (!isCustom) return projectTask(whole, about)
    const answer = await this.answer(whole, origin)
    return projectTask(whole, { ...about, isError: answer.kind === 'error' || answer.result.isError === true })
  }

  /**
   * @internal Sends the progress of a task after the request that created it was answered. The token stays valid until
   * the task settles or the connection ends. If one connection has two tokens for one task, the newer one is used.
   */
  followProgress(attachment: Attachment, taskId: string, progressToken: ProgressToken, maker: Caller): void {
    const { server, followed } = attachment
    const { binding, options, hub } = this.core
    const _meta = { [RELATED_TASK_META_KEY]: { taskId } }
    const push = async (progress: SentProgress) => {
      if (!server.transport || !(await mayPush(this, attachment, taskId, maker))) return
      const params = { progressToken, ...progress, _meta }
      await server.notification({ method: 'notifications/progress', params })
    }
    // Sent in order, even if `authorize` takes longer for an earlier one.
    let pushing: Promise<void> = Promise.resolve()
    const send = (progress: SentProgress) => {
      pushing = pushing.catch(() => {}).then(() => push(progress))
      return pushing
    }
    const feed = new ProgressFeed({ clock: binding.clock, intervalMs: options.progressIntervalMs, send })
    followed.get(taskId)?.()
    const unwatch = hub.watch(taskId, (news) => {
      if (news.kind === 'progress') feed.push(news.progress)
      if (news.kind !== 'settled') return
      unwatch()
      if (followed.get(taskId) === stop) followed.delete(taskId)
      void feed.end()
    })
    const stop = () => {
      unwatch()
      feed.stop()
    }
    followed.set(taskId, stop)
  }
}

/**
 * Creates durable tasks for servers on `@modelcontextprotocol/sdk`, over an open Holdfast.
 * @throws TypeError for an option of the wrong type
 * @example
 * const durable = durableTasks(holdfast, { access: 'local' })
 * durable.tool(importFlights, { title: 'Import flights' })
 * const server = durable.attach(new McpServer(info, durable.serverOptions()))
 */
export function durableTasks(holdfast: Holdfast | OpenHoldfast, options: DurableOptions): DurableTasks {
  return new DurableTasks(holdfast, options)
}
