// Goal: a task that waited for a slot runs as nobody, and not as the principal whose task ended before it.
// Method: six principals over HTTP, one slot; steps that look in whose AsyncLocalStorage context they run; once more after
// a restart.
import { AsyncLocalStorage } from 'node:async_hooks'
import { defineTask } from 'holdfast'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { ModernServer } from '../../helpers/mcp/rev-2026-07-28/http-client.js'

const SUBS = ['ann', 'bob', 'cem', 'dee', 'eli', 'fay']
const request = new AsyncLocalStorage<string | undefined>()

async function serve(onStep: () => Promise<unknown>) {
  const seen: [sub: string, context: string | undefined][] = []
  const work = defineTask({ name: 'work', input: z.object({ sub: z.string() }) }, (task, { sub }) =>
    task.step('work', async () => {
      await onStep()
      seen.push([sub, request.getStore()])
    }),
  )
  const server = await ModernServer.start({
    tools: [work],
    durable: { access: 'principal' },
    concurrency: 1,
    around: (sub, handle) => request.run(sub, handle),
  })
  const calls = SUBS.map((sub) => server.request('tools/call', { name: 'work', arguments: { sub } }, { sub }))
  return { server, seen, calls }
}

const nobody = SUBS.map((sub) => [sub, undefined])

test('a task that waited for a slot has no request’s context', async () => {
  const { server, seen, calls } = await serve(() => new Promise((resolve) => setImmediate(resolve)))
  for (const [at, { result }] of (await Promise.all(calls)).entries()) {
    if (result.taskId !== undefined) await server.settled(result.taskId, { sub: SUBS[at] })
  }
  expect(seen.sort()).toEqual(nobody)
  await server.close()
})

test('nor has one that goes on after a restart', async () => {
  let died = false
  const never = new Promise(() => {})
  const { server, seen, calls } = await serve(() => (died ? Promise.resolve() : never))
  for (const call of calls) call.catch(() => {})
  while ((await server.holdfast.list()).tasks.length < SUBS.length) {
    await new Promise((resolve) => setImmediate(resolve))
  }
  died = true
  await server.die()
  await server.start()
  for (const { taskId } of (await server.holdfast.list()).tasks) await server.holdfast.result(taskId)
  expect(seen.sort()).toEqual(nobody)
  await server.close()
})
