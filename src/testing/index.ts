/** The public API of `holdfast/testing`: a clock that a test controls, and a disk in memory that can crash. */

export { silentLogger } from '../base/logger.js'
export { ManualClock } from './manual-clock.js'
export { type Fault, MemoryDisk } from './memory-disk.js'
export { type InMemoryOptions, openInMemory } from './open-in-memory.js'
export { untilIdle } from './until-idle.js'
