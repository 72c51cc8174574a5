/** What is known of a saved checkpoint apart from its state, which has a key of its own. */

/** Origin of a checkpoint: the body of the task, or a client. */
export type SavedBy = 'body' | 'client'

/** One entry of `listCheckpoints`. */
export interface CheckpointInfo {
  readonly checkpointId: string
  readonly taskId: string
  readonly savedBy: SavedBy
  readonly label?: string | undefined
  /** Counts the task's commits: a later checkpoint has a higher one, also after the clock was set back. */
  readonly seq: number
  /** Instant of the save, in milliseconds since the epoch. */
  readonly createdAt: number
  /** Number of steps of the task that were completed at the save. */
  readonly completedSteps: number
  /** The segment of the log that it opened, if a body saved it. */
  readonly opens?: number | undefined
  /** The state's size as JSON. */
  readonly stateBytes: number
}
