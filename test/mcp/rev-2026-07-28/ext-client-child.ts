/** A client process: it begins a task, says its reference and waits; or it resumes one, and says how it ended. */
import { taskSession } from './ext-client.js'

const { url, reference } = JSON.parse(process.argv[2] as string)
const session = await taskSession(new URL(url))
if (reference) {
  const { outcome } = await (await session.resumeTask(reference)).settle()
  process.stdout.write(`${JSON.stringify(outcome)}\n`)
  process.exit()
}
const execution = await session.callTool('slow', { ms: 1_500 })
if (execution.kind !== 'task') throw new Error('The server answered without a task')
process.stdout.write(`${JSON.stringify(execution.serializeReference())}\n`)
await execution.settle()
