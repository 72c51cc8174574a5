/**
 * Who is using a settled task, and which are being swept. A task in use is left for the next sweep, and one that is being
 * swept is gone for everybody: so nothing is written beside a task that is not there any more.
 */
import type { SweepGuard } from '../core/collaborators.js'

export class TaskSweepGuard implements SweepGuard {
  readonly #inUse = new Map<string, number>()
  readonly #sweeping = new Set<string>()
  /** Tasks whose dropped records are being deleted (clear-after-retry.ts). */
  readonly deletingDropped = new Set<string>()
  #isPrepared = false

  /** Does what a process does before its first sweep. */
  async once(prepare: () => Promise<void>): Promise<void> {
    if (this.#isPrepared) return
    await prepare()
    this.#isPrepared = true
  }

  /** True if the task is being swept now. */
  isSweeping(taskId: string): boolean {
    return this.#sweeping.has(taskId)
  }

  /** Keeps the sweeper off a task while `act` reads it and writes beside it. `act` has to find the task itself. */
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

  /** Runs `sweep` unless somebody uses the task. */
  async sweeping(taskId: string, sweep: () => Promise<unknown>): Promise<void> {
    if (this.#inUse.has(taskId) || this.#sweeping.has(taskId)) return
    this.#sweeping.add(taskId)
    try {
      await sweep()
    } finally {
      this.#sweeping.delete(taskId)
    }
  }
}
