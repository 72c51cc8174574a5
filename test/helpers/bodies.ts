/** Bodies that are made up: what a shape says, and the body it stands for. Every value says who asked for it. */
import fc from 'fast-check'
import type { TaskContext } from '../../src/index.js'
import { StepFailedError } from '../../src/index.js'

/** One chain of steps, each asked for once the one before it is answered. */
export interface ChainShape {
  readonly steps: number
  /** Microtasks that pass before its first step, and now and then between two. */
  readonly late: number
  /** Which of its steps throws; none if it has fewer. */
  readonly failing: number
  /** Shifts its names against those of the chains beside it. */
  readonly names: number
  /** Every so-manieth of its steps is deferred; none for 0. */
  readonly deferred: number
}

/** What a body does. */
export interface BodyShape {
  /** Steps before the restore. */
  readonly prefix: number
  /** Every so-manieth of the steps outside chains is deferred; none for 0. */
  readonly deferred: number
  readonly checkpoints: 'none' | 'save' | 'restore' | 'restore and save' | 'restore and prune'
  /** Restores again directly after each save. */
  readonly restoresSaved: boolean
  readonly loops: number
  /** Run side by side in a plain `Promise.all`, in every iteration. */
  readonly chains: readonly ChainShape[]
  readonly race: boolean
  /** Ends as soon as one of two steps is answered. */
  readonly racesToEnd: boolean
  /** Asks for `now()` and `uuid()` after every answer. */
  readonly asksTime: boolean
  /** Calls so often after every answer what is refused. */
  readonly refused: number
  /** Asks so often after every answer for what needs no record. */
  readonly derived: number
}

const chain: fc.Arbitrary<ChainShape> = fc.record({
  steps: fc.integer({ min: 1, max: 4 }),
  late: fc.integer({ min: 0, max: 5 }),
  failing: fc.integer({ min: 0, max: 7 }),
  names: fc.integer({ min: 0, max: 2 }),
  deferred: fc.constantFrom(0, 0, 1, 2, 3),
})

/** Any shape. */
export const bodyShape: fc.Arbitrary<BodyShape> = fc.record({
  prefix: fc.integer({ min: 0, max: 2 }),
  deferred: fc.constantFrom(0, 0, 1, 2),
  checkpoints: fc.constantFrom('none', 'save', 'restore', 'restore and save', 'restore and prune'),
  restoresSaved: fc.boolean(),
  loops: fc.integer({ min: 1, max: 3 }),
  chains: fc.array(chain, { minLength: 1, maxLength: 3 }),
  race: fc.boolean(),
  racesToEnd: fc.boolean(),
  asksTime: fc.boolean(),
  refused: fc.integer({ min: 0, max: 3 }),
  derived: fc.constantFrom(0, 0, 0, 1, 99, 130),
})

/** Who looks on while a body runs. */
export interface Witness {
  /** The function of `who`'s step begins. */
  effect(who: string, isDeferred: boolean): void
  /** The body of a task begins. */
  begins(name: string): void
  /** `who` was answered with `value`. */
  answered(who: string, value: unknown): void
  /** Something a body was told that every run of its task must be told alike. */
  same(what: string, value: unknown): void
  /** Something that no body should ever see. */
  strange(what: string): void
  /** How long a step's function takes. */
  pause(): Promise<unknown>
}

interface State {
  readonly iteration: number
  readonly answers: string[]
}

/** The body of `shape`. Its output is every answer it got, in an order that no timing changes. */
export function makeBody(shape: BodyShape, witness: Witness) {
  const { checkpoints, loops, chains, race, racesToEnd } = shape
  const restores = checkpoints.startsWith('restore')
  const saves = checkpoints !== 'none' && checkpoints !== 'restore'
  const options = { prune: checkpoints === 'restore and prune' }

  return async (task: TaskContext, name: string): Promise<string[]> => {
    witness.begins(name)
    const order: string[] = []
    let asked = 0
    const ask: Ask = async (what, step, about = { fails: false, isDeferred: isEvery(shape.deferred, asked++) }) => {
      const who = `${name}.${what}`
      const answer = await askFor(task, witness, { who, step, ...about, asksTime: shape.asksTime })
      order.push(what)
      for (let at = 0; at < shape.refused; at++) {
        witness.same(`${who}: refusal ${at}`, await refusalOf(task, at))
        order.push(`${what} refused`)
      }
      for (let at = 0; at < shape.derived; at++) await task.now()
      if (shape.derived > 0) order.push(`${what} derived`)
      return answer
    }
    const answers: string[] = []
    for (let at = 0; at < shape.prefix; at++) answers.push(await ask(`prefix.${at}`, 'load'))

    let state: State = { iteration: 0, answers }
    if (restores) state = (await task.restoreCheckpoint<State>())?.state ?? state
    while (state.iteration < loops) {
      const { iteration } = state
      order.length = 0
      if (shape.prefix > 0 || iteration > 0) witness.same(`${name}.${iteration}: now`, await task.now())
      const here = [await task.uuid()]
      const ends = await Promise.all(chains.map((links, index) => runChain(links, `${iteration}.${index}`, ask)))
      here.push(...ends.flat())
      if (race) {
        const both = [ask(`${iteration}.race.0`, 'load'), ask(`${iteration}.race.1`, 'load')]
        witness.same(`${name}.${iteration}: winner`, await Promise.race(both))
        here.push(await ask(`${iteration}.won`, 'load'), ...(await Promise.all(both)))
      }
      witness.same(`${name}.${iteration}: order`, order)
      state = { iteration: iteration + 1, answers: [...state.answers, ...here] }
      if (saves) await task.saveCheckpoint(state, options)
      if (saves && shape.restoresSaved)
        state = (await task.restoreCheckpoint<State>())?.state ?? { ...state, answers: [] }
    }
    if (racesToEnd) await Promise.race([ask('end.0', 'load'), ask('end.1', 'other')])
    return state.answers
  }
}

type Ask = (what: string, step: string, about?: { fails: boolean; isDeferred: boolean }) => Promise<string>

function isEvery(nth: number, at: number): boolean {
  return nth > 0 && at % nth === 0
}

async function runChain(
  { steps, late, failing, names, deferred }: ChainShape,
  what: string,
  ask: Ask,
): Promise<string[]> {
  const answers: string[] = []
  await microtasks(late)
  for (let at = 0; at < steps; at++) {
    const about = { fails: failing === at, isDeferred: isEvery(deferred, at) }
    answers.push(await ask(`${what}.${at}`, (names + at) % 3 === 0 ? 'other' : 'load', about))
    if (at % 2 === 1) await microtasks(2)
  }
  return answers
}

async function askFor(
  task: TaskContext,
  witness: Witness,
  {
    who,
    step,
    fails,
    isDeferred,
    asksTime,
  }: { who: string; step: string; fails: boolean; isDeferred: boolean; asksTime: boolean },
): Promise<string> {
  let answer: unknown
  try {
    const act = async () => {
      witness.effect(who, isDeferred)
      await witness.pause()
      if (fails) throw new Error(who)
      return who
    }
    answer = await task.step(step, act, isDeferred ? { commit: 'deferred' } : {})
  } catch (error) {
    if (!(error instanceof StepFailedError && error.cause instanceof Error)) {
      witness.strange(`${who} was told ${String(error)}`)
      throw error
    }
    answer = error.cause.message
  }
  witness.answered(who, answer)
  if (asksTime) {
    witness.same(`${who}: now`, await task.now())
    witness.same(`${who}: uuid`, await task.uuid())
  }
  return String(answer)
}

/** What a call that is always refused is refused with. */
async function refusalOf(task: TaskContext, at: number): Promise<string> {
  const call = at % 2 === 0 ? task.step('', () => 'never') : task.restoreCheckpoint('cp-none')
  return call.then(
    () => 'not refused',
    (error: Error & { code?: string }) => error.code ?? error.name,
  )
}

async function microtasks(count: number): Promise<void> {
  for (let done = 0; done < count; done++) await null
}
