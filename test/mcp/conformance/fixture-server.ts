/**
 * The server that the official conformance suite is run against: its seven fixture tools, as durable tasks like any
 * other. `tsx test/mcp/conformance/fixture-server.ts <port> <directory>`
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

// What the suite's input-required scenarios call, each a durable task that asks.
const asksForName = elicitation('What is your name?', { name: { type: 'string' } })
const asksForContext = elicitation('What context should the prompt use?', { context: { type: 'string' } })
const asksCapital = {
  messages: [{ role: 'user', content: { type: 'text', text: 'What is the capital of France?' } }],
  maxTokens: 100,
}
const asking = [
  defineTask({ name: 'test_input_required_result_elicitation' }, async (task) => {
    const { content } = await task.input<Elicited>('user_name', asksForName)
    return `Hello, ${content?.['name']}!`
  }),
  defineTask({ name: 'test_input_required_result_sampling' }, async (task) =>
    JSON.stringify(await task.input('capital_question', asksCapital)),
  ),
  defineTask({ name: 'test_input_required_result_list_roots' }, async (task) =>
    JSON.stringify(await task.input('client_roots', { method: 'roots/list' })),
  ),
  defineTask({ name: 'test_input_required_result_request_state' }, async (task) => {
    const { action } = await task.input<Elicited>('confirm', elicitation('Please confirm', { ok: { type: 'boolean' } }))
    return `state-ok: ${action}`
  }),
  defineTask({ name: 'test_input_required_result_multiple_inputs' }, async (task) =>
    JSON.stringify(
      await task.all({
        name: (branch) => branch.input('user_name', asksForName),
        greeting: (branch) => branch.input('greeting', asksCapital),
        roots: (branch) => branch.input('client_roots', { method: 'roots/list' }),
      }),
    ),
  ),
  defineTask({ name: 'test_input_required_result_multi_round' }, async (task) => {
    const first = await task.input<Elicited>('step1', asksForName)
    const second = await task.input<Elicited>('step2', elicitation('Which colour?', { color: { type: 'string' } }))
    return `${first.content?.['name']} likes ${second.content?.['color']}`
  }),
  defineTask({ name: 'test_input_required_result_tampered_state' }, async (task) =>
    JSON.stringify(await task.input('confirm', elicitation('Please confirm', { ok: { type: 'boolean' } }))),
  ),
  defineTask({ name: 'test_input_required_result_capabilities' }, async (task) => {
    const [name, capital] = await Promise.allSettled([
      task.input('user_name', asksForName),
      task.input('capital_question', asksCapital),
    ])
    return `${name.status}, ${capital.status}`
  }),
]

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

for (const task of asking) durable.tool(task)

const handler = durable.httpHandler(() => {
  const server = durable.attach(new McpServer({ name: 'conformance', version: '1.0.0' }, durable.serverOptions()))
  // A prompt is no tool: this one is the SDK's business alone.
  const asks = { method: 'elicitation/create' as const, params: asksForContext.params }
  server.registerPrompt('test_input_required_result_prompt', {}, (ctx) => {
    const answer = ctx.mcpReq.inputResponses?.['user_context'] as Elicited | undefined
    if (!answer) return inputRequired({ inputRequests: { user_context: asks as never } })
    const said = { type: 'text' as const, text: String(answer.content?.['context']) }
    return { messages: [{ role: 'user', content: said }] }
  })
  return server
})
createServer((req, res) => void handler.node(req, res)).listen(Number(port), '127.0.0.1', () =>
  process.stderr.write('listening\n'),
)
