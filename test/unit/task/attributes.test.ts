// Goal: attributes are checked by name, value and number, merge as the page says, and differ in a key exactly where they differ.
// Method: the functions themselves; generated values for keys.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { attributeIndexPrefix } from '../../../src/store/disk/index-keys.js'
import {
  type AttributeValue,
  checkAttributes,
  checkWanted,
  hasAttributes,
  isTitleAndAttributes,
  mergeAttributes,
} from '../../../src/task/attributes.js'

const numbered = (count: number, value: unknown = 1) =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`a${n}`, value]))

describe('attributes to set', () => {
  test('may be texts of 64 bytes, numbers, truth values, and null', () => {
    const given = {
      text: 'é'.repeat(32),
      empty: '',
      number: -1.5,
      yes: true,
      no: false,
      gone: null,
      ['n'.repeat(64)]: 1,
    }
    expect(checkAttributes(given)).toEqual(given)
  })

  test('that are undefined are left out, and a negative zero is a zero', () => {
    expect(Object.entries(checkAttributes({ a: undefined, b: -0 }))).toEqual([['b', 0]])
    expect(Object.is(checkAttributes({ b: -0 })['b'], 0)).toBe(true)
  })

  test.each([
    [{ a: 'é'.repeat(33) }, '`attributes.a` to be 1 to 64 bytes of text without control characters, got 66 bytes'],
    [{ a: Number.POSITIVE_INFINITY }, '`attributes.a` to be a string, a finite number, true or false, got Infinity'],
    [{ ['n'.repeat(65)]: 1 }, 'to be 1 to 64 bytes of text without control characters, got 65 bytes'],
    [numbered(9), '`attributes` to have at most 8 attributes, got 9'],
    [numbered(9, null), '`attributes` to have at most 8 attributes, got 9'],
    [new Map([['a', 1]]), '`attributes` to be an object of values by name, got an object'],
  ])('%j are refused', (given, message) => {
    expect(() => checkAttributes(given)).toThrow(message)
    expect(() => checkAttributes(given)).toThrow(TypeError)
  })

  test('may be eight, while eight others are removed', () => {
    const given = { ...numbered(8), ...Object.fromEntries(Object.keys(numbered(8)).map((name) => [`b${name}`, null])) }
    expect(Object.keys(checkAttributes(given))).toHaveLength(16)
  })
})

describe('the attributes of a list', () => {
  test('are one or two, in the order of their names', () => {
    expect(checkWanted({ b: 1, a: 'x' })).toEqual([
      ['a', 'x'],
      ['b', 1],
    ])
    for (const given of [{}, numbered(3)]) expect(() => checkWanted(given)).toThrow('1 to 2 attributes')
    for (const given of [{ a: null }, { a: undefined }]) expect(() => checkWanted(given)).toThrow('`attributes.a`')
  })

  test('are those of a task only with the same type, and as its own', () => {
    expect(hasAttributes({ a: 3 }, [['a', 3]])).toBe(true)
    expect(hasAttributes({ a: 3 }, [['a', '3']])).toBe(false)
    expect(hasAttributes({}, [['constructor', Object as never]])).toBe(false)
    expect(hasAttributes(undefined, [['a', 3]])).toBe(false)
  })
})

describe('a change', () => {
  test('sets, removes, and leaves the rest, and names what changes', () => {
    const before = { a: 1, b: 2, c: 3 }
    const { attributes, changed } = mergeAttributes(before, { d: 4, b: null, c: 3, a: 'x', e: null, f: undefined })
    expect(Object.entries(attributes)).toEqual([
      ['a', 'x'],
      ['c', 3],
      ['d', 4],
    ])
    expect(changed).toEqual(['d', 'b (removed)', 'a'])
    expect(before).toEqual({ a: 1, b: 2, c: 3 })
  })
})

test('two attributes share a range of keys only if they are equal', () => {
  const value = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
  ) as fc.Arbitrary<AttributeValue>
  const attribute = fc.tuple(fc.string({ minLength: 1, unit: 'grapheme' }), value)
  fc.assert(
    fc.property(attribute, attribute, ([one, value], [other, otherValue]) => {
      const [first, second] = [attributeIndexPrefix(one, value), attributeIndexPrefix(other, otherValue)]
      expect(first === second).toBe(one === other && value === otherValue)
      expect(first.split('/')).toHaveLength(5)
    }),
  )
})

test.each([
  ['neither', undefined, undefined, true],
  ['both', 'Lamp for Ann', { customer: 'a-17' }, true],
  ['a title that is too long', 'x'.repeat(257), undefined, false],
  ['a title that is no text', 7, undefined, false],
  ['attributes that are no object', undefined, 'a-17', false],
  ['a value that is no attribute', undefined, { customer: [1] }, false],
  ['a value that removes an attribute', undefined, { customer: null }, false],
  ['more than fit', undefined, numbered(9), false],
])('a file with %s is read as far as a head may have it', (_, title, attributes, isRight) => {
  expect(isTitleAndAttributes(title, attributes)).toBe(isRight)
})
