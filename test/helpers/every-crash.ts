/**
 * Plays a scenario once without a crash, and then once for every write it makes, dying before it and after it. Time is
 * in hand: whenever nothing is going on it moves to the next timer, so that hours of waiting pass in a moment.
 */
import { setImmediate as turn } from 'node:timers/promises'
import type { AnyTaskDefinition, Holdfast } from '../../src/index.js'
import { type InMemoryOptions, ManualClock, MemoryDisk, openInMemory } from '../../src/testing/index.js'
import { brokenFormatLaws } from './format-laws.js'

/** What a scenario is. Its definitions are made anew for each play, with effects of their own. */
export interface Scenario<Effects> {
  readonly effects: () => Effects
  readonly tasks: (effects: Effects, clock: ManualClock, disk: MemoryDisk) => readonly AnyTaskDefinition[]
  /** How the store is opened, beside its disk, its clock and the tasks. */
  readonly options?: Pick<InMemoryOptions, 'concurrency' | 'limits'>
  /** Starts the task, under an idempotency key, and does what else is to be done from outside. Played again after a crash. */
  readonly drive: (holdfast: Holdfast) => Promise<string>
  /** Looks around once the task has ended. What it returns is part of the outcome; what it throws fails the play. */
  readonly look?: ((holdfast: Holdfast, taskId: string, disk: MemoryDisk) => Promise<unknown>) | undefined
}

/** How a play ended. */
export interface Played<Effects> {
  readonly where: string
  readonly effects: Effects
  readonly outcome: unknown
  readonly writes: number
}

/** The play without a crash, and all those with one. */
export async function everyCrash<Effects>(
  scenario: Scenario<Effects>,
): Promise<{ calm: Played<Effects>; crashed: Played<Effects>[] }> {
  const calm = await play(scenario, undefined)
  const crashed: Played<Effects>[] = []
  for (let atWrite = 1; atWrite <= calm.writes; atWrite++) {
    for (const applied of [false, true]) crashed.push(await play(scenario, { atWrite, applied }))
  }
  return { calm, crashed }
}

async function play<Effects>(
  { effects: makeEffects, tasks, options = {}, drive, look }: Scenario<Effects>,
  death: { atWrite: number; applied: boolean } | undefined,
): Promise<Played<Effects>> {
  const effects = makeEffects()
  const clock = new ManualClock()
  const disk = new MemoryDisk()
  const where = death ? `write ${death.atWrite}, ${death.applied ? 'after' : 'before'}` : 'no crash'
  if (death) disk.dieAt(death)
  for (let life = 0; life < 3; life++) {
    let over = false
    const end = () => {
      over = true
    }
    disk.onDeath(end)
    const living = live({ ...options, tasks: scenarioTasks(), clock, disk }, disk, { drive, look })
    const outcome = await Promise.race([living, untilQuiet(clock, () => over)])
    const broken = brokenFormatLaws(disk.content)
    if (broken.length > 0) throw new Error(`${where}: ${broken.join('; ')}`)
    // Nobody moves the time of a play that has ended: it would take the processor from those that follow.
    end()
    if (outcome !== undefined) return { where, effects, outcome, writes: disk.writes }
  }
  throw new Error(`${where}: the task did not come to an end`)

  function scenarioTasks() {
    return tasks(effects, clock, disk)
  }
}

async function live(
  options: InMemoryOptions,
  disk: MemoryDisk,
  { drive, look }: Pick<Scenario<unknown>, 'drive' | 'look'>,
): Promise<unknown> {
  const holdfast = await openInMemory(options)
  const taskId = await drive(holdfast)
  const output = await holdfast.result(taskId, { waitParked: true }).then(
    (value) => ({ value }),
    (error: Error) => ({ error: error.message.replaceAll(taskId, 'ID') }),
  )
  const { status, attempt, completedSteps } = await holdfast.get(taskId)
  const log = (await holdfast.steps(taskId)).flatMap(({ segment, steps }) =>
    steps.map(({ kind, name, number, state, attempts }) =>
      kind === 'checkpoint' ? `${segment} checkpoint` : `${segment} ${name}#${number} ${state} after ${attempts}`,
    ),
  )
  const seen = look && { seen: await look(holdfast, taskId, disk) }
  return { ...output, status, attempt, completedSteps, log, ...seen }
}

const QUIET_TURNS = 30

/** Moves time on whenever nothing else moves; ends when the process has died, or the play is over. */
async function untilQuiet(clock: ManualClock, isOver: () => boolean): Promise<undefined> {
  for (let moves = 0; moves < 1_000; moves++) {
    for (let turns = 0; turns < QUIET_TURNS; turns++) {
      if (isOver()) return undefined
      await turn()
    }
    const { nextDueAt } = clock
    if (nextDueAt !== undefined) await clock.advanceTo(nextDueAt)
  }
  throw new Error('Nothing more happens')
}
