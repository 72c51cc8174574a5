/**
 * Waits for the next event of a task, for a client's request. Nothing is polled. A close ends only the waits with
 * `untilClosing`.
 */
import type { TaskView } from '../../api/task-view.js'
import type { Progress } from '../../task/head.js'
import { isSettled } from '../../task/head.js'
import type { Scope } from '../access/rights.js'
import type { McpCore } from './mcp-core.js'

/**
 * Result of a wait. Its kind names the cause: the task settled or was parked, `until` was true, the time was over, the
 * client was gone, or the server stopped.
 */
export interface EndWaitResult {
  readonly kind: 'settled' | 'parked' | 'seen' | 'late' | 'aborted' | 'stopping'
  readonly view: TaskView | undefined
}

/** The options of `waitForEnd`. */
export interface EndWaitOptions extends Scope {
  readonly signal: AbortSignal
  /** True if a parked task ends the wait. */
  readonly untilParked?: boolean
  /** Condition on an unfinished task that ends the wait. */
  readonly until?: ((view: TaskView) => boolean) | undefined
  /** True if the start of a close ends the wait. The client of such a call has no way to wait after a restart. */
  readonly untilClosing?: boolean
  /**
   * True for a call of an earlier process. If its task settled there, the client has received the last progress, or its
   * answer already. Without this, the answer could get another event number than before (mcp-core-2).
   */
  readonly isResumed?: boolean
  readonly budgetMs?: number | undefined
  readonly onProgress?: ((progress: Progress) => void) | undefined
  /** Called at every read of the task that did not end the wait. */
  readonly onLook?: ((view: TaskView) => void) | undefined
}

/**
 * Waits until a task has settled, or another condition of the options holds.
 * @throws HoldfastError `TASK_NOT_FOUND`
 */
export async function waitForEnd(core: McpCore, taskId: string, options: EndWaitOptions): Promise<EndWaitResult> {
  const { untilParked = false, untilClosing = false, isResumed = false, ...rest } = options
  const { signal, until, budgetMs, onProgress, onLook, ...scope } = rest
  const { clock } = core.binding
  let wake = () => {}
  let news = false
  let late = false
  const stir = () => {
    news = true
    wake()
  }
  // Watched before the first read, so that no change is missed.
  const stop = core.hub.watch(taskId, (told) => (told.kind === 'progress' ? onProgress?.(told.progress) : stir()))
  const tellLate = () => {
    late = true
    stir()
  }
  const disarm = budgetMs === undefined ? () => {} : clock.setTimer(clock.now() + budgetMs, tellLate, { elapsed: true })
  signal.addEventListener('abort', stir)
  try {
    for (let first = true; ; first = false) {
      news = false
      if (signal.aborted) return { kind: 'aborted', view: undefined }
      const view = settledView(core, taskId, scope) ?? (await core.holdfast.get(taskId, scope))
      const isOver = isSettled(view.status)
      if (first && view.progress && !(isOver && isResumed)) onProgress?.(view.progress)
      if (isOver) return { kind: 'settled', view }
      if (view.parked && untilParked) return { kind: 'parked', view }
      if (until?.(view)) return { kind: 'seen', view }
      if (late) return { kind: 'late', view }
      if (core.hub.isStopping || (untilClosing && core.hub.isClosing)) return { kind: 'stopping', view }
      onLook?.(view)
      await new Promise<void>((resolve) => {
        wake = resolve
        if (news || signal.aborted) resolve()
      })
    }
  } finally {
    stop()
    disarm()
    signal.removeEventListener('abort', stir)
  }
}

/** View of a task that settled while an inline call waits for it: nothing is read (mcp-core-5). */
function settledView({ openCalls }: McpCore, taskId: string, { owner }: Scope): TaskView | undefined {
  const view = openCalls.settledView(taskId)
  return owner === undefined || view?.owner === owner ? view : undefined
}
