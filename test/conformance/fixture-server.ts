/**
 * The server that the official conformance suite is run against: its seven fixture tools, as durable tasks like any
 * other. `tsx test/conformance/fixture-server.ts <port> <directory>`
 */
import { createServer } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { inputRequired, McpServer } from '@modelcontextprotocol/server'
import { defineTask, Holdfast, ProtocolError } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2026-07-28'
import { z } from 'zod'

const [port, dir] = process.argv.slice(2) as [string, string]

const text = (said: string) => ({ content: [{ type: 'text', text: said }] })
const elicitation = (message: string, properties: Record<string, object>) => ({
  method: 'elicitation/create',
  params: { mode: 'form', message, requestedSchema: { type: 'object', properties, required: Object.keys(properties) } },
})
interface Elicited {
  readonly action: 'accept' | 'decline' | 'cancel'
  readonly content?: Record<string, unknown>
}

const greet = defineTask(
  { name: 'greet', input: z.object({ name: z.string() }) },
  (_task, { name }) => `Hello, ${name}!`,
)

const slowCompute = defineTask(
  { name: 'slow_compute', input: z.object({ seconds: z.number(), label: z.string().optional() }) },
  async (task, { seconds, label }) => {
    for (let second = 1; second <= seconds; second++) {
      await task.step('compute', ({ signal }) => delay(1_000, undefined, { signal }))
      task.progress({ done: second, total: seconds })
    }
    return `Computed ${label ?? 'it'} for ${seconds} s`
  },
)

const failingJob = defineTask({ name: 'failing_job' }, async (task) => {
  await task.step('fail', async () => {
    await delay(500)
    throw new Error('The job failed')
  })
})

const protocolErrorJob = defineTask({ name: 'protocol_error_job' }, async (task) => {
  await task.step('fail', async () => {
    await delay(500)
    throw new ProtocolError(-32_603, 'The job broke the protocol')
  })
})

const confirmDelete = defineTask(
  { name: 'confirm_delete', input: z.object({ filename: z.string() }) },
  async (task, { filename }) => {
    const asked = elicitation(`Delete ${filename}?`, { confirm: { type: 'boolean' } })
    const { action, content } = await task.input<Elicited>('confirm', asked)
    return action === 'accept' && content?.['confirm'] === true ? `Deleted ${filename}` : `Kept ${filename}`
  },
)

const multiInput = defineTask({ name: 'multi_input' }, async (task) => {
  const { name, colour } = await task.all({
    name: (branch) => branch.input<Elicited>('name', elicitation('Your name?', { name: { type: 'string' } })),
    colour: (branch) => branch.input<Elicited>('colour', elicitation('A colour?', { colour: { type: 'string' } })),
  })
  return `Got ${name.action} and ${colour.action}`
})

const withTask = defineTask(
  { name: 'test_tool_with_task', input: z.object({ name: z.string() }) },
  async (task, { name }) => {
    await task.step('work', () => delay(100))
    return `Worked for ${name}`
  },
)

const holdfast = await Holdfast.open({ dir })
const durable = durableTasks(holdfast, { access: 'open', pollInterval: 200 })
  .tool(greet, { taskSupport: 'forbidden' })
  .tool(slowCompute)
  .tool(failingJob, { taskSupport: 'required' })
  .tool(protocolErrorJob)
  .tool(confirmDelete)
  .tool(multiInput)
  .tool(withTask, {
    inputSchema: z.object({}),
    toInput: (_args, { inputResponses }) => {
      const answer = Object.values(inputResponses ?? {})[0] as Elicited | undefined
      if (answer) return { name: String(answer.content?.['name']) }
      const requestedSchema = z.object({ name: z.string() })
      return inputRequired({
        inputRequests: { name: inputRequired.elicit({ message: 'Your name?', requestedSchema }) },
      })
    },
    toResult: (output) => text(output),
  })

const handler = durable.httpHandler(() =>
  durable.attach(new McpServer({ name: 'conformance', version: '1.0.0' }, durable.serverOptions())),
)
createServer((req, res) => void handler.node(req, res)).listen(Number(port), '127.0.0.1', () =>
  process.stderr.write('listening\n'),
)
