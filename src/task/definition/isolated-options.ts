/** Options of `task.isolated`, and their check. `engine/calls/isolated/` runs the step. */
import { checkCount, checkOptionsOf, expected, type Names } from '../../base/expected.js'
import type { BasicStepOptions } from './step-options.js'

/** The options of `task.isolated`: those of a step, and the limits of its process. */
export interface IsolatedOptions<Result = unknown> extends BasicStepOptions<Result> {
  /**
   * Resident memory in MiB, at least 128. Node itself uses about 60 of it. It is measured every 50 ms, so a burst may pass
   * the limit for a moment. On Linux the whole process group counts, that is every process that the step starts, directly
   * or not. Pages that they share count for each of them. A process that is started detached (`detached: true`, `setsid`)
   * leaves the group and is neither counted nor ended. On other systems only the process of the step counts.
   * @default 512
   */
  readonly memoryMb?: number | undefined
  /**
   * CPU time that the module and its function may use, in milliseconds. The same processes are counted as for `memoryMb`.
   * @default none
   */
  readonly cpuMs?: number | undefined
  /**
   * Name of the exported function.
   * @default 'default'
   */
  readonly export?: string | undefined
}

/** The second argument of an isolated function. */
export interface IsolatedContext {
  /** Key of every attempt and every run of this step, and of no other step. */
  readonly idempotencyKey: string
  /** Counts the attempts of this step, from 1. */
  readonly attempt: number
  /** Aborted when the signal of the step is aborted. The process is killed half a second later. */
  readonly signal: AbortSignal
}

/** Limits of the process of an isolated step. */
export interface ResourceLimits {
  readonly memoryMb: number
  readonly cpuMs: number | undefined
}

const MEMORY_MB_DEFAULT = 512
// Node itself needs about 60 MiB, and a little more while it starts.
const MEMORY_MB_MIN = 128

/** The names of the options. */
export const ISOLATED_OPTIONS: Names<IsolatedOptions> = {
  memoryMb: true,
  cpuMs: true,
  export: true,
  retry: true,
  timeout: true,
  onInterrupted: true,
  summary: true,
}

/**
 * Checks the options. Returns the limits and the name of the export.
 * @throws TypeError naming the option, what was expected and what was given
 */
export function checkIsolated(options: IsolatedOptions<never>): ResourceLimits & { readonly exportName: string } {
  checkOptionsOf('task.isolated', options, ISOLATED_OPTIONS)
  const { memoryMb = MEMORY_MB_DEFAULT, cpuMs, export: exportName = 'default' } = options
  checkCount('memoryMb', memoryMb, MEMORY_MB_MIN)
  if (cpuMs !== undefined) checkCount('cpuMs', cpuMs)
  if (typeof exportName !== 'string' || exportName === '') {
    throw expected('export', 'the name of an exported function', exportName)
  }
  return { memoryMb, cpuMs, exportName }
}
