// Goal: a range of a disk in memory lists the keys that are there, in order, whatever was added and removed before.
// Method: random batches, with few and with many keys between two reads, against a sort of the content.
import { expect, test } from 'vitest'
import { MemoryDisk } from '../../../src/testing/index.js'

const ALL = { gte: '', lt: '\uffff' }

/** A generator of numbers below `end` (xorshift), the same ones for each run. */
function numbers(seed: number) {
  let state = seed
  return (end: number) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return Math.abs(state) % end
  }
}

test.each([1, 2, 3, 4, 5])('pages show the keys in order (seed %i)', async (seed) => {
  const below = numbers(seed)
  const disk = new MemoryDisk(async () => {})
  const level = await disk.open()
  for (let round = 0; round < 60; round++) {
    const batch = level.batch()
    const size = below(10) === 0 ? 200 : 1 + below(3)
    for (let n = 0; n < size; n++) {
      const key = `key ${below(500)}`
      if (below(3) === 0) batch.del(key)
      else batch.put(key, `${round}`)
    }
    await batch.write({ sync: true })
    if (below(4) === 0) disk.damage(`key ${below(500)}`, below(2) === 0 ? undefined : 'damaged')
    const expected = [...disk.content].sort(([one], [other]) => (one < other ? -1 : 1))
    expect(await level.page(ALL, 1_000)).toEqual(expected)
    expect(await level.page({ ...ALL, reverse: true }, 3)).toEqual(expected.reverse().slice(0, 3))
  }
})
