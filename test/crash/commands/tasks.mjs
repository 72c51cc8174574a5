/** The tasks of the server that kills.test.ts kills. @param {typeof import('holdfast').defineTask} defineTask */
export function tasksOf(defineTask) {
  return [
    defineTask({ name: 'counts' }, async (task) => {
      for (let at = 0; at < 4; at++) await task.step('add', () => at)
      await task.saveCheckpoint({ at: 4 })
      for (let at = 4; at < 8; at++) await task.step('add', () => at)
      await task.saveCheckpoint({ at: 8 })
      return 8
    }),
    defineTask({ name: 'asks' }, async (task) => task.input('go-on', { message: 'Go on?' })),
    defineTask({ name: 'listens' }, async (task) => task.receive('go')),
    defineTask({ name: 'flaky', retry: { maximumAttempts: 100, initialInterval: '1h' } }, () => {
      throw new Error('not yet')
    }),
  ]
}
