/** Helpers of the tests of cancels, clean-ups and undos: errors of promises, and undos that note their call. */
import { expect } from 'vitest'
import type { CleanUpContext, HoldfastError, StepToUndo } from '../../src/index.js'

export const undone = (step: string) => expect.objectContaining({ step, state: 'undone' })

export const codeOf = (error: HoldfastError) => error.code

/** The error of a promise that must reject. */
export const errorOf = (promise: Promise<unknown>) =>
  promise.then(
    () => {
      throw new Error('it did not reject')
    },
    (error: HoldfastError) => error,
  )

/** An undo that notes what it was handed. */
export const noting =
  (log: string[]) =>
  (_: CleanUpContext, { step, number, result }: StepToUndo) =>
    void log.push(`undo ${step}#${number} ${JSON.stringify(result)}`)
