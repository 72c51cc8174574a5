/** Changes attributes of an unfinished task for a caller. They are on disk when the promise resolves. */
import type { AttributeChanges } from '../../task/attributes.js'
import { planAttributes } from '../../task/decisions/attributes.js'
import type { Engine } from '../core/engine.js'
import type { LiveTask } from '../core/live-task.js'

/**
 * Merges changes into the attributes of a task.
 * @throws HoldfastError `LIMIT_EXCEEDED` if the task would have more than fit, or its owner more bytes
 * @throws HoldfastError `TASK_SETTLED`. The attributes are unchanged.
 * @throws HoldfastError `STORE_UNAVAILABLE` if the write failed. The change may be on disk. Read the task.
 */
export async function setAttributesOf(
  engine: Engine,
  task: LiveTask,
  attributes: AttributeChanges,
  by: string,
): Promise<void> {
  const { owner } = task.head
  await engine.usage.load(owner)
  const { bytes } = planAttributes(task.head, attributes)
  if (bytes > 0) engine.usage.assertRoom(owner, bytes)
  await engine.recordForCaller(task, { kind: 'set-attributes', attributes, by })
}
