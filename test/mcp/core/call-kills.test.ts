// Goal: a process that dies at any write of an inline call of one function gives the same answer after its restart, under the
// event number that a client may have seen; the function never runs again once its outcome is on disk; and nothing of the
// call is left once everything has expired (mcp-core-1 to mcp-core-4).
// Method: a death before and after each write of the call, on a disk in memory; the client comes back for its stream, or
// repeats its call, to the next process.
import { untilIdle } from 'holdfast/testing'
import { expect, test } from 'vitest'
import { unseal } from '../../../src/store/integrity/envelope.js'
import { CallServer, REVISIONS, Received, TURNS } from '../../helpers/mcp/call-server.js'
import { turns } from '../../helpers/turns.js'

const DAY_MS = 86_400_000

const DEATHS = REVISIONS.flatMap((revision) =>
  ['add', 'custom'].flatMap((tool) => {
    // The creation, the settling, the stored answer of a `toResult`, and the write behind.
    const writes = tool === 'add' ? [1, 2, 3] : [1, 2, 3, 4]
    return writes.flatMap((atWrite) => [false, true].map((applied) => ({ revision, tool, atWrite, applied })))
  }),
)

const outcomesIn = ({ disk }: CallServer) => [...disk.content.keys()].filter((key) => key.startsWith('done/')).length

/** The numbers of the stored events that are an answer with `text`. */
function answersOnDisk(server: CallServer, text: string): string[] {
  return server.keys('http-event').flatMap((key) => {
    const { body } = unseal(key, server.disk.content.get(key) as string)
    const [stream, number = ''] = key.split('/').slice(-2)
    return body.includes(text) ? [`${stream}_${Number.parseInt(number, 16)}`] : []
  })
}

test.each(DEATHS)('$revision, $tool: death at write $atWrite, on disk: $applied', async (death) => {
  const { revision, tool } = death
  const isAnswer = tool === 'add' ? '"n":2' : 'made of'
  const server = await CallServer.start(revision)
  const before = { outcomes: outcomesIn(server), answers: answersOnDisk(server, isAnswer) }
  const died = new Promise<void>((resolve) => server.disk.onDeath(resolve))
  server.disk.dieAt(death)
  const first = new Received(server.call(tool, 1))
  await died
  await turns(TURNS)
  const [runs, isSettled] = [server.runs.length, outcomesIn(server) > before.outcomes]
  // mcp-core-1
  if (first.text.includes(isAnswer)) expect(isSettled).toBe(true)
  await server.open()
  await untilIdle(server.holdfast)

  const { lastEventId } = first
  if (revision === '2025-11-25' && lastEventId !== undefined) {
    const [answer] = answersOnDisk(server, isAnswer).filter((id) => !before.answers.includes(id))
    // mcp-core-2: the answer has the number under which the client may have received it.
    if (first.isWhole) expect(answer).toBe(lastEventId)
    const rest = first.isWhole ? first : new Received(server.resume(lastEventId))
    await turns(TURNS)
    expect(rest.text).toContain(isAnswer)
  } else if (!first.isWhole) expect(await (await server.call(tool, 1)).text()).toContain(isAnswer)
  await untilIdle(server.holdfast)
  if (isSettled) expect(server.runs).toHaveLength(runs)
  else expect(server.runs.length).toBeLessThanOrEqual(runs + 1)
  expect(outcomesIn(server)).toBe(before.outcomes + 1)
  expect(server.keys('http-open')).toEqual([])

  for (let day = 0; day < 40; day++) {
    await server.clock.advance(DAY_MS)
    await untilIdle(server.holdfast)
  }
  const kinds = new Set(
    [...server.disk.content.keys()].filter((key) => !key.endsWith('/~')).map((key) => key.split('/')[0]),
  )
  expect([...kinds].sort()).toEqual(['audit', 'chain', 'meta', 'trail'])
  await server.close()
})
