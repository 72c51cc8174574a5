// Goal: the head of a sleeping task is kept in few bytes, and is the same head.
// Method: heads with random fields set, compared by their values, by what the store writes of them, and by their room.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compactHead } from '../../../src/task/compact-head.js'
import { createTask } from '../../../src/task/decisions/create.js'
import { draftOf, type TaskHead } from '../../../src/task/head.js'
import { encodeFixedPart, encodeMovingPart } from '../../../src/task/head-codec.js'
import { newTask } from '../../helpers/build-log.js'

const plain = createTask(newTask({ startNow: true }), 5).head
const unset = Object.keys(draftOf(plain)).filter((field) => plain[field as keyof TaskHead] === undefined)

test('a compact head has every value of the head, and no room for most of the others', () => {
  expect(unset.length).toBeGreaterThan(30)
  fc.assert(
    fc.property(fc.subarray(unset), (fields) => {
      const head = draftOf({ ...plain, ...Object.fromEntries(fields.map((field) => [field, field])) })
      const compact = compactHead(head)
      expect(draftOf(compact)).toEqual(head)
      expect(encodeMovingPart(compact).length).toBe(encodeMovingPart(head).length)
      expect(encodeFixedPart(compact)).toBe(encodeFixedPart(head))
      expect(Object.keys(compact).length).toBeLessThanOrEqual(26 + fields.length)
      expect(compactHead(compact)).toEqual(compact)
    }),
  )
})
