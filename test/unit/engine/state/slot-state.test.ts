// Goal: a task in memory is never in a combination of queue, slot and run that the scheduler does not count.
// Method: each transition from each state, against a table of the legal ones.
import { describe, expect, test } from 'vitest'
import { type ActiveRun, SlotState } from '../../../../src/engine/state/slot-state.js'

const RUN = { isOver: false } as ActiveRun
const IDLE_RUN = { endsAt: 0, unload: () => {} }
const SLOT = Promise.resolve()

const TIMER = { kind: 'asleep', cancel: () => {} } as const

type Name = SlotState['kind'] | 'loading'

/** Brings a new task into each state. */
const INTO: Record<Name, () => SlotState> = {
  idle: () => new SlotState(),
  asleep: () => made((slot) => slot.sleep(TIMER)),
  queued: () => made((slot) => slot.queue()),
  loading: () => made((slot) => slot.begin(), 'queued'),
  running: () => made((slot) => slot.load(RUN), 'loading'),
  waiting: () => made((slot) => slot.rest(IDLE_RUN), 'running'),
  waking: () => made((slot) => slot.wake(IDLE_RUN, SLOT), 'waiting'),
  unloading: () => made((slot) => slot.unload(), 'running'),
}

function made(act: (slot: SlotState) => void, from: Name = 'idle'): SlotState {
  const slot = INTO[from]()
  act(slot)
  return slot
}

const nameOf = ({ kind, run }: SlotState) => (kind === 'running' && !run ? 'loading' : kind)

const TRANSITIONS: Record<string, (slot: SlotState) => unknown> = {
  sleep: (slot) => slot.sleep(TIMER),
  cancelTimer: (slot) => slot.cancelTimer(),
  queue: (slot) => slot.queue(),
  leaveQueue: (slot) => slot.leaveQueue(),
  begin: (slot) => slot.begin(),
  load: (slot) => slot.load(RUN),
  rest: (slot) => slot.rest(IDLE_RUN),
  wake: (slot) => slot.wake(IDLE_RUN, SLOT),
  resume: (slot) => slot.resume(),
  unload: (slot) => slot.unload(),
  end: (slot) => slot.end(),
  noteNews: (slot) => slot.noteNews(),
}

/** The state after each legal transition. The others throw, and leave the state as it was. */
const LEGAL: Record<string, Partial<Record<Name, Name>>> = {
  sleep: { idle: 'asleep', asleep: 'asleep' },
  cancelTimer: {
    ...{ idle: 'idle', asleep: 'idle', queued: 'queued', loading: 'loading' },
    ...{ running: 'running', waiting: 'waiting', waking: 'waking', unloading: 'unloading' },
  },
  queue: { idle: 'queued', asleep: 'queued' },
  leaveQueue: {
    ...{ idle: 'idle', asleep: 'idle', queued: 'idle', loading: 'loading' },
    ...{ running: 'running', waiting: 'waiting', waking: 'waiting', unloading: 'unloading' },
  },
  begin: { idle: 'loading', queued: 'loading' },
  load: { loading: 'running' },
  rest: { running: 'waiting', waiting: 'waiting', waking: 'waking' },
  wake: { waiting: 'waking' },
  resume: { waking: 'running' },
  unload: { loading: 'unloading', running: 'unloading', waiting: 'unloading', waking: 'unloading' },
  end: { loading: 'idle', running: 'idle', waiting: 'idle', waking: 'idle', unloading: 'idle' },
  noteNews: {
    ...{ queued: 'queued', loading: 'loading', running: 'running' },
    ...{ waiting: 'waiting', waking: 'waking', unloading: 'unloading' },
  },
}

const CASES = Object.keys(TRANSITIONS).flatMap((transition) =>
  (Object.keys(INTO) as Name[]).map((from) => ({ transition, from, to: LEGAL[transition]?.[from] })),
)

describe('the slot of a task in memory', () => {
  test.each(CASES)('$transition from $from: $to', ({ transition, from, to }) => {
    const slot = INTO[from]()
    const act = () => TRANSITIONS[transition]?.(slot)
    if (to) act()
    else expect(act).toThrow('Illegal transition')
    expect(nameOf(slot)).toBe(to ?? from)
  })

  test.each([
    ['idle', false, false, false],
    ['asleep', false, false, false],
    ['queued', true, false, false],
    ['loading', true, true, false],
    ['running', true, true, true],
    ['waiting', true, true, true],
    ['waking', true, true, true],
    ['unloading', true, false, false],
  ] as const)('%s: is scheduled %s, is loaded %s, has a run %s', (name, isScheduled, isLoaded, hasRun) => {
    const slot = INTO[name]()
    expect(slot).toMatchObject({ isScheduled, isLoaded, run: hasRun ? RUN : undefined })
  })

  test('has an idle run only while the run waits, and a promise only while it waits for a slot', () => {
    const names = Object.keys(INTO) as Name[]
    expect(names.filter((name) => INTO[name]().idleRun)).toEqual(['waiting', 'waking'])
    expect(names.filter((name) => INTO[name]().awaited)).toEqual(['waking'])
  })

  test('says if the run held a slot before it only waits', () => {
    expect(INTO.running().rest(IDLE_RUN)).toBe(true)
    expect(INTO.waiting().rest(IDLE_RUN)).toBe(false)
    expect(INTO.waking().rest(IDLE_RUN)).toBe(false)
  })

  test('is not given to a run that is over', () => {
    const run = { isOver: false }
    const slot = made((slot) => slot.load(run as ActiveRun), 'loading')
    slot.rest(IDLE_RUN)
    slot.wake(IDLE_RUN, SLOT)
    run.isOver = true
    expect(slot.resume()).toBe(false)
    expect(slot.kind).toBe('waiting')
  })

  test.each([
    ['queue', (slot: SlotState) => slot.queue()],
    ['leaveQueue', (slot: SlotState) => slot.leaveQueue()],
    ['sleep', (slot: SlotState) => slot.sleep(TIMER)],
  ] as const)('cancels its timer on %s', (_, act) => {
    let cancelled = 0
    const slot = made((slot) => slot.sleep({ kind: 'asleep', cancel: () => void cancelled++ }))
    act(slot)
    expect(cancelled).toBe(1)
  })

  test('keeps news for the end of the run, except news from before the log was loaded', () => {
    const early = INTO.queued()
    early.noteNews()
    early.begin()
    early.noteNews()
    early.load(RUN)
    expect(early.end()).toBe(false)
    const late = INTO.unloading()
    late.noteNews()
    expect(late.end()).toBe(true)
    late.queue()
    late.begin()
    expect(late.end()).toBe(false)
  })

  test('forgets news when the task leaves the queue', () => {
    const slot = INTO.queued()
    slot.noteNews()
    slot.leaveQueue()
    slot.begin()
    expect(slot.end()).toBe(false)
  })
})
