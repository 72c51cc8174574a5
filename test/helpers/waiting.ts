/** What the tests of inputs and messages share: turns, a promise looked at without waiting for it, somebody who answers. */

import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '../../src/base/clock.js'
import type { Holdfast } from '../../src/index.js'
import { ManualClock, MemoryDisk } from '../../src/testing/index.js'
import { turns } from './turns.js'

/** What a promise came to within some turns: its value, its error's code, or that it is pending. */
export async function cameTo(promise: Promise<unknown>, count = 400): Promise<unknown> {
  let end: unknown = 'pending'
  promise.then(
    (value) => {
      end = { value }
    },
    (error: { code?: string; name: string }) => {
      end = { code: error.code ?? error.name }
    },
  )
  await turns(count)
  return end
}

/** The keys of what a task asks for, in the order in which it asked. */
export async function keysOf(holdfast: Holdfast, taskId: string): Promise<string[]> {
  return Object.keys((await holdfast.get(taskId)).inputRequests ?? {})
}

/** Answers every input of the task, as it is asked for, until the task settles or the process dies. */
export function answerAll(
  holdfast: Holdfast,
  taskId: string,
  answer: (request: { key: string; name: string; request: unknown }) => unknown,
): void {
  const answering = async () => {
    for (;;) {
      const { inputRequests = {}, settledAt } = await holdfast.get(taskId)
      if (settledAt !== undefined) return
      for (const [key, { name, request }] of Object.entries(inputRequests)) {
        const value = answer({ key, name, request })
        if (value !== NOT_YET) await holdfast.respond(taskId, { [key]: value })
      }
      await turns(4)
    }
  }
  answering().catch(() => {})
}

/** What an answerer says to leave a question open. */
export const NOT_YET = Symbol('not yet')

/** A disk whose writes can be held back, so that what is decided meanwhile meets in one batch. */
export class SlowDisk extends MemoryDisk {
  #gate: Promise<void> | undefined
  #open = () => {}

  constructor() {
    super(() => this.#gate ?? turn())
  }

  /** From now on no write is acknowledged … */
  hold(): void {
    this.#gate = new Promise((resolve) => {
      this.#open = resolve
    })
  }

  /** … until now. */
  resume(): void {
    this.#gate = undefined
    this.#open()
  }
}

/** A clock that can be past an instant whose timers have not fired: the event loop is behind. */
export class BusyClock implements Clock {
  readonly #manual = new ManualClock()
  #behind = 0

  now(): number {
    return this.#manual.now() + this.#behind
  }

  setTimer(...args: Parameters<Clock['setTimer']>): () => void {
    return this.#manual.setTimer(...args)
  }

  advance(ms: number): Promise<void> {
    return this.#manual.advance(ms)
  }

  /** The time is `ms` later, and no timer has fired yet. */
  fallBehind(ms: number): void {
    this.#behind += ms
  }
}
