/**
 * The interface of every engine that the bench measures. An engine is a module of plain Node that exports `open`; the
 * workloads W1, W2 and W3 call what it returns. Holdfast, the probe and the raw limit are in this folder; other engines,
 * with a lock file of their own, are in bench/peers.
 *
 * @typedef {{ readonly step: number, readonly text: string }} Result what a step's function returns: 1 KiB of JSON
 *
 * @typedef {object} PeerOptions
 * @property {string} dir folder for the files of the engine. It does not exist on the first open
 * @property {number} steps number of steps of each task
 * @property {(step: number) => Result | Promise<Result>} work the function of each step
 * @property {number} concurrency number of tasks that run at once
 * @property {Readonly<Record<string, any>>} service addresses of the engine's service, if it has one
 * @property {boolean} [resumes] true if the folder has tasks of a process that was killed. They are not started by `open`
 *   if the engine lets its caller decide
 *
 * @typedef {object} Peer
 * @property {(name: string) => Promise<number>} run starts a task and waits for its result: the number of steps that were
 *   answered with the result of another step
 * @property {(name: string) => Promise<string>} start starts a task and returns its ID
 * @property {(taskIds: readonly string[]) => Promise<() => Promise<number>>} [resume] continues the tasks of a killed
 *   process. Resolves when all of them have completed, with a function that adds up their wrong answers
 * @property {() => Promise<void>} close
 *
 * @typedef {(options: PeerOptions) => Promise<Peer>} OpenPeer
 */

/**
 * The body of every task: one step after the other.
 * @param {number} steps
 * @param {(step: number) => Promise<Result>} call calls a step of the engine
 * @returns {Promise<number>} number of steps that were answered with the result of another step
 */
export async function takeSteps(steps, call) {
  let wrongAnswers = 0
  for (let step = 0; step < steps; step++) {
    const answer = await call(step)
    if (answer.step !== step) wrongAnswers++
  }
  return wrongAnswers
}
