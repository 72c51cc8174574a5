// Goal: the kept events of a session are a queue: an event costs the same, however many events and open streams there are.
// Method: the class alone. What an event costs is the number of events that are looked at.
import { describe, expect, test } from 'vitest'
import { Queue } from '../../../src/base/collections.js'
import { type Kept, KeptEvents } from '../../../src/mcp/rev-2025-11-25/http/kept-events.js'

const LIMITS = { eventBytesMax: 1_000_000, eventTtlMs: 1_000 }

/** Kept events of streams that have a newest event each, and the number of events that were looked at. */
function keptEvents(eventsMax: number, isOpen: (stream: string) => boolean) {
  const newest = new Map<string, number>()
  let looks = 0
  const kept = new KeptEvents({ ...LIMITS, eventsMax }, ({ stream, number }) => {
    looks++
    return isOpen(stream) && newest.get(stream) === number
  })
  const add = (stream: string, more: Partial<Kept> = {}) => {
    const number = (newest.get(stream) ?? -1) + 1
    newest.set(stream, number)
    return kept.add({ stream, number, at: 0, bytes: 1, ...more })
  }
  return { kept, add, looks: () => looks }
}

describe('kept events', () => {
  test('look at a fixed number of events for each that is added, beside any number of open streams', () => {
    const { add, looks } = keptEvents(2_000, (stream) => stream.startsWith('open'))
    for (let n = 0; n < 1_500; n++) add(`open ${n}`)
    for (let n = 0; n < 500; n++) add('ended')
    expect(looks()).toBe(0)
    for (let n = 0; n < 10_000; n++) expect(add('ended').map(({ stream }) => stream)).toEqual(['ended'])
    // Each open stream once, and each event that went.
    expect(looks()).toBeLessThanOrEqual(1_500 + 10_000)
  })

  test('copy none of them for an event that takes the place of another', () => {
    const { add } = keptEvents(5_000, () => false)
    for (let n = 0; n < 5_000; n++) add('ended')
    const { filter } = Array.prototype
    let filtered = 0
    Array.prototype.filter = function (this: unknown[], ...given: Parameters<typeof filter>) {
      filtered += this.length
      return filter.apply(this, given)
    } as typeof filter
    try {
      for (let n = 0; n < 1_000; n++) add('ended')
    } finally {
      Array.prototype.filter = filter
    }
    expect(filtered).toBe(0)
  })

  test('let an event go that was held, once its stream continues or ends', () => {
    const { kept, add } = keptEvents(2, (stream) => stream !== 'c')
    add('a')
    add('b')
    expect(add('c').map(({ stream }) => stream)).toEqual([])
    expect(add('a').map(({ stream, number }) => [stream, number])).toEqual([
      ['a', 0],
      ['c', 0],
    ])
    kept.release('b')
    expect(kept.age(5_000, () => true)).toEqual([])
  })

  test('drop the progress of a stream, in time that does not depend on the other events', () => {
    const { kept, add } = keptEvents(10_000, () => false)
    for (let n = 0; n < 3_000; n++) {
      add('one', { isProgress: true })
      add('other')
    }
    add('one')
    expect(kept.dropProgress('one')).toHaveLength(3_000)
    expect(kept.dropProgress('one')).toEqual([])
    expect(kept.age(5_000, () => true).map(({ stream }) => stream)).toHaveLength(3_001)
    expect(kept.canAge).toBe(false)
  })
})

test('a queue gives its entries in their order, and keeps none of those that were taken out', () => {
  const queue = new Queue<number>()
  for (let n = 0; n < 1_000; n++) queue.push(n)
  for (let n = 0; n < 900; n++) expect(queue.shift()).toBe(n)
  expect([queue.size, queue.first]).toEqual([100, 900])
  queue.filter((n) => n % 10 === 0)
  expect([...queue]).toEqual([900, 910, 920, 930, 940, 950, 960, 970, 980, 990])
  while (queue.size > 0) queue.shift()
  expect([queue.first, queue.shift()]).toEqual([undefined, undefined])
})
