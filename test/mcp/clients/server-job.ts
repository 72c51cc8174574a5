/** What server.ts is told, as JSON in its first argument. */
import type { Duration } from 'holdfast'

/** Which revisions a server speaks. Over HTTP, `'2026-07-28'` is the same as `'both'`. */
export type Speaks = '2025-11-25' | '2026-07-28' | 'both'

export interface ServerJob {
  /** The store is in it, with the journal of the steps, and the gate. */
  readonly dir: string
  readonly speaks: Speaks
  /** Without one it serves its standard input and output. */
  readonly port?: number
  /** Loads its code, says `ready`, and goes on at the first line of its standard input. */
  readonly held?: boolean
  /** In place of the default. */
  readonly retryInterval?: Duration
}
