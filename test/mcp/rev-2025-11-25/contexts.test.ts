// Goal: a task that waited for a slot runs as nobody, and not as the principal whose task ended before it.
// Method: six principals over HTTP, one slot; steps that look in whose AsyncLocalStorage context they run, and ask the task
// store for a list; once more after a restart.
import { AsyncLocalStorage } from 'node:async_hooks'
import { defineTask } from 'holdfast'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { tokenOf } from '../../helpers/mcp/rev-2025-11-25/connect.js'
import { HttpServer } from '../../helpers/mcp/rev-2025-11-25/http-server.js'

const SUBS = ['ann', 'bob', 'cem', 'dee', 'eli', 'fay']
const request = new AsyncLocalStorage<string | undefined>()

/** What a step saw: whose task it is, whose request's context it ran in, and what the task store answered. */
interface Seen {
  readonly sub: string
  readonly context: string | undefined
  readonly bare: string
  readonly wrapped: readonly string[]
}

async function serve(onStep: (sub: string) => Promise<unknown>) {
  const seen: Seen[] = []
  const work = defineTask({ name: 'work', input: z.object({ sub: z.string() }) }, (task, { sub }) =>
    task.step('work', async () => {
      await onStep(sub)
      const { taskStore } = server.durable
      const bare = await taskStore.listTasks().then(
        ({ tasks }) => `${tasks.length} tasks`,
        (error: Error) => error.message,
      )
      const mine = await server.durable.withAuth(tokenOf(sub), () => taskStore.listTasks())
      const context = request.getStore()
      seen.push({ sub, context, bare, wrapped: mine.tasks.map(({ taskId }) => taskId) })
      return sub
    }),
  )
  const server: HttpServer = await HttpServer.start({
    tools: [work],
    durable: { access: 'principal' },
    concurrency: 1,
    around: (sub, handle) => request.run(sub, handle),
  })
  return { server, seen }
}

function check(seen: readonly Seen[], owners: ReadonlyMap<string, string>) {
  expect(seen.map(({ sub }) => sub).sort()).toEqual(SUBS)
  for (const { sub, context, bare, wrapped } of seen) {
    expect([sub, context]).toEqual([sub, undefined])
    expect(bare).toContain('wrap the call in `durable.withAuth(')
    expect(wrapped.map((taskId) => owners.get(taskId))).toEqual([expect.stringContaining(sub)])
  }
}

/** Whose each task is. */
async function ownersIn({ holdfast }: HttpServer): Promise<Map<string, string>> {
  const { tasks } = await holdfast.list()
  return new Map(tasks.map(({ taskId, owner = '' }) => [taskId, owner]))
}

test('a task that waited for a slot has no request’s context, and its calls of the task store no caller', async () => {
  const { server, seen } = await serve(() => new Promise((resolve) => setImmediate(resolve)))
  const clients = await Promise.all(SUBS.map((sub) => server.connect({ sub })))
  await Promise.all(clients.map(({ client }, at) => client.callTool({ name: 'work', arguments: { sub: SUBS[at] } })))
  check(seen, await ownersIn(server))
  await server.close()
})

test('nor has one that goes on after a restart', async () => {
  let died = false
  const never = new Promise(() => {})
  const { server, seen } = await serve(() => (died ? Promise.resolve() : never))
  const clients = await Promise.all(SUBS.map((sub) => server.connect({ sub })))
  for (const [at, { client }] of clients.entries()) {
    client.callTool({ name: 'work', arguments: { sub: SUBS[at] } }).catch(() => {})
  }
  while ((await server.holdfast.list()).tasks.length < SUBS.length) {
    await new Promise((resolve) => setImmediate(resolve))
  }
  died = true
  await server.restart()
  const { holdfast } = server
  for (const { taskId } of (await holdfast.list()).tasks) await holdfast.result(taskId)
  check(seen, await ownersIn(server))
  for (const { client } of clients) await client.close().catch(() => {})
  await server.close()
})
