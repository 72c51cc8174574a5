// Goal: clients that no test can install get on with both bindings over stdio, whichever way they open a connection.
// Method: their first messages, as others recorded them, are sent to a server as they are; then a call with progress, a task
// and a question, in what the opening settled on.
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type Message, RawStdio } from './raw-stdio.js'
import type { Speaks } from './server-job.js'

// Each test starts a process, which may have to wait for its turn.
vi.setConfig({ testTimeout: 120_000 })

const EXTENSION = 'io.modelcontextprotocol/tasks'
const ACCEPT = { action: 'accept', content: { sure: true } }

let server: RawStdio | undefined
afterEach(async () => {
  await server?.end()
  server = undefined
})
const start = (speaks: Speaks) => {
  server = new RawStdio(speaks)
  return server
}

/** What Claude Code 2.1 puts into each request of 2026-07-28; that tasks are known is said in the capabilities. */
const metaOf = (knowsTasks: boolean, more: object = {}) => ({
  _meta: {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'claude-code', version: '2.1.317' },
    'io.modelcontextprotocol/clientCapabilities': {
      elicitation: { form: {} },
      roots: {},
      ...(knowsTasks ? { extensions: { [EXTENSION]: {} } } : {}),
    },
    ...more,
  },
})

async function initialize(on: RawStdio, protocolVersion: string, name: string): Promise<Message> {
  on.answers = { 'elicitation/create': ACCEPT, 'roots/list': { roots: [] } }
  const clientInfo = { name, version: '1.0.0' }
  const answer = await on.request('initialize', { protocolVersion, capabilities: { elicitation: {} }, clientInfo })
  on.notify('notifications/initialized')
  return answer
}

/** What both clients of the earlier revisions do next. */
async function useAsEarlier(on: RawStdio): Promise<void> {
  const { result } = await on.request('tools/list', {})
  expect(result.tools.map(({ name }: { name: string }) => name).sort()).toEqual(['confirm', 'work'])
  const call = { name: 'work', arguments: { id: 'a' }, _meta: { progressToken: 7 } }
  const worked = await on.request('tools/call', call)
  expect(worked.result.structuredContent).toEqual({ worked: 'a' })
  const progress = on.notifications.filter(({ method }) => method === 'notifications/progress')
  expect(progress.map(({ params }) => [params.progressToken, params.progress])).toEqual([
    [7, 1],
    [7, 2],
    [7, 3],
  ])
  const confirmed = await on.request('tools/call', { name: 'confirm', arguments: {} })
  expect(confirmed.result.structuredContent).toEqual({ sure: true })
}

describe('the opening of Claude Code', () => {
  test('falls back to initialize of 2025-11-25 where only that is spoken', async () => {
    const on = start('2025-11-25')
    const discovered = await on.request('server/discover', metaOf(true))
    expect(discovered.error?.code).toBe(-32_601)
    const { result } = await initialize(on, '2025-11-25', 'claude-code')
    expect(result.protocolVersion).toBe('2025-11-25')
    await useAsEarlier(on)
  })

  for (const speaks of ['2026-07-28', 'both'] as const) {
    test(`finds 2026-07-28 on a server of ${speaks}; without the extension results are inline, questions are rounds`, async () => {
      const on = start(speaks)
      const discovered = await on.request('server/discover', metaOf(false))
      expect(discovered.result.supportedVersions).toContain('2026-07-28')
      const { result: listed } = await on.request('tools/list', metaOf(false))
      expect(listed.tools).toHaveLength(2)
      const worked = await on.request('tools/call', {
        name: 'work',
        arguments: { id: 'a' },
        ...metaOf(false, { progressToken: 7 }),
      })
      expect(worked.result).toMatchObject({ resultType: 'complete', structuredContent: { worked: 'a' } })
      expect(on.notifications.map(({ method, params }) => [method, params.progress])).toEqual([
        ['notifications/progress', 1],
        ['notifications/progress', 2],
        ['notifications/progress', 3],
      ])
      const call = { name: 'confirm', arguments: {}, ...metaOf(false) }
      const { result: round } = await on.request('tools/call', call)
      expect(round.resultType).toBe('input_required')
      const inputResponses = Object.fromEntries(Object.keys(round.inputRequests).map((key) => [key, ACCEPT]))
      const { requestState } = round
      const confirmed = await on.request('tools/call', { ...call, inputResponses, requestState })
      expect(confirmed.result).toMatchObject({ resultType: 'complete', structuredContent: { sure: true } })
    })

    test(`finds 2026-07-28 on a server of ${speaks}; with the extension it is given a task, and asks for it`, async () => {
      const on = start(speaks)
      const { result: discovered } = await on.request('server/discover', metaOf(true))
      expect(discovered.capabilities.extensions).toHaveProperty([EXTENSION])
      const call = { name: 'confirm', arguments: {}, ...metaOf(true) }
      const { result: given } = await on.request('tools/call', call)
      expect(given.resultType).toBe('task')
      const { taskId } = given
      let task = given
      while (task.status === 'working') task = (await on.request('tasks/get', { taskId, ...metaOf(true) })).result
      expect(task.status).toBe('input_required')
      const inputResponses = Object.fromEntries(Object.keys(task.inputRequests).map((key) => [key, ACCEPT]))
      const updated = await on.request('tasks/update', { taskId, inputResponses, ...metaOf(true) })
      expect(updated.error).toBeUndefined()
      do task = (await on.request('tasks/get', { taskId, ...metaOf(true) })).result
      while (!['completed', 'failed'].includes(task.status))
      expect(task).toMatchObject({ status: 'completed', result: { structuredContent: { sure: true } } })
    })
  }
})

describe('the opening of a client that looks for 2026-07-28, and then takes an earlier revision on the same connection', () => {
  for (const speaks of ['2025-11-25', '2026-07-28', 'both'] as const)
    for (const waits of [true, false]) {
      test(`is agreed to by a server of ${speaks}; the client ${waits ? 'has' : 'has not'} waited for the first answer`, async () => {
        const on = start(speaks)
        const discovered = on.request('server/discover', metaOf(false))
        if (waits) await discovered
        const { result } = await initialize(on, '2025-11-25', 'ai-sdk-mcp-client')
        expect(result?.protocolVersion).toBe('2025-11-25')
        await useAsEarlier(on)
        expect((await discovered).id).toBe(1)
      })
    }
})

describe('the opening of Codex', () => {
  for (const speaks of ['2025-11-25', '2026-07-28', 'both'] as const) {
    test(`initialize of 2025-06-18 is agreed to by a server of ${speaks}, and calls, progress and questions work`, async () => {
      const on = start(speaks)
      const { result } = await initialize(on, '2025-06-18', 'codex-mcp-client')
      expect(result.protocolVersion).toBe('2025-06-18')
      await useAsEarlier(on)
    })
  }
})
