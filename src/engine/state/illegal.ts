/**
 * Creates the error of a transition that a part of a task's state does not allow. Such a transition is a defect of the
 * engine: without the error, the state would contradict the disk or the scheduler.
 */
export function illegal(transition: string, from: string): Error {
  return new Error(`Illegal transition of a task in memory: '${transition}' from '${from}'`)
}
