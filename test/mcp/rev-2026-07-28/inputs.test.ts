// Goal: what a task or its tool asks for reaches the client, and the answer the body: in a task, before it, and for
// clients that know no tasks in rounds of the same call, also over a crash and after a change of keys.
// Method: raw requests over HTTP on a disk in memory that can die.
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js'
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js'
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { inputRequired } from '@modelcontextprotocol/server'
import { defineTask } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2026-07-28'
import { openInMemory } from 'holdfast/testing'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { ModernServer, type ModernServerOptions } from '../../helpers/mcp/rev-2026-07-28/http-client.js'
import { INFO, KNOWS_TASKS, modernClient, serverOf } from '../../helpers/mcp/rev-2026-07-28/modern-client.js'

const ELICITS = { elicitation: { form: {} } }
interface Elicited {
  readonly action: string
  readonly content?: Record<string, unknown>
}
const said = ({ action, content }: Elicited) => `${action} ${content?.['answer'] ?? ''}`.trim()
const accept = (answer: string) => ({ action: 'accept', content: { answer } })

const two = defineTask({ name: 'two' }, async (task) => {
  const first = await task.input<Elicited>('name', { message: 'Who?' })
  const second = await task.input<Elicited>('name', { message: 'And who else?' })
  return `${said(first)}, ${said(second)}`
})
const both = defineTask({ name: 'both' }, async (task) => {
  const { one, other } = await task.all({
    one: (branch) => branch.input<Elicited>('one', { message: 'One?' }),
    other: (branch) => branch.input<Elicited>('other', { message: 'Other?' }),
  })
  return `${said(one)}, ${said(other)}`
})
const start = (more: Partial<ModernServerOptions> = {}) => ModernServer.start({ tools: [two, both], ...more })

describe('in a task', () => {
  test('E17 E18 keys are never used twice, also over a crash and for the same name', async () => {
    const server = await start()
    const { taskId } = (await server.request('tools/call', { name: 'two', arguments: {} })).result
    const asked = async () => {
      for (;;) {
        const { result } = await server.request('tasks/get', { taskId })
        if (result.status === 'input_required') return result.inputRequests
        if (result.status === 'completed') return result
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }
    const [first] = Object.keys(await asked())
    await server.die()
    await server.start()
    expect(Object.keys(await asked())).toEqual([first])
    await server.request('tasks/update', { taskId, inputResponses: { [first as string]: accept('Ada') } })
    let second = await asked()
    while (Object.keys(second)[0] === first) second = await asked()
    const [key] = Object.keys(second)
    expect(second[key as string].params.message).toBe('And who else?')
    // Late and repeated ones change nothing.
    await server.request('tasks/update', { taskId, inputResponses: { [first as string]: accept('Eve') } })
    await server.die()
    await server.start()
    expect(Object.keys(await asked())).toEqual([key])
    await server.request('tasks/update', { taskId, inputResponses: { [key as string]: accept('Bob') } })
    expect(await server.settled(taskId)).toMatchObject({ result: { content: [{ text: 'accept Ada, accept Bob' }] } })
    await server.close()
  })

  test('E10 E22 all that is outstanding is there; a part may be answered, and unknown keys are ignored', async () => {
    const server = await start()
    const { taskId } = (await server.request('tools/call', { name: 'both', arguments: {} })).result
    const until = async (count: number) => {
      for (;;) {
        const { result } = await server.request('tasks/get', { taskId })
        if (Object.keys(result.inputRequests ?? {}).length === count) return Object.keys(result.inputRequests)
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }
    const keys = await until(2)
    const inputResponses = { [keys[0] as string]: accept('1'), nobodyAsked: accept('?') }
    expect((await server.request('tasks/update', { taskId, inputResponses })).result).toMatchObject({
      resultType: 'complete',
    })
    expect(await until(1)).toEqual([keys[1]])
    await server.request('tasks/update', { taskId, inputResponses: { [keys[1] as string]: { action: 'decline' } } })
    expect(await server.settled(taskId)).toMatchObject({ result: { content: [{ text: 'accept 1, decline' }] } })
    await server.close()
  })

  test('an answer that is none is refused, and nothing is answered', async () => {
    const server = await start()
    const { taskId } = (await server.request('tools/call', { name: 'two', arguments: {} })).result
    let inputRequests: Record<string, unknown> | undefined
    while (!inputRequests) inputRequests = (await server.request('tasks/get', { taskId })).result.inputRequests
    const [key] = Object.keys(inputRequests)
    const wrong = { [key as string]: { action: 'perhaps' } }
    expect((await server.request('tasks/update', { taskId, inputResponses: wrong })).error?.code).toBe(-32_602)
    expect((await server.request('tasks/update', { taskId })).error?.code).toBe(-32_602)
    expect((await server.request('tasks/get', { taskId })).result.inputRequests).toEqual(inputRequests)
    await server.close()
  })
})

describe('for a client without tasks', () => {
  const ann = { knows: ELICITS, sub: 'ann' }
  const call = { name: 'two', arguments: {} }
  const startWithAuth = () => start({ durable: { access: 'principal' } })

  test('each question is a round of the call, and the last one has the result', async () => {
    const server = await startWithAuth()
    const first = (await server.request('tools/call', call, ann)).result
    expect(first).toMatchObject({ resultType: 'input_required', requestState: expect.stringMatching(/^hf1\./) })
    const [key] = Object.keys(first.inputRequests)
    expect(first.inputRequests[key as string]).toMatchObject({
      method: 'elicitation/create',
      params: { message: 'Who?' },
    })
    const round = { ...call, requestState: first.requestState, inputResponses: { [key as string]: accept('Ada') } }
    const second = (await server.request('tools/call', round, ann)).result
    const [next] = Object.keys(second.inputRequests)
    const last = { ...call, requestState: second.requestState, inputResponses: { [next as string]: accept('Bob') } }
    expect((await server.request('tools/call', last, ann)).result).toMatchObject({
      resultType: 'complete',
      content: [{ text: 'accept Ada, accept Bob' }],
    })
    expect((await server.holdfast.list()).tasks).toHaveLength(1)
    await server.close()
  })

  test('a round that is open at a crash is finished after it', async () => {
    const server = await startWithAuth()
    const first = (await server.request('tools/call', call, ann)).result
    await server.die()
    await server.start()
    const [key] = Object.keys(first.inputRequests)
    const round = { ...call, requestState: first.requestState, inputResponses: { [key as string]: accept('Ada') } }
    const second = (await server.request('tools/call', round, ann)).result
    expect(second).toMatchObject({ resultType: 'input_required' })
    expect(second.requestState).not.toBe(first.requestState)
    // Again, as after an answer that was lost: it is the same question.
    const again = (await server.request('tools/call', round, ann)).result
    expect(again.inputRequests).toEqual(second.inputRequests)
    expect((await server.holdfast.list()).tasks).toHaveLength(1)
    await server.close()
  })

  test('a state that is forged, for another tool, or of another principal is refused', async () => {
    const server = await startWithAuth()
    const { requestState } = (await server.request('tools/call', call, ann)).result
    const [prefix, id, payload, mac] = requestState.split('.')
    const other = Buffer.from(JSON.stringify({ taskId: 'task-x', tool: 'two' })).toString('base64url')
    const forged = [
      { ...call, requestState: [prefix, id, other, mac].join('.') },
      { ...call, requestState: [prefix, 'none', payload, mac].join('.') },
      {
        ...call,
        requestState: [prefix, id, payload, `${mac.slice(0, -1)}${mac.endsWith('A') ? 'B' : 'A'}x`].join('.'),
      },
      { ...call, requestState: [prefix, id, payload, `${mac.slice(0, -1)}é`].join('.') },
      { ...call, requestState: 'hf1.' },
      { name: 'both', arguments: {}, requestState },
    ]
    for (const params of forged) {
      expect((await server.request('tools/call', params, ann)).error).toMatchObject({ code: -32_602 })
    }
    const bob = await server.request('tools/call', { ...call, requestState }, { ...ann, sub: 'bob' })
    expect(bob.error).toMatchObject({ code: -32_602, message: expect.stringContaining('Task not found') })
    await server.close()
  })

  test('a client that can be asked nothing makes the input unavailable', async () => {
    const server = await startWithAuth()
    const { error } = await server.request('tools/call', call, { knows: {}, sub: 'ann' })
    expect(error).toMatchObject({ code: -32_603, data: { code: 'INPUT_UNAVAILABLE' } })
    await server.close()
  })

  test('each round carries another requestState, also one that asks the same again', async () => {
    const server = await startWithAuth()
    const states = new Set<string>()
    let { requestState } = (await server.request('tools/call', call, ann)).result
    for (let round = 0; round < 4; round++) {
      states.add(requestState)
      const again = { ...call, requestState, inputResponses: { nobodyAsked: accept('?') } }
      const { result } = await server.request('tools/call', again, ann)
      expect(Object.keys(result.inputRequests)).toEqual(['name'])
      requestState = result.requestState
    }
    expect(states.size).toBe(4)
    const answered = { ...call, requestState, inputResponses: { name: accept('Ada') } }
    const { result } = await server.request('tools/call', answered, ann)
    expect(Object.keys(result.inputRequests)).toEqual(['name-2'])
    expect(states).not.toContain(result.requestState)
    await server.close()
  })

  test('questions that a body asks side by side are one round', async () => {
    const many = defineTask({ name: 'many' }, async (task) => {
      const names = Array.from({ length: 12 }, (_, n) => `q${n}`)
      return (await Promise.all(names.map((name) => task.input<Elicited>(name)))).map(said)
    })
    const server = await start({ tools: [many], durable: { access: 'principal' } })
    const { result } = await server.request('tools/call', { name: 'many', arguments: {} }, ann)
    expect(Object.keys(result.inputRequests)).toHaveLength(12)
    await server.close()
  })

  test('answers that come with the first call count as soon as they are asked for, and the rest is left out', async () => {
    const server = await startWithAuth()
    const early = { name: accept('Ada'), 'name-2': 12_345, nobodyAsked: accept('?') }
    const { result } = await server.request('tools/call', { ...call, inputResponses: early }, ann)
    expect(Object.keys(result.inputRequests)).toEqual(['name-2'])
    const last = { ...call, requestState: result.requestState, inputResponses: { 'name-2': accept('Bob') } }
    expect((await server.request('tools/call', last, ann)).result).toMatchObject({
      content: [{ text: 'accept Ada, accept Bob' }],
    })
    const all = { ...call, inputResponses: { name: accept('Eve'), 'name-2': accept('Mallory') } }
    expect((await server.request('tools/call', all, ann)).result).toMatchObject({
      content: [{ text: 'accept Eve, accept Mallory' }],
    })
    await server.close()
  })

  test('a body can ask for the roots of the client', async () => {
    const where = defineTask({ name: 'where' }, async (task) => {
      const { roots } = await task.input<{ roots: { uri: string }[] }>('roots', { method: 'roots/list' })
      return roots.map(({ uri }) => uri).join()
    })
    const server = await start({ tools: [where], durable: { access: 'principal' } })
    const bob = { knows: { roots: {} }, sub: 'bob' }
    const asked = (await server.request('tools/call', { name: 'where', arguments: {} }, bob)).result
    expect(asked.inputRequests).toEqual({ roots: { method: 'roots/list', params: {} } })
    const round = { name: 'where', arguments: {}, requestState: asked.requestState }
    const wrong = { ...round, inputResponses: { roots: { roots: 'none' } } }
    const wrongKind = { ...round, inputResponses: { roots: accept('here') } }
    for (const params of [wrong, wrongKind]) {
      expect((await server.request('tools/call', params, bob)).error).toMatchObject({ code: -32_602 })
    }
    const right = { ...round, inputResponses: { roots: { roots: [{ uri: 'file:///here' }] } } }
    expect((await server.request('tools/call', right, bob)).result).toMatchObject({
      content: [{ text: 'file:///here' }],
    })
    await server.close()
  })

  test('a client that learned of tasks between two rounds gets one', async () => {
    const server = await startWithAuth()
    const { requestState } = (await server.request('tools/call', call, ann)).result
    const { result } = await server.request('tools/call', { ...call, requestState }, { sub: 'ann' })
    expect(result).toMatchObject({ resultType: 'task', status: 'input_required' })
    await server.close()
  })
})

test('a client of an earlier revision is asked by the SDK, on its own connection', async () => {
  const holdfast = await openInMemory()
  const durable = durableTasks(holdfast, { access: 'local' }).tool(two)
  const [ours, theirs] = InMemoryTransport.createLinkedPair()
  const handle = durable.serveStdio(() => serverOf(durable), { transport: ours as never })
  const client = new LegacyClient(INFO, { capabilities: { elicitation: {} } })
  const asked: string[] = []
  client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
    asked.push(params.message)
    return { action: 'accept', content: { answer: `no. ${asked.length}` } }
  })
  await client.connect(theirs)
  expect(await client.callTool({ name: 'two', arguments: {} })).toMatchObject({
    content: [{ text: 'accept no. 1, accept no. 2' }],
  })
  expect(asked).toEqual(['Who?', 'And who else?'])
  await handle.close()
})

describe('before the task', () => {
  const greet = defineTask(
    { name: 'greet', input: z.object({ name: z.string() }) },
    (_task, { name }) => `Hello, ${name}`,
  )

  test('E08 toInput asks in as many rounds as it likes, with a state of its own, and then there is a task', async () => {
    const holdfast = await openInMemory()
    const seen: unknown[] = []
    const durable = durableTasks(holdfast, { access: 'local' }).tool(greet, {
      inputSchema: z.object({}),
      toInput: (_args, { inputResponses, requestState }) => {
        seen.push(requestState)
        const { name } = (inputResponses ?? {}) as { name?: Elicited }
        if (name?.content) return { name: String(name.content['answer']) }
        const asked = inputRequired.elicit({ message: 'Who?', requestedSchema: z.object({ answer: z.string() }) })
        return inputRequired({ inputRequests: { name: asked }, requestState: 'round 1' })
      },
    })
    const { call, settled } = await modernClient(durable, { capabilities: { ...KNOWS_TASKS, ...ELICITS } })
    const first = (await call('greet')).result
    expect(first).toMatchObject({ resultType: 'input_required', requestState: 'round 1' })
    expect((await holdfast.list()).tasks).toHaveLength(0)
    const inputResponses = { name: accept('Ada') }
    const { result } = await call('greet', {}, { inputResponses, requestState: 'round 1' })
    expect(result).toMatchObject({ resultType: 'task' })
    expect(result).not.toHaveProperty('requestState')
    expect(await settled(result.taskId)).toMatchObject({ result: { content: [{ text: 'Hello, Ada' }] } })
    expect(seen).toEqual([undefined, 'round 1'])
  })

  test('a state that the author verifies stands beside ours', async () => {
    const holdfast = await openInMemory()
    const durable = durableTasks(holdfast, { access: 'local' }).tool(two)
    const options = durable.serverOptions({
      capabilities: { tools: {} },
      requestState: {
        verify: (state) => {
          if (state !== 'mine') throw new Error('not mine')
          return { verified: true }
        },
      },
    })
    expect(options.capabilities).toEqual({})
    const { McpServer } = await import('@modelcontextprotocol/server')
    const { call } = await modernClient(durable, {
      capabilities: ELICITS,
      server: () => durable.attach(new McpServer({ name: 'test', version: '1' }, options)),
    })
    const { requestState } = (await call('two')).result
    expect((await call('two', {}, { requestState })).result).toMatchObject({ resultType: 'input_required' })
    expect((await call('two', {}, { requestState: 'yours' })).error).toMatchObject({ code: -32_602 })
  })
})
