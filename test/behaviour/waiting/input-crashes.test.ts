// Goal: a question is asked once, under a key of its own, and answered once, whatever write the process dies at.
// Method: time in hand; scenarios are played with a crash before and after every write. The answerers of processes that died poll
// for ever, so what waits with `untilIdle` stands in other files.
import { describe, expect, test } from 'vitest'
import { defineTask, type Holdfast, type TaskContext } from '../../../src/index.js'
import { everyCrash } from '../../helpers/every-crash.js'
import { answerAll, NOT_YET } from '../../helpers/waiting.js'

const startMain = async (holdfast: Holdfast) => (await holdfast.start('main', null, { idempotencyKey: 'k' })).taskId

interface Seen {
  /** The question of each key: a key that is used twice shows two. */
  readonly keys: Map<string, Set<string>>
  readonly ran: string[]
}
const seen = (): Seen => ({ keys: new Map(), ran: [] })
const note = ({ keys }: Seen, key: string, question: unknown) =>
  void keys.set(key, (keys.get(key) ?? new Set()).add(JSON.stringify(question)))

/** Plays the body with a crash at every write; every play ends like the one without, and no key meant two questions. */
async function playAsking(
  body: (task: TaskContext, effects: Seen) => unknown,
  answer: (question: { key: string; name: string; request: unknown }, effects: Seen) => unknown,
  options: object = {},
) {
  let current = seen()
  const { calm, crashed } = await everyCrash({
    effects: () => {
      current = seen()
      return current
    },
    tasks: (effects) => [defineTask({ name: 'main', ...options }, (task) => body(task, effects))],
    drive: async (holdfast) => {
      const effects = current
      const taskId = await startMain(holdfast)
      answerAll(holdfast, taskId, (question) => {
        note(effects, question.key, [question.name, question.request])
        return answer(question, effects)
      })
      return taskId
    },
  })
  for (const { where, outcome, effects } of [calm, ...crashed]) {
    expect(inOrder(outcome), where).toEqual(inOrder(calm.outcome))
    for (const [key, questions] of effects.keys) expect([...questions], `${where}: ${key}`).toHaveLength(1)
    expect(effects.keys.size, where).toBe(calm.effects.keys.size)
  }
  return { calm, crashed }
}

/** The order of answers side by side is the answerer's. */
function inOrder(outcome: unknown) {
  const { log, ...rest } = outcome as { log: readonly string[] }
  return { ...rest, log: [...log].sort() }
}

describe('an input, with a crash at every write,', () => {
  test('is asked once, answered once, and its answer is what the body gets in every run', async () => {
    const { calm } = await playAsking(
      async (task) => {
        const first = await task.input<{ yes: boolean }>('ok', { message: 'sure?' })
        return [first, await task.step('after', () => 'done')]
      },
      () => ({ yes: true }),
    )
    expect(calm.outcome).toMatchObject({
      value: [{ yes: true }, 'done'],
      log: ['prefix ok#1 completed after 1', 'prefix after#1 completed after 1'],
    })
    expect([...calm.effects.keys.keys()]).toEqual(['ok'])
  })

  test('among several side by side is answered by its key, in whatever order', async () => {
    const { calm } = await playAsking(
      (task) => Promise.all(['a', 'b', 'c'].map((name) => task.input(name, { of: name }))),
      // The last one first: `a` only once nothing else is open.
      ({ name }, { keys }) => (name === 'a' && keys.size < 3 ? NOT_YET : `answer ${name}`),
    )
    expect(calm.outcome).toMatchObject({ value: ['answer a', 'answer b', 'answer c'], status: 'completed' })
    expect([...calm.effects.keys.keys()].sort()).toEqual(['a', 'b', 'c'])
  })

  test('in a loop has another key each time', async () => {
    const { calm } = await playAsking(
      async (task) => {
        const answers = []
        for (let n = 0; n < 3; n++) answers.push(await task.input('next', { n }))
        return answers
      },
      ({ request }) => (request as { n: number }).n * 10,
    )
    expect(calm.outcome).toMatchObject({ value: [0, 10, 20] })
    expect([...calm.effects.keys.keys()]).toEqual(['next', 'next-2', 'next-3'])
  })

  test('that a retry of the task drops is asked again under a new key', async () => {
    const { calm } = await playAsking(
      async (task) => {
        try {
          const attempt = await task.input('kept', 0)
          await task.step('boom', () => {
            if (task.attempt === 1) throw new Error('boom')
          })
          return [attempt, await task.input('why', 'after')]
        } catch (error) {
          // Asked after the failure that escapes: the next attempt knows nothing of it.
          await task.input('why', 'before')
          throw error
        }
      },
      ({ name, request }) => `${name} ${String(request)}`,
      { retry: { maximumAttempts: 2, initialInterval: '10s' } },
    )
    expect(calm.outcome).toMatchObject({ value: ['kept 0', 'why after'], attempt: 2 })
    expect([...calm.effects.keys.keys()]).toEqual(['kept', 'why', 'why-3'])
  })

  test('that waits beside a step that fails the attempt keeps its key and its answer', async () => {
    let answered = false
    const { calm } = await playAsking(
      async (task) => {
        const asked = task.input('beside')
        await task.sleep('a while', '20s')
        await task.step('boom', () => {
          if (task.attempt === 1) throw new Error('boom')
        })
        return asked
      },
      // Asked in the first attempt, answered in the second.
      ({ key }, { keys }) => {
        answered = keys.has(key)
        return 'kept'
      },
      { retry: { maximumAttempts: 2, initialInterval: '10s' } },
    )
    expect(answered).toBe(true)
    expect(calm.outcome).toMatchObject({ value: 'kept', attempt: 2 })
    expect([...calm.effects.keys.keys()]).toEqual(['beside'])
  })

  test('in branches has its own answer in each, and an inner one too', async () => {
    const { calm } = await playAsking(
      (task) =>
        task.all({
          a: (branch) => branch.input('ok', 'a'),
          b: async (branch) => [
            await branch.input('ok', 'b'),
            await branch.all({ c: (inner) => inner.input('ok', 'c') }),
          ],
        }),
      ({ request }) => `to ${String(request)}`,
    )
    expect(calm.outcome).toMatchObject({ value: { a: 'to a', b: ['to b', { c: 'to c' }] } })
  })

  test('that times out fails with INPUT_TIMEOUT, which the body may catch', async () => {
    const { calm } = await playAsking(
      async (task) => {
        const code = (error: { code: string }) => error.code
        const late = await task.input('late', 1, { timeout: '5s' }).catch(code)
        return [late, await task.input('later', 2, { timeout: '61s' }).catch(code)]
      },
      () => NOT_YET,
    )
    expect(calm.outcome).toMatchObject({ value: ['INPUT_TIMEOUT', 'INPUT_TIMEOUT'] })
  })

  test('of a branch that lost is asked no more', async () => {
    const { calm } = await playAsking(
      (task) =>
        task.race({
          answer: (branch) => branch.input('ok'),
          time: async (branch) => {
            await branch.sleep('short', '10s')
            return 'nobody answered'
          },
        }),
      () => NOT_YET,
    )
    expect(calm.outcome).toMatchObject({ value: 'nobody answered', status: 'completed' })
  })

  test('answers that are null, empty and undefined come as they are', async () => {
    const answers = [null, '', undefined]
    const { calm } = await playAsking(
      async (task) => {
        const got = []
        for (const [n] of answers.entries()) got.push(String(JSON.stringify(await task.input('any', n))))
        return got
      },
      ({ request }) => answers[request as number],
    )
    expect(calm.outcome).toMatchObject({ value: ['null', '""', 'undefined'] })
  })
})
