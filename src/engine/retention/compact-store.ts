/** The compaction of a store on request. Stops before a slice for which the disk may have no room. */
import { statfs } from 'node:fs/promises'
import { HoldfastError } from '../../base/errors.js'
import { checkFunction, checkOptionsOf, expected, type Names } from '../../base/expected.js'
import type { CompactionReport } from '../../store/disk/compact-slices.js'
import type { Engine } from '../core/engine.js'

/** Options of `compact`. */
export interface CompactOptions {
  /** Receives the bytes of tables that were compacted, and of all of them, after each slice. */
  readonly onProgress?: ((progress: { readonly done: number; readonly total: number }) => void) | undefined
  /** Signal that ends the compaction after the current slice. Then the call rejects with the reason of the signal. */
  readonly signal?: AbortSignal | undefined
}

/** Names of the options of `compact`. */
export const COMPACT_OPTIONS: Names<CompactOptions> = { onProgress: true, signal: true }

const MIB = 1_048_576
/** Room for the new tables of a slice and for a log: LevelDB deletes the old tables afterwards. */
const FREE_BYTES_MIN = 64 * MIB

/** Free space of a directory, as `fs.statfs` returns it. */
type ReadFree = (dir: string) => Promise<{ bavail: number; bsize: number }>

/** Compacts the store of an engine. */
export async function compactStore(
  engine: Engine,
  options: CompactOptions,
  readFree: ReadFree = statfs,
): Promise<CompactionReport> {
  checkOptionsOf('compact', options, COMPACT_OPTIONS)
  const { onProgress, signal } = options
  if (onProgress !== undefined) checkFunction('onProgress', onProgress)
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw expected('signal', 'an AbortSignal', signal)
  const { store } = engine
  return store.compact({
    beforeSlice: async () => {
      signal?.throwIfAborted()
      engine.assertOpen()
      if (store.dir !== undefined) await checkFree(store.dir, readFree)
    },
    onProgress: onProgress && ((done, total) => onProgress({ done, total })),
    // Without a server, nothing else uses the database.
    withPauses: engine.options.purpose === 'serve',
  })
}

async function checkFree(dir: string, readFree: ReadFree): Promise<void> {
  const space = await readFree(dir).catch(() => undefined)
  const free = space && space.bavail * space.bsize
  if (free === undefined || free >= FREE_BYTES_MIN) return
  throw new HoldfastError(
    'STORE_UNAVAILABLE',
    `The compaction stopped: it needs ${FREE_BYTES_MIN / MIB} MiB of free space, and the disk of ${dir} has ${Math.floor(free / MIB)} MiB. Nothing is lost. Free some space, or delete settled tasks, and call it again.`,
    { details: { dir, freeBytes: free } },
  )
}
