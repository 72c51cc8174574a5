// Goal: the differences of two JSON values are exact, in order, and bounded.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { JsonValue } from '../../../../src/base/json.js'
import { diffJson, type JsonDifference } from '../../../../src/operator/server/json-diff.js'

const BOUNDS = { differencesMax: 10_000, valuesMax: 100_000 }

test('members, items and whole values are compared, with paths as JSON pointers', () => {
  const before = { same: [1], 'a/b': 1, 'c~d': { x: 1 }, list: [1, 2, 3], kind: [1] }
  const after = { same: [1], 'a/b': 2, 'c~d': { y: 1 }, list: [1, 3], kind: { 0: 1 } }
  expect(diffJson(before, after, BOUNDS)).toEqual({
    differences: [
      { path: '/a~1b', kind: 'changed', before: 1, after: 2 },
      { path: '/c~0d/x', kind: 'removed', before: 1 },
      { path: '/c~0d/y', kind: 'added', after: 1 },
      { path: '/list/1', kind: 'changed', before: 2, after: 3 },
      { path: '/list/2', kind: 'removed', before: 3 },
      { path: '/kind', kind: 'changed', before: [1], after: { 0: 1 } },
    ],
    isCut: false,
  })
  expect(diffJson(undefined, 1, BOUNDS).differences).toEqual([{ path: '', kind: 'added', after: 1 }])
  expect(diffJson({ a: 1 }, JSON.parse('{"__proto__": 1, "a": 1}'), BOUNDS).differences).toEqual([
    { path: '/__proto__', kind: 'added', after: 1 },
  ])
})

test('a limit ends the comparison', () => {
  const many = Array.from({ length: 100 }, (_, at) => at)
  expect(diffJson([], many, { ...BOUNDS, differencesMax: 3 })).toMatchObject({
    isCut: true,
    differences: { length: 3 },
  })
  expect(diffJson(many, [...many], { ...BOUNDS, valuesMax: 10 })).toEqual({ differences: [], isCut: true })
})

/** Sets or removes the value at a path. Removals come last, from the end, so that no index moves. */
function patch(value: JsonValue | undefined, differences: readonly JsonDifference[]): unknown {
  const root: Record<string, unknown> = { root: structuredClone(value) }
  const ordered = [
    ...differences.filter(({ kind }) => kind !== 'removed'),
    ...differences.filter(({ kind }) => kind === 'removed').reverse(),
  ]
  for (const { path, kind, after } of ordered) {
    const names = [
      'root',
      ...path
        .split('/')
        .slice(1)
        .map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~')),
    ]
    const last = names.pop() as string
    const parent = names.reduce<Record<string, unknown>>((inner, name) => inner[name] as Record<string, unknown>, root)
    if (kind !== 'removed')
      Object.defineProperty(parent, last, { value: after, enumerable: true, configurable: true, writable: true })
    else if (Array.isArray(parent)) parent.splice(Number(last), 1)
    else delete parent[last]
  }
  return root['root']
}

test('the differences make the one value of the other, for any two values', () => {
  const json = fc.jsonValue({ maxDepth: 4 }) as fc.Arbitrary<JsonValue>
  fc.assert(
    fc.property(json, json, (before, after) => {
      const { differences } = diffJson(before, after, BOUNDS)
      expect(JSON.parse(JSON.stringify(patch(before, differences)))).toEqual(JSON.parse(JSON.stringify(after)))
    }),
  )
})
