/**
 * The probe: LevelDB with group commit, and no engine. It does what an engine on LevelDB cannot leave out:
 *
 * - A task has a head, which is written when the task is created, with each step, and when the task has ended, then with
 *   its outcome. A step has a record, with its result as JSON.
 * - A step begins once the record of the one before is on disk.
 * - One synced batch is in flight. What waits meanwhile shares the next one, up to the operations and bytes of a batch of
 *   Holdfast (src/store/commit.ts).
 *
 * It decides and checks nothing: no checksums, no number of a commit, no audit, no index, no limits, no replay.
 * Its distance from the raw limit is the price of LevelDB; Holdfast's distance from it is ours.
 */
import { ClassicLevel } from 'classic-level'
import { takeSteps } from './peer.mjs'

const OPERATIONS_PER_BATCH = 100
const BYTES_PER_BATCH = 1024 * 1024

/** @typedef {readonly (readonly [key: string, value: string])[]} Operations */
/** @typedef {(level: ClassicLevel<string, string>, operations: Operations) => Promise<void>} WriteBatch */
/** @typedef {{ operations: Operations, done: () => void, failed: (error: unknown) => void }} Commit */

/** @type {import('./peer.mjs').OpenPeer} */
export const open = (options) => openWith(options, writeChained)

/** As Holdfast writes: each operation is a call into LevelDB's binding. @type {WriteBatch} */
function writeChained(level, operations) {
  const batch = level.batch()
  for (const [key, value] of operations) batch.put(key, value)
  return batch.write({ sync: true })
}

/** @param {import('./peer.mjs').PeerOptions} options @param {WriteBatch} writeBatch @returns {Promise<import('./peer.mjs').Peer>} */
export async function openWith({ dir, steps, work }, writeBatch) {
  /** @type {ClassicLevel<string, string>} */
  const level = new ClassicLevel(dir)
  await level.open()
  /** @type {Commit[]} */
  const queue = []
  let isWriting = false

  async function drain() {
    isWriting = true
    await null
    while (queue.length > 0) {
      const group = queue.splice(0, sizeOfGroup(queue))
      await writeBatch(
        level,
        group.length === 1 ? (group[0]?.operations ?? []) : group.flatMap((one) => one.operations),
      ).then(
        () => group.forEach(({ done }) => void done()),
        (error) => group.forEach(({ failed }) => void failed(error)),
      )
    }
    isWriting = false
  }

  /** @param {Operations} operations @returns {Promise<void>} */
  const commit = (operations) =>
    new Promise((done, failed) => {
      queue.push({ operations, done, failed })
      if (!isWriting) void drain()
    })

  /** @param {string} name */
  async function run(name) {
    const head = (/** @type {object} */ more) => /** @type {const} */ ([`head/${name}`, JSON.stringify(more)])
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

/** The number of commits that the next batch has. @param {readonly Commit[]} queue */
function sizeOfGroup(queue) {
  let [size, operations, bytes] = [0, 0, 0]
  for (const commit of queue) {
    operations += commit.operations.length
    for (const [, value] of commit.operations) bytes += value.length
    if (size > 0 && (operations > OPERATIONS_PER_BATCH || bytes > BYTES_PER_BATCH)) break
    size++
  }
  return size
}
