/** What tests need: time in your hand, and a disk whose plug you can pull. The public API of `holdfast/testing`. */

export { silentLogger } from '../logger.js'
export { ManualClock } from './manual-clock.js'
export { type Fault, MemoryDisk } from './memory-disk.js'
export { type InMemoryOptions, openInMemory } from './open-in-memory.js'
export { untilIdle } from './until-idle.js'
