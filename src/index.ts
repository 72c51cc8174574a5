/**
 * The public API of `holdfast`: what is exported here, and nothing else. `holdfast/testing` has what tests need.
 */

export type { Clock } from './clock.js'
export type { Duration } from './duration.js'
export { Holdfast, type ListOptions, type OwnerOption, type TaskId, type TaskPage } from './engine/holdfast.js'
export type { Limits, OpenOptions } from './engine/options.js'
export type { OwnerScope } from './engine/owner-scope.js'
export type { Started, StartOptions } from './engine/start-task.js'
export type { SegmentInfo, StepInfo } from './engine/steps.js'
export type { TaskView } from './engine/view.js'
export type { ResultOptions } from './engine/wait-for-result.js'
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
export { type Logger, silentLogger, stderrLogger } from './logger.js'
export type { RecoveredTask, RecoveryReport } from './recovery/report.js'
export type { AuditEntry } from './task/changes.js'
export type { CheckpointInfo, SavedBy } from './task/checkpoint.js'
export {
  type AnyTaskDefinition,
  defineTask,
  type InterruptedStep,
  type RestoredCheckpoint,
  type SaveCheckpointOptions,
  type StepContext,
  type StepOptions,
  type TaskContext,
  type TaskDefinition,
  type TaskOptions,
} from './task/definition.js'
export type { Durability, Parked, Progress, TaskStatus } from './task/head.js'
export type { Outcome, TaskError } from './task/outcome.js'
export type { RetryOptions, RetryPolicy } from './task/retry.js'
