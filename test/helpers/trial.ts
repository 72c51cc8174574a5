/**
 * Runs a made-up body on a disk in memory, kills it and closes it, again and again on what the run before left, until
 * its tasks are done, and notes every law of the log that was broken:
 *
 * L1. Each chain gets its own answers, in every run.
 * L2. A recorded step never runs again; within one process no step runs twice; nothing begins in a dead or closing one.
 * L3. Every effect of a run without crashes happens at least once, and the output is that run's.
 * L4. What `now()`, `uuid()` and a race said once after an answer that is on disk, they say in every run.
 * L6. A step that is not deferred begins only when every answer that its body was handed is on disk.
 * L5. No task is parked, fails, or stalls, and no body is told what the engine is going through.
 *
 * All waits are turns of the event loop, counted from the seed, so a trial that fails, fails again in the same way;
 * `timers` gives that up.
 */
import type { Clock } from '../../src/base/clock.js'
import { createIds } from '../../src/base/ids.js'
import { defineTask, type Holdfast } from '../../src/index.js'
import { unseal } from '../../src/store/integrity/envelope.js'
import { decodeRecord } from '../../src/task/log/records.js'
import { MemoryDisk, openInMemory } from '../../src/testing/index.js'
import { type BodyShape, makeBody, type Witness } from './bodies.js'
import { brokenFormatLaws } from './format-laws.js'

/** A body and everything that happens to it. */
export interface TrialShape {
  readonly body: BodyShape
  /** How many tasks run the body side by side. */
  readonly tasks: number
  /** How many of them at a time. */
  readonly concurrency: number
  /** Each process dies at its k-th write, or later if the one before it got nowhere. */
  readonly everyWrites: number
  /** Whether the write that a process dies at reaches the disk. */
  readonly dies: 'before' | 'after' | 'either'
  /** How often a process is closed instead of killed. */
  readonly closes: number
  /** Only the first process dies. */
  readonly once?: boolean
  /** Latencies are timers of up to 2 ms instead of turns of the event loop: closer to life, and not quite repeatable. */
  readonly timers?: boolean
  /** Every latency, every choice. */
  readonly seed: number
}

/** What a trial, or many, came to. */
export interface Tally {
  readonly violations: string[]
  bodies: number
  processes: number
  crashes: number
  closes: number
  effects: number
}

export const newTally = (): Tally => ({ violations: [], bodies: 0, processes: 0, crashes: 0, closes: 0, effects: 0 })

/** Runs a trial and adds what it saw to `tally`. It ends with the first process that breaks a law. */
export async function runTrial(shape: TrialShape, tally: Tally): Promise<void> {
  tally.bodies++
  const calm = await runCalmly(shape, tally)
  if (calm) await compare(shape, calm, tally)
}

/** The same body once for each of its writes, killed there, before and after the write reaches the disk. */
export async function runEveryCrashPoint(shape: TrialShape, tally: Tally): Promise<void> {
  tally.bodies++
  const calm = await runCalmly(shape, tally)
  for (let everyWrites = 1; calm && everyWrites <= calm.writes; everyWrites++) {
    for (const dies of ['before', 'after'] as const) {
      await compare({ ...shape, everyWrites, dies, closes: 0, once: true }, calm, tally)
    }
  }
}

interface Calm {
  readonly outputs: unknown[]
  readonly effects: ReadonlySet<string>
  readonly writes: number
}

async function runCalmly(shape: TrialShape, tally: Tally): Promise<Calm | undefined> {
  const calm = new Trial(shape, newTally())
  const outputs = await calm.runUntilDone(false)
  tally.violations.push(...calm.tally.violations.map((violation) => `without any crash: ${violation}`))
  return outputs && { outputs, effects: calm.effects, writes: calm.writes }
}

async function compare(shape: TrialShape, { outputs: expected, effects }: Calm, tally: Tally): Promise<void> {
  const trial = new Trial(shape, tally)
  const outputs = await trial.runUntilDone(true)
  if (!outputs) return
  if (JSON.stringify(outputs) !== JSON.stringify(expected)) {
    tally.violations.push(`the output is ${JSON.stringify(outputs)}; without crashes it is ${JSON.stringify(expected)}`)
  }
  for (const who of effects) if (!trial.effects.has(who)) tally.violations.push(`${who}'s step never ran`)
}

/** Each step forward takes several: the open writes, and so does the start of each run, before a step can be recorded. */
const PROCESSES_MAX = 1_000
const TURNS_MAX = 5_000
const GRACE_MS = 5_000

class Trial {
  /** Who had an effect. */
  readonly effects = new Set<string>()
  readonly #said = new Map<string, string>()
  /** What was said in this process after an answer that is not known to be on disk. */
  #claims: { readonly what: string; readonly value: string; readonly after: string }[] = []
  /** Who was answered, of each task in this process. */
  readonly #answered = new Map<string, string[]>()
  readonly #random: () => number
  readonly #clock = tickingClock()
  readonly #disk: WatchedDisk

  constructor(
    private readonly shape: TrialShape,
    readonly tally: Tally,
  ) {
    this.#random = randomFrom(shape.seed)
    this.#disk = new WatchedDisk(() => this.#pause())
  }

  /** How many writes there were. */
  get writes(): number {
    return this.#disk.writes
  }

  /** The outputs of the tasks, or `undefined` if a law was broken on the way. */
  async runUntilDone(troubled: boolean): Promise<unknown[] | undefined> {
    const { tally, shape } = this
    let stuck = 0
    const broken = tally.violations.length
    for (let processes = 0; processes < PROCESSES_MAX; processes++) {
      const before = this.#disk.progress
      const trouble = troubled && !(shape.once && processes > 0)
      const closes = trouble && this.#random() < shape.closes
      if (trouble && !closes) {
        const applied = shape.dies === 'either' ? this.#random() < 0.5 : shape.dies === 'after'
        this.#disk.dieAt({ atWrite: shape.everyWrites + stuck, applied })
      }
      const outputs = await this.#runProcess(closes ? Math.floor(this.#random() * 60) : undefined)
      for (const { what, value, after } of this.#claims) if (this.#disk.recorded.has(after)) this.#said.set(what, value)
      this.#claims = []
      for (const sentence of brokenFormatLaws(this.#disk.content)) this.#violate(sentence)
      if (tally.violations.length > broken) return undefined
      if (outputs) return outputs
      stuck = this.#disk.progress > before ? 0 : stuck + 1
    }
    tally.violations.push(`the tasks were not done after ${PROCESSES_MAX} processes`)
    return undefined
  }

  /** One process from its open to its death, its close, or the end of the tasks. */
  async #runProcess(closesAtTurn: number | undefined): Promise<unknown[] | undefined> {
    const { tally, shape } = this
    tally.processes++
    const life = { over: false, ended: false, dead: false, began: new Set<string>() }
    let outputs: unknown[] | undefined
    this.#disk.onDeath(() => {
      if (!life.over) tally.crashes++
      life.over = life.ended = life.dead = true
    })
    const task = defineTask({ name: 'made_up' }, makeBody(shape.body, this.#witness(life)))
    const opening = openInMemory({
      disk: this.#disk,
      tasks: [task],
      clock: this.#clock,
      concurrency: shape.concurrency,
      // What is killed here is innocent, however often.
      maximumRecoveries: 1_000_000,
      ids: { ...createIds(), seed: () => '5eed5eed-5eed-4eed-8eed-5eed5eed5eed' },
    })
    // It may die while it opens.
    while (this.#disk.isOpen || !life.dead) {
      const opened = await Promise.race([opening.then(() => true), this.#turn().then(() => false)])
      if (opened || life.dead) break
    }
    if (life.dead) return undefined
    const holdfast = await opening
    if (holdfast.recovery.heldReason !== undefined) void holdfast.recover()
    holdfast.on('task:parked', ({ code, reason }) => this.#violate(`a task is parked: ${code}: ${reason}`))
    this.#outputsOf(holdfast).then(
      (all) => {
        outputs = all
        life.ended = true
      },
      (error: unknown) => {
        if (!life.over) this.#violate(`a task did not complete: ${String(error)}`)
        life.ended = true
      },
    )
    for (let turn = 0; !life.ended; turn++) {
      if (turn === closesAtTurn) {
        life.over = true
        tally.closes++
        await this.#close(holdfast, life, this.#random() < 0.5 ? 0 : GRACE_MS)
        return undefined
      }
      if (turn === TURNS_MAX) {
        this.#violate('the tasks stalled')
        break
      }
      await this.#turn()
    }
    if (life.over) return undefined
    life.over = true
    await this.#close(holdfast, life, 0)
    return outputs
  }

  async #close(holdfast: Holdfast, life: { readonly dead: boolean }, grace: number): Promise<void> {
    let closed = false
    void holdfast.close({ grace }).then(() => {
      closed = true
    })
    for (let turn = 0; !closed && !life.dead && turn < TURNS_MAX; turn++) await this.#turn()
    if (!closed && !life.dead) this.#violate('a close stalled')
  }

  async #outputsOf(holdfast: Holdfast): Promise<unknown[]> {
    const names = Array.from({ length: this.shape.tasks }, (_, index) => `t${index}`)
    return Promise.all(
      names.map(async (name) => {
        const { taskId } = await holdfast.start('made_up', name, { idempotencyKey: name })
        return holdfast.result(taskId)
      }),
    )
  }

  #witness(life: { readonly over: boolean; readonly dead: boolean; readonly began: Set<string> }): Witness {
    return {
      begins: (name) => {
        if (!life.dead) this.#answered.set(name, [])
      },
      effect: (who, isDeferred) => {
        // On a disk in memory the code of a dead process goes on where it needs no answer of the disk.
        if (life.dead && isDeferred) return
        this.tally.effects++
        const missing = isDeferred ? undefined : this.#answeredOf(who).find((other) => !this.#disk.recorded.has(other))
        if (missing !== undefined) this.#violate(`${who}'s step began while the answer of ${missing} was on no disk`)
        if (life.over) this.#violate(`${who}'s step began in a dead or closing process`)
        if (life.began.has(who)) this.#violate(`${who}'s step ran twice in one process`)
        if (this.#disk.recorded.has(who)) this.#violate(`${who}'s step was recorded, and ran again`)
        life.began.add(who)
        this.effects.add(who)
      },
      answered: (who, value) => {
        if (life.dead) return
        this.#answeredOf(who).push(who)
        if (value !== who) this.#violate(`${who} got the answer of ${String(value)}`)
      },
      same: (what, value) => {
        if (life.dead) return
        const said = this.#said.get(what) ?? String(value)
        if (said !== String(value)) this.#violate(`${what} was ${said} and is now ${String(value)}`)
        const after = this.#answeredOf(what).at(-1)
        // A crash takes back the answers of deferred steps; what came of them is decided anew.
        if (after === undefined || this.#disk.recorded.has(after)) this.#said.set(what, said)
        else this.#claims.push({ what, value: String(value), after })
      },
      strange: (what) => this.#violate(what),
      pause: () => this.#pause(),
    }
  }

  /** The answers that a task has been handed in this process. What is said of a task begins with its name. */
  #answeredOf(what: string): string[] {
    const name = what.slice(0, what.indexOf('.'))
    const answered = this.#answered.get(name) ?? []
    this.#answered.set(name, answered)
    return answered
  }

  #violate(what: string): void {
    this.tally.violations.push(what)
  }

  async #pause(): Promise<void> {
    const turns = this.#random() < 0.3 ? 0 : 1 + Math.floor(this.#random() * 4)
    if (this.shape.timers && turns > 0) return sleep((turns - 1) / 2)
    for (let turn = 0; turn < turns; turn++) await immediate()
  }

  #turn(): Promise<void> {
    return this.shape.timers ? sleep(1) : immediate()
  }
}

/** A disk that knows which steps are recorded on it, and whether anything has come of a process. */
class WatchedDisk extends MemoryDisk {
  /** Who asked for each step whose record has ever been on the disk. */
  readonly recorded = new Set<string>()
  /** Counts what a new process need not do again. */
  progress = 0

  override damage(key: string, value: string | undefined): void {
    super.damage(key, value)
    if (value === undefined) return
    if (/^(log|input|outcome)\//.test(key)) this.progress++
    if (!key.startsWith('log/')) return
    const record = decodeRecord(unseal(key, value).body)
    if (record.kind === 'step') this.recorded.add(record.failed?.message ?? String(JSON.parse(record.value ?? '""')))
  }
}

/** A clock that never shows the same instant twice, so that a wrong one is noticed. The grace of a close never ends. */
function tickingClock(): Clock {
  let now = Date.UTC(2026, 0, 1)
  return { now: () => ++now, setTimer: () => () => {} }
}

/** Numbers from 0 up to 1, the same for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

function immediate(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
