/** A machine whose process dies when a step says so, on a disk in memory. */
import { defineTask, type Holdfast, type Logger, silentLogger } from '../../src/index.js'
import { type InMemoryOptions, ManualClock, MemoryDisk, openInMemory } from '../../src/testing/index.js'
import { turns } from './turns.js'

/** A machine whose process dies when a step kills it, and one body that does as it is told by its input. */
export class Machine {
  clock = new ManualClock()
  readonly errors: string[] = []
  /** @param latency turns of the event loop that a write waits for */
  constructor(latency = 1) {
    this.disk = new MemoryDisk(() => turns(latency))
  }

  readonly disk: MemoryDisk
  /** Inputs whose step brings the process down. */
  readonly deadly = new Set<string>()
  /** Inputs whose step never ends. */
  readonly hanging = new Set<string>()
  readonly calls: string[] = []
  holdfast: Holdfast | undefined
  isDead = false

  readonly logger: Logger = {
    ...silentLogger,
    error: (message, fields) => void this.errors.push(`${message} ${JSON.stringify(fields)}`),
  }

  readonly job = defineTask({ name: 'job' }, async (task, name: string) => {
    const first = await task.step('first', () => name)
    const second = await task.step('load', () => this.act(name))
    return [first, second]
  })
  /** Dies, or hangs, before anything of it is recorded. */
  readonly raw = defineTask({ name: 'raw' }, (task, name: string) => task.step('boom', () => this.act(name)))

  act(name: string): unknown {
    this.calls.push(name)
    if (this.deadly.has(name)) {
      this.die()
      return new Promise(() => {})
    }
    return this.hanging.has(name) ? new Promise(() => {}) : `${name} done`
  }

  die(): void {
    this.isDead = true
    this.disk.crash()
  }

  /** Resolves once nothing can continue unless time passes, whether the process lives or not. */
  idle(): Promise<void> {
    return this.clock.advance(0)
  }

  /** One process, until it has nothing more to do or is dead. */
  async live(options: Partial<InMemoryOptions> = {}): Promise<Holdfast | undefined> {
    this.isDead = false
    this.clock = new ManualClock(this.clock.now() + 1_000)
    this.disk.onDeath(() => {
      this.isDead = true
    })
    const { disk, clock, logger, job, raw } = this
    this.holdfast = undefined
    const opening = openInMemory({ disk, clock, logger, tasks: [job, raw], ...options }).then((holdfast) => {
      this.holdfast = holdfast
    })
    opening.catch(() => {})
    await this.idle()
    return this.isDead ? undefined : this.holdfast
  }

  /** Processes, one after the other, until one survives. Returns how many died. */
  async liveUntilOneSurvives(options: Partial<InMemoryOptions> = {}): Promise<number> {
    for (let deaths = 0; deaths < 60; deaths++) if (await this.live(options)) return deaths
    throw new Error('They die for ever')
  }

  get open(): Holdfast {
    if (!this.holdfast || this.isDead) throw new Error('No process is running')
    return this.holdfast
  }

  async start(type: 'job' | 'raw', name: string): Promise<string> {
    // The order of the IDs is that of time.
    await this.clock.advance(1)
    const starting = this.open.start<string, unknown>(this[type], name)
    const started = await Promise.race([starting, this.idle().then(() => undefined)])
    if (started) return started.taskId
    throw new Error(`${name} was not started`)
  }

  /** Starts tasks whose steps hang, and dies. */
  async startAndDie(...names: string[]): Promise<string[]> {
    await this.live()
    for (const name of names) this.hanging.add(name)
    const taskIds: string[] = []
    for (const name of names) taskIds.push(await this.start('raw', name))
    await this.idle()
    this.die()
    return taskIds
  }
}

export const hasCode = (code: string) => ({ code })
export const parkedOf = async (machine: Machine, taskId: string) => (await machine.open.get(taskId)).parked
