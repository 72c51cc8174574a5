/** The tasks of the trial of backups. */
import { defineTask } from 'holdfast'

/**
 * Notes of one process: each call of a step, and each step that has ended.
 * @typedef {{ called(key: string, effect: string): void, ended?(taskId: string, steps: number, ms: number): void }} Notes
 */

/** Keys of the messages of a task, and the one that ends it. @typedef {{ n: number } | { isLast: true }} Go */

/**
 * `walk` waits for a message, runs a step, and so on, until the last message. It fails if a message is missing or comes twice.
 * `echo` has one step.
 * @param {Notes} notes
 */
export function trialTasks({ called, ended }) {
  const walk = defineTask({ name: 'walk' }, async (task) => {
    for (let n = 0; ; n++) {
      const go = await /** @type {Promise<Go>} */ (task.receive('go'))
      if ('n' in go && go.n !== n) throw new Error(`message ${go.n} came in place of message ${n}`)
      let isReplay = true
      const from = performance.now()
      const done = await task.step('call', ({ idempotencyKey }) => {
        isReplay = false
        called(idempotencyKey, `${task.taskId} ${n}`)
        return n
      })
      if (done !== n) throw new Error(`step ${n} has the result of step ${done}`)
      if (!isReplay) ended?.(task.taskId, n + 1, performance.now() - from)
      if ('isLast' in go) return n + 1
    }
  })
  const echo = defineTask({ name: 'echo' }, (task) =>
    task.step('call', ({ idempotencyKey }) => {
      called(idempotencyKey, `${task.taskId} 0`)
      return task.taskId
    }),
  )
  return { walk, echo, definitions: [walk, echo] }
}

/** Runs `act` for each item, at most `width` at a time. @template T @param {readonly T[]} items @param {(item: T) => Promise<void>} act */
export async function forEachOf(items, act, width = 100) {
  const rest = items[Symbol.iterator]()
  const worker = async () => {
    for (const item of rest) await act(item)
  }
  await Promise.all(Array.from({ length: width }, worker))
}
