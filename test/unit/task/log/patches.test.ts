// Goal: the first answer of a segment holds for it, and what a fork copies of the answers is what its records rest on.
// Method: the answers of one run, by hand.
import { describe, expect, test } from 'vitest'
import {
  decodePatches,
  encodePatches,
  PATCHES_PER_SEGMENT_MAX,
  Patches,
  patchesForFork,
} from '../../../../src/task/log/patch-answers.js'

const at = (segment: number, isBehind: boolean, after = -1) => ({ segment, isBehind, after })

describe('patched', () => {
  test('is false behind what an earlier run recorded, true where the body goes on, and then stays', () => {
    const patches = new Patches(new Map())
    expect(patches.answer('x', at(-1, true))).toBe(false)
    expect(patches.answer('x', at(-1, false))).toBe(false)
    expect(patches.answer('y', at(-1, false))).toBe(true)
    expect(patches.answer('y', at(-1, true))).toBe(true)
    expect(patches.answer('x', at(0, false))).toBe(true)
  })

  test('is kept once, all answers of a segment together', () => {
    const patches = new Patches(new Map())
    expect(patches.takeUnkept()).toEqual([])
    patches.answer('x', at(-1, true, 3))
    patches.answer('y', at(0, false, 4))
    const [prefix, first] = patches.takeUnkept()
    expect(prefix?.segment).toBe(-1)
    expect(decodePatches(prefix?.text ?? '')).toEqual(new Map([['x', { isPatched: false, after: 3 }]]))
    expect(first?.segment).toBe(0)
    expect(patches.takeUnkept()).toEqual([])
    patches.answer('z', at(0, false, 5))
    const [more] = patches.takeUnkept()
    expect([...decodePatches(more?.text ?? '').keys()]).toEqual(['y', 'z'])
  })

  test('takes up what earlier runs were answered, in whatever segment, and leaves it as it was handed in', () => {
    const stored = new Map([
      [-1, decodePatches(encodePatches(new Map([['x', { isPatched: false, after: 0 }]])))],
      [2, new Map([['x', { isPatched: true, after: 4 }]])],
    ])
    const patches = new Patches(stored)
    expect(patches.answer('x', at(-1, false))).toBe(false)
    patches.answer('more', at(-1, false))
    expect(patches.answer('x', at(1, true))).toBe(false)
    expect(patches.answer('x', at(2, true))).toBe(true)
    expect(stored.get(-1)?.size).toBe(1)
  })

  test('lets go of the segments that the body has left, but of none that is not kept yet', () => {
    const patches = new Patches(new Map([[0, new Map([['old', { isPatched: false, after: 0 }]])]]))
    patches.answer('x', at(1, false))
    patches.answer('x', at(2, false))
    expect(patches.takeUnkept().map(({ segment }) => segment)).toEqual([1, 2])
    patches.answer('x', at(3, false))
    // Asked again only to look inside: a body never does.
    expect(patches.answer('old', at(0, false))).toBe(true)
    expect(patches.answer('x', at(1, true))).toBe(false)
  })

  test('takes any ID for what it is, and so many of them', () => {
    const patches = new Patches(new Map())
    expect(patches.answer('__proto__', at(0, false))).toBe(true)
    for (let id = 1; id < PATCHES_PER_SEGMENT_MAX; id++) patches.answer(`p${id}`, at(0, false))
    expect(() => patches.answer('one more', at(0, false))).toThrow(
      expect.objectContaining({ code: 'LIMIT_EXCEEDED', details: { id: 'one more', max: PATCHES_PER_SEGMENT_MAX } }),
    )
    expect(patches.answer('p5', at(0, true))).toBe(true)
    expect(patches.answer('one more', at(1, false))).toBe(true)
  })
})

test('a fork copies the answers that were given before its last record was handed over', () => {
  const stored = new Map([
    [-1, new Map([['x', { isPatched: true, after: -1 }]])],
    [1, new Map(Object.entries({ y: { isPatched: false, after: 4 }, z: { isPatched: false, after: 6 } }))],
    [2, new Map([['x', { isPatched: true, after: 8 }]])],
  ])
  const copied = patchesForFork(stored, 6).map(({ segment, text }) => [segment, [...decodePatches(text).keys()]])
  expect(copied).toEqual([
    [-1, ['x']],
    [1, ['y']],
  ])
})
