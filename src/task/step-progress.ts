/** How far something is that has not ended yet: a step's failed attempts, when the next one is due, what it saved; a sleep's end. */

/** Kept beside the log until the step is recorded. */
export interface StepProgress {
  /** Of which ask: its identity in the log. */
  readonly id: string
  /** Attempts that failed. */
  readonly failedAttempts: number
  /** When the next one is due. */
  readonly retryAt?: number | undefined
  /** When the attempt began that has not ended; kept only of a step that must not begin twice. */
  readonly begunAt?: number | undefined
  /** When a sleep began, and when it ends. */
  readonly sleep?: { readonly startedAt: number; readonly dueAt: number } | undefined
  /** What the step saved for its next attempt, as JSON text; empty text stands for a saved `undefined`. */
  readonly stateText?: string | undefined
}

/** The progress as the store keeps it; the state follows on a line of its own, as it is. */
export function encodeStepProgress({ stateText, ...rest }: StepProgress): string {
  return stateText === undefined ? JSON.stringify(rest) : `${JSON.stringify(rest)}\n${stateText}`
}

/** The progress that `encodeStepProgress` wrote. */
export function decodeStepProgress(text: string): StepProgress {
  const line = text.indexOf('\n')
  if (line < 0) return JSON.parse(text) as StepProgress
  return { ...(JSON.parse(text.slice(0, line)) as StepProgress), stateText: text.slice(line + 1) }
}
