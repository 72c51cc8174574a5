/**
 * The public API of `holdfast`: what is exported here, and nothing else. `holdfast/testing` has what tests need.
 */

export type { Clock } from './clock.js'
export type { Duration } from './duration.js'
export type { AuditOptions } from './engine/audit.js'
export type {
  CancelOptions,
  ClientRestoreOptions,
  ClientSaveOptions,
  CloseOptions,
  OwnerOption,
  ResultOptions,
  SendOptions,
  SessionTaskOptions,
} from './engine/call-options.js'
export { Holdfast } from './engine/holdfast.js'
export type { Limits } from './engine/limits.js'
export type { ListOptions, TaskPage } from './engine/list-tasks.js'
export type { OpenOptions, RateOptions } from './engine/options.js'
export type { OwnerScope } from './engine/owner-scope.js'
export type { Responded } from './engine/respond.js'
export type { Sent } from './engine/send.js'
export type { ServiceLevels } from './engine/service-levels.js'
export type { Started, StartOptions } from './engine/start-task.js'
export type { Stats } from './engine/stats.js'
export type { SegmentInfo, StepInfo } from './engine/steps.js'
export type { TaskId } from './engine/task-id.js'
export type { InputRequest, TaskView, UndoneStep } from './engine/view.js'
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
} from './errors.js'
export type { EventName, HoldfastEvents } from './events.js'
export type { Jsonified, JsonValue } from './json.js'
export { type Logger, type LogLevel, silentLogger, stderrLogger } from './logger.js'
export type { RecoveredTask, RecoveryReport, SuspectedTask } from './recovery/report.js'
export type { AuditEntry } from './task/changes.js'
export type { CheckpointInfo, SavedBy } from './task/checkpoint.js'
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
} from './task/context.js'
export {
  type AnyTaskDefinition,
  type CleanUpOptions,
  type CleanUpPolicy,
  defineTask,
  type TaskDefinition,
  type TaskOptions,
  type Undo,
} from './task/definition.js'
export type { ForkPoint, StepPoint } from './task/fork.js'
export type { Durability, Parked, Progress, StoppedBy, TaskStatus } from './task/head.js'
export type { IsolatedContext, IsolatedOptions } from './task/isolated.js'
export type { Outcome, TaskError } from './task/outcome.js'
export type { RetryOptions, RetryPolicy } from './task/retry-options.js'
export type { InterruptedStep, StepOptions } from './task/step-options.js'
