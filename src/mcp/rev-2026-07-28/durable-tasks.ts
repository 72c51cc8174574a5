/**
 * The public class of the 2026-07-28 binding: tools from task definitions, and the calls of clients about their tasks.
 */
import type { McpServer, Server, ServerOptions } from '@modelcontextprotocol/server'
import type { ZodType } from 'zod'
import type { Holdfast } from '../../api/holdfast.js'
import type { TaskView } from '../../api/task-view.js'
import { faultOf } from '../../base/fault.js'
import type { AnyTaskDefinition, Returns } from '../../task/definition/definition.js'
import { isSettled } from '../../task/head.js'
import type { Trace } from '../../task/trace.js'
import type { DurableOptions } from '../access/options.js'
import { Checkpoints } from '../checkpoints/checkpoints.js'
import type { StdioHandle } from '../stdio/life.js'
import type { Answer } from '../tools/answer.js'
import { NotAttached } from '../tools/check-server.js'
import type { FallbackOptions } from '../tools/fallback-tools.js'
import { type ToolArguments, toolParts } from '../tools/function-tool.js'
import { McpCore } from '../tools/mcp-core.js'
import type { OpenHoldfast } from '../tools/opening.js'
import type { Origin } from '../tools/tool-records.js'
import { createHttpHandler, type HttpHandler } from './http/handler.js'
import { noteFailure } from './http/make-server.js'
import type { HttpOptions } from './http/options.js'
import { attachTo } from './server/attach.js'
import { TASKS_EXTENSION } from './server/extension.js'
import { registerFallback } from './server/fallback-tools.js'
import { type DetailedTask, projectSettled, projectTask, REVISION } from './server/project-task.js'
import { RequestStates } from './server/request-state.js'
import type { Attachment, CreateServer } from './server/types.js'
import { type StdioOptions, serveOverStdio } from './stdio/serve.js'

/** Durable tasks for servers on `@modelcontextprotocol/server`. Created by `durableTasks`. */
export class DurableTasks {
  /** ID of the extension that the binding serves. */
  readonly id = TASKS_EXTENSION
  /** @internal */
  readonly core: McpCore
  /** @internal */
  readonly checkpoints: Checkpoints
  /** @internal */
  readonly requestStates: RequestStates
  readonly #attachments = new WeakMap<object, Attachment>()
  #attached = false

  /** @internal Use `durableTasks`. */
  constructor(given: Holdfast | OpenHoldfast, options: DurableOptions) {
    this.core = new McpCore(given, options)
    this.checkpoints = new Checkpoints(this.core)
    this.requestStates = new RequestStates(this.core)
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
    this.core.addTool(parts.definition, parts.options, 'task')
    return this
  }

  /**
   * Adds the durable tools to a server. Call it before the server registers a tool, or a handler of `tools/call`, of
   * its own.
   * @returns the server
   * @throws TypeError for a server of another SDK
   * @throws Error if the server has such a handler, or a connection, already
   */
  attach<S extends McpServer | Server>(server: S): S {
    this.#attached = true
    this.#attachments.set(server, attachTo(this, server))
    return server
  }

  /**
   * Options for `new McpServer(info, …)`: the given ones, without the capability that would install the SDK's tool
   * handlers too early. Your `requestState.verify` is not called for a `requestState` of ours.
   */
  serverOptions(options: ServerOptions = {}): ServerOptions {
    const { tools: _, ...capabilities } = options.capabilities ?? {}
    const verify = options.requestState?.verify
    if (!verify) return { ...options, capabilities }
    return {
      ...options,
      capabilities,
      requestState: { verify: (state, ctx) => (RequestStates.isOurs(state) ? undefined : verify(state, ctx)) },
    }
  }

  /**
   * Adds plain tools for clients without support for tasks: to read a task, wait for it, cancel it, and keep a session.
   * @param server an attached server
   * @throws Error if a name is in use
   */
  registerFallbackTools(server: McpServer | Server, options: FallbackOptions = {}): this {
    const attachment = this.#attachments.get(server)
    if (!attachment) throw new Error('Call durable.attach(server) before durable.registerFallbackTools(server)')
    registerFallback(this, attachment, options)
    return this
  }

  /**
   * Creates an MCP endpoint, for `fetch` and for Node's `http`.
   * @param createServer creates the server of one request; a new one each time, attached
   * @throws TypeError for an option of the wrong type, and for `access: 'local'`
   */
  httpHandler(createServer: CreateServer, options?: HttpOptions): HttpHandler {
    return createHttpHandler(this, createServer, options)
  }

  /**
   * Serves this process's standard input and output, and ends the process. By default, it closes the `Holdfast` and
   * exits with code 0 when the client is gone or a signal arrives.
   * @param createServer creates the server of the connection; a new one each time, attached
   * @throws TypeError for an option of the wrong type, and for `access: 'principal'`
   */
  serveStdio(createServer: CreateServer, options?: StdioOptions): StdioHandle {
    return serveOverStdio(this, createServer, options)
  }

  /** Trace of the call that created the task, to link the task's work to; `undefined` if there is none. */
  async traceOf(taskId: string): Promise<Trace | undefined> {
    await this.core.ready()
    return (await this.core.records.readOrigin(taskId))?.trace
  }

  /**
   * @internal Wraps a factory so that it fails for a server that is not attached. Without this, that server would
   * silently have no durable tools.
   */
  attachedBy(createServer: CreateServer): CreateServer {
    if (typeof createServer !== 'function') {
      throw new TypeError(`Expected \`createServer\` to be a function that makes a server, got ${typeof createServer}`)
    }
    return async (context) => {
      try {
        const server = await createServer(context)
        if (this.#attachments.has(server)) return server
        throw new NotAttached()
      } catch (error) {
        noteFailure(error)
        if (error instanceof NotAttached) this.core.logOnce(error.message)
        else this.core.logger.error('A server could not be made', { error: faultOf(error) })
        throw error
      }
    }
  }

  /** @internal The client's result of a settled task. */
  async answer(view: TaskView, known?: Origin): Promise<Answer> {
    return this.core.answer(REVISION, view, known ?? (await this.core.records.readOrigin(view.taskId)))
  }

  /** @internal A task in the form of `tasks/get`. */
  async detail(view: TaskView): Promise<DetailedTask> {
    const { holdfast, options } = this.core
    if (!isSettled(view.status)) return projectTask(view, options.pollIntervalMs)
    // A listed view has no outcome.
    const whole = view.outcome ? view : await holdfast.get(view.taskId)
    return projectSettled(whole, await this.answer(whole), options.pollIntervalMs)
  }
}

/**
 * Creates durable tasks for servers on `@modelcontextprotocol/server`, over an open Holdfast.
 * @throws TypeError for an option of the wrong type
 * @example
 * const durable = durableTasks(holdfast, { access: 'local' })
 * durable.tool(importFlights, { title: 'Import flights' })
 * durable.serveStdio(() => durable.attach(new McpServer(info, durable.serverOptions())))
 */
export function durableTasks(holdfast: Holdfast | OpenHoldfast, options: DurableOptions): DurableTasks {
  return new DurableTasks(holdfast, options)
}
