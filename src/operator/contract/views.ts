/**
 * Schemas of what the operator API returns. Instants are milliseconds since the epoch. Inputs, states, results, answers and
 * payloads are in fields that are left out unless the request has `values: true`.
 */
import { z } from 'zod'

const instant = z.number()
const count = z.number()
/** A value of a task. Left out unless the request has `values: true`. */
const value = z.unknown().optional()

export const StatusView = z.enum(['pending', 'running', 'input_required', 'completed', 'failed', 'cancelled'])

/** An error of a task or a step. */
export interface ErrorView {
  name: string
  message: string
  code?: string | number | undefined
  cause?: ErrorView | undefined
}
export const ErrorView: z.ZodType<ErrorView> = z.object({
  name: z.string(),
  message: z.string(),
  code: z.union([z.string(), z.number()]).optional(),
  get cause() {
    return ErrorView.optional()
  },
})

export const OutcomeView = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('result'), result: value }),
  z.object({ kind: z.literal('error'), error: ErrorView }),
  z.object({ kind: z.literal('cancelled'), reason: z.string().optional() }),
])

const ProgressView = z.object({
  done: z.number().optional(),
  total: z.number().optional(),
  message: z.string().optional(),
})

/** Value of an attribute. */
export const AttributeView = z.union([z.string(), z.number(), z.boolean()])

export const TaskSummary = z.object({
  taskId: z.string(),
  type: z.string(),
  kind: z.enum(['body', 'session']),
  version: z.string().optional(),
  owner: z.string().optional(),
  status: StatusView,
  title: z.string().optional(),
  attributes: z.record(z.string(), AttributeView).optional(),
  durability: z.enum(['synced', 'buffered']),
  createdAt: instant,
  updatedAt: instant,
  startedAt: instant.optional(),
  settledAt: instant.optional(),
  ttl: z.number().optional(),
  deadlineAt: instant.optional(),
  priority: z.number(),
  attempt: count,
  completedSteps: count,
  forkedFrom: z.object({ taskId: z.string(), at: z.number() }).optional(),
  progress: ProgressView.optional(),
  parked: z.object({ code: z.string(), reason: z.string(), since: instant }).optional(),
  parentId: z.string().optional(),
  cleanUp: z.enum(['none', 'pending', 'done', 'failed']),
  cleanUpReason: z.string().optional(),
  error: z.object({ name: z.string(), message: z.string(), code: z.string() }).optional(),
})

export const QuestionView = z.object({
  key: z.string(),
  name: z.string(),
  requestedAt: instant,
  dueAt: instant.optional(),
  request: value,
})

const UndoneView = z.object({
  step: z.string(),
  number: count,
  state: z.enum(['pending', 'undone', 'failed']),
  failedAttempts: count,
  error: z.string().optional(),
})

export const TaskDetails = TaskSummary.extend({
  input: value,
  outcome: OutcomeView.optional(),
  questions: z.array(QuestionView).optional(),
  undone: z.array(UndoneView).optional(),
})

export const TaskPageView = z.object({ tasks: z.array(TaskSummary), cursor: z.string().optional() })

export const StartedView = z.object({ taskId: z.string(), created: z.boolean() })

export const SegmentName = z.union([z.literal('prefix'), z.number()])

const AttemptView = z.object({
  attempt: count,
  startedAt: instant,
  endedAt: instant,
  /** Code of the error, or its name if it has no code. */
  errorCode: z.string().optional(),
})

const StepView = z.object({
  kind: z.enum(['step', 'sleep', 'input', 'receive', 'child', 'decision', 'set', 'checkpoint']),
  name: z.string(),
  number: count,
  branch: z.string().optional(),
  state: z.enum(['running', 'completed', 'failed']),
  startedAt: instant.optional(),
  recordedAt: instant.optional(),
  attempts: count,
  /** The last attempts of a finished step, at most ten. */
  lastAttempts: z.array(AttemptView).optional(),
  error: z.object({ name: z.string(), message: z.string() }).optional(),
  /** Text of the author about a finished step. */
  summary: z.string().optional(),
  label: z.string().optional(),
  result: value,
})

export const StepsView = z.object({
  segments: z.array(z.object({ segment: SegmentName, steps: z.array(StepView) })),
})

export const CheckpointView = z.object({
  checkpointId: z.string(),
  taskId: z.string(),
  savedBy: z.enum(['body', 'client']),
  label: z.string().optional(),
  seq: z.number(),
  createdAt: instant,
  completedSteps: count,
  opens: z.number().optional(),
  stateBytes: count,
})

export const CheckpointDetails = CheckpointView.extend({ state: value })

export const DifferenceView = z.object({
  from: z.string(),
  to: z.string(),
  differences: z.array(
    z.object({
      /** Path into the state as a JSON pointer (RFC 6901). */
      path: z.string(),
      kind: z.enum(['added', 'removed', 'changed']),
      before: value,
      after: value,
    }),
  ),
  /** True if there are more differences than the answer has. */
  isCut: z.boolean(),
})

export const MessageView = z.object({ name: z.string(), order: count, bytes: count, payload: value })

export const AuditView = z.object({
  id: z.string(),
  at: instant,
  taskId: z.string(),
  type: z.string(),
  action: z.string(),
  from: z.string().optional(),
  to: z.string().optional(),
  by: z.string(),
  why: z.string().optional(),
  importedFrom: z.string().optional(),
})

const levels = {
  completed: count,
  failed: count,
  cancelled: count,
  timedOut: count,
  expired: count,
  meanCompletionMs: z.number().optional(),
  timeoutRate: z.number().optional(),
  recoverySuccessRate: z.number().optional(),
  cleanUpRate: z.number().optional(),
}

const LevelsView = z.object(levels)

/** `below` or `above` is the target; `holds` is left out if there was nothing to count. */
const TargetView = z.object({
  below: z.number().optional(),
  above: z.number().optional(),
  holds: z.boolean().optional(),
})

const WindowView = z.object({
  /** Beginning of the first full hour, and end of the last one. */
  from: instant,
  to: instant,
  levels: z.object({
    ...levels,
    shortCompleted: count,
    meanShortCompletionMs: z.number().optional(),
    longCompleted: count,
    meanLongCompletionMs: z.number().optional(),
    targets: z.object({
      meanShortCompletionMs: TargetView,
      meanLongCompletionMs: TargetView,
      timeoutRate: TargetView,
      recoverySuccessRate: TargetView,
      cleanUpRate: TargetView,
    }),
  }),
})

const counts = z.object({
  pending: count,
  running: count,
  input_required: count,
  completed: count,
  failed: count,
  cancelled: count,
})

export const StatsView = z.object({
  tasks: counts,
  parked: count,
  oldest: z.object({ taskId: z.string(), type: z.string(), createdAt: instant }).optional(),
  bytes: z.object({ counted: count, onDisk: z.record(z.string(), count) }),
  timersDue: count,
  loadedRuns: count,
  leakedFunctions: count,
  anchor: z.object({ failedWrites: count, damagedSlots: count }),
  levels: z.object({ sinceOpen: LevelsView, overLife: LevelsView }),
  /** Set if the request has `from` or `to`. */
  window: WindowView.optional(),
})

export const RecoveryView = z.object({
  startedAt: instant.optional(),
  finishedAt: instant.optional(),
  found: count,
  /** Number of tasks by result. */
  counts: z.record(z.string(), count),
  tasks: z.array(
    z.object({
      taskId: z.string(),
      type: z.string(),
      action: z.enum(['resumed', 'parked', 'settled', 'waiting', 'cleaning-up', 'kept', 'damaged']),
      replayed: count,
      resumedAt: z.string().optional(),
      tookMs: z.number().optional(),
      reason: z.string().optional(),
    }),
  ),
  /** True if there are more results than the answer has. */
  isCut: z.boolean(),
  suspects: z.array(z.object({ taskId: z.string(), type: z.string(), deaths: count, reason: z.string() })),
  heldReason: z.string().optional(),
  storeDamage: z.string().optional(),
})

export const LastRecoveryView = z.object({
  startedAt: instant,
  finishedAt: instant,
  found: count,
  /** Number of tasks by result. */
  counts: z.record(z.string(), count),
  /** Up to 100 of the tasks: damaged ones first, then parked ones. */
  tasks: z.array(
    z.object({
      taskId: z.string(),
      type: z.string(),
      action: z.enum(['resumed', 'parked', 'settled', 'waiting', 'cleaning-up', 'kept', 'damaged']),
      reason: z.string().optional(),
    }),
  ),
})

export const RespondedView = z.object({
  accepted: z.array(z.string()),
  ignored: z.array(z.object({ key: z.string(), reason: z.enum(['unknown', 'answered', 'settled', 'invalid']) })),
  open: z.array(z.string()),
})

export const SentView = z.object({ order: count, created: z.boolean() })

export const InfoView = z.object({
  protocol: z.number(),
  /** Release of the package that the server runs. */
  release: z.string(),
  node: z.string(),
  pid: z.number(),
  dir: z.string().optional(),
  storeId: z.string().optional(),
  /** Names of the registered definitions. */
  types: z.array(z.string()),
})
