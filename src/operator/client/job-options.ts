/** Options of the jobs of a client. */
import type { OperatorProgress } from '../contract/jobs.js'

/** The options of a job. */
export interface OperatorJobOptions {
  /** Receives the progress, now and then. */
  readonly onProgress?: ((progress: OperatorProgress) => void) | undefined
  /** Signal that ends the job, in the server too. Then the call rejects with the reason of the signal. */
  readonly signal?: AbortSignal | undefined
}
