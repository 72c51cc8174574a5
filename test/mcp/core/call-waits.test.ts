// Goal: an inline call of one function waits for two writes, one after the other, and reads nothing (mcp-core-1 to
// mcp-core-5); its answer is on its way before the write that says so, and nothing is before its outcome is on disk.
// Method: a disk on which the test lets each write go on; the endpoint without a socket, so that the test reads the response.
import { untilIdle } from 'holdfast/testing'
import { afterEach, describe, expect, test } from 'vitest'
import { CallServer, HeldDisk, REVISIONS, Received, TURNS } from '../../helpers/mcp/call-server.js'
import { turns } from '../../helpers/turns.js'

let held: HeldDisk
let server: CallServer
const start = async (revision: (typeof REVISIONS)[number]) => {
  held = new HeldDisk()
  server = await CallServer.start(revision, held.disk)
}
afterEach(async () => {
  held.letGo()
  await server.close()
})

/** Lets one write after the other go on until the client has the whole answer. Returns their number. */
async function writesUntil(received: Received, isAnswer: string): Promise<number> {
  for (let writes = 0; ; writes++) {
    await turns(TURNS)
    if (received.isWhole) return writes
    expect(received.text, `after write ${writes}`).not.toContain(isAnswer)
    expect(held.isWriting, `after write ${writes}`).toBe(true)
    await held.letOneGo()
  }
}

/** Counts the reads of the store from now on. */
function countReads(): () => number {
  const before = held.reads
  return () => held.reads - before
}

describe.each(REVISIONS)('a call of %s', (revision) => {
  test('of one function waits for two writes and reads nothing; nothing leaves before its outcome is on disk', async () => {
    await start(revision)
    const reads = countReads()
    held.hold()
    const received = new Received(server.call('add', 1))
    expect(await writesUntil(received, '"n":2')).toBe(2)
    expect(received.text).toContain('"n":2')
    expect([...held.disk.content.keys()].filter((key) => key.startsWith('done/'))).toHaveLength(2)
    expect(reads()).toBe(0)
    // The write behind is the third, and it is in flight.
    expect(held.isWriting).toBe(true)
    held.letGo()
    await untilIdle(server.holdfast)
    expect(server.runs).toEqual([1])
  })

  test('of two steps waits for four writes', async () => {
    await start(revision)
    const reads = countReads()
    held.hold()
    const received = new Received(server.call('steps', 1))
    expect(await writesUntil(received, '"n":3')).toBe(4)
    expect(reads()).toBe(0)
  })

  test('with a `toResult` waits for one more: its answer is stored before it is sent', async () => {
    await start(revision)
    held.hold()
    const received = new Received(server.call('custom', 1))
    expect(await writesUntil(received, 'made of')).toBe(3)
    expect(received.text).toContain('made of')
    expect([...held.disk.content.keys()].filter((key) => key.includes('/mcp/answer/'))).toHaveLength(1)
  })

  test('is not delivered before its response is read: then the same call has its answer', async () => {
    await start(revision)
    const unread = await server.call('add', 1)
    await turns(TURNS)
    expect(server.keys('rejoin')).toHaveLength(1)
    await unread.body?.cancel()
    await untilIdle(server.holdfast)
    expect(server.keys('rejoin')).toHaveLength(1)
    expect(await (await server.call('add', 1)).text()).toContain('"n":2')
    expect(server.runs).toEqual([1])
    await untilIdle(server.holdfast)
    expect(server.keys('rejoin')).toEqual([])
    expect(await (await server.call('add', 1)).text()).toContain('"n":2')
    expect(server.runs).toEqual([1, 1])
  })

  test('whose answer is on its way is not joined by the same call of another request', async () => {
    await start(revision)
    const unread = await server.call('add', 1)
    await turns(TURNS)
    expect(await (await server.call('add', 1)).text()).toContain('"n":2')
    expect(server.runs).toEqual([1, 1])
    expect(await unread.text()).toContain('"n":2')
  })

  test('that was not delivered is found after a restart without a read by each call', async () => {
    await start(revision)
    await (await server.call('add', 1)).body?.cancel()
    await untilIdle(server.holdfast)
    await server.restart()
    await (await server.call('add', 7)).text()
    await untilIdle(server.holdfast)
    const reads = countReads()
    await (await server.call('add', 8)).text()
    expect(reads()).toBe(0)
    expect(await (await server.call('add', 1)).text()).toContain('"n":2')
    expect(server.runs).toEqual([1, 7, 8])
  })
})

test('the write behind deletes the progress of a stream whose answer was read', async () => {
  await start('2025-11-25')
  const before = server.keys('http-event').length
  const text = await (await server.call('steps', 1, { progressToken: 'p' })).text()
  expect(text.match(/notifications\/progress/g)).toHaveLength(2)
  await untilIdle(server.holdfast)
  expect(server.keys('http-event')).toHaveLength(before + 2)
  expect(server.keys('http-open')).toEqual([])
})
