/** The public API of `holdfast`. `holdfast/testing` has helpers for tests. */

export type { AuditOptions } from './api/audit.js'
export type { CancelManyOptions, ManyOptions, ManyResult } from './api/bulk.js'
export type {
  CleanUpExplanation,
  Explanation,
  NextAttemptExplanation,
  NotRecoveredExplanation,
  ParkedExplanation,
  QueuedExplanation,
  ReachedLimit,
  RunningExplanation,
  SettledExplanation,
  StoreDownExplanation,
  SuspectExplanation,
  WaitingExplanation,
} from './api/explanation.js'
export type { Health, HealthReason } from './api/health.js'
export { Holdfast } from './api/holdfast.js'
export type { ListOptions, TaskPage } from './api/list.js'
export type { OperatorCalls } from './api/operator-calls.js'
export type { OwnerScope } from './api/owner-scope.js'
export type { Stats, StatsOptions, StatsOverWindow, StatsWindow } from './api/stats.js'
export type { SegmentInfo, StepInfo } from './api/steps.js'
export type { TaskId } from './api/task-id.js'
export type { InputRequest, TaskView, UndoneStep } from './api/task-view.js'
export type { Clock } from './base/clock.js'
export type { Duration } from './base/duration.js'
export {
  ERROR_CODES,
  type ErrorCode,
  HoldfastError,
  NonRetryableError,
  ProtocolError,
  RetryAfterError,
  StepFailedError,
  TaskCancelledError,
  TaskFailedError,
  TaskInterruptedError,
} from './base/errors.js'
export type { EventName, HoldfastEvents } from './base/events.js'
export type { Jsonified, JsonValue } from './base/json.js'
export { type Logger, type LogLevel, silentLogger, stderrLogger } from './base/logger.js'
export type {
  CancelOptions,
  ClientRestoreOptions,
  ClientSaveOptions,
  CloseOptions,
  OwnerOption,
  ResultOptions,
  SendOptions,
  SessionTaskOptions,
} from './engine/checks/call-options.js'
export type { Limits } from './engine/checks/limits.js'
export type { OpenOptions, RateOptions } from './engine/checks/open-options.js'
export type { StartOptions } from './engine/checks/start-options.js'
export type { RecoveredTask, RecoveryReport, SuspectedTask } from './engine/core/recovery-report.js'
export type { LevelTarget, LevelTargets, ServiceLevels, WindowLevels } from './engine/core/service-levels.js'
export type { Responded } from './engine/lifecycle/respond.js'
export type { Sent } from './engine/lifecycle/send.js'
export type { Started } from './engine/lifecycle/start.js'
export type { CompactOptions } from './engine/retention/compact-store.js'
export type { NextAttempt, RunningCall, Wait } from './engine/state/task-waits.js'
export type { CompactionReport } from './store/disk/compact-slices.js'
export type { AttributeChanges, AttributeValue, TaskAttributes } from './task/attributes.js'
export type { AuditEntry } from './task/changes.js'
export type { CheckpointInfo, SavedBy } from './task/checkpoint.js'
export type { ForkPoint, StepPoint } from './task/decisions/fork.js'
export type {
  BranchesOf,
  Cancelled,
  ChildOptions,
  CleanUpContext,
  RestoredCheckpoint,
  SaveCheckpointOptions,
  StepContext,
  StepToUndo,
  TaskContext,
  WaitOptions,
} from './task/definition/context.js'
export {
  type AnyTaskDefinition,
  type CleanUpOptions,
  type CleanUpPolicy,
  defineTask,
  type FunctionTaskOptions,
  type TaskDefinition,
  type TaskOptions,
  type Undo,
} from './task/definition/definition.js'
export type { IsolatedContext, IsolatedOptions } from './task/definition/isolated-options.js'
export type { RetryOptions, RetryPolicy } from './task/definition/retry-options.js'
export type { InterruptedStep, StepOptions } from './task/definition/step-options.js'
export type { Durability, Parked, Progress, StoppedBy, TaskStatus } from './task/head.js'
export type { LastRecoveredTask, LastRecovery, RecoveryAction } from './task/last-recovery.js'
export type { AttemptInfo } from './task/log/attempts.js'
export type { Outcome, TaskError } from './task/log/outcome.js'
export type {
  SpanBegin,
  SpanEnd,
  SpanTask,
  TaskFigure,
  Telemetry,
  TelemetryEvent,
  TelemetryFigures,
  TelemetrySpan,
} from './task/telemetry.js'
export type { Trace } from './task/trace.js'
