/**
 * Opens a store that no process holds, for one command of an operator. Nothing is recovered, resumed, timed out or swept,
 * and no record of the opening is written. So what a command reads is what the next start of the server finds.
 */
import { checkOptions, type OpenOptions } from '../engine/checks/open-options.js'
import { openStore } from '../store/open.js'
import { assembleEngine } from './assemble-engine.js'
import { Holdfast } from './holdfast.js'

/**
 * Opens the store in `dir` without running it. Reads work, and so do `cancel` (the clean-up stays pending for the next
 * start of the server) and `delete`.
 * @throws HoldfastError `STORE_NOT_FOUND`, `STORE_OF_ANOTHER_USER`, `STORE_LOCKED`, `STORE_UNUSABLE`, `STORE_TOO_NEW`,
 *   `STORE_TOO_OLD`, `STORE_MOVED`, `STORE_DAMAGED`; the directory is unchanged
 */
export async function openToOperate(options: Pick<OpenOptions, 'dir' | 'clock' | 'logger'>): Promise<Holdfast> {
  const checked = { ...checkOptions({ ...options, recover: 'manual' }), purpose: 'operate' } as const
  return Holdfast.over(assembleEngine(await openStore(checked), checked), 'manual')
}
