/**
 * The demo's claims, checked. Pure: the journal, what the task put out, and a straight computation go in; what holds
 * and what doesn't comes out. What the steps did is read from the journal, never asked of the engine.
 */
import { isDeepStrictEqual } from 'node:util'
import { type Summary, totalOf } from './flights.js'
import type { JournalEntry } from './journal.js'

/** What the claims are checked against. */
export interface Evidence {
  readonly journal: readonly JournalEntry[]
  readonly steps: number
  readonly output: { readonly flights: number; readonly summary: Summary }
  /** How often the task settled, by the audit. */
  readonly settled: number
  /** The same, computed in one go and without a crash. */
  readonly straight: { readonly flights: number; readonly summary: Summary }
}

/** One claim; `broken` says how, if it doesn't hold. */
export interface Claim {
  readonly claim: string
  readonly broken: string | undefined
}

/** A process that died, and how the next one went on. */
export interface Crash {
  /** The last step that it began. */
  readonly step: number
  /** `inside`: that step was begun and not recorded, so it had to run again. `between`: it was recorded. */
  readonly where: 'inside' | 'between'
  /** The first step that the next process began. */
  readonly resumedAt: number
}

type Of<Kind extends JournalEntry['kind']> = Extract<JournalEntry, { kind: Kind }>

/** The crashes that a journal shows: wherever one process stops and another goes on. */
export function crashesIn(journal: readonly JournalEntry[]): Crash[] {
  const crashes: Crash[] = []
  let last: Of<'begun'> | undefined
  for (const entry of journal.filter(isKind('begun'))) {
    if (last && last.run !== entry.run) {
      crashes.push({ step: last.step, where: entry.step === last.step ? 'inside' : 'between', resumedAt: entry.step })
    }
    last = entry
  }
  return crashes
}

/** Checks every claim. */
export function checkClaims({ journal, steps, output, settled, straight }: Evidence): Claim[] {
  const crashes = crashesIn(journal)
  const begun = countSteps(journal.filter(isKind('begun')))
  const effects = countSteps(journal.filter(isKind('effect')))
  const told = countSteps(journal.filter(isKind('recorded')))
  const interrupted = countSteps(crashes.filter(({ where }) => where === 'inside'))
  const all = Array.from({ length: steps }, (_, index) => index + 1)

  const times = (step: number, counts: Map<number, number>) => counts.get(step) ?? 0
  const missing = all.filter((step) => times(step, effects) === 0)
  const twice = all.filter((step) => times(step, effects) > 1 + times(step, interrupted))
  const rerun = [...begun.keys()].filter((step) => times(step, begun) !== 1 + times(step, interrupted))
  const doubled = [...interrupted.keys()].filter((step) => times(step, effects) > 1)
  const between = crashes.filter(({ where }) => where === 'between').length

  return [
    {
      claim: `The totals are the same: ${straight.flights.toLocaleString('en')} flights in ${Object.keys(straight.summary).length} groups`,
      broken: differenceOf(output, straight),
    },
    { claim: `Each of the ${steps} steps left its effect`, broken: listOf(missing, 'left none') },
    { claim: 'What the effects add up to is the same too', broken: effectsDifference(journal, straight.summary) },
    {
      claim: `No step began again once it was recorded; acknowledged: ${told.size} of ${steps}`,
      broken: listOf(begunAfterRecord(journal), 'did') ?? tooFewTold(told.size, steps - crashes.length),
    },
    {
      claim: `Every effect is there exactly once unless a kill fell inside its step; ${count(between, 'kill')} fell between steps`,
      broken: listOf(twice, 'left more'),
    },
    {
      claim: `${count(interrupted.size, 'step')} had to be run again because a kill fell inside; effects left twice: ${doubled.length}`,
      broken: listOf(rerun, 'began more often than the kills inside explain'),
    },
    {
      claim: 'Every step had an idempotency key of its own, and kept it when it was run again',
      broken: listOf(stepsWithWrongKeys(journal), 'did not'),
    },
    { claim: 'The task settled once', broken: settled === 1 ? undefined : `by its audit it settled ${settled} times` },
  ]
}

function differenceOf(output: Evidence['output'], straight: Evidence['straight']): string | undefined {
  if (output.flights !== straight.flights) return `${output.flights} flights instead of ${straight.flights}`
  const names = new Set([...Object.keys(output.summary), ...Object.keys(straight.summary)])
  const wrong = [...names].filter((name) => !isDeepStrictEqual(output.summary[name], straight.summary[name]))
  return wrong.length === 0 ? undefined : `${count(wrong.length, 'group')} wrong, first of all '${wrong[0]}'`
}

function effectsDifference(journal: readonly JournalEntry[], straight: Summary): string | undefined {
  const byStep = new Map(journal.filter(isKind('effect')).map((effect) => [effect.step, effect]))
  const sum = { flights: 0, delayMinutes: 0 }
  for (const { flights, delayMinutes } of byStep.values()) {
    sum.flights += flights
    sum.delayMinutes += delayMinutes
  }
  const { flights, delayMinutes } = totalOf(straight)
  if (sum.flights === flights && sum.delayMinutes === delayMinutes) return undefined
  return `${sum.flights} flights and ${sum.delayMinutes} minutes instead of ${flights} and ${delayMinutes}`
}

function begunAfterRecord(journal: readonly JournalEntry[]): number[] {
  const recorded = new Set<number>()
  const again = new Set<number>()
  for (const entry of journal) {
    if (entry.kind === 'recorded') recorded.add(entry.step)
    else if (entry.kind === 'begun' && recorded.has(entry.step)) again.add(entry.step)
  }
  return [...again]
}

// A kill may come before one acknowledgement; with more of them missing, the claim would be about nothing.
function tooFewTold(told: number, toldMin: number): string | undefined {
  return told < toldMin ? `at least ${toldMin} should have been` : undefined
}

function stepsWithWrongKeys(journal: readonly JournalEntry[]): number[] {
  const keyOf = new Map<number, string>()
  const stepOf = new Map<string, number>()
  const wrong = new Set<number>()
  for (const entry of journal) {
    if (entry.kind !== 'begun' && entry.kind !== 'effect') continue
    const { step, key } = entry
    if ((keyOf.get(step) ?? key) !== key || (stepOf.get(key) ?? step) !== step) wrong.add(step)
    keyOf.set(step, key)
    stepOf.set(key, step)
  }
  return [...wrong]
}

function isKind<Kind extends JournalEntry['kind']>(kind: Kind) {
  return (entry: JournalEntry): entry is Of<Kind> => entry.kind === kind
}

function countSteps(entries: readonly { readonly step: number }[]): Map<number, number> {
  const counts = new Map<number, number>()
  for (const { step } of entries) counts.set(step, (counts.get(step) ?? 0) + 1)
  return counts
}

function listOf(steps: readonly number[], did: string): string | undefined {
  if (steps.length === 0) return undefined
  const shown = steps.slice(0, 5).join(', ')
  return `${count(steps.length, 'step')} ${did}: ${shown}${steps.length > 5 ? ', …' : ''}`
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
