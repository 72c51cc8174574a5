/** What is known of a saved checkpoint apart from its state, which has a key of its own. */

/** Who saved it: the task's own body, or a client from outside. */
export type SavedBy = 'body' | 'client'

/** One entry of `listCheckpoints`. */
export interface CheckpointInfo {
  readonly checkpointId: string
  readonly taskId: string
  readonly savedBy: SavedBy
  readonly label?: string | undefined
  /** Counts the task's commits: a later checkpoint has a higher one, whatever the clock says. */
  readonly seq: number
  /** When it was saved, in milliseconds since the epoch. */
  readonly createdAt: number
  /** How many steps of the task were completed when it was saved. */
  readonly completedSteps: number
  /** The segment of the log that it opened, if a body saved it. */
  readonly opens?: number | undefined
  /** The state's size as JSON. */
  readonly stateBytes: number
}
