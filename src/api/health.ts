/** The answer of `health`: whether this process lives, and whether it does its work. */

/** Result of `holdfast.health()`. */
export interface Health {
  /** False once the store is lost or closed: start the process again. A store that is down keeps a process live. */
  readonly live: boolean
  /** True if tasks are started and run: recovered, not held, the store writable, with disk space. */
  readonly ready: boolean
  /** What is wrong, or may become so. Empty for a healthy instance. */
  readonly reasons: readonly HealthReason[]
  readonly recovery: {
    /**
     * `held`: every start crashed, and it waits for `recover()` · `waiting`: the instance was opened with
     * `recover: 'manual'` · `running` · `done`.
     */
    readonly state: 'held' | 'waiting' | 'running' | 'done'
    /** Unfinished tasks that were found at the open; 0 until the recovery begins. */
    readonly found: number
    /** Found tasks without a result yet. */
    readonly left: number
  }
  readonly store: {
    /** `up`: the last write worked · `down`: a write failed, and it is tried again · `lost` · `closed`. */
    readonly state: 'up' | 'down' | 'lost' | 'closed'
    /** System error code of the last failure, such as `ENOSPC`, while the store is down. */
    readonly error: string | undefined
  }
  /** Space of the file system of the store; `undefined` for a store in memory, or if it cannot be read. */
  readonly disk: { readonly freeBytes: number; readonly totalBytes: number } | undefined
  /** Damage that was accepted at the open, and the number of tasks whose head cannot be read. */
  readonly damage: { readonly store: string | undefined; readonly tasks: number }
}

/** One reason of `health()`. */
export interface HealthReason {
  readonly code:
    | 'RECOVERY_HELD'
    | 'RECOVERY_WAITING'
    | 'RECOVERY_RUNNING'
    | 'STORE_DOWN'
    | 'STORE_LOST'
    | 'CLOSED'
    | 'DISK_SPACE_LOW'
    | 'STORE_DAMAGED'
    | 'TASKS_DAMAGED'
  /** A sentence with what to do. Its words may change. */
  readonly message: string
  /** True if the instance is not ready for this reason. */
  readonly isBlocking: boolean
}
