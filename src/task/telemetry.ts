/**
 * The interface through which the library reports spans and figures. It has no types of OpenTelemetry: `holdfast/otel`
 * implements it.
 *
 * telemetry-1. Without telemetry, no function is called and nothing is allocated for it.
 * telemetry-2. No input, result, state, answer or message of an error is passed. An error is its code.
 */
import type { TaskAttributes } from './attributes.js'
import { attributesOf, type TaskHead, type TaskStatus } from './head.js'
import { describeError, shortCodeOf } from './log/outcome.js'
import type { Trace } from './trace.js'

/**
 * Receives spans and figures: `otel()` of `holdfast/otel`, or an object of your own. Later releases may add kinds of spans
 * and events, so ignore kinds that you do not know. A function that throws disturbs no task: the log has a line.
 */
export interface Telemetry {
  /** Begins a span. Its parent is the span that is active while this is called. */
  begin(span: SpanBegin): TelemetrySpan
  /** Receives an event after it is on disk. */
  record(event: TelemetryEvent): void
  /** Receives the figures of a store when it is opened. Returns a function that is called when the store closes. */
  observe(figures: TelemetryFigures): () => void
}

/** A span that has begun. */
export interface TelemetrySpan {
  /** Trace context of the span, which is stored with a task that it creates. `undefined` if the span has none. */
  readonly trace: Trace | undefined
  /** Calls `act` once while the span is the active one. Returns what `act` returns, and throws what it throws. */
  within<T>(act: () => T): T
  /** Ends the span. Called once. */
  end(end: SpanEnd): void
}

/** A task, as spans show it. */
export interface SpanTask {
  readonly taskId: string
  readonly type: string
  /** True for a session task, whose type its client may choose. */
  readonly isSession: boolean
  readonly owner: string | undefined
  readonly title: string | undefined
  /** The attributes of the task at the begin of the span. */
  readonly attributes: TaskAttributes | undefined
}

/** A span that begins. */
export type SpanBegin =
  /** The creation of a task, up to its commit. */
  | { readonly kind: 'create'; readonly task: SpanTask }
  /** One run of a body. It has no parent, because it may begin days after its creation: it links to that. */
  | {
      readonly kind: 'run'
      readonly task: SpanTask
      /** Number of the run, from 1. */
      readonly run: number
      /** Number of the attempt of the body, from 1. */
      readonly attempt: number
      /** True if an earlier run was ended by the end of its process. */
      readonly recovered: boolean
      /** Trace of the span that created the task. */
      readonly createdBy: Trace | undefined
    }
  /** One attempt of a step: the call of its function. A step that is answered from the log has none. */
  | {
      readonly kind: 'step'
      readonly task: SpanTask
      readonly run: number
      readonly step: string
      /** Number of the attempt of the step, from 1. */
      readonly attempt: number
    }
  /** A checkpoint is saved, or restored, by the body of the task or by a client. */
  | {
      readonly kind: 'save-checkpoint' | 'restore-checkpoint'
      readonly task: SpanTask
      readonly by: 'body' | 'client'
    }
  /** The recovery of the unfinished tasks that an opening found. */
  | { readonly kind: 'recover'; readonly found: number }
  /** A request of an MCP client, up to its answer. */
  | {
      readonly kind: 'request'
      readonly method: string
      /** Name of the tool of a `tools/call`, at most 128 bytes. Its client may have chosen it. */
      readonly tool: string | undefined
      /** True if `tool` is a durable tool of this server. */
      readonly isOwnTool: boolean
      /** Name of the prompt of a `prompts/get`. */
      readonly prompt: string | undefined
      readonly requestId: string
      /** Revision of the protocol, such as `2025-11-25`, if it is known. */
      readonly protocolVersion: string | undefined
      readonly sessionId: string | undefined
      /** `pipe` for stdio, `tcp` for HTTP. */
      readonly transport: 'pipe' | 'tcp'
      /** Trace of the client's span. */
      readonly parent: Trace | undefined
    }

/** The end of a span. */
export interface SpanEnd {
  /**
   * `waiting`: the run is unloaded while the task waits · `retrying`: the body threw, and has another attempt ·
   * `parked`: the task cannot continue · `interrupted`: the task was settled meanwhile, or the store closed. Other spans
   * have `completed` or `failed`, and a step `interrupted`.
   */
  readonly outcome: 'completed' | 'failed' | 'waiting' | 'retrying' | 'parked' | 'interrupted'
  /** Code of the error, or the name of its class. */
  readonly code?: string | undefined
  /** Number of steps that a run received from the log. */
  readonly replayedSteps?: number | undefined
  readonly checkpointId?: string | undefined
  /** Code of the JSON-RPC error that a request is answered with. */
  readonly rpcCode?: number | undefined
  /** Number of tasks of a recovery by result. */
  readonly tasks?: Readonly<Record<string, number>> | undefined
}

/** An event on disk. Durations are in milliseconds. */
export type TelemetryEvent =
  /** A task has another status. `ms` is the duration of the commit. */
  | {
      readonly kind: 'status'
      readonly task: SpanTask
      readonly from: TaskStatus
      readonly to: TaskStatus
      readonly createdBy: Trace | undefined
      readonly ms: number
    }
  /** A task is settled. `ms` is the duration of the commit, and `ageMs` the time since the creation of the task. */
  | {
      readonly kind: 'settled'
      readonly task: SpanTask
      readonly status: 'completed' | 'failed' | 'cancelled'
      /** Code of the error of a failed task. */
      readonly code: string | undefined
      readonly createdBy: Trace | undefined
      readonly ageMs: number
      readonly ms: number
    }
  /** A run begins that waited for a slot, for `ms`. */
  | { readonly kind: 'queued'; readonly task: SpanTask; readonly ms: number }
  /** A batch of commits is on disk. */
  | { readonly kind: 'batch'; readonly commits: number; readonly ms: number }

/** Figures of an open store, to be read at any time. */
export interface TelemetryFigures {
  /** Counts the unfinished tasks by status and type. Session tasks are counted without a type. */
  tasks(): readonly TaskFigure[]
  /** Reads the bytes of the database's files by kind of key. Rejects while the store is down. */
  storeBytes(): Promise<Readonly<Record<string, number>>>
}

/** Number of unfinished tasks of a status and type. */
export interface TaskFigure {
  readonly status: TaskStatus
  readonly type: string | undefined
  readonly count: number
  /** Number of parked ones among them. */
  readonly parked: number
}

/** The task of a head, as spans show it. */
export function spanTaskOf(
  head: Pick<TaskHead, 'taskId' | 'type' | 'kind' | 'owner' | 'title' | 'attributes' | 'changedAttributes'>,
): SpanTask {
  const { taskId, type, kind, owner, title } = head
  return { taskId, type, isSession: kind === 'session', owner, title, attributes: attributesOf(head) }
}

const CODE = /^[A-Za-z0-9_.:-]{1,60}$/

/** Code of a thrown value, or the name of its class. Never its message, and no text that may be one (telemetry-2). */
export function errorCodeOf(thrown: unknown): string {
  const error = describeError(thrown)
  return [shortCodeOf(error), error.name].find((code) => CODE.test(code)) ?? 'Error'
}
