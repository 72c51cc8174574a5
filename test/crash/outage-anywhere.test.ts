/**
 * Goal: a disk that refuses writes costs nobody a false answer, a finished step or a stuck task (commit-3, commit-7, commit-8).
 * Method: one scenario on a disk in memory, played with a fault at each of its writes in turn, applied or not: the disk
 * takes writes again at once, later, or only after a crash or a close. What is left is held against a whole run.
 */
import { defineTask, type Holdfast, HoldfastError, type TaskView } from 'holdfast'
import { ManualClock, MemoryDisk, openInMemory } from 'holdfast/testing'
import { describe, expect, test } from 'vitest'
import { brokenFormatLaws } from '../helpers/format-laws.js'
import { endOfTime, isDead, Notebook, Stuck, until, within } from '../helpers/simulation.js'
import { turns } from '../helpers/turns.js'

type Call = 'start A' | 'start B' | 'start C' | 'session S' | 'save C' | 'save S' | 'restore S' | 'cancel C' | 'end S'
type Label = 'A' | 'B' | 'C' | 'S'

/** What a call was told: nothing but the truth, we hope. `pending`: its process ended first. */
type Told = 'yes' | 'pending' | { readonly code: string; readonly unknown: boolean; readonly taskId?: unknown }

/** All that can be known of a task afterwards, without IDs and times. */
interface Final {
  readonly status: string
  readonly outcome: unknown
  readonly steps: readonly string[]
  readonly checkpoints: readonly string[]
  readonly audit: readonly string[]
}

type Finals = Partial<Record<Label, Final>>

/** A disk, the processes that were on it one after the other, and what they were told. */
class World {
  readonly disk = new MemoryDisk()
  readonly notes = new Notebook()
  readonly told: Partial<Record<Call, Told>> = {}
  readonly ids: Partial<Record<Label, string>> = {}
  /** What `get` said of a task whose start was unknown. */
  readonly found: Partial<Record<Label, boolean>> = {}
  clock = new ManualClock()
  openGate: () => void = () => {}
  readonly tasks = definitions(
    this.notes,
    new Promise((resolve) => {
      this.openGate = resolve
    }),
  )

  open(): Promise<Holdfast> {
    const { disk, clock, notes } = this
    return within(clock, 'open', openInMemory({ disk, clock, logger: notes.logger, tasks: this.tasks }))
  }

  /** The process is gone; the next one has a clock of its own. */
  endProcess(): void {
    endOfTime(this.clock)
    this.clock = new ManualClock(this.clock.now() + 1_000)
    this.notes.isDown = false
  }

  /** Makes a call and writes down what it was told. What isn't one of the library's errors fails the test. */
  async call<T>(clock: ManualClock, name: Call, act: () => Promise<T>): Promise<T | undefined> {
    if (isDead(clock)) return new Promise<never>(() => {})
    this.told[name] = 'pending'
    try {
      const value = await within(clock, name, act())
      this.told[name] = 'yes'
      return value
    } catch (error) {
      // Nobody is left to be told.
      if (isDead(clock)) return new Promise<never>(() => {})
      if (!(error instanceof HoldfastError)) throw error
      const { code, details } = error
      this.told[name] = { ...details, code, unknown: error.mayBeWritten }
      return undefined
    }
  }

  /** Starts a task. One whose fate is unknown is looked up as soon as somebody can answer. */
  async start(holdfast: Holdfast, label: Label, name: Call, act: () => Promise<{ taskId: string }>): Promise<void> {
    const { clock } = this
    const started = await this.call(clock, name, act)
    if (started) this.ids[label] = started.taskId
    const told = this.told[name]
    if (typeof told !== 'object' || told.code !== 'START_UNKNOWN') return
    // Known to the caller whatever happens next, so a later process can be asked too.
    this.ids[label] = String(told.taskId)
    this.found[label] = (await lookFor(clock, holdfast, String(told.taskId))) !== undefined
    if (!this.found[label]) delete this.ids[label]
  }
}

function definitions(notes: Notebook, gate: Promise<void>) {
  /** The answer of a step, noted in the body that gets it. */
  const noted = async <T>(key: string, answer: Promise<T>): Promise<T> => {
    try {
      return await answer
    } finally {
      notes.answered(key)
    }
  }
  const loop = defineTask({ name: 'loop' }, async (task) => {
    const ask = <T>(key: string, name: string, value: () => T) => {
      const call = () => {
        notes.called(key)
        return value()
      }
      return noted(key, task.step(name, call))
    }
    const rows = await ask('A/plan', 'plan', () => 3)
    let { row, sum } = (await task.restoreCheckpoint<{ row: number; sum: number }>())?.state ?? { row: 0, sum: 0 }
    while (row < rows) {
      const at = row
      sum += await ask(`A/load ${at}`, 'load', () => 10 ** at)
      row++
      await task.saveCheckpoint({ row, sum }, { prune: row === 2 })
    }
    const refuse = () => {
      throw new Error('not today')
    }
    const failure = await ask('A/publish', 'publish', refuse).catch((error: Error) => error.message)
    return { sum, failure }
  })
  const chains = defineTask({ name: 'chains' }, async (task) => {
    const chain = async (which: string) => {
      const got: string[] = []
      for (let link = 0; link < 3; link++) {
        const key = `B/${which}${link}`
        const call = async () => {
          notes.called(key)
          await turns(which === 'x' ? 3 : 1)
          return key
        }
        got.push(await noted(key, task.step('link', call)))
      }
      return got.join()
    }
    return Promise.all([chain('x'), chain('y'), chain('z')])
  })
  const gated = defineTask({ name: 'gated' }, async (task) => {
    const slow = async () => {
      notes.called('C/slow')
      await gate
      return 'slow'
    }
    const after = () => {
      notes.called('C/after')
      return 'after'
    }
    return [await noted('C/slow', task.step('slow', slow)), await noted('C/after', task.step('after', after))]
  })
  return [loop, chains, gated] as const
}

/** `get`, asked again while the store is down; `undefined` for a task that doesn't exist. */
async function lookFor(clock: ManualClock, holdfast: Holdfast, taskId: string): Promise<TaskView | undefined> {
  const look = async () => {
    for (;;) {
      try {
        return await holdfast.get(taskId)
      } catch (error) {
        if (!(error instanceof HoldfastError)) throw error
        if (error.code === 'TASK_NOT_FOUND') return undefined
        if (error.code !== 'STORE_UNAVAILABLE') throw error
        await turns(2)
      }
    }
  }
  return within(clock, `get ${taskId}`, look())
}

/** The scenario: what a client does, whatever it is told. */
async function play(world: World, holdfast: Holdfast): Promise<void> {
  const { clock, notes, ids, told, tasks } = world
  const [loop, chains, gated] = tasks
  await world.start(holdfast, 'A', 'start A', () => holdfast.start(loop, null, { owner: 'ann' }))
  await Promise.all([
    world.start(holdfast, 'B', 'start B', () => holdfast.start(chains, null, { idempotencyKey: 'b' })),
    world.start(holdfast, 'C', 'start C', () => holdfast.start(gated, null)),
    world.start(holdfast, 'S', 'session S', () => holdfast.createSessionTask({ type: 'talk', owner: 'ann' })),
  ])
  const { C, S } = ids
  if (C !== undefined) {
    await until(clock, 'the slow step', () => notes.countOf('C/slow') > 0)
    await world.call(clock, 'save C', () => holdfast.saveCheckpoint(C, { of: 'C' }))
  }
  if (S !== undefined) {
    await world.call(clock, 'save S', () => holdfast.saveCheckpoint(S, { of: 'S' }))
    if (told['save S'] === 'yes') await world.call(clock, 'restore S', () => holdfast.restoreCheckpoint(S))
  }
  // The step ends while the cancel is on its way.
  const cancelled =
    C === undefined ? undefined : world.call(clock, 'cancel C', () => holdfast.cancel(C, { reason: 'enough' }))
  world.openGate()
  await cancelled
  if (S !== undefined) {
    await world.call(clock, 'end S', () => holdfast.completeSessionTask(S, { kind: 'result', result: 'bye' }))
  }
}

/** Lets every body end, and reads what is left. */
async function finish(world: World, holdfast: Holdfast): Promise<Finals> {
  const { clock, ids } = world
  const finals: Finals = {}
  for (const [label, taskId] of Object.entries(ids) as [Label, string][]) {
    if (!(await lookFor(clock, holdfast, taskId))) continue
    if (label !== 'S') await within(clock, `the result of ${label}`, holdfast.result(taskId).catch(settledError))
    finals[label] = await finalOf(holdfast, taskId)
  }
  return finals
}

function settledError(error: unknown): void {
  if (!(error instanceof HoldfastError) || error.code !== 'TASK_CANCELLED') throw error
}

const KEPT_IN_AUDIT = ['created', 'checkpoint-saved', 'checkpoint-restored', 'completed', 'failed', 'cancelled']

async function finalOf(holdfast: Holdfast, taskId: string): Promise<Final> {
  const { status, outcome } = await holdfast.get(taskId)
  const steps = (await holdfast.steps(taskId)).flatMap(({ segment, steps }) =>
    steps.map(({ kind, name, number, state }) =>
      kind === 'checkpoint' ? `${segment} checkpoint` : `${segment} ${name} ${number} ${state}`,
    ),
  )
  const audit = (await holdfast.audit({ taskId }))
    // Restores by a body are noted behind its back, as often as it runs.
    .filter(({ action, by }) => KEPT_IN_AUDIT.includes(action) && !(action === 'checkpoint-restored' && by === 'body'))
    .map(({ action, by }) => `${action} by ${by}`)
  const checkpoints: string[] = []
  for (const { checkpointId, savedBy } of await holdfast.listCheckpoints(taskId)) {
    const { state } = await holdfast.restoreCheckpoint(taskId, { checkpointId })
    checkpoints.push(`${savedBy} ${JSON.stringify(state)}`)
  }
  return { status, outcome, steps: steps.sort(), checkpoints, audit }
}

// --- what must hold -------------------------------------------------------------------------------------------------

/** Whether the call counts, as far as its caller knows; `undefined` where either is right. */
function counts(told: Told | undefined, applied: boolean): boolean | undefined {
  if (told === undefined) return false
  if (told === 'pending') return undefined
  return told === 'yes' || (told.unknown && applied)
}

function agree(known: boolean | undefined, seen: boolean): boolean {
  return known === undefined || known === seen
}

/** Everything that is wrong with a run, as sentences. */
function judge(world: World, finals: Finals, whole: Finals, outage: Outage, applied: boolean): string[] {
  const { told, found, notes } = world
  const wrong = [...notes.broken, ...brokenFormatLaws(world.disk.content)]
  const say = (holds: boolean, sentence: string) => void (holds || wrong.push(sentence))

  for (const [name, answer] of Object.entries(told)) {
    if (typeof answer !== 'object') continue
    const codes = ['STORE_UNAVAILABLE']
    if (/^(start|session)/.test(name)) codes.push('START_UNKNOWN')
    if (outage === 'ends with a close') codes.push('CLOSED')
    say(codes.includes(answer.code), `'${name}' was refused with ${answer.code}`)
    if (answer.code === 'START_UNKNOWN') say(typeof answer.taskId === 'string', `'${name}' names no task`)
  }
  const starts = { A: 'start A', B: 'start B', C: 'start C', S: 'session S' } as const
  for (const [label, name] of Object.entries(starts) as [Label, Call][]) {
    const exists = counts(told[name], applied)
    say(
      agree(exists, finals[label] !== undefined),
      `'${name}' was told ${show(told[name])}; the task exists: ${!exists}`,
    )
    if (found[label] !== undefined) say(found[label] === exists, `\`get\` told an untruth about ${label}`)
  }
  for (const label of ['A', 'B'] as const) {
    const final = finals[label]
    if (final) say(same(final, whole[label]), `${label} ended differently: ${show(final)}`)
  }

  const { C, S } = finals
  if (C) {
    const isCancelled = C.status === 'cancelled'
    say(agree(counts(told['cancel C'], applied), isCancelled), `'cancel C': ${show(told['cancel C'])}, C: ${show(C)}`)
    const steps = isCancelled ? [] : ['prefix after 1 completed', 'prefix slow 1 completed']
    say(same(C.steps, steps), `C has the steps ${show(C.steps)}`)
    const outcome = isCancelled
      ? { kind: 'cancelled', reason: 'enough' }
      : { kind: 'result', result: ['slow', 'after'] }
    say(same(C.outcome, outcome), `C settled with ${show(C.outcome)}`)
    say(agree(counts(told['save C'], applied), C.checkpoints.includes('client {"of":"C"}')), `'save C' is untrue`)
  }
  if (S) {
    say(agree(counts(told['end S'], applied), S.status === 'completed'), `'end S': ${show(told['end S'])}, ${show(S)}`)
    say(agree(counts(told['save S'], applied), S.checkpoints.includes('client {"of":"S"}')), `'save S' is untrue`)
    if (told['restore S'] === 'yes') say(S.audit.includes('checkpoint-restored by admin'), `'restore S' is not audited`)
  }
  for (const [label, { status, audit }] of Object.entries(finals)) {
    const settled = audit.filter((entry) => /^(completed|failed|cancelled)/.test(entry))
    say(settled.length === (status === 'running' ? 0 : 1), `${label} settled ${settled.length} times`)
    say(audit.filter((entry) => entry.startsWith('created')).length === 1, `${label} was not created once`)
  }
  return wrong
}

function same(one: unknown, other: unknown): boolean {
  return show(one) === show(other)
}

function show(value: unknown): string {
  return JSON.stringify(value) ?? 'nothing'
}

/** A run without a fault. */
async function wholeRun(): Promise<{ finals: Finals; writes: number; world: World }> {
  const world = new World()
  const holdfast = await world.open()
  const opened = world.disk.writes
  await play(world, holdfast)
  await until(world.clock, 'A and B', () => world.notes.countOf('A/publish') > 0)
  const writes = world.disk.writes - opened
  const finals = await finish(world, holdfast)
  await holdfast.close({ grace: 0 })
  return { finals, writes, world }
}

const OUTAGE_TURNS = 60

type Outage = 'is over at once' | 'lasts' | 'ends with a crash' | 'ends with a close'

/** The scenario with a fault at write `atWrite`. Returns what is wrong. */
async function runWith(outage: Outage, atWrite: number, applied: boolean, whole: Finals): Promise<string[]> {
  const world = new World()
  const { disk, notes } = world
  let holdfast = await world.open()
  let outageIsOver = Promise.resolve(false)
  notes.onDown = () => {
    notes.onDown = () => {}
    if (outage === 'is over at once') return
    disk.full = true
    const wait = async () => {
      await turns(OUTAGE_TURNS)
      if (outage === 'ends with a crash') disk.crash()
      if (outage === 'ends with a close') await within(world.clock, 'close', holdfast.close({ grace: 0 }))
      if (outage !== 'lasts') world.endProcess()
      disk.full = false
      return outage !== 'lasts'
    }
    outageIsOver = wait()
  }
  disk.failAt({ atWrite, applied })
  const all = async () => {
    await play(world, holdfast)
    return finish(world, holdfast)
  }
  const scenario = all()
  scenario.catch(() => {})
  const first = await Promise.race([scenario, endOfFirst()])
  let finals = first
  const ended = await outageIsOver
  if (ended || !finals) {
    world.openGate()
    holdfast = await world.open()
    finals = await finish(world, holdfast)
  }
  const wrong = judge(world, finals, whole, outage, applied)
  if (!ended && notes.repeated.length > 0) wrong.push(`called again: ${notes.repeated}`)

  await within(world.clock, 'close', holdfast.close({ grace: 0 }))
  world.endProcess()
  holdfast = await world.open()
  const again = await finish(world, holdfast)
  for (const [label, final] of Object.entries(finals) as [Label, Final][]) {
    const { audit: _, ...before } = final
    const { audit: __, ...after } = again[label] ?? { audit: [] }
    if (!same(before, after)) wrong.push(`after the next open ${label} is ${show(after)} instead of ${show(before)}`)
  }
  await within(world.clock, 'close', holdfast.close({ grace: 0 }))
  return wrong

  async function endOfFirst(): Promise<undefined> {
    for (;;) {
      await turns(5)
      if (await Promise.race([outageIsOver, turns(1).then(() => false)])) return undefined
    }
  }
}

describe('a write that fails, anywhere in a scenario', () => {
  const outages: Outage[] = ['is over at once', 'lasts', 'ends with a crash', 'ends with a close']

  test.each(outages)('costs nobody a false answer, a finished step or a stuck task: the outage %s', async (outage) => {
    const { finals: whole, writes } = await wholeRun()
    const wrong: string[] = []
    let played = 0
    for (let atWrite = 1; atWrite <= writes; atWrite++) {
      for (const applied of [false, true]) {
        played++
        const found = await runWith(outage, atWrite, applied, whole).catch((error: unknown) => {
          if (error instanceof Stuck || error instanceof HoldfastError) return [String(error)]
          throw error
        })
        for (const sentence of found)
          wrong.push(`write ${atWrite}, ${applied ? 'applied' : 'not applied'}: ${sentence}`)
      }
    }
    console.info(`outage that ${outage}: ${played} runs over ${writes} writes`)
    expect(wrong).toEqual([])
  })

  test('the scenario without a fault does what it says', async () => {
    const { finals, world, writes } = await wholeRun()
    expect(Object.values(world.told).every((told) => told === 'yes')).toBe(true)
    expect(finals.A?.outcome).toEqual({
      kind: 'result',
      result: { sum: 111, failure: "Step 'publish' failed: not today" },
    })
    expect(finals.B?.steps).toHaveLength(9)
    expect(finals.C?.status).toBe('cancelled')
    expect(finals.S?.status).toBe('completed')
    expect(world.notes.broken).toEqual([])
    expect(world.notes.repeated).toEqual([])
    expect(writes).toBeGreaterThan(15)
  })
})
