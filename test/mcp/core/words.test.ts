// Goal: what the store says of its own disk (keys, paths, LevelDB's words) is in the log, and in no answer to a client.
// Method: a damaged record, and a step that fails with an error of the store's; clients of both revisions. An upload that
// its client gives up half-way.
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { defineTask, HoldfastError, type Logger } from 'holdfast'
import { durableTasks } from 'holdfast/mcp/2025-11-25'
import * as modern from 'holdfast/mcp/2026-07-28'
import { MemoryDisk, openInMemory, untilIdle } from 'holdfast/testing'
import { describe, expect, test } from 'vitest'
import { connect, INFO } from '../../helpers/mcp/rev-2025-11-25/connect.js'
import { modernClient, serverOf } from '../../helpers/mcp/rev-2026-07-28/modern-client.js'

const SENTENCE = 'A record of the task is damaged or missing.'
const INTERNALS = /log\/task-|beside\/|checksum|IO error|\/srv\//

const remembers = defineTask({ name: 'remembers' }, async (task) => {
  await task.step('learn', () => 'a fact')
  await task.sleep('think', '1h')
})
const breaks = defineTask({ name: 'breaks' }, (task) =>
  task.step('break', () => {
    throw new HoldfastError('STORE_UNAVAILABLE', 'The store is not available: IO error: /srv/db/000005.log')
  }),
)

function recorder() {
  const lines: string[] = []
  const log = (text: string, about?: object) => void lines.push(`${text} ${JSON.stringify(about)}`)
  const logger: Logger = { debug: () => {}, info: () => {}, warn: log, error: log }
  return { logger, lines }
}

/** A disk with a task whose only record is damaged, and whose call waits for its result. */
async function damaged() {
  const disk = new MemoryDisk()
  const holdfast = await openInMemory({ disk })
  const { client } = await connect(durableTasks(holdfast, { access: 'local' }).tool(remembers))
  void client.callTool({ name: 'remembers' }).catch(() => {})
  await untilIdle(holdfast)
  const { taskId } = (await holdfast.list()).tasks[0] as { taskId: string }
  disk.crash()
  const [key, text] = [...disk.content].find(([key]) => key.startsWith(`log/${taskId}`)) as [string, string]
  disk.damage(key, text.replace('a fact', 'a lie'))
  return { disk, taskId }
}

describe('a task with a damaged record', () => {
  test('is told in a sentence to clients of 2025-11-25, in its status and in the call that joins it', async () => {
    const { disk, taskId } = await damaged()
    const { logger, lines } = recorder()
    const holdfast = await openInMemory({ disk, logger })
    const { client } = await connect(durableTasks(holdfast, { access: 'local' }).tool(remembers))
    await untilIdle(holdfast)
    const { statusMessage } = await client.experimental.tasks.getTask(taskId)
    expect(statusMessage).toContain(`Waiting: RECORD_DAMAGED: ${SENTENCE}`)
    const called = await client.callTool({ name: 'remembers' })
    expect(called).toMatchObject({ isError: true, content: [{ text: expect.stringContaining(SENTENCE) }] })
    expect(statusMessage + JSON.stringify(called)).not.toMatch(INTERNALS)
    expect(lines.join('\n')).toMatch(/A task is parked: a record of it is damaged.*log\/\(taskId\)\/.*checksum/)
  })

  test('and to clients of 2026-07-28', async () => {
    const { disk, taskId } = await damaged()
    const holdfast = await openInMemory({ disk, logger: recorder().logger })
    const durable = modern.durableTasks(holdfast, { access: 'local' }).tool(remembers)
    const { request } = await modernClient(durable)
    await untilIdle(holdfast)
    const { statusMessage } = (await request('tasks/get', { taskId })).result
    expect(statusMessage).toContain(`Waiting: RECORD_DAMAGED: ${SENTENCE}`)
    const plain = await modernClient(durable, { capabilities: {} })
    const { result } = await plain.request('tools/call', { name: 'remembers', arguments: {} })
    expect(result).toMatchObject({ isError: true, content: [{ text: expect.stringContaining(SENTENCE) }] })
    expect(statusMessage + JSON.stringify(result)).not.toMatch(INTERNALS)
  })
})

test('a step that fails with an error of the store fails its task with a sentence, in both revisions', async () => {
  const holdfast = await openInMemory()
  const legacy = await connect(durableTasks(holdfast, { access: 'local' }).tool(breaks))
  const thrown: unknown = await legacy.client.callTool({ name: 'breaks' }).catch((error: unknown) => error)
  const { taskId } = (await holdfast.list()).tasks[0] as { taskId: string }
  const { statusMessage } = await legacy.client.experimental.tasks.getTask(taskId)
  const { request } = await modernClient(modern.durableTasks(holdfast, { access: 'local' }))
  const { error } = (await request('tasks/get', { taskId })).result
  for (const said of [String(thrown), statusMessage, JSON.stringify(error)]) {
    expect(said).toContain('The disk refused a write.')
    expect(said).not.toMatch(INTERNALS)
  }
})

test.each(['2025-11-25', '2026-07-28'])(
  'an upload that is given up half-way is no error in the log (%s)',
  async (era) => {
    const { logger, lines } = recorder()
    const holdfast = await openInMemory({ logger })
    const handler =
      era === '2025-11-25'
        ? (() => {
            const durable = durableTasks(holdfast, { access: 'open' })
            return durable.httpHandler(() => durable.attach(new McpServer(INFO, durable.serverOptions())))
          })()
        : (() => {
            const durable = modern.durableTasks(holdfast, { access: 'open' })
            return durable.httpHandler(() => serverOf(durable))
          })()
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(Buffer.from('{"jsonrpc":"2.0",')),
      pull: (controller) => controller.error(new Error('aborted')),
    })
    const headers = {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': era,
    }
    const init = { method: 'POST', headers, body, duplex: 'half' } as RequestInit
    expect(
      (await handler.fetch(new Request('http://localhost/mcp', init), { remoteAddress: '127.0.0.1' })).status,
    ).toBe(400)
    await handler.close()
    expect(lines).toEqual([])
  },
)
