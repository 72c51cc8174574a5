/** Opens a Holdfast on a disk in memory: the real engine and the real commit path, without files, locks or delays. */
import { assembleEngine } from '../api/assemble-engine.js'
import { Holdfast } from '../api/holdfast.js'
import { createIds, type Ids } from '../base/ids.js'
import { silentLogger } from '../base/logger.js'
import { checkOptions, type OpenOptions } from '../engine/checks/open-options.js'
import { readAuditEnd } from '../store/audit.js'
import { NO_ANCHOR } from '../store/integrity/anchor.js'
import { readChain } from '../store/integrity/chain.js'
import { Store } from '../store/store.js'
import { readCounters } from '../store/totals.js'
import { MemoryDisk } from './memory-disk.js'

/** The options of `openInMemory`: those of `Holdfast.open`, with a disk in place of a directory. */
export interface InMemoryOptions extends Omit<OpenOptions, 'dir' | 'anchor' | 'acceptDamage' | 'lockWait'> {
  /**
   * Disk in memory. Keep it to open the same store again, after a close or a crash.
   * @default a new disk
   */
  readonly disk?: MemoryDisk
  /**
   * Source of IDs.
   * @default random IDs
   */
  readonly ids?: Ids
}

const inMemory = new WeakSet<Holdfast>()

/** True if `openInMemory` created `holdfast`. */
export function isInMemory(holdfast: Holdfast): boolean {
  return inMemory.has(holdfast)
}

/**
 * Opens a store in memory. Bodies, steps, checkpoints and recovery behave as on a real disk.
 * @example
 * const disk = new MemoryDisk()
 * const first = await openInMemory({ disk, tasks: [importFlights] })
 * disk.dieAt({ atWrite: 5, applied: false })           // kill -9, just before the fifth write
 * const second = await openInMemory({ disk, tasks: [importFlights] })
 */
export async function openInMemory({
  disk = new MemoryDisk(),
  ids = createIds(),
  ...options
}: InMemoryOptions = {}): Promise<Holdfast> {
  const checked = { ...checkOptions({ logger: silentLogger, ...options, dir: 'memory' }), ids }
  const { durability, clock, logger } = checked
  let isDead = false
  disk.onDeath(() => {
    isDead = true
  })
  // A crashed process that was about to open the disk again never does. Its writes would mix with those of the next
  // process.
  const reopen = () => (isDead ? new Promise<never>(() => {}) : disk.open())
  const level = await reopen()
  const { newest } = await readChain(level, 0)
  const release = async () => {}
  const store = new Store({
    level,
    reopen,
    assertHeld: () => {},
    anchor: NO_ANCHOR,
    anchorEach: false,
    newest,
    counters: await readCounters(level, logger),
    auditEnd: await readAuditEnd(level, logger),
    damage: undefined,
    durability,
    clock,
    logger,
    release,
  })
  const engine = assembleEngine(store, checked)
  disk.onDeath(() => {
    // A crashed process begins no step and starts no queued task.
    engine.closing = true
    engine.scheduler.stop()
    for (const task of engine.tasks.values()) task.timeLimit.cancel()
  })
  const holdfast = await Holdfast.over(engine, checked.recover)
  inMemory.add(holdfast)
  return holdfast
}
