/**
 * The routes of the operator API, version 1: one table, from which the server, the client and the reference page follow.
 * A path has the task before the action. A request with an unknown name is refused.
 */
import { z } from 'zod'
import type { ImportReport } from '../../admin/portable/import-records.js'
import type { JobHandlers } from './jobs.js'
import { ExplanationView, HealthView, ManyView } from './operating-views.js'
import { flagInQuery, get, jsonInQuery, manyOf, post, type RequestOf, type ResponseOf } from './route.js'
import * as view from './views.js'

const task = z.strictObject({ taskId: z.string() })
const checkpoint = z.strictObject({ taskId: z.string(), checkpointId: z.string() })
const values = { values: flagInQuery.describe('`true` to include inputs, results, states, questions and payloads.') }
const instant = z.coerce.number().int().min(0).optional()
const limitUpTo = (max: number) => z.coerce.number().int().min(1).max(max).optional()

const wanted = z.record(z.string(), view.AttributeView).optional()
const changes = z.record(z.string(), view.AttributeView.nullable())

const filter = {
  owner: z.string().optional(),
  status: manyOf(view.StatusView),
  type: z.string().optional(),
  parent: z.string().optional(),
  createdAfter: instant,
  createdBefore: instant,
  attributes: jsonInQuery(wanted).describe('One or two attributes that the tasks have, as JSON.'),
}

const many = {
  ...filter,
  status: z.array(view.StatusView).optional(),
  attributes: wanted,
  all: z.boolean().optional(),
  dryRun: z.boolean().optional(),
  limit: z.int().min(1).max(10_000).optional(),
  cursor: z.string().optional(),
}

const startOptions = {
  owner: z.string().optional(),
  idempotencyKey: z.string().optional(),
  ttl: z.union([z.number(), z.string()]).optional(),
  deadline: z.number().optional(),
  priority: z.number().optional(),
  title: z.string().optional(),
  attributes: changes.optional(),
}

export const ROUTES = {
  info: get({
    path: '/v1/info',
    summary: 'Process, store and registered definitions.',
    response: view.InfoView,
  }),
  listTasks: get({
    path: '/v1/tasks',
    summary: 'A page of the tasks that fit the filters. A page may be short or empty while it has a `cursor`.',
    query: z.strictObject({
      ...filter,
      order: z.enum(['oldest', 'newest']).optional(),
      limit: limitUpTo(1_000),
      cursor: z.string().optional(),
    }),
    response: view.TaskPageView,
  }),
  startTask: post({
    path: '/v1/tasks',
    summary: 'Starts a task of a registered definition.',
    body: z.strictObject({ type: z.string(), input: z.unknown().optional(), ...startOptions }),
    response: view.StartedView,
  }),
  getTask: get({
    path: '/v1/tasks/:taskId',
    summary: 'One task, with its outcome, its open questions and its undos.',
    params: task,
    query: z.strictObject(values),
    response: view.TaskDetails,
  }),
  cancelTask: post({
    path: '/v1/tasks/:taskId/cancel',
    summary: 'Cancels a task. With `force`, gives up the clean-up of a parked one.',
    params: task,
    body: z.strictObject({ reason: z.string().optional(), force: z.boolean().optional() }),
    response: view.TaskSummary,
  }),
  retryTask: post({
    path: '/v1/tasks/:taskId/retry',
    summary: 'Makes the next attempt of a task, and of its waiting steps, now.',
    params: task,
    response: view.TaskSummary,
  }),
  setAttributes: post({
    path: '/v1/tasks/:taskId/attributes',
    summary: 'Sets attributes of an unfinished task. `null` removes one; others stay.',
    params: task,
    body: z.strictObject({ attributes: changes }),
    response: view.TaskSummary,
  }),
  deleteTask: post({
    path: '/v1/tasks/:taskId/delete',
    summary: 'Deletes a settled task. Its audit stays.',
    params: task,
    response: z.object({ taskId: z.string() }),
  }),
  endMove: post({
    path: '/v1/tasks/:taskId/moved',
    summary: 'Settles a task whose file is whole as cancelled, with the reason `moved`.',
    params: task,
    body: z.strictObject({ commits: z.int().min(1).describe('`commits` of the header of the file.') }),
    response: z.object({ taskId: z.string() }),
  }),
  explainTask: get({
    path: '/v1/tasks/:taskId/explain',
    summary: 'Why a task does not run now, or what it runs.',
    params: task,
    response: ExplanationView,
  }),
  cancelTasks: post({
    path: '/v1/bulk/cancel',
    summary: 'Cancels the unfinished tasks that fit the filters, up to 10,000 a call.',
    body: z.strictObject({ ...many, reason: z.string().optional() }),
    response: ManyView,
  }),
  retryTasks: post({
    path: '/v1/bulk/retry',
    summary: 'Makes the next attempts of the tasks that fit the filters, up to 10,000 a call.',
    body: z.strictObject(many),
    response: ManyView,
  }),
  resumeTasks: post({
    path: '/v1/bulk/resume',
    summary: 'Resumes the parked tasks that fit the filters, up to 10,000 a call.',
    body: z.strictObject(many),
    response: ManyView,
  }),
  deleteTasks: post({
    path: '/v1/bulk/delete',
    summary: 'Deletes the settled tasks that fit the filters, up to 10,000 a call.',
    body: z.strictObject(many),
    response: ManyView,
  }),
  resumeTask: post({
    path: '/v1/tasks/:taskId/resume',
    summary: 'Resumes a parked task, or the parked clean-up of a settled one.',
    params: task,
    response: view.TaskSummary,
  }),
  forkTask: post({
    path: '/v1/tasks/:taskId/fork',
    summary: 'Creates a task that continues from a recorded point of this one.',
    params: task,
    body: z.strictObject({
      point: z.union([
        z.strictObject({ checkpointId: z.string() }),
        z.strictObject({
          afterStep: z.union([
            z.string(),
            z.strictObject({ name: z.string(), number: z.int().optional(), segment: view.SegmentName.optional() }),
          ]),
        }),
        z.strictObject({ from: z.literal('start') }),
      ]),
      ...startOptions,
    }),
    response: view.StartedView,
  }),
  respond: post({
    path: '/v1/tasks/:taskId/respond',
    summary: 'Answers open questions, by key.',
    params: task,
    body: z.strictObject({ responses: z.record(z.string(), z.unknown()) }),
    response: view.RespondedView,
  }),
  sendMessage: post({
    path: '/v1/tasks/:taskId/send',
    summary: 'Sends a message. It is stored until the body receives it.',
    params: task,
    body: z.strictObject({
      name: z.string(),
      payload: z.unknown().optional(),
      idempotencyKey: z.string().optional(),
    }),
    response: view.SentView,
  }),
  listSteps: get({
    path: '/v1/tasks/:taskId/steps',
    summary: 'The log of a task by segment, running calls included.',
    params: task,
    query: z.strictObject(values),
    response: view.StepsView,
  }),
  listCheckpoints: get({
    path: '/v1/tasks/:taskId/checkpoints',
    summary: 'The checkpoints of a task, oldest first.',
    params: task,
    response: z.object({ checkpoints: z.array(view.CheckpointView) }),
  }),
  getCheckpoint: get({
    path: '/v1/tasks/:taskId/checkpoints/:checkpointId',
    summary: 'One checkpoint, with its state if values are requested. Not a restore: the audit has no entry.',
    params: checkpoint,
    query: z.strictObject(values),
    response: view.CheckpointDetails,
  }),
  diffCheckpoints: get({
    path: '/v1/tasks/:taskId/checkpoints/:checkpointId/diff',
    summary: 'Differences between the states of two checkpoints: of `from`, or of the one before, and of this one.',
    params: checkpoint,
    query: z.strictObject({ ...values, from: z.string().optional() }),
    response: view.DifferenceView,
  }),
  listChildren: get({
    path: '/v1/tasks/:taskId/children',
    summary: 'A page of the child tasks.',
    params: task,
    query: z.strictObject({ limit: limitUpTo(1_000), cursor: z.string().optional() }),
    response: view.TaskPageView,
  }),
  listMessages: get({
    path: '/v1/tasks/:taskId/messages',
    summary: 'Messages that the task has not received yet, by name and order: the first 1,000.',
    params: task,
    query: z.strictObject(values),
    response: z.object({ messages: z.array(view.MessageView) }),
  }),
  listQuestions: get({
    path: '/v1/tasks/:taskId/questions',
    summary: 'Open questions, oldest first.',
    params: task,
    query: z.strictObject(values),
    response: z.object({ questions: z.array(view.QuestionView) }),
  }),
  audit: get({
    path: '/v1/audit',
    summary: 'Audit entries, oldest first.',
    query: z.strictObject({ taskId: z.string().optional(), since: instant, limit: limitUpTo(10_000) }),
    response: z.object({ entries: z.array(view.AuditView) }),
  }),
  stats: get({
    path: '/v1/stats',
    summary:
      'Counts, sizes and service levels. With `from` or `to`, also the service levels of a window of full hours.',
    query: z.strictObject({ from: instant, to: instant }),
    response: view.StatsView,
  }),
  health: get({
    path: '/v1/health',
    summary: 'If the instance is live and ready, with reasons.',
    response: HealthView,
  }),
  recovery: get({
    path: '/v1/recovery',
    summary: 'The report of the recovery of this opening.',
    response: view.RecoveryView,
  }),
  lastRecovery: get({
    path: '/v1/last-recovery',
    summary: 'The stored report of the last recovery that found tasks, also of an earlier opening.',
    response: z.object({ report: view.LastRecoveryView.optional() }),
  }),
  recover: post({
    path: '/v1/recover',
    summary: 'Resumes the unfinished tasks of a store whose recovery is held.',
    response: view.RecoveryView,
  }),
} as const

/** Path of the feed of events, which is no route: its answer is a stream. */
export const FEED_PATH = '/v1/events'

/** The query of the feed. */
export const FeedQuery = z.strictObject({ taskId: z.string().optional() })

export type Routes = typeof ROUTES
export type RouteName = keyof Routes

/** A function for each route. The server calls them; the client has the same without the caller. */
export type Handlers = {
  readonly [Name in RouteName]: (
    request: RequestOf<Routes[Name]>,
    caller: { readonly by: string },
  ) => Promise<ResponseOf<Routes[Name]>>
}

/** An event of the feed: its name, its instant, and the fields of the event of the same name of `Holdfast#on`. */
export interface FeedEvent {
  readonly name: string
  readonly data: Readonly<Record<string, unknown>>
}

/** The store behind a server: handlers, jobs and events. */
export interface OperatorTarget {
  readonly handlers: Handlers
  readonly jobs: JobHandlers
  /** Imports the task of a file, whose bytes are given. */
  importTask(bytes: AsyncIterable<Uint8Array>, by: string): Promise<ImportReport>
  /** Calls `listener` for each event of the store, or of one task. Returns a function that stops this. */
  subscribe(taskId: string | undefined, listener: (event: FeedEvent) => void): () => void
  /** State at the begin of a feed: of a task, or of the store. */
  snapshot(taskId: string | undefined): Promise<Readonly<Record<string, unknown>>>
}
