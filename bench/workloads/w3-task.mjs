/** W3's task, which the process that is killed and the one that resumes must share. */
import { defineTask } from 'holdfast'
import { scaled, stepResults } from './common.mjs'

export const STEPS = 20
export const STEPS_DONE = 10

/** @param {number} scale */
export function taskCount(scale) {
  return scaled(1_000, scale)
}

/**
 * A task of 20 steps that counts answers which belong to another step.
 * @param {(step: number) => void | Promise<void>} entered called when a step's function is
 */
export function makeTask(entered) {
  const result = stepResults()
  return defineTask({ name: 'w3' }, async (task) => {
    let wrongAnswers = 0
    for (let step = 0; step < STEPS; step++) {
      const answer = await task.step('step', async () => {
        await entered(step)
        return result(step)
      })
      if (answer.step !== step) wrongAnswers++
    }
    return { wrongAnswers }
  })
}
