/** The number of steps of W3's tasks, and of those that are done when their process is killed. */
export const STEPS = 20
export const STEPS_DONE = 10
