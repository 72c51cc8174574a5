// Goal: a settlement is announced once, and a clean-up runs only after that. Method: each transition, legal or not.
import { describe, expect, test } from 'vitest'
import { type Cleaning, Settlement } from '../../../../src/engine/state/settlement.js'

const work = (): Cleaning => ({ over: Promise.resolve(), abort: () => {} })

describe('the settlement of a task in memory', () => {
  test('is open at first, and is announced with the outcome', () => {
    const settlement = new Settlement(false)
    expect(settlement).toMatchObject({ isAnnounced: false, outcomeText: undefined, cleaning: undefined })
    settlement.announce('"done"')
    expect(settlement).toMatchObject({ isAnnounced: true, outcomeText: '"done"', cleaning: undefined })
  })

  test('is announced only once', () => {
    const settlement = new Settlement(false)
    settlement.announce('"done"')
    expect(() => settlement.announce('"other"')).toThrow("'announce' from 'announced'")
    settlement.beginCleaning(work())
    expect(() => settlement.announce('"other"')).toThrow("'announce' from 'cleaning'")
    expect(settlement.outcomeText).toBe('"done"')
  })

  test('of a task that was found settled is announced already, without an outcome', () => {
    const settlement = new Settlement(true)
    expect(settlement).toMatchObject({ isAnnounced: true, outcomeText: undefined })
    expect(() => settlement.announce('"done"')).toThrow("'announce' from 'announced'")
  })

  test('has no clean-up while it is open', () => {
    const settlement = new Settlement(false)
    expect(() => settlement.beginCleaning(work())).toThrow("'begin the clean-up' from 'open'")
    settlement.endCleaning(undefined)
    expect(settlement.isAnnounced).toBe(false)
  })

  test.each([
    ['in this process', '"done"'],
    ['before the process began', undefined],
  ])('keeps its outcome through a clean-up, announced %s', (_, outcomeText) => {
    const settlement = new Settlement(outcomeText === undefined)
    if (outcomeText !== undefined) settlement.announce(outcomeText)
    const cleaning = work()
    settlement.beginCleaning(cleaning)
    expect(settlement).toMatchObject({ isAnnounced: true, outcomeText, cleaning })
    settlement.endCleaning(cleaning)
    expect(settlement).toMatchObject({ isAnnounced: true, outcomeText, cleaning: undefined })
  })

  test('keeps the second clean-up when the first one ends', () => {
    const settlement = new Settlement(true)
    const [first, second] = [work(), work()]
    settlement.beginCleaning(first)
    settlement.beginCleaning(second)
    settlement.endCleaning(first)
    expect(settlement.cleaning).toBe(second)
  })
})
