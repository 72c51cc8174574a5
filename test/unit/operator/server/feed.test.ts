// Goal: a feed begins with a snapshot, misses no event after it, holds a bounded number of events, and leaves no listener.
import { expect, test } from 'vitest'
import { Feeds } from '../../../../src/operator/server/feed.js'
import { FakeTarget } from '../../../helpers/operator-target.js'

const BOUNDS = { feedsMax: 2, eventsMax: 5, pingMs: 60_000 }

async function open(feeds: Feeds, target: FakeTarget, signal = new AbortController().signal) {
  const response = await feeds.open(target, undefined, signal)
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  const read = async () => {
    const { done, value } = await reader.read()
    if (done) return undefined
    return new TextDecoder()
      .decode(value)
      .split('\n')
      .filter((line) => /^(event|:)/.test(line))
  }
  return { response, reader, read }
}

test('a feed sends the snapshot first, then what happened while it was read, then each event', async () => {
  const feeds = new Feeds(BOUNDS)
  const target = new FakeTarget()
  target.onSnapshot = () => target.publish('task:created')
  const { response, read } = await open(feeds, target)
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  expect(await read()).toEqual(['event: snapshot', 'event: task:created'])
  target.publish('task:started')
  target.publish('task:settled')
  expect([await read(), await read()].flat()).toEqual(['event: task:started', 'event: task:settled'])
  feeds.close('closed', 'over')
})

test('a client that reads too slowly gets the event `cut` in place of what waited, and is forgotten', async () => {
  const feeds = new Feeds(BOUNDS)
  const target = new FakeTarget()
  const { read } = await open(feeds, target)
  for (let i = 0; i < 10; i++) target.publish('task:progress', { i })
  expect(feeds.size).toBe(0)
  expect(target.listeners).toBe(0)
  expect(await read()).toEqual(['event: snapshot'])
  expect(await read()).toEqual(['event: cut'])
  expect(await read()).toBeUndefined()
})

test('a client too many is refused, and an ended one makes room', async () => {
  const feeds = new Feeds(BOUNDS)
  const target = new FakeTarget()
  const hungUp = new AbortController()
  await open(feeds, target, hungUp.signal)
  const { reader } = await open(feeds, target)
  await expect(open(feeds, target)).rejects.toMatchObject({ code: 'OPERATOR_REFUSED', details: { feedsMax: 2 } })
  hungUp.abort()
  expect(feeds.size).toBe(1)
  await open(feeds, target)
  await reader.cancel()
  expect([feeds.size, target.listeners]).toEqual([1, 1])
  feeds.close('closed', 'over')
  expect([feeds.size, target.listeners]).toEqual([0, 0])
})

test('a snapshot that fails leaves no feed and no listener', async () => {
  const feeds = new Feeds(BOUNDS)
  const target = new FakeTarget()
  target.onSnapshot = () => {
    throw new Error('no such task')
  }
  await expect(open(feeds, target)).rejects.toThrow('no such task')
  expect([feeds.size, target.listeners]).toEqual([0, 0])
})

test('a feed without events shows that it works', async () => {
  const feeds = new Feeds({ ...BOUNDS, pingMs: 1 })
  const { read } = await open(feeds, new FakeTarget())
  expect(await read()).toEqual(['event: snapshot'])
  expect(await read()).toEqual([': ping'])
  feeds.close('closed', 'over')
})
