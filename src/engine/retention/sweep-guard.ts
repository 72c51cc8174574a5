/**
 * Tasks in use, and tasks that are being swept. A task in use is left for the next sweep. A task that is being swept
 * is not found by callers. So no record is written for a task that is already deleted.
 */
import type { SweepGuard } from '../core/collaborators.js'

export class TaskSweepGuard implements SweepGuard {
  readonly #inUse = new Map<string, number>()
  readonly #sweeping = new Set<string>()
  /** IDs of tasks whose dropped records are being deleted (clear-after-retry.ts). */
  readonly deletingDropped = new Set<string>()
  #isPrepared = false

  /** Runs `prepare` before the first sweep of the process. */
  async once(prepare: () => Promise<void>): Promise<void> {
    if (this.#isPrepared) return
    await prepare()
    this.#isPrepared = true
  }

  /** True if the task is being swept now. */
  isSweeping(taskId: string): boolean {
    return this.#sweeping.has(taskId)
  }

  /** Runs `act`, which finds the task, reads it or writes records of it. The task is not swept during that. */
  async using<T>(taskId: string, act: () => Promise<T>): Promise<T> {
    this.#inUse.set(taskId, (this.#inUse.get(taskId) ?? 0) + 1)
    try {
      return await act()
    } finally {
      const left = (this.#inUse.get(taskId) ?? 1) - 1
      if (left > 0) this.#inUse.set(taskId, left)
      else this.#inUse.delete(taskId)
    }
  }

  /** Runs `sweep`, unless the task is in use. @returns false if it is in use */
  async sweeping(taskId: string, sweep: () => Promise<unknown>): Promise<boolean> {
    if (this.#inUse.has(taskId) || this.#sweeping.has(taskId)) return false
    this.#sweeping.add(taskId)
    try {
      await sweep()
      return true
    } finally {
      this.#sweeping.delete(taskId)
    }
  }
}
