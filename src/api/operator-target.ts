/**
 * The calls of a `Holdfast` as the operator API serves them: with the actor that the client claims, and without values that
 * the request did not ask for. Every handler does what the method of the same purpose does.
 */
import { Buffer } from 'node:buffer'
import { storeOfEngine } from '../admin/portable/hosts.js'
import { endMove } from '../admin/portable/move.js'
import { EVENT_NAMES, type EventName } from '../base/events.js'
import { fromJson, type JsonValue } from '../base/json.js'
import { missingCheckpoint } from '../engine/calls/restore-checkpoint.js'
import { checkCancel, checkSend } from '../engine/checks/call-options.js'
import { readConsistent } from '../engine/core/consistent-read.js'
import type { Engine } from '../engine/core/engine.js'
import { findTask, findUnfinished } from '../engine/core/find-task.js'
import type { RecoveryReport } from '../engine/core/recovery-report.js'
import { cancelTask } from '../engine/lifecycle/cancel.js'
import { forkOf } from '../engine/lifecycle/fork.js'
import { respondForCaller } from '../engine/lifecycle/respond.js'
import { resumeTask } from '../engine/lifecycle/resume.js'
import { retryNow } from '../engine/lifecycle/retry-now.js'
import { send } from '../engine/lifecycle/send.js'
import { setAttributesOf } from '../engine/lifecycle/set-attributes.js'
import { startTask } from '../engine/lifecycle/start.js'
import { engineOf } from '../engine/recovery/open-engines.js'
import { deleteSettled } from '../engine/retention/delete-settled.js'
import type { JobHandlers } from '../operator/contract/jobs.js'
import { PROTOCOL_VERSION } from '../operator/contract/protocol.js'
import type { ResponseOf } from '../operator/contract/route.js'
import type { FeedEvent, Handlers, OperatorTarget, Routes } from '../operator/contract/routes.js'
import { diffJson } from '../operator/server/json-diff.js'
import { releaseOfPackage } from '../operator/server/release.js'
import { readCheckpoints } from '../store/read-log.js'
import { readInput, readMessages, readState } from '../store/reads.js'
import { checkAttributes } from '../task/attributes.js'
import { settledAlready } from '../task/decisions/transition.js'
import type { TaskHead } from '../task/head.js'
import type { Outcome, TaskError } from '../task/log/outcome.js'
import { auditOf } from './audit.js'
import { actOnMany } from './bulk.js'
import { explainFound } from './explanation.js'
import { readHealth } from './health.js'
import { listTasks } from './list.js'
import { readStats, readStatsOver } from './stats.js'
import { readSteps } from './steps.js'
import { type InputRequest, viewOf, wholeViewOf } from './task-view.js'

// One file of the built package is loaded after the open: this one, with the server.
export { startHolder } from '../operator/server/holder.js'

const MESSAGES_MAX = 1_000
const RECOVERED_MAX = 1_000
const DIFF_BOUNDS = { differencesMax: 1_000, valuesMax: 100_000 }

/**
 * Makes what the operator API of an instance serves. A command on a store that no process runs calls the same handlers.
 * @throws TypeError for anything but an open `Holdfast`
 */
export function operatorTarget(holdfast: object): OperatorTarget {
  const engine = engineOf(holdfast)
  const handlers = handlersOf(engine)
  return {
    handlers,
    jobs: jobsOf(holdfast),
    async importTask(stream, actor) {
      const { importTask } = await import('../admin/import-task.js')
      return importTask({ holdfast, stream, actor })
    },
    subscribe: (taskId, listener) => subscribe(engine, taskId, listener),
    async snapshot(taskId) {
      if (taskId === undefined) return { stats: await readStats(engine), recovery: recoveryOf(engine.report) }
      const reader = { by: '' }
      const [task, steps] = await Promise.all([
        handlers.getTask({ taskId }, reader),
        handlers.listSteps({ taskId }, reader),
      ])
      return { task, ...steps }
    },
  }
}

/** The jobs. Their code is loaded by the first one, so that no server loads it at its start. */
function jobsOf(holdfast: object): JobHandlers {
  const load = async () => (await import('../operator/server/store-jobs.js')).storeJobs(holdfast)
  return {
    verify: async (request, control) => (await load()).verify(request, control),
    backup: async (request, control) => (await load()).backup(request, control),
    verifyAudit: async (request, control) => (await load()).verifyAudit(request, control),
    exportAudit: async (request, control) => (await load()).exportAudit(request, control),
    compact: async (request, control) => (await load()).compact(request, control),
    exportTask: async (request, control) => (await load()).exportTask(request, control),
  }
}

function handlersOf(engine: Engine): Handlers {
  const find = (taskId: string) => findTask(engine, taskId, undefined)
  const view = (head: TaskHead) => viewOf(head, engine.tasks.get(head.taskId))
  return {
    async info() {
      const { dir, storeId } = engine.store.directory ?? {}
      const { pid, version: node } = process
      const types = engine.registry.names
      return { protocol: PROTOCOL_VERSION, release: releaseOfPackage(), node, pid, dir, storeId, types }
    },
    listTasks: (query) => listTasks(engine, query),
    async startTask({ type, input, ...options }, { by }) {
      engine.assertOpen()
      return startTask(engine, engine.registry.require(type), input, options as never, { by })
    },
    async getTask({ taskId, values }) {
      const head = await find(taskId)
      const { outcome, inputRequests, undone, ...task } = await wholeViewOf(engine, head)
      const input = values ? fromJson(await engine.store.read((level) => readInput(level, head))) : undefined
      const questions = inputRequests && questionsOf(inputRequests, values)
      return { ...task, input, outcome: outcome && outcomeView(outcome, values), questions, undone }
    },
    async cancelTask({ taskId, ...options }, { by }) {
      const task = await findUnfinished(engine, taskId, undefined)
      await cancelTask(engine, task, checkCancel(options), by)
      return view(task.head)
    },
    async retryTask({ taskId }, { by }) {
      const task = await findUnfinished(engine, taskId, undefined)
      await retryNow(engine, task, by)
      return view(task.committed ?? task.head)
    },
    async setAttributes({ taskId, attributes }, { by }) {
      const changes = checkAttributes(attributes)
      const task = await findUnfinished(engine, taskId, undefined)
      await setAttributesOf(engine, task, changes, by)
      return view(task.committed ?? task.head)
    },
    async deleteTask({ taskId }, { by }) {
      engine.assertOpen()
      await deleteSettled(engine, await find(taskId), by)
      return { taskId }
    },
    async endMove({ taskId, commits }, { by }) {
      engine.assertOpen()
      await endMove(storeOfEngine(engine), taskId, commits, by)
      return { taskId }
    },
    explainTask: ({ taskId }) => explainFound(engine, () => find(taskId)),
    cancelTasks: (request, { by }) => actOnMany(engine, 'cancelMany', request, by),
    retryTasks: (request, { by }) => actOnMany(engine, 'retryMany', request, by),
    resumeTasks: (request, { by }) => actOnMany(engine, 'resumeMany', request, by),
    deleteTasks: (request, { by }) => actOnMany(engine, 'deleteMany', request, by),
    health: () => readHealth(engine),
    async resumeTask({ taskId }, { by }) {
      engine.assertOpen()
      const head = await find(taskId)
      const task = engine.tasks.get(taskId)
      if (!task) throw settledAlready(head)
      await resumeTask(engine, task, by)
      return view(task.head)
    },
    forkTask: ({ taskId, point, ...options }, { by }) => forkOf(engine, taskId, point, options as never, by),
    respond: ({ taskId, responses }, { by }) =>
      respondForCaller(engine, taskId, responses, undefined, () => find(taskId), by),
    sendMessage({ taskId, name, payload, idempotencyKey }, { by }) {
      const { idempotencyKey: key } = checkSend({ idempotencyKey })
      const findOpen = () => findUnfinished(engine, taskId, undefined)
      return send(engine, taskId, findOpen, name, payload, { idempotencyKey: key, by })
    },
    async listSteps({ taskId, values }) {
      const resultOf = (record: object) =>
        values && 'value' in record ? { result: fromJson(record.value as string | undefined) } : {}
      return { segments: await readSteps(engine, await find(taskId), resultOf) }
    },
    async listCheckpoints({ taskId }) {
      const head = await find(taskId)
      return { checkpoints: await engine.store.read((level) => readCheckpoints(level, head)) }
    },
    async getCheckpoint({ taskId, checkpointId, values }) {
      const { info, state } = await readCheckpointOf(engine, await find(taskId), checkpointId)
      return { ...info, state: values ? state : undefined }
    },
    diffCheckpoints: async (request) => diffOf(engine, await find(request.taskId), request),
    async listChildren({ taskId, ...page }) {
      await find(taskId)
      return listTasks(engine, { ...page, parent: taskId })
    },
    async listMessages({ taskId, values }) {
      await find(taskId)
      const found = await engine.store.read((level) => readMessages(level, taskId, MESSAGES_MAX))
      return {
        messages: found.map(({ name, order, text }) => ({
          name,
          order,
          bytes: Buffer.byteLength(text),
          payload: values ? fromJson(text || undefined) : undefined,
        })),
      }
    },
    async listQuestions({ taskId, values }) {
      const { inputRequests = {} } = await wholeViewOf(engine, await find(taskId))
      return { questions: questionsOf(inputRequests, values) }
    },
    audit: async (query) => ({ entries: await auditOf(engine, query) }),
    async stats({ from, to }) {
      engine.assertOpen()
      return from === undefined && to === undefined ? readStats(engine) : readStatsOver(engine, { from, to })
    },
    recovery: async () => recoveryOf(engine.report),
    async lastRecovery() {
      engine.assertOpen()
      return { report: await engine.serviceLevels.lastRecovery() }
    },
    async recover() {
      engine.assertOpen()
      await engine.openings.release()
      return recoveryOf(engine.recover())
    },
  }
}

function questionsOf(requests: Readonly<Record<string, InputRequest>>, values: boolean | undefined) {
  return Object.entries(requests).map(([key, { name, requestedAt, dueAt, request }]) => ({
    key,
    name,
    requestedAt,
    dueAt,
    request: values ? request : undefined,
  }))
}

function outcomeView(outcome: Outcome, values: boolean | undefined) {
  if (outcome.kind === 'error') return { kind: outcome.kind, error: errorView(outcome.error) }
  if (outcome.kind === 'cancelled') return outcome
  return { kind: outcome.kind, result: values ? outcome.result : undefined }
}

interface ShownError {
  readonly name: string
  readonly message: string
  readonly code?: string | number | undefined
  readonly cause?: ShownError | undefined
}

/** Name, message and code of an error and its causes. Stack and data are left out. */
function errorView({ name, message, code, cause }: TaskError): ShownError {
  return { name, message, code, cause: cause && errorView(cause) }
}

/** Reads a checkpoint without a restore. */
async function readCheckpointOf(engine: Engine, found: TaskHead, checkpointId: string) {
  const read = () =>
    readConsistent(engine, found, async (level, head) => {
      const all = await readCheckpoints(level, head)
      const at = all.findIndex((each) => each.checkpointId === checkpointId)
      const info = all[at]
      if (!info) throw missingCheckpoint(head, checkpointId, all[0]?.checkpointId)
      const state = (await readState(level, head.taskId, checkpointId)) as JsonValue | undefined
      return { info, state, before: all[at - 1]?.checkpointId }
    })
  return (await engine.sweeps.using(found.taskId, read)).value
}

async function diffOf(
  engine: Engine,
  head: TaskHead,
  { checkpointId, from, values }: { checkpointId: string; from?: string | undefined; values?: boolean | undefined },
): Promise<ResponseOf<Routes['diffCheckpoints']>> {
  const after = await readCheckpointOf(engine, head, checkpointId)
  const earlier = from ?? after.before
  // The first checkpoint has no earlier one: all of its state is new.
  const before = earlier === undefined ? undefined : await readCheckpointOf(engine, head, earlier)
  const { differences, isCut } = diffJson(before?.state, after.state, DIFF_BOUNDS)
  const shown = values ? differences : differences.map(({ path, kind }) => ({ path, kind }))
  return { from: earlier ?? '', to: checkpointId, differences: shown, isCut }
}

function recoveryOf(report: RecoveryReport): ResponseOf<Routes['recovery']> {
  const { startedAt, finishedAt, found, tasks, suspects, heldReason, storeDamage } = report
  const counts: Record<string, number> = {}
  for (const { action } of tasks) counts[action] = (counts[action] ?? 0) + 1
  const isCut = tasks.length > RECOVERED_MAX
  const shown = tasks.slice(0, RECOVERED_MAX)
  return { startedAt, finishedAt, found, counts, tasks: shown, isCut, suspects, heldReason, storeDamage }
}

function subscribe(
  { clock, events }: Engine,
  taskId: string | undefined,
  listener: (event: FeedEvent) => void,
): () => void {
  const stops = (Object.keys(EVENT_NAMES) as EventName[]).map((name) =>
    events.on(name, (event) => {
      if (taskId !== undefined && (event as { taskId?: string }).taskId !== taskId) return
      listener({ name, data: { at: clock.now(), ...event } })
    }),
  )
  return () => {
    for (const stop of stops) stop()
  }
}
