/** A machine whose processes crash at random, and what its recoveries report. */
import { defineTask, type Holdfast, type OpenOptions, type RecoveredTask } from 'holdfast'
import { ManualClock, MemoryDisk, openInMemory } from 'holdfast/testing'
import { expect } from 'vitest'
import { brokenFormatLaws } from './format-laws.js'
import { endOfTime, Notebook, until, within } from './simulation.js'
import { turns } from './turns.js'

/** A machine: its disk, its clock, and a task type whose steps wait for a signal where a test wants it. */
export class Machine {
  clock = new ManualClock()
  readonly notes = new Notebook()
  /** The steps that don't end, by key. */
  readonly held = new Set<string>()
  holdfast: Holdfast | undefined

  constructor(readonly disk = new MemoryDisk()) {}

  /** Two steps, a checkpoint, two steps: `<name>/one` to `<name>/four`. */
  readonly job = defineTask({ name: 'job' }, async (task, name: string) => {
    const ask = async (step: string) => {
      const key = `${name}/${step}`
      const call = () => {
        this.notes.called(key)
        return this.held.has(key) ? new Promise<string>(() => {}) : key
      }
      const value = await task.step(step, call)
      this.notes.answered(key)
      return value
    }
    const first = await ask('one')
    const { got } = (await task.restoreCheckpoint<{ got: string[] }>())?.state ?? { got: [] }
    if (got.length === 0) {
      got.push(first, await ask('two'))
      await task.saveCheckpoint({ got })
    }
    return [...got, await ask('three'), await ask('four')]
  })

  async open(options: Partial<OpenOptions> = {}): Promise<Holdfast> {
    const { disk, clock, notes, job } = this
    // What is killed here is innocent, however often; poison.test.ts is about those that are not.
    const base = { disk, clock, logger: notes.logger, tasks: [job], maximumRecoveries: 1_000 }
    const opening = openInMemory({ ...base, ...options })
    this.holdfast = await within(clock, 'open', opening)
    return this.holdfast
  }

  /** Opens, with a process that may die of it at any write. */
  async openAndDie(): Promise<void> {
    const { disk, clock, notes, job } = this
    const opening = openInMemory({ disk, clock, logger: notes.logger, tasks: [job], maximumRecoveries: 1_000 })
    void opening.then((holdfast) => holdfast.recover())
    for (let turn = 0; turn < 500 && (turn < 20 || disk.isOpen); turn++) await turns(1)
    this.die()
  }

  /** The process dies, and time goes on. */
  die(): void {
    this.disk.crash()
    expect(brokenFormatLaws(this.disk.content)).toEqual([])
    endOfTime(this.clock)
    this.clock = new ManualClock(this.clock.now() + 1_000)
  }

  /** Starts a job that comes to rest in `step`. */
  async startUpTo(step: string, name: string, options = {}): Promise<string> {
    const { holdfast, held, notes, clock, job } = this
    if (!holdfast) throw new Error('No process is running')
    held.add(`${name}/${step}`)
    const { taskId } = await holdfast.start(job, name, options)
    await until(clock, `${name}/${step}`, () => notes.countOf(`${name}/${step}`) > 0)
    await clock.advance(10)
    return taskId
  }

  result(taskId: string, options = {}): Promise<unknown> {
    if (!this.holdfast) throw new Error('No process is running')
    return within(this.clock, `the result of ${taskId}`, this.holdfast.result(taskId, options))
  }

  /** The same disk once more, as it is now. */
  copy(): Machine {
    const disk = new MemoryDisk()
    for (const [key, value] of this.disk.content) disk.damage(key, value)
    const copy = new Machine(disk)
    copy.clock = new ManualClock(this.clock.now() + 1_000)
    return copy
  }
}

export const wholeOutput = (name: string) => ['one', 'two', 'three', 'four'].map((step) => `${name}/${step}`)

export function reported(holdfast: Holdfast): Record<string, Pick<RecoveredTask, 'action' | 'replayed' | 'resumedAt'>> {
  return Object.fromEntries(
    holdfast.recovery.tasks.map(({ taskId, action, replayed, resumedAt }) => [taskId, { action, replayed, resumedAt }]),
  )
}
