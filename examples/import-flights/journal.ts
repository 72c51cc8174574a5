/**
 * What really happened, in a file that no crash takes back: one line when a step begins, one for its effect, one when
 * Holdfast said that it is recorded. The steps' effects are these lines, and the demo's claims are checked against them.
 *
 * Each line is one `write` to a file opened for appending, so a SIGKILL leaves whole lines in the order they were made.
 */
import { fdatasync, openSync, readFileSync, writeSync } from 'node:fs'
import { promisify } from 'node:util'
import { z } from 'zod'
import { type Summary, totalOf } from './flights.js'

/** A line of the journal. `run` counts the processes that worked on it, from 1. */
export type JournalEntry = z.infer<typeof entrySchema>
const run = z.int().positive()
const step = z.int().positive()
const key = z.string()
export const entrySchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('opened'), run, pid: z.int() }),
  z.object({ kind: z.literal('begun'), run, step, key }),
  z.object({ kind: z.literal('effect'), run, step, key, flights: z.number(), delayMinutes: z.number() }),
  z.object({ kind: z.literal('recorded'), run, step }),
  z.object({ kind: z.literal('finished'), run }),
])

/**
 * The lines of `file`; none if it is not there.
 * @throws Error naming a line that is none
 */
export function readJournal(file: string): JournalEntry[] {
  const lines = readText(file).split('\n')
  lines.pop()
  return lines.map((line, index) => {
    try {
      return entrySchema.parse(JSON.parse(line))
    } catch (cause) {
      throw new Error(`Line ${index + 1} of the journal ${file} can't be read: ${line.slice(0, 80)}`, { cause })
    }
  })
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return ''
    throw error
  }
}

/** Writes the lines of one process; `told` hears each after it is written. */
export class Journal {
  readonly #fd: number
  readonly #run: number
  #lastEffect: number | undefined

  constructor(
    file: string,
    private readonly told: (entry: JournalEntry) => void,
  ) {
    this.#run = readJournal(file).filter((entry) => entry.kind === 'opened').length + 1
    this.#fd = openSync(file, 'a', 0o600)
    this.#write({ kind: 'opened', run: this.#run, pid: process.pid })
  }

  /** A step's function begins. */
  begin(number: number, idempotencyKey: string): void {
    this.#write({ kind: 'begun', run: this.#run, step: number, key: idempotencyKey })
  }

  /** The effect of a step: what its batch adds up to, on disk once this resolves. */
  async effect(number: number, idempotencyKey: string, part: Summary): Promise<void> {
    const { flights, delayMinutes } = totalOf(part)
    this.#write({ kind: 'effect', run: this.#run, step: number, key: idempotencyKey, flights, delayMinutes })
    this.#lastEffect = number
    await promisify(fdatasync)(this.#fd)
  }

  /** Holdfast said that the latest step is recorded: from here on it must never begin again. */
  recorded(): void {
    if (this.#lastEffect !== undefined) this.#write({ kind: 'recorded', run: this.#run, step: this.#lastEffect })
  }

  /** The task has settled. */
  finished(): void {
    this.#write({ kind: 'finished', run: this.#run })
  }

  #write(entry: JournalEntry): void {
    writeSync(this.#fd, `${JSON.stringify(entry)}\n`)
    this.told(entry)
  }
}
