/** What the tests of limits share: tasks that run until a test ends them, and starts whose ends are counted. */
import { defineTask } from '../../src/index.js'
import { turns } from './turns.js'

/** A task whose bodies run until they are let go, and what runs at the moment. */
export function gate(name: string, options: { concurrency?: number } = {}) {
  const running: { owner: string | undefined; n: number; end: () => void }[] = []
  const seen = { most: 0, order: [] as number[] }
  const task = defineTask({ name, ...options }, (task, n: number) =>
    task.step(
      'hold',
      () =>
        new Promise<number>((resolve) => {
          const end = () => {
            running.splice(running.indexOf(entry), 1)
            resolve(n)
          }
          const entry = { owner: task.owner, n, end }
          running.push(entry)
          seen.order.push(n)
          seen.most = Math.max(seen.most, running.length)
        }),
    ),
  )
  const endAll = async () => {
    for (let idle = 0; idle < 3; idle++) {
      while (running.length > 0) {
        running[0]?.end()
        idle = 0
        await turns(4)
      }
      await turns(20)
    }
  }
  return { task, running, seen, endAll }
}
