/**
 * The probe: LevelDB with group commit, and no engine. It stores what an engine has to store, and decides nothing: a record
 * per step with the head of its task, in one synced batch that everything waiting shares. It has no checks, no checksums,
 * no audit, no replay. Its distance from the raw limit is the price of LevelDB; Holdfast's distance from it is ours.
 */
import { ClassicLevel } from 'classic-level'
import { takeSteps } from './peer.mjs'

/** @type {import('./peer.mjs').OpenPeer} */
export async function open({ dir, steps, work }) {
  const level = new ClassicLevel(dir)
  await level.open()
  /** @type {{ operations: [key: string, value: string][], done: () => void, failed: (error: unknown) => void }[]} */
  let queue = []
  let isWriting = false

  async function drain() {
    isWriting = true
    await null
    while (queue.length > 0) {
      const group = queue
      queue = []
      const batch = level.batch()
      for (const { operations } of group) for (const [key, value] of operations) batch.put(key, value)
      await batch.write({ sync: true }).then(
        () => group.forEach(({ done }) => void done()),
        (error) => group.forEach(({ failed }) => void failed(error)),
      )
    }
    isWriting = false
  }

  /** @param {[key: string, value: string][]} operations @returns {Promise<void>} */
  const commit = (operations) =>
    new Promise((done, failed) => {
      queue.push({ operations, done, failed })
      if (!isWriting) void drain()
    })

  /** @param {string} name */
  async function run(name) {
    const head = (/** @type {object} */ more) =>
      /** @type {[string, string]} */ ([`head/${name}`, JSON.stringify(more)])
    await commit([head({ status: 'running', step: 0 })])
    const wrongAnswers = await takeSteps(steps, async (step) => {
      const result = await work(step)
      await commit([[`log/${name}/${step}`, JSON.stringify(result)], head({ status: 'running', step: step + 1 })])
      return result
    })
    await commit([head({ status: 'completed', wrongAnswers })])
    return wrongAnswers
  }
  return {
    run,
    start: async (name) => {
      void run(name)
      return name
    },
    close: () => level.close(),
  }
}
