/** What the tests of forks share: a task to fork, and what a store holds of a task. */
import type { TaskContext } from '../../src/index.js'
import { defineTask } from '../../src/index.js'
import { ManualClock, MemoryDisk, openInMemory } from '../../src/testing/index.js'

/** Everything of a task but its trail: what may never change once it is settled. */
export function frozen(disk: MemoryDisk, taskId: string): [string, string][] {
  return [...disk.content].filter(([key]) => key.includes(taskId) && !key.startsWith('trail/')).sort()
}

export interface Call {
  readonly name: string
  readonly key: string
}

/** Three steps, a checkpoint, two more in side-by-side chains; `calls` has every function that was called. */
export function imports(calls: Call[]) {
  return defineTask({ name: 'import', version: '1' }, async (task: TaskContext, input: { file: string }) => {
    const step = (name: string) =>
      task.step(name, ({ idempotencyKey }) => {
        calls.push({ name, key: idempotencyKey })
        return name
      })
    const bornAt = await task.now()
    const said = [await step('plan'), await step('load'), await step('load')]
    const [id, at] = [await task.uuid(), await task.now()]
    const { checkpointId } = await task.saveCheckpoint({ rows: 2 }, { label: 'half' })
    const both = await Promise.all([step('left'), step('right')])
    return { file: input.file, version: task.version, bornAt, said, id, at, checkpointId, both, end: await step('end') }
  })
}

export async function settledImport() {
  const disk = new MemoryDisk()
  const clock = new ManualClock()
  const calls: Call[] = []
  const task = imports(calls)
  const holdfast = await openInMemory({ disk, clock, tasks: [task] })
  const { taskId } = await holdfast.start(task, { file: 'a.csv' }, { owner: 'alice' })
  const output = await holdfast.result(taskId)
  await clock.advance(5_000)
  return { disk, clock, calls, holdfast, taskId, output, checkpointId: output.checkpointId }
}
