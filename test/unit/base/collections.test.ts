// Goal: a small map and a small set behave like `Map` and `Set`, with none, one and several entries.
// Method: random sequences of calls, each compared with the same calls of `Map` and `Set`.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SmallMap, SmallSet } from '../../../src/base/collections.js'

const calls = fc.array(
  fc.record({ call: fc.constantFrom('set', 'set', 'delete', 'clear'), key: fc.nat(3), value: fc.nat(9) }),
  { maxLength: 20 },
)

test('a small map has the entries of a map, in the same order', () => {
  fc.assert(
    fc.property(calls, (made) => {
      const [small, map] = [new SmallMap<number, number>(), new Map<number, number>()]
      for (const { call, key, value } of made) {
        if (call === 'set') {
          expect(small.set(key, value)).toBe(small)
          map.set(key, value)
        } else if (call === 'delete') expect(small.delete(key)).toBe(map.delete(key))
        else {
          small.clear()
          map.clear()
        }
        expect([...small.keys()]).toEqual([...map.keys()])
        expect([...small.values()]).toEqual([...map.values()])
        expect(small.size).toBe(map.size)
        expect([small.has(key), small.get(key)]).toEqual([map.has(key), map.get(key)])
      }
    }),
  )
})

test('a small set has the items of a set, in the same order', () => {
  const items = [{ id: 0 }, { id: 1 }, { id: 2 }, { id: 3 }]
  fc.assert(
    fc.property(calls, (made) => {
      const [small, set] = [new SmallSet<object>(), new Set<object>()]
      for (const { call, key } of made) {
        const item = items[key] as object
        if (call === 'set') {
          expect(small.add(item)).toBe(small)
          set.add(item)
        } else if (call === 'delete') expect(small.delete(item)).toBe(set.delete(item))
        else {
          small.clear()
          set.clear()
        }
        expect([...small]).toEqual([...set])
        expect([small.size, small.has(item)]).toEqual([set.size, set.has(item)])
      }
    }),
  )
})
