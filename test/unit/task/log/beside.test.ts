// Goal: the head counts what lies beside the log, and the status says whether anybody is asked for anything.
// Method: notes, answers and messages go through real decisions, one after the other.
import { describe, expect, test } from 'vitest'
import type { Change, TaskDecision } from '../../../../src/task/changes.js'
import { createTask } from '../../../../src/task/decisions/create.js'
import { transition } from '../../../../src/task/decisions/transition.js'
import type { TaskHead } from '../../../../src/task/head.js'
import { encodeDropped, joinDropped } from '../../../../src/task/log/dropped-records.js'
import type { PendingRecord } from '../../../../src/task/log/pending-record.js'
import { onCancelRecord, type UndoRecord } from '../../../../src/task/log/undo-record.js'
import type { AuxiliaryChanges, RetryPlan } from '../../../../src/task/task-event.js'
import { asked, NO_DROPS, newTask, note, question, receive, step } from '../../../helpers/build-log.js'

const NEW = createTask(newTask(), 0).head
const noted = (head: TaskHead, beside: AuxiliaryChanges) => transition(head, { kind: 'note', run: 1, beside }, 5)
const recorded = (head: TaskHead, beside: AuxiliaryChanges, ask = 0) =>
  transition(head, { kind: 'record', run: 1, record: step('a', { ask }), beside }, 5)
const retried = (head: TaskHead, plan: Partial<RetryPlan>) =>
  transition(head, { kind: 'retry', run: 1, wakeAt: 9, why: 'no', plan: { ...NO_DROPS, ...plan } }, 5)
const answered = (head: TaskHead, ...notes: PendingRecord[]) =>
  transition(head, { kind: 'answer', notes, by: 'alice' }, 5)
const sent = (head: TaskHead, order: number) =>
  transition(head, { kind: 'send', message: { name: 'go', order, text: '1' }, by: 'alice' }, 5)
const written = ({ changes }: TaskDecision) => changes.filter(({ kind }) => kind !== 'head' && kind !== 'audit')
const entries = ({ changes }: TaskDecision) =>
  changes.flatMap((change) => (change.kind === 'audit' ? change.entry : []))

const [one, two] = [question('ok-1'), question('sure-2', { ask: 1 })]
const child = note('child', { ask: 2 }, { child: { taskId: 'task-2', startedAt: 0 } })
const intent: UndoRecord = { ...onCancelRecord(0), id: 'pay', name: 'pay', order: 0 }

describe('notes', () => {
  test('are written when something begins or comes further, and the head says that there are some', () => {
    const [a, b] = [note('a'), note('b', { ask: 1 })]
    const decision = noted(NEW, { begun: [a], changed: [b] })
    expect(decision.head.hasStepStates).toBe(true)
    expect(written(decision)).toEqual([
      { kind: 'note', note: a },
      { kind: 'note', note: b },
    ])
  })

  test('go with the record of what has ended; the head says for good that there were some', () => {
    const decision = recorded(noted(NEW, { begun: [note('a')] }).head, { ended: [note('a')] })
    expect(written(decision)).toMatchObject([{ kind: 'record' }, { kind: 'drop-note', note: { ask: 0 } }])
    expect(decision.head.hasStepStates).toBe(true)
    expect(decision.record).toMatchObject({ kind: 'step', name: 'a', seq: 0 })
  })

  test('cost nothing where there are none', () => {
    const decision = transition(NEW, { kind: 'record', run: 1, record: step('a') }, 5)
    expect(JSON.stringify(decision.head)).not.toMatch(/hasStepStates|inputs|children|intents|messages/)
    expect(JSON.stringify(recorded(NEW, { ended: [note('a')] }).head)).not.toMatch(
      /hasStepStates|inputs|children|intents|messages/,
    )
  })
})

describe('questions', () => {
  test('make the task input_required until the last of them is answered, and each change is an audit entry', () => {
    const first = noted(NEW, { begun: [one] })
    expect(first.head).toMatchObject({ status: 'input_required', inputs: 1, inputsAsked: 1 })
    expect(entries(first)).toEqual([
      { at: 5, action: 'input-required', from: 'running', to: 'input_required', by: 'body' },
    ])
    const second = noted(first.head, { begun: [two] })
    expect(second.head).toMatchObject({ status: 'input_required', inputs: 2, inputsAsked: 2 })
    expect(entries(second)).toEqual([])
    const half = answered(second.head, question('ok-1', {}, '1'))
    expect(half.head).toMatchObject({ status: 'input_required', inputs: 1, inputsAsked: 2 })
    expect(entries(half)).toEqual([{ at: 5, action: 'answered', by: 'alice', why: 'ok-1' }])
    const all = answered(half.head, question('sure-2', { ask: 1 }, ''))
    expect(all.head).toMatchObject({ status: 'running', inputs: undefined, inputsAsked: 2 })
    expect(entries(all)).toEqual([
      { at: 5, action: 'input-over', from: 'input_required', to: 'running', by: 'body' },
      { at: 5, action: 'answered', by: 'alice', why: 'sure-2' },
    ])
  })

  test('may be answered together', () => {
    const answers = [question('ok-1', {}, '1'), question('sure-2', { ask: 1 }, '2')]
    const decision = answered(noted(NEW, { begun: [one, two] }).head, ...answers)
    expect(decision.head).toMatchObject({ status: 'running', inputs: undefined })
    expect(entries(decision)).toContainEqual({ at: 5, action: 'answered', by: 'alice', why: 'ok-1, sure-2' })
    expect(written(decision)).toEqual(answers.map((put): Change => ({ kind: 'note', note: put })))
  })

  test('that were answered are not counted down again when they are recorded', () => {
    const both = noted(NEW, { begun: [one, two] }).head
    const late = recorded(answered(both, question('ok-1', {}, '1')).head, { ended: [question('ok-1', {}, '1')] })
    expect(late.head).toMatchObject({ status: 'input_required', inputs: 1 })
    expect(entries(late)).toEqual([])
  })

  test('that nobody answered in time are over with their record', () => {
    const late = recorded(noted(NEW, { begun: [one] }).head, { ended: [one] })
    expect(late.head).toMatchObject({ status: 'running', inputs: undefined, inputsAsked: 1 })
    expect(entries(late)).toMatchObject([{ action: 'input-over', from: 'input_required', to: 'running' }])
    expect(late.record).toMatchObject({ seq: 0 })
  })

  test('of branches that lost are taken back while the losers are cleaned up', () => {
    const taken = noted(noted(NEW, { begun: [one] }).head, { begun: [note('race', { ask: 1 })], ended: [one] })
    expect(taken.head).toMatchObject({ status: 'running', inputs: undefined })
  })

  test('that go with a retry are asked no more; the next one has a key of its own', () => {
    const again = retried(noted(NEW, { begun: [one, child] }).head, { ended: [one, child] })
    expect(again.head).toMatchObject({ status: 'running', inputs: undefined, inputsAsked: 1, children: undefined })
    expect(entries(again).map(({ action }) => action)).toEqual(['input-over', 'retried'])
  })
})

describe('children', () => {
  test('are counted from their beginning until their record', () => {
    const begun = noted(NEW, { begun: [child, note('a')] }).head
    expect(begun).toMatchObject({ children: 1, status: 'running' })
    expect(noted(begun, { changed: [child] }).head.children).toBe(1)
    expect(recorded(begun, { ended: [note('a')] }).head.children).toBe(1)
    expect(recorded(begun, { ended: [child] }).head.children).toBeUndefined()
  })
})

describe('intents', () => {
  test('are counted once for each step with an undo, and learn their record', () => {
    const begun = noted(NEW, { begun: [note('pay')], intent, isNewIntent: true })
    expect(begun.head.intents).toBe(1)
    expect(written(begun)).toContainEqual({ kind: 'intent', intent })
    const again = noted(begun.head, { changed: [note('pay')], intent })
    expect(again.head.intents).toBe(1)
    const second = recorded(again.head, {}, 1).head
    const ended = recorded(second, { ended: [note('pay')], intent: { ...intent, value: '7' } }, 2)
    expect(written(ended)).toContainEqual({ kind: 'intent', intent: { ...intent, value: '7', record: 1 } })
    expect(ended.head.intents).toBe(1)
  })
})

describe('messages', () => {
  const message = (order: number) => ({ name: 'go', order, text: '"hi"' })

  test('are counted as sent, and as waiting until one receives them', () => {
    const two = sent(sent(NEW, 0).head, 1)
    expect(two.head).toMatchObject({ messages: 2, messagesSent: 2 })
    expect(entries(two)).toEqual([{ at: 5, action: 'message-sent', by: 'alice', why: 'go' }])
    const taken = transition(
      two.head,
      { kind: 'record', run: 1, record: receive('go', 0), beside: { taken: message(0) } },
      6,
    )
    expect(taken.head).toMatchObject({ messages: 1, messagesSent: 2 })
    expect(written(taken)).toMatchObject([{ kind: 'record' }, { kind: 'drop-message', name: 'go', order: 0 }])
    const last = transition(
      taken.head,
      { kind: 'record', run: 1, record: { ...receive('go', 1), ask: 1 }, beside: { taken: message(1) } },
      7,
    )
    expect(last.head).toMatchObject({ messages: undefined, messagesSent: 2 })
  })

  test('keep the idempotency key they were sent under', () => {
    const key = { key: 'k', order: 0, fingerprint: 'f' }
    const decision = transition(NEW, { kind: 'send', message: message(0), key, by: 'alice' }, 5)
    expect(written(decision)).toEqual([
      { kind: 'message', message: message(0) },
      { kind: 'message-key', entry: key },
    ])
  })

  test('that return from a branch that lost wait again', () => {
    const decision = noted({ ...NEW, messagesSent: 3 }, { returned: [message(0), message(2)] })
    expect(decision.head).toMatchObject({ messages: 2, messagesSent: 3 })
    expect(written(decision)).toEqual([0, 2].map((order): Change => ({ kind: 'message', message: message(order) })))
  })

  test('that return from receives that a retry drops are counted at once, and listed to be written back', () => {
    const [from, to] = [
      { segment: -1, seq: 4 },
      { segment: -1, seq: 5 },
    ]
    const dropped = { from, to, numbers: [4, 5], returned: [4, 5] }
    const decision = retried({ ...NEW, messagesSent: 3 }, { messages: 2, dropped })
    expect(decision.head).toMatchObject({ messages: 2, messagesSent: 3, hasDropped: true })
    expect(written(decision)).toEqual([{ kind: 'dropped', text: encodeDropped(dropped) }])
    const earlier = { from: { segment: -1, seq: 1 }, to: { segment: -1, seq: 2 }, numbers: [1, 2] }
    const event = { kind: 'retry', run: 1, wakeAt: 9, why: 'no', plan: { ...NO_DROPS, dropped }, earlier } as const
    expect(written(transition(NEW, event, 5))).toEqual([
      { kind: 'dropped', text: encodeDropped(joinDropped(earlier, dropped)) },
    ])
  })
})

describe('an unloaded task', () => {
  const unloaded = (head: TaskHead, listens: boolean) =>
    transition(head, { kind: 'unload', run: 1, wakeAt: 900, listens }, 8).head

  test('wakes when its time has come', () => {
    expect(unloaded(NEW, false)).toMatchObject({ wakeAt: 900, listens: undefined })
    expect(unloaded(NEW, true)).toMatchObject({ wakeAt: 900, listens: true })
  })

  test('that listens is to be run at once for a message or an answer; one that only sleeps is not', () => {
    const woken = { wakeAt: undefined, listens: undefined, hasNews: true }
    expect(sent(unloaded(NEW, true), 0).head).toMatchObject(woken)
    expect(sent(unloaded(NEW, false), 0).head).toMatchObject({ ...woken, wakeAt: 900 })
    const asking = noted(NEW, { begun: [one] }).head
    expect(answered(unloaded(asking, true), question('ok-1', {}, '1')).head).toMatchObject(woken)
    expect(answered(unloaded(asking, false), question('ok-1', {}, '1')).head).toMatchObject({ ...woken, wakeAt: 900 })
  })

  test('that listens looks at once if something came while it ran: it would miss that', () => {
    expect(unloaded(sent(NEW, 0).head, true)).toMatchObject({ wakeAt: 8, listens: true })
    expect(unloaded(sent(NEW, 0).head, false)).toMatchObject({ wakeAt: 900, listens: undefined })
  })

  test('has heard all the news when its next run begins', () => {
    const waiting = unloaded(sent(NEW, 0).head, true)
    const { head } = transition(waiting, { kind: 'start', run: 2, recovered: false }, 9)
    expect(head).toMatchObject({ run: 2, wakeAt: undefined, listens: undefined, hasNews: undefined, messages: 1 })
  })
})

test('a record that a wait ends in takes its note with it', () => {
  const record = { kind: 'sleep', ...asked('nap'), dueAt: 4 } as const
  const nap = note('nap', {}, { wait: { startedAt: 0, dueAt: 4 } })
  const decision = transition(NEW, { kind: 'record', run: 1, record, beside: { ended: [nap] } }, 5)
  expect(written(decision)).toMatchObject([{ kind: 'record' }, { kind: 'drop-note' }])
  expect(decision.head).toMatchObject({ completedSteps: 0, records: 1 })
})

test('what a binding keeps of a task is written with the task', () => {
  const record = { key: 'beside/task-1/mcp/origin', text: '{}' }
  expect(createTask({ ...newTask(), beside: [record] }, 0).changes).toContainEqual({ kind: 'binding', record })
})
