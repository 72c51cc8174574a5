// A server of one task, for the tests to kill: runs one isolated step, and says `ready` on standard output.
import { defineTask } from '../../../src/index.js'
import { openInMemory } from '../../../src/testing/index.js'

const [fn = '', file = ''] = process.argv.slice(2)
const task = defineTask({ name: 'task' }, (task) =>
  task.isolated('work', new URL('../../helpers/isolated-work.mjs', import.meta.url), { file }, { export: fn }),
)
const holdfast = await openInMemory({ tasks: [task] })
const { taskId } = await holdfast.start(task, null)
process.stdout.write('ready\n')
await holdfast.result(taskId)
await holdfast.close()
process.stdout.write('done\n')
