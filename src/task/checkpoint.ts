/** Description of a saved checkpoint. The state has a key of its own in the store. */

/** Origin of a checkpoint: the body of the task, or a client. */
export type SavedBy = 'body' | 'client'

/** One entry of `listCheckpoints`. */
export interface CheckpointInfo {
  readonly checkpointId: string
  readonly taskId: string
  readonly savedBy: SavedBy
  readonly label?: string | undefined
  /**
   * Number of the commit that saved the checkpoint. A later checkpoint has a higher number, also after the clock was
   * set back.
   */
  readonly seq: number
  /** Instant of the save, in milliseconds since the epoch. */
  readonly createdAt: number
  /** Number of steps of the task that were completed at the save. */
  readonly completedSteps: number
  /** The segment of the log that the checkpoint opened, if the body saved it. */
  readonly opens?: number | undefined
  /** Bytes of the state as JSON. */
  readonly stateBytes: number
}
