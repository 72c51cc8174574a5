/**
 * Goal: the actions of one key run one after the other, in the order of their calls, and a free key delays nothing.
 * Method: actions that end when the test lets them.
 */
import { expect, test } from 'vitest'
import { KeyedMutex } from '../../../src/base/mutex.js'
import { deferred } from '../../../src/base/promises.js'

/** Actions that note their begin in `begun`, and end when the test calls `end` of their name. */
function actions() {
  const begun: string[] = []
  const ends = new Map<string, ReturnType<typeof deferred<string>>>()
  const action = (name: string) => {
    const end = deferred<string>()
    ends.set(name, end)
    return () => {
      begun.push(name)
      return end.promise
    }
  }
  return { begun, action, end: (name: string) => ends.get(name) as ReturnType<typeof deferred<string>> }
}

test('an action of a free key begins at once, and one of another key does not wait', () => {
  const mutex = new KeyedMutex()
  const { begun, action } = actions()
  void mutex.run('a', action('first'))
  void mutex.run('b', action('other'))
  expect(begun).toEqual(['first', 'other'])
})

test('the actions of a key run in their order, whether the one before succeeded or failed', async () => {
  const mutex = new KeyedMutex()
  const { begun, action, end } = actions()
  const first = mutex.run('a', action('first'))
  const second = mutex.run('a', action('second'))
  const third = mutex.run('a', action('third'))
  end('first').reject(new Error('no'))
  await expect(first).rejects.toThrow('no')
  await Promise.resolve()
  expect(begun).toEqual(['first', 'second'])
  // The key is held by the second action, although the first one has ended.
  end('second').resolve('2')
  expect(await second).toBe('2')
  end('third').resolve('3')
  expect(await third).toBe('3')
  expect(begun).toEqual(['first', 'second', 'third'])
})

test('an action that is called within the begin of another one of its key waits for it', async () => {
  const mutex = new KeyedMutex()
  const { begun, action, end } = actions()
  let inner: Promise<string> | undefined
  const outer = mutex.run('a', () => {
    inner = mutex.run('a', action('inner'))
    return action('outer')()
  })
  expect(begun).toEqual(['outer'])
  end('outer').resolve('')
  await outer
  end('inner').resolve('in')
  expect(await inner).toBe('in')
})

test('an action of several keys waits for each of them, and holds them all', async () => {
  const mutex = new KeyedMutex()
  const { begun, action, end } = actions()
  const first = mutex.run('b', action('first'))
  const both = mutex.runAll(['a', 'b'], action('both'))
  const last = mutex.run('a', action('last'))
  expect(begun).toEqual(['first'])
  end('first').resolve('')
  await first
  end('both').resolve('2')
  expect(await both).toBe('2')
  end('last').resolve('3')
  expect(await last).toBe('3')
  expect(begun).toEqual(['first', 'both', 'last'])
})
