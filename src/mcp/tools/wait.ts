/** Waits for what happens next to a task, for a client's request. Nothing is polled. A close ends the waits that ask for it only. */
import type { TaskView } from '../../api/task-view.js'
import type { Progress } from '../../task/head.js'
import { isSettled } from '../../task/head.js'
import type { Scope } from '../access/rights.js'
import type { McpCore } from './mcp-core.js'

/**
 * How a wait ends: for the task's end, for what was waited for, for the client's end, for the time that was given, or for
 * the end of the server.
 */
export interface EndWaitResult {
  readonly kind: 'settled' | 'parked' | 'seen' | 'late' | 'aborted' | 'stopping'
  readonly view: TaskView | undefined
}

/** The options of `waitForEnd`. */
export interface EndWaitOptions extends Scope {
  readonly signal: AbortSignal
  /** A parked task ends the wait too. */
  readonly untilParked?: boolean
  /** An unfinished task that it is true of ends the wait too. */
  readonly until?: ((view: TaskView) => boolean) | undefined
  /** The beginning of a close ends the wait too: its client has no way to wait on after a restart. */
  readonly untilClosing?: boolean
  readonly budgetMs?: number | undefined
  readonly onProgress?: ((progress: Progress) => void) | undefined
  /** Called at every look at the task that didn't end the wait. */
  readonly onLook?: ((view: TaskView) => void) | undefined
}

/** @throws HoldfastError `TASK_NOT_FOUND` */
export async function waitForEnd(core: McpCore, taskId: string, options: EndWaitOptions): Promise<EndWaitResult> {
  const { signal, untilParked = false, untilClosing = false, until, budgetMs, onProgress, onLook, ...scope } = options
  const { clock } = core.binding
  let wake = () => {}
  let news = false
  let late = false
  const stir = () => {
    news = true
    wake()
  }
  // Watched before the first look, so that nothing happens in between unseen.
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
      const view = await core.holdfast.get(taskId, scope)
      if (first && view.progress) onProgress?.(view.progress)
      if (isSettled(view.status)) return { kind: 'settled', view }
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
